/** An engine of leases that is asked about more keys than it may hold. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LeaseEngine } from "../../../src/engine/lease-engine.js";
import { APPLIED } from "../../../src/engine/lease-frame.js";
import { answerTo, at } from "./lease-caller.js";
import { LeaseLedger } from "./lease-ledger.js";
import { OPEN } from "./lease-twins.js";

const MAX_KEYS = 8;
const TIERS = { a: { limits: [{ name: "month", type: "quota", limit: 1000, period: "month" }] } } as const;

const step = fc.record({
  key: fc.nat(60).map((number) => `k${number}`),
  kind: fc.constantFrom("take", "take", "consume", "ask", "sweep", "deny"),
  advanceMs: fc.nat(300),
});

/** Plays steps to an engine, and knows which keys must be there. */
class FullTable {
  readonly ledger: LeaseLedger;
  overflow = 0;
  readonly #tier;
  /** Keys that hold something or are asked about, by the instant until when. */
  readonly #needed = new Map<string, number>();
  #at = at(0);

  constructor(engine: LeaseEngine) {
    this.ledger = new LeaseLedger(engine);
    this.#tier = { version: 0, id: engine.tierId("a"), limits: 1 };
  }

  play({ key, kind, advanceMs }: typeof step extends fc.Arbitrary<infer T> ? T : never): void {
    this.#at = { now: this.#at.now + advanceMs, mono: this.#at.mono + advanceMs };
    if (kind === "take") this.#answer(key, 1000);
    else if (kind === "deny") this.#answer(key, 0);
    else if (kind === "sweep") this.ledger.sweep(this.#at);
    else if (kind === "consume") this.#consume(key);
    else if (this.ledger.look(key, this.#tier, this.#at, true).snapshot !== undefined) this.#need(key, 50);
  }

  /** Keys that must be there and are not. */
  get lost(): string[] {
    const lasting = [...this.#needed].filter(([, until]) => until > this.#at.mono);
    return lasting.map(([key]) => key).filter((key) => !this.#isThere(key));
  }

  #answer(key: string, milli: number): void {
    const isNew = !this.#isThere(key);
    const more = { granted: milli, held: milli, wait: milli > 0 ? 0 : 500, spent: [1_000_000], at: this.#at.now };
    const [code] = this.ledger.apply([answerTo(key, this.#tier, more)], this.#at);
    expect(this.#isThere(key)).toBe(code === APPLIED.KEPT);
    if (code === APPLIED.FULL) this.overflow++;
    // Until a sweep may find it idle.
    if (code === APPLIED.KEPT && milli > 0 && isNew) this.#need(key, 500);
  }

  #consume(key: string): void {
    this.ledger.consume(key, this.#tier, 1000, this.#at);
    this.#needed.delete(key);
  }

  #need(key: string, lastsMs: number): void {
    this.#needed.set(key, Math.max(this.#needed.get(key) ?? 0, this.#at.mono + lastsMs));
  }

  #isThere(key: string): boolean {
    return this.ledger.look(key, this.#tier, this.#at, false).snapshot !== undefined;
  }
}

describe.each(Object.entries(OPEN))("an engine of leases that is full, %s", (_, open) => {
  it("holds no more keys than it may, forgets none that holds something or is asked about, and loses no grant", () => {
    let [overflow, evictions] = [0, 0];
    fc.assert(
      fc.property(fc.array(step, { minLength: 40, maxLength: 200, size: "max" }), (steps) => {
        const engine = open(TIERS, { maxKeys: MAX_KEYS });
        const table = new FullTable(engine);
        for (const step of steps) {
          table.play(step);
          expect(engine.stats().keys).toBeLessThanOrEqual(MAX_KEYS);
          expect(table.lost).toEqual([]);
        }
        const { missing, overspent } = table.ledger;
        expect({ missing, overspent, overflow: engine.stats().overflow }).toEqual({
          missing: 0,
          overspent: [],
          overflow: table.overflow,
        });
        overflow += table.overflow;
        evictions += engine.stats().evictions;
        engine.close();
      }),
      { numRuns: 60, interruptAfterTimeLimit: 60_000 },
    );
    expect(Math.min(overflow, evictions)).toBeGreaterThan(60);
  });
});
