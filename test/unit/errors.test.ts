import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ERROR_CODES, TollkeeperError } from "../../src/index.js";

const page = readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8");
const rows = page.split("\n").flatMap((line) => /^\| `(ERR_\w+)` \| (.+) \| (.+) \|$/.exec(line)?.slice(1) ?? []);

describe("docs/errors.md", () => {
  it("has one row per code, in the order of the source", () => {
    const documented = rows.filter((_, index) => index % 3 === 0);
    expect(documented).toEqual(Object.keys(ERROR_CODES));
  });

  it("gives each code the meaning that the source gives it", () => {
    const documented = rows.filter((_, index) => index % 3 === 1);
    expect(documented.map((meaning) => meaning.replaceAll("`", ""))).toEqual(Object.values(ERROR_CODES));
  });
});

describe("TollkeeperError", () => {
  it("is an Error with a code, a message and a cause", () => {
    const cause = new Error("disk");
    const error = new TollkeeperError("ERR_STORAGE_IO", "can't write", { cause });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({ name: "TollkeeperError", code: "ERR_STORAGE_IO", message: "can't write", cause });
  });
});
