import { describe, expect, it, onTestFinished } from "vitest";
import { createLimiter } from "../../../src/index.js";
import {
  type LedgerOptions,
  openLedger,
  type ReportQuery,
  type TopQuery,
  type Usage,
} from "../../../src/ledger/index.js";
import { METERS, open, rowsOf } from "./ledger.js";

const ENGINES = ["native", "js"] as const;
const usage: Usage = { account: "42", meter: "compare", plan: "free" };
const month = { from: "2026-11-01", to: "2026-12-01", by: "month" } as const;
const thrown = (code: string, message: string) =>
  expect.objectContaining({ code, message: expect.stringContaining(message) });

describe.each(ENGINES)("on the %s engine", (engine) => {
  it.each([
    ["a call, of one token by default", {}, [1, 1, 0, 0]],
    ["tokens of three decimals", { units: 0.001 }, [1, 0.001, 0, 0]],
    ["what was given back beside what was kept", { units: 2, refunded: 1.5 }, [1, 2, 0, 1.5]],
    ["no served call where everything was given back", { units: 0, refunded: 2 }, [0, 0, 0, 2]],
    ["a call that was denied", { denied: true }, [0, 0, 1, 0]],
    ["a call that was not denied", { denied: false }, [1, 1, 0, 0]],
  ] as const)("counts %s", async (_, more, sums) => {
    const { ledger } = open(engine);
    ledger.record({ ...usage, ...more });
    const [row] = await rowsOf(ledger, month);
    expect([row?.calls, row?.units, row?.denied, row?.refunded]).toEqual(sums);
  });

  it("counts nothing for what was served and cost nothing", async () => {
    const { ledger } = open(engine);
    ledger.record({ ...usage, units: 0 });
    expect(await rowsOf(ledger, month)).toEqual([]);
    expect(await ledger.accounts()).toEqual({ accounts: [], next: null });
  });

  it.each<[string, string, unknown]>([
    ["ERR_METER_UNKNOWN", "meter is search; it may be one of identify, compare, batch", { ...usage, meter: "search" }],
    ["ERR_METER_UNKNOWN", "meter is of type undefined", {}],
    ["ERR_METER_UNKNOWN", "meter is of type undefined", undefined],
    ["ERR_USAGE_INVALID", "account is a string of 0 UTF-16 units", { ...usage, account: "" }],
    ["ERR_USAGE_INVALID", "account is a string of 513 UTF-16 units", { ...usage, account: "x".repeat(513) }],
    ["ERR_USAGE_INVALID", "account is of type number", { ...usage, account: 42 }],
    ["ERR_USAGE_INVALID", "plan is a string of 0 UTF-16 units", { ...usage, plan: "" }],
    ["ERR_USAGE_INVALID", "plan is of type object", { ...usage, plan: null }],
    ["ERR_USAGE_INVALID", "units is NaN", { ...usage, units: Number.NaN }],
    ["ERR_USAGE_INVALID", "units is -1", { ...usage, units: -1 }],
    ["ERR_USAGE_INVALID", "units is 0.0001; it may be a number from 0 with at most three", { ...usage, units: 0.0001 }],
    ["ERR_USAGE_INVALID", 'units is "1"', { ...usage, units: "1" }],
    ["ERR_USAGE_INVALID", "refunded is Infinity", { ...usage, refunded: Number.POSITIVE_INFINITY }],
    ["ERR_USAGE_INVALID", "denied is yes; it may be true or false", { ...usage, denied: "yes" }],
    [
      "ERR_USAGE_INVALID",
      "units is 1; it may be left out of a call that was denied",
      { ...usage, denied: true, units: 1 },
    ],
    ["ERR_USAGE_INVALID", "refunded is 1; it may be left out", { ...usage, denied: true, refunded: 1 }],
  ])("refuses as %s what says that %s", async (code, message, wrong) => {
    const { ledger } = open(engine);
    expect(() => ledger.record(wrong as Usage)).toThrow(thrown(code, message));
    expect(await rowsOf(ledger, month)).toEqual([]);
  });

  it.each<[string, Partial<Record<keyof ReportQuery, unknown>>]>([
    ["from is undefined", { from: undefined }],
    ['from is "2026-11-01T00:00"; it may be a whole hour of UTC', { from: "2026-11-01T00:00" }],
    ['from is "2026-11-01T00:30Z"', { from: "2026-11-01T00:30Z" }],
    ['from is "2026-11-01T00:00+05:30"', { from: "2026-11-01T00:00+05:30" }],
    ['from is "2026-02-29"', { from: "2026-02-29" }],
    ['from is "2026-13-01"', { from: "2026-13-01" }],
    ["from is 1", { from: 1 }],
    ["from is -3600000", { from: -3_600_000 }],
    ["to is NaN", { to: Number.NaN }],
    ["to is 2026-11-01; it may be after from, which is 2026-11-01", { to: "2026-11-01" }],
    ["to is 1200000 hours later than the first; it may be at most 1000000", { from: 0, to: 1_200_000 * 3_600_000 }],
    ["by is week; it may be hour, day or month", { by: "week" }],
    ["group is [ 'tier' ]", { group: ["tier"] }],
    ["group is [ 'meter', 'meter' ]", { group: ["meter", "meter"] }],
    ["group is meter", { group: "meter" }],
    ["anchorDay is 32; it may be a whole number, 1 to 31", { anchorDay: 32 }],
    ["anchorDay is 2; it may be left out unless by is month", { by: "day", anchorDay: 2 }],
    ["page is 0; it may be a whole number, 1 to 10000", { page: 0 }],
    ["after is nonsense; it may be next of the page before", { after: "nonsense" }],
    ["account is 42; it may be a text", { account: 42 }],
  ])("says that %s", async (message, wrong) => {
    const { ledger } = open(engine);
    await expect(ledger.report({ ...month, ...wrong } as ReportQuery)).rejects.toThrow(
      thrown("ERR_REPORT_INVALID", message),
    );
  });

  it.each<[string, string, Partial<Record<keyof TopQuery, unknown>>]>([
    ["ERR_METER_UNKNOWN", "meter is search", { meter: "search" }],
    ["ERR_REPORT_INVALID", "by is cost; it may be units or calls", { by: "cost" }],
    ["ERR_REPORT_INVALID", "size is 1001; it may be a whole number, 1 to 1000", { size: 1001 }],
    ["ERR_REPORT_INVALID", "to is 2026-10-01; it may be after from", { to: "2026-10-01" }],
  ])("refuses as %s the largest of which %s", async (code, message, wrong) => {
    const { ledger } = open(engine);
    const top = { from: month.from, to: month.to, ...wrong } as TopQuery;
    await expect(ledger.top(top)).rejects.toThrow(thrown(code, message));
  });

  it("takes an instant in ISO 8601 with any offset, and in ms, that is a whole hour of UTC", async () => {
    const { ledger } = open(engine);
    for (const from of ["2026-11-01", "2026-11-01T00:00Z", "2026-11-01T02:00:00.000+02:00", Date.UTC(2026, 10, 1)]) {
      expect((await ledger.report({ ...month, from })).from).toBe("2026-11-01T00:00:00.000Z");
    }
  });

  it.each<[string, Partial<Record<keyof LedgerOptions, unknown>>]>([
    ["limiter is undefined; it may be what createLimiter returned", { limiter: undefined }],
    ["limiter is { engine: 'js' }", { limiter: { engine: "js" } }],
    ["limiter is { engine: 'redis' }; it may be what createLimiter returned", { limiter: { engine: "redis" } }],
    ["meters is []; it may be 1 to 32 names", { meters: [] }],
    ["meters is [ 'a', 'a' ]", { meters: ["a", "a"] }],
    ["meters is [ 'a b' ]", { meters: ["a b"] }],
    ["meters is a", { meters: "a" }],
    ["flushMs is 9; it may be a whole number, 10 to 60000", { flushMs: 9 }],
    ["maxCells is 0", { maxCells: 0 }],
    ["retention.hours is unknown", { retention: { hours: 1 } }],
    ["retention.hourDays is 0; it may be a whole number, 1 to 400", { retention: { hourDays: 0 } }],
    ["onError is 1; it may be a function", { onError: 1 }],
    ["clock is 1; it may be a function", { clock: 1 }],
    ["metres is unknown; it may be one of", { metres: [] } as object],
  ])("is not opened where %s", async (message, wrong) => {
    const limiter = createLimiter({ tiers: { free: { limits: [] } }, engine });
    const options = { limiter, meters: METERS, ...wrong } as LedgerOptions;
    expect(() => openLedger(options)).toThrow(thrown("ERR_OPTION_INVALID", message));
    await limiter.close();
    expect(() => openLedger({ limiter, meters: METERS })).toThrow(thrown("ERR_LIMITER_CLOSED", ""));
  });

  it("says so once it is closed, and is closed twice", async () => {
    const { ledger } = open(engine);
    await ledger.close();
    await ledger.close();
    const closed = thrown("ERR_LEDGER_CLOSED", "the ledger is closed");
    expect(() => ledger.record(usage)).toThrow(closed);
    expect(() => ledger.stats()).toThrow(closed);
    for (const asked of [ledger.report(month), ledger.top(month as never), ledger.accounts(), ledger.flush()]) {
      await expect(asked).rejects.toThrow(closed);
    }
  });

  it("is one for all who open it, and tells each what it has counted itself", async () => {
    const limiter = createLimiter({ tiers: { free: { limits: [] } }, engine, clock: () => Date.UTC(2026, 10, 10) });
    const [one, other] = [openLedger({ limiter, meters: ["a", "b"] }), openLedger({ limiter, meters: ["b", "c"] })];
    onTestFinished(async () => {
      await one.close();
      await other.close();
      await limiter.close();
    });
    one.record({ ...usage, meter: "b" });
    other.record({ ...usage, meter: "b", denied: true });
    other.record({ ...usage, meter: "c", units: 0, refunded: 1 });
    expect(await rowsOf(one, { ...month, group: ["meter"] })).toMatchObject([
      { meter: "b", calls: 1, denied: 1 },
      { meter: "c", calls: 0, refunded: 1 },
    ]);
    expect(other.stats()).toMatchObject({
      cells: 2,
      unwritten: { calls: 0, units: 0 },
      counted: [
        { meter: "b", served: 0, denied: 1, refunded: 0 },
        { meter: "c", served: 0, denied: 0, refunded: 1 },
      ],
    });
    await one.close();
    expect(await rowsOf(other, month)).toHaveLength(1);
  });

  it("tells accounts page by page, in order", async () => {
    const { ledger } = open(engine);
    for (const account of ["b", "a", "ä", "10", "9"]) ledger.record({ ...usage, account });
    const accounts: string[] = [];
    let after: string | null = null;
    do {
      const page = await ledger.accounts({ size: 2, after });
      accounts.push(...page.accounts);
      after = page.next;
    } while (after !== null);
    expect(accounts).toEqual(["10", "9", "a", "b", "ä"]);
  });
});
