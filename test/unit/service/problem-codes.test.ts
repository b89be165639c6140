import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { PROBLEM_CODES } from "../../../src/service/problem-codes.js";

const page = readFileSync(new URL("../../../docs/http.md", import.meta.url), "utf8");

/** Codes of the library's own problems, which the page explains in the same table. */
const LIBRARY_CODES = { address_unknown: 403, cost_exceeds_capacity: 422, limiter_unavailable: 503 };

it("docs/http.md explains every code of a problem, with its status", () => {
  const rows = [...page.matchAll(/^\| (\d{3}) \| (`.+?) \|/gm)];
  const documented = rows.flatMap(([, status, codes = ""]) =>
    [...codes.matchAll(/`(\w+)`/g)].map(([, code]) => [code, Number(status)] as const),
  );
  expect(documented.map(([code]) => code).sort()).toEqual(Object.keys({ ...PROBLEM_CODES, ...LIBRARY_CODES }).sort());
  expect(Object.fromEntries(documented)).toEqual({ ...PROBLEM_CODES, ...LIBRARY_CODES });
});
