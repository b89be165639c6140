/** `tollkeeper usage`, of a service that has served something: for people, and for other programs. */
import { describe, expect, it } from "vitest";
import { command } from "./command.js";
import { compare, identify, startService } from "./service.js";

const NOVEMBER = ["--from", "2026-11-01", "--to", "2026-12-01"];
const MONTH = [...NOVEMBER, "--by", "month"];

/** What asks a service that has served three calls of an account, and one of an address. */
async function running(scope: "admin" | "reader" = "admin") {
  const service = await startService();
  const { app, keys } = service;
  await keys.accounts.setTier('a,"b"', "pro");
  const { key } = await keys.create("test", { account: 'a,"b"', scopes: ["fingerprint"] });
  for (const call of [identify(key), { ...identify(key), url: "/identify" }, compare(key), identify()]) {
    expect((await app.inject(call)).statusCode).toBe(200);
  }
  const url = await app.listen({ port: 0, host: "127.0.0.1" });
  return (...args: string[]) =>
    command(["usage", ...args], { TOLLKEEPER_URL: url, TOLLKEEPER_API_KEY: service[scope] });
}

const lines = (text: string) => text.trimEnd().split("\n");
const words = (text: string) => lines(text).map((line) => line.split(/ {2,}/));

describe("tollkeeper usage", () => {
  it("show prints what was served, of one account or all, and that more may come", async () => {
    const ask = await running();
    const one = await ask("show", 'a,"b"', ...MONTH);
    expect(words(one.stdout)).toEqual([
      ["FROM", "TO", "METER", "CALLS", "UNITS", "DENIED", "REFUNDED"],
      ["2026-11-01", "2026-12-01", "compare", "1", "2", "0", "0"],
      ["2026-11-01", "2026-12-01", "identify", "2", "2", "0", "0"],
    ]);
    expect(one).toMatchObject({ code: 0, stderr: "not complete: the last hours may still grow\n" });
    const all = await ask("show", ...NOVEMBER, "--by", "hour", "--group", "account");
    expect(words(all.stdout).slice(1)).toEqual([
      ["2026-11-10T12:00Z", "2026-11-10T13:00Z", 'a,"b"', "3", "4", "0", "0"],
      ["2026-11-10T12:00Z", "2026-11-10T13:00Z", "(without an account)", "1", "1", "0", "0"],
    ]);
    const told = JSON.parse((await ask("show", ...MONTH, "--group", "", "--json")).stdout);
    expect(told).toMatchObject({ complete: false, bound: { calls: 0, units: 0 }, items: [{ calls: 4, units: 5 }] });
  });

  it.each([".", ".."])("show of the account %s is no other question", async (account) => {
    const ask = await running();
    expect(await ask("show", account, ...MONTH)).toEqual({
      code: 2,
      stdout: "",
      stderr: `tollkeeper: ${account} is no name\n`,
    });
  });

  it("top prints the largest", async () => {
    const ask = await running();
    expect(words((await ask("top", ...NOVEMBER)).stdout)).toEqual([
      ["ACCOUNT", "CALLS", "UNITS", "DENIED", "REFUNDED"],
      ['a,"b"', "3", "4", "0", "0"],
      ["(without an account)", "1", "1", "0", "0"],
    ]);
    const told = JSON.parse((await ask("top", ...NOVEMBER, "--meter", "compare", "--size", "1", "--json")).stdout);
    expect(told.items.map(({ account }: { account: string }) => account)).toEqual(['a,"b"']);
  });

  it("export writes CSV, in which a name may have commas and quotes", async () => {
    const ask = await running();
    expect(lines((await ask("export", ...MONTH)).stdout)).toEqual([
      "from,to,account,meter,plan,calls,units,denied,refunded,revision",
      '2026-11-01T00:00:00.000Z,2026-12-01T00:00:00.000Z,"a,""b""",compare,pro,1,2,0,0,0',
      '2026-11-01T00:00:00.000Z,2026-12-01T00:00:00.000Z,"a,""b""",identify,pro,2,2,0,0,0',
      "2026-11-01T00:00:00.000Z,2026-12-01T00:00:00.000Z,,identify,anonymous,1,1,0,0,0",
    ]);
  });

  it("export writes a line of JSON for each row, of one account too", async () => {
    const ask = await running();
    const { stdout } = await ask("export", ...MONTH, "--account", 'a,"b"', "--format", "ndjson");
    const month = { from: "2026-11-01T00:00:00.000Z", to: "2026-12-01T00:00:00.000Z", account: 'a,"b"', plan: "pro" };
    expect(lines(stdout).map((line) => JSON.parse(line))).toEqual([
      { ...month, meter: "compare", calls: 1, units: 2, denied: 0, refunded: 0, revision: 0 },
      { ...month, meter: "identify", calls: 2, units: 2, denied: 0, refunded: 0, revision: 0 },
    ]);
  });

  it("says what it can't be asked for, and which scope it needs", async () => {
    const ask = await running();
    expect(await ask("show", "--by", "week")).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("hour, day, month"),
    });
    expect(await ask("show", "--from", "2026-11-01T00:30Z")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("report_invalid"),
    });
    expect(await ask("top", "--meter", "search")).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("it may be one of identify, compare, batch"),
    });
    const other = await running("reader");
    expect((await other("top")).stderr).toContain("scope_missing");
  });
});
