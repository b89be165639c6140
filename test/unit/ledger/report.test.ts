/** However usage is divided, grouped and paged, it is the same: as worked out here, by a calendar of its own. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { createLimiter } from "../../../src/index.js";
import { type Division, type Group, openLedger, type Usage, type UsageRow } from "../../../src/ledger/index.js";
import { HOUR_MS, METERS, open, rowsOf } from "./ledger.js";

const ENGINES = ["native", "js"] as const;
const GROUPS: Group[][] = [[], ["meter"], ["plan"], ["account"], ["meter", "plan"], ["account", "meter", "plan"]];

/** One call, and in which hour it was counted. */
type Counted = Usage & { hour: number };

/** The year, month and day of an hour, counted up day by day from 1970. */
function dateOf(hour: number): { year: number; month: number; day: number; index: number } {
  let [year, month, day] = [1970, 1, 1];
  for (let left = Math.floor(hour / 24); left > 0; left--) {
    day++;
    if (day > lastDay(year, month)) [month, day] = [month + 1, 1];
    if (month > 12) [year, month] = [year + 1, 1];
  }
  return { year, month, day, index: year * 12 + month - 1 };
}

function lastDay(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
  return [4, 6, 9, 11].includes(month) ? 30 : 31;
}

/** Names the period of an hour; two are the same if they are named the same. */
function periodOf(hour: number, by: Division, anchorDay: number): number {
  if (by !== "month") return by === "hour" ? hour : Math.floor(hour / 24);
  const { year, month, day, index } = dateOf(hour);
  return day < Math.min(anchorDay, lastDay(year, month)) ? index - 1 : index;
}

/** What a report should have, as text; the first hour of each period stands for when it begins. */
function expected(counted: Counted[], by: Division, anchorDay: number, group: Group[]): Map<string, number[]> {
  const sums = new Map<string, number[]>();
  for (const { account, meter, plan, units = 1, refunded = 0, denied = false, hour } of counted) {
    if (!denied && units === 0 && refunded === 0) continue;
    const of = { account, meter, plan };
    const name = JSON.stringify([periodOf(hour, by, anchorDay), ...group.map((one) => of[one])]);
    const sum = sums.get(name) ?? [0, 0, 0, 0];
    sums.set(name, sum);
    const milli = (tokens: number) => Math.round(tokens * 1000);
    const added = denied ? [0, 0, 1, 0] : [units > 0 ? 1 : 0, milli(units), 0, milli(refunded)];
    for (const [index, number] of added.entries()) sum[index] = (sum[index] ?? 0) + number;
  }
  return sums;
}

/** The same of the rows that came. */
function told(rows: UsageRow[], by: Division, anchorDay: number, group: Group[]): Map<string, number[]> {
  return new Map(
    rows.map(({ calls, units, denied, refunded, ...row }) => {
      const name = [periodOf(Date.parse(row.from) / HOUR_MS, by, anchorDay), ...group.map((one) => row[one])];
      return [JSON.stringify(name), [calls, Math.round(units * 1000), denied, Math.round(refunded * 1000)]];
    }),
  );
}

/** The turns of months and years, and of the last day of months of 28 to 31 days. */
const TURNS = [
  Date.UTC(2024, 1, 29),
  Date.UTC(2026, 0, 1),
  Date.UTC(2026, 1, 28),
  Date.UTC(2026, 2, 31),
  Date.UTC(2026, 3, 30),
  Date.UTC(2027, 0, 1),
].map((ms) => ms / HOUR_MS);
const hour = fc.tuple(fc.constantFrom(...TURNS), fc.integer({ min: -72, max: 72 })).map(([turn, off]) => turn + off);
const tokens = fc.integer({ min: 0, max: 4000 }).map((milli) => milli / 1000);
const names = {
  account: fc.constantFrom("1", "10", "2", "a b", "\0"),
  meter: fc.constantFrom(...METERS),
  plan: fc.constantFrom("free", "pro", "free pro"),
};
const call: fc.Arbitrary<Counted> = fc.oneof(
  fc.record({ ...names, hour, units: tokens, refunded: tokens }),
  fc.record({ ...names, hour, denied: fc.constant(true) }),
);
const [FROM, TO] = [Date.UTC(2024, 0, 1) / HOUR_MS, Date.UTC(2028, 0, 1) / HOUR_MS];

describe.each(ENGINES)("on the %s engine", (engine) => {
  it("the sum over hours is that over days and months, by whatever it is grouped", async () => {
    const anything = {
      counted: fc.array(call, { maxLength: 60 }),
      group: fc.constantFrom(...GROUPS),
      by: fc.constantFrom<Division>("hour", "day", "month"),
      anchorDay: fc.constantFrom(1, 15, 28, 29, 30, 31),
      page: fc.constantFrom(1, 2, 7, 1000),
      account: fc.option(names.account, { nil: undefined, freq: 1 }),
      range: fc.oneof(fc.constant([FROM, TO] as const), fc.tuple(hour, hour)),
    };
    const property = fc.asyncProperty(
      fc.record(anything),
      async ({ counted, group, by, page, account, range, ...rest }) => {
        const [from, to] = [Math.min(...range), Math.max(...range)];
        const anchorDay = by === "month" ? rest.anchorDay : undefined;
        const { ledger, clock, close } = openAlone(engine);
        for (const { hour, ...usage } of counted) {
          clock.now = hour * HOUR_MS + 1;
          ledger.record(usage);
        }
        const query = { from: from * HOUR_MS, to: to * HOUR_MS, by, group, page, account, anchorDay };
        const rows = from === to ? [] : await rowsOf(ledger, query);
        const asked = counted.filter(
          (one) => one.hour >= from && one.hour < to && (account === undefined || one.account === account),
        );
        const day = anchorDay ?? 1;
        expect(told(rows, by, day, group)).toEqual(expected(asked, by, day, group));
        expect(told(rows, by, day, group).size).toBe(rows.length);
        expect(rows).toEqual([...rows].sort(inOrder(group, account)));
        for (const row of rows) expect(Date.parse(row.from)).toBeLessThan(Date.parse(row.to));
        await close();
      },
    );
    await fc.assert(property, { numRuns: 400 });
  });

  it("the largest are those by the same sums", async () => {
    const counted = fc.array(call, { maxLength: 60 });
    const by = fc.constantFrom("units" as const, "calls" as const);
    const meter = fc.option(names.meter, { nil: undefined });
    const size = fc.integer({ min: 1, max: 6 });
    const property = fc.asyncProperty(fc.record({ counted, by, meter, size }), async ({ counted, by, meter, size }) => {
      const { ledger, clock, close } = openAlone(engine);
      for (const { hour, ...usage } of counted) {
        clock.now = hour * HOUR_MS;
        ledger.record(usage);
      }
      const ofMeter = counted.filter((one) => meter === undefined || one.meter === meter);
      const sums = new Map<string, number>();
      for (const { account, units = 1, denied } of ofMeter) {
        const amount = denied ? 0 : by === "calls" ? Number(units > 0) : Math.round(units * 1000);
        sums.set(account, (sums.get(account) ?? 0) + amount);
      }
      const largest = [...sums].filter(([, amount]) => amount > 0).sort(([a, x], [b, y]) => y - x || (a < b ? -1 : 1));
      const { rows } = await ledger.top({ from: FROM * HOUR_MS, to: TO * HOUR_MS, meter, by, size });
      const seen = rows.map((row) => [row.account, by === "calls" ? row.calls : Math.round(row.units * 1000)]);
      expect(seen).toEqual(largest.slice(0, size));
      await close();
    });
    await fc.assert(property, { numRuns: 100 });
  });

  it("each hour is counted in the month that begins on the anchor's day, or on the last of a shorter month", async () => {
    const { ledger, clock } = open(engine);
    for (let at = Date.UTC(2026, 0, 1); at < Date.UTC(2027, 1, 1); at += 24 * HOUR_MS) {
      clock.now = at;
      ledger.record({ account: "42", meter: "compare", plan: "free" });
    }
    const range = { from: "2026-01-01", to: "2027-02-01" };
    const rows = await rowsOf(ledger, { ...range, by: "month", anchorDay: 31, page: 3 });
    expect(rows.map(({ from, calls }) => [from.slice(0, 10), calls])).toEqual([
      ["2026-01-01", 30],
      ["2026-01-31", 28],
      ["2026-02-28", 31],
      ["2026-03-31", 30],
      ["2026-04-30", 31],
      ["2026-05-31", 30],
      ["2026-06-30", 31],
      ["2026-07-31", 31],
      ["2026-08-31", 30],
      ["2026-09-30", 31],
      ["2026-10-31", 30],
      ["2026-11-30", 31],
      ["2026-12-31", 31],
      ["2027-01-31", 1],
    ]);
    expect(rows.at(-1)?.to).toBe("2027-02-01T00:00:00.000Z");
  });

  it("is complete once ten minutes have passed since the last hour", async () => {
    const { ledger, clock } = open(engine);
    const query = { from: "2026-11-10", to: "2026-11-10T12:00Z", by: "hour" } as const;
    for (const [minute, complete] of [
      [59, false],
      [60 + 9, false],
      [60 + 10, true],
    ] as const) {
      clock.now = Date.UTC(2026, 10, 10, 11, minute);
      expect(await ledger.report(query)).toMatchObject({ complete, rows: [], next: null });
      expect(await ledger.top({ from: query.from, to: query.to })).toMatchObject({ complete });
    }
  });
});

/** A ledger that is closed by hand, of which a property opens many. */
function openAlone(engine: (typeof ENGINES)[number]) {
  const clock = { now: 0 };
  const limiter = createLimiter({ tiers: { free: { limits: [] } }, engine, clock: () => clock.now });
  const retention = { hourDays: 400 };
  const ledger = openLedger({ limiter, meters: METERS, retention });
  const close = async () => {
    clock.now = 0; // Nothing is too old to be kept.
    await ledger.close();
    await limiter.close();
  };
  return { ledger, clock, close };
}

/** The order in which rows come. */
function inOrder(group: Group[], account: string | undefined) {
  const placeOf = (row: UsageRow) => [
    group.includes("account") && account === undefined ? (row.account ?? "") : "",
    row.from,
    row.meter ?? "",
    row.plan ?? "",
  ];
  return (a: UsageRow, b: UsageRow): number => {
    const [one, other] = [placeOf(a), placeOf(b)];
    const at = one.findIndex((text, index) => text !== other[index]);
    return at < 0 ? 0 : (one[at] ?? "") < (other[at] ?? "") ? -1 : 1;
  };
}
