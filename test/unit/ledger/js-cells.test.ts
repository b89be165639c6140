import fc from "fast-check";
import { expect, it } from "vitest";
import { JsEngine } from "../../../src/engine/js.js";
import type { Cell, CellQuery, Cells, CellsOptions } from "../../../src/ledger/cells.js";
import { JsCells } from "../../../src/ledger/js-cells.js";

const HOUR = 497_000;

function open(options: Partial<CellsOptions> = {}): JsCells {
  const engine = JsEngine.open({ name: "", tiers: { free: { limits: [] } }, maxKeys: 10 });
  return JsCells.open(engine, { meters: ["identify", "compare"], ...options });
}

/** All pages of so many cells, one after the other. */
async function pages(cells: Cells, query: CellQuery): Promise<Cell[][]> {
  const read: Cell[][] = [];
  let after: string | undefined;
  do {
    const page = await cells.read({ ...query, after });
    read.push(page.cells);
    after = page.next;
  } while (after !== undefined);
  return read;
}

const counts = fc.array(
  fc.record({
    account: fc.constantFrom("a", "aa", "b", "\u{1F4A7}", "\uFFFF"),
    meter: fc.nat(1),
    plan: fc.constantFrom("free", "pro"),
    hour: fc.nat(72),
    calls: fc.nat(3),
    unitsMilli: fc.nat(9_000),
    denied: fc.nat(2),
    refundedMilli: fc.nat(100),
  }),
  { maxLength: 60 },
);

const queries = fc.record({
  account: fc.option(fc.constantFrom("a", "b", "none"), { nil: undefined }),
  from: fc.nat(60),
  hours: fc.integer({ min: 1, max: 80 }),
  by: fc.constantFrom("hour", "day", "range") as fc.Arbitrary<"hour" | "day" | "range">,
  max: fc.integer({ min: 1, max: 20 }),
});

it("holds the sums of what was counted, read page by page in order, by the hour or added up", async () => {
  await fc.assert(
    fc.asyncProperty(counts, queries, async (counted, { account, from, hours, by, max }) => {
      const cells = open();
      const sums = new Map<string, number[]>();
      for (const { account: of, meter, plan, hour, calls, unitsMilli, denied, refundedMilli } of counted) {
        cells.count(of, meter, cells.planId(plan), HOUR + hour, calls, unitsMilli, denied, refundedMilli);
        if ((account ?? of) !== of || hour < from || hour >= from + hours) continue;
        const at = HOUR + hour;
        const first = { hour: at, day: at - (at % 24), range: HOUR + from }[by];
        const name = JSON.stringify([of, first, meter, plan]);
        const sum = sums.get(name) ?? [0, 0, 0, 0];
        sums.set(
          name,
          [calls, unitsMilli, denied, refundedMilli].map((n, i) => n + (sum[i] ?? 0)),
        );
      }
      const query = { account, fromHour: HOUR + from, toHour: HOUR + from + hours, by, max };
      const read = await pages(cells, query);
      const flat = read.flat();
      const meters = cells.meters();
      const found = flat.map((cell) => [
        JSON.stringify([cell.account, cell.hour, meters.indexOf(cell.meter), cell.plan]),
        [cell.calls, cell.unitsMilli, cell.denied, cell.refundedMilli],
      ]);
      expect(new Map(found as [string, number[]][])).toEqual(sums);
      expect(found).toHaveLength(sums.size);
      const order = (cell: Cell) => [cell.hour, meters.indexOf(cell.meter), cells.plans().indexOf(cell.plan)];
      expect(flat).toEqual(
        [...flat].sort((a, b) => {
          if (a.account !== b.account) return a.account < b.account ? -1 : 1;
          const [x, y] = [order(a), order(b)];
          return x.map((n, i) => n - (y[i] ?? 0)).find((difference) => difference !== 0) ?? 0;
        }),
      );
      for (const page of read.slice(0, -1)) expect(page.length).toBeGreaterThan(0);
    }),
  );
});

it("counts what finds no room for the overflow account, hour by hour, and says so", async () => {
  const cells = open({ maxCells: 2 });
  const plan = cells.planId("free");
  for (const account of ["a", "b", "c", "d", "a"]) cells.count(account, 0, plan, HOUR, 1, 1_000, 0, 0);
  cells.count("a", 0, plan, HOUR + 1, 1, 1_000, 0, 0);
  const { cells: read } = await cells.read({ fromHour: HOUR, toHour: HOUR + 2, max: 10 });
  expect(read.map(({ account, hour, calls }) => [account, hour - HOUR, calls])).toEqual([
    ["", 0, 2],
    ["", 1, 1],
    ["a", 0, 2],
    ["b", 0, 1],
  ]);
  expect(cells.stats()).toMatchObject({ cells: 4, maxCells: 2, overflow: 3, unwrittenCalls: 6, accounts: 2 });
});

it("lets hours go that are older than is kept, with the accounts that have no other, and says how many calls", async () => {
  const cells = open({ retention: { hourDays: 2 } });
  const plan = cells.planId("free");
  const day = 20_000;
  cells.count("old", 0, plan, day * 24 - 1, 3, 3_000, 1, 0);
  cells.count("new", 0, plan, day * 24, 1, 1_000, 0, 0);
  await cells.flush((day + 2) * 24 * 3_600_000);
  expect(await cells.accounts(undefined, 10)).toEqual(["new"]);
  expect(cells.stats()).toMatchObject({ cells: 1, accounts: 1, forgottenCalls: 4, oldestUnwrittenHour: day * 24 });
});

it("knows the meters of all who opened it, 256 at most, and 2,047 plans", () => {
  const engine = JsEngine.open({ name: "", tiers: { free: { limits: [] } }, maxKeys: 10 });
  const cells = JsCells.open(engine, { meters: ["a"] });
  const others = Array.from({ length: 255 }, (_, index) => `m${index}`);
  expect(JsCells.open(engine, { meters: others }).meterId("a")).toBe(0);
  expect([cells.meterId("m254"), cells.meterId("none")]).toEqual([255, -1]);
  expect(() => JsCells.open(engine, { meters: ["b"] })).toThrow(
    expect.objectContaining({ code: "ERR_OPTION_INVALID" }),
  );
  const ids = Array.from({ length: 2_050 }, (_, index) => cells.planId(`p${index}`));
  expect([ids[0], ids[2_046], ids[2_047], cells.planId("p0")]).toEqual([1, 2_047, 0, 1]);
});

it("cuts what a cell can't hold, and says how often", async () => {
  const cells = open();
  const plan = cells.planId("free");
  for (const unitsMilli of [2 ** 53 - 1, 1]) cells.count("a", 0, plan, HOUR, 2 ** 31, unitsMilli, 0, 0);
  const { cells: read } = await cells.read({ fromHour: HOUR, toHour: HOUR + 1, max: 1 });
  expect(read).toMatchObject([{ calls: 2 ** 32 - 1, unitsMilli: 2 ** 53 - 1 }]);
  expect(cells.stats().saturated).toBe(1);
});

it("refuses what is no account, and all once it is closed", () => {
  const cells = open();
  for (const account of ["", "x".repeat(513), 1 as never]) {
    expect(() => cells.count(account, 0, 1, HOUR, 1, 1, 0, 0)).toThrow(
      expect.objectContaining({ code: "ERR_KEY_INVALID" }),
    );
  }
  cells.close();
  expect(() => cells.count("a", 0, 1, HOUR, 1, 1, 0, 0)).toThrow(
    expect.objectContaining({ code: "ERR_LIMITER_CLOSED" }),
  );
});
