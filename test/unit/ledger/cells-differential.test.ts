/** Both that count, in memory, with the same operations. */
import { expect, it } from "vitest";
import { JsEngine } from "../../../src/engine/js.js";
import { openNative } from "../../../src/engine/native.js";
import { type Cells, OVERFLOW_PLAN } from "../../../src/ledger/cells.js";
import { JsCells } from "../../../src/ledger/js-cells.js";
import { openCells } from "../../../src/ledger/open-cells.js";

const OPERATIONS = Number(process.env["CELL_OPERATIONS"] ?? 100_000);
const FIRST_SEED = Number(process.env["CELL_SEED"] ?? Date.now() % 2 ** 30);
/** Of each pair, before it is closed and others begin. */
const RUN = 5_000;
const DAY = 20_700;
const HOUR_MS = 3_600_000;
const METERS = ["identify", "compare", "batch"];
const TEXTS = [
  "a",
  "aa",
  "b",
  "",
  "\u{1F4A7}",
  "\uFFFF",
  "\uD83D",
  "\0",
  "é".repeat(40),
  "x".repeat(512),
  "x".repeat(513),
];

type Random = (below: number) => number;

/** What both say of one operation: a value, or the code of an error. */
async function answer(cells: Cells, operate: (cells: Cells) => unknown): Promise<unknown> {
  try {
    return await operate(cells);
  } catch (error) {
    return (error as { code: unknown }).code;
  }
}

function operation(random: Random, day: number): (cells: Cells) => unknown {
  const hour = () => (DAY + day) * 24 + random(72) - 36;
  const account = () => TEXTS[random(TEXTS.length)] ?? "";
  const kind = random(100);
  if (kind < 90) {
    const [of, meter, plan, at] = [account(), METERS[random(3)] ?? "", `plan ${random(3)}`, hour()];
    const numbers = [random(3), random(9_000), random(3), random(100)] as const;
    if (random(500) === 0)
      return (cells) => cells.count(of, cells.meterId(meter), cells.planId(plan), at, 2 ** 32 - 1, 2 ** 38, 1, 0);
    return (cells) => cells.count(of, cells.meterId(meter), cells.planId(plan), at, ...numbers);
  }
  if (kind < 95) {
    const query = {
      account: random(3) === 0 ? account() : undefined,
      fromHour: hour(),
      toHour: hour() + 40,
      by: (["hour", "day", "range"] as const)[random(3)],
      after: random(2) === 0 ? account() : undefined,
      max: 1 + random(30),
    };
    return (cells) => cells.read({ ...query, fromHour: Math.min(query.fromHour, query.toHour - 1) });
  }
  if (kind < 97) {
    const [after, max] = [random(2) === 0 ? account() : undefined, 1 + random(5)];
    return (cells) => cells.accounts(after, max);
  }
  if (kind < 98) return (cells) => cells.flush((DAY + day) * 24 * HOUR_MS);
  if (kind < 99) return (cells) => [cells.meters(), cells.plans(), cells.meterId("none"), cells.planId(OVERFLOW_PLAN)];
  return (cells) => {
    const { unwrittenCalls, unwrittenMilli, ...others } = cells.stats();
    // In Rust these are of what was counted, cut or not.
    return others.saturated > 0 ? others : { unwrittenCalls, unwrittenMilli, ...others };
  };
}

function randomOf(seed: number): Random {
  let state = (seed % 2_147_483_646) + 1;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

it("in Rust and in JavaScript tell the same", async () => {
  const tiers = { free: { limits: [] } };
  const seen = { scarce: 0, forgotten: 0, pages: 0, cut: 0 };
  for (let [seed, operations] = [FIRST_SEED, 0]; operations < OPERATIONS; seed++) {
    const random = randomOf(seed);
    const options = { meters: METERS, maxCells: [5, 300, 100_000][random(3)] ?? 0, retention: { hourDays: 2 } };
    const { engine } = openNative({ name: "", tiers, maxKeys: 10 });
    if (engine === undefined) throw new Error("there is no binding");
    const native: Cells = openCells(engine, options);
    expect(native.kind).toBe("native");
    const js: Cells = JsCells.open(JsEngine.open({ name: "", tiers, maxKeys: 10 }), options);
    for (let step = 0; step < RUN; step++, operations++) {
      const operate = operation(random, Math.floor(step / 500));
      const [theirs, ours] = [await answer(native, operate), await answer(js, operate)];
      expect(theirs, `CELL_SEED=${seed}, operation ${step}`).toEqual(ours);
      if ((ours as { next?: string } | undefined)?.next !== undefined) seen.pages++;
    }
    const { overflow, forgottenCalls, saturated } = js.stats();
    seen.scarce += overflow;
    seen.forgotten += forgottenCalls;
    seen.cut += saturated;
    await native.close();
    await js.close();
    for (const cells of [native, js]) expect(() => cells.stats()).toThrow("the limiter is closed");
    await engine.close();
  }
  // Else the comparison says little.
  for (const [what, times] of Object.entries(seen)) expect(times, what).toBeGreaterThan(0);
}, 300_000);
