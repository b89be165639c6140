import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { ERROR_CODES, TollkeeperError } from "../../src/index.js";
import { SERVICE_ERROR_CODES } from "../../src/service/errors.js";

const page = readFileSync(new URL("../../docs/errors.md", import.meta.url), "utf8");
const rows = page.split("\n").flatMap((line) => /^\| `(ERR_\w+)` \| (.+) \| (.+) \|$/.exec(line)?.slice(1) ?? []);

const codes: Record<string, string> = { ...ERROR_CODES, ...SERVICE_ERROR_CODES };

describe("docs/errors.md", () => {
  it("has one row per code, in the order of the source", () => {
    const documented = rows.filter((_, index) => index % 3 === 0);
    expect(documented).toEqual(Object.keys(codes));
  });

  it("keeps those of the service apart", () => {
    const [, own = ""] = page.split("## Of the service");
    expect([...own.matchAll(/^\| `(ERR_\w+)`/gm)].map(([, code]) => code)).toEqual(Object.keys(SERVICE_ERROR_CODES));
  });

  it("gives each code the meaning that the source gives it", () => {
    const documented = rows.filter((_, index) => index % 3 === 1);
    expect(documented.map((meaning) => meaning.replaceAll("`", ""))).toEqual(Object.values(codes));
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
