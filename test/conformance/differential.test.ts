import fc from "fast-check";
import { expect, it } from "vitest";
import {
  createLimiter,
  type Decision,
  type Limiter,
  overriddenTier,
  type Subject,
  TollkeeperError,
} from "../../src/index.js";
import { DECEMBER_30_2026, type Operation, operation, others, overrides, shadowed, tiers } from "./operations.js";

/** What a caller sees of one operation. */
function perform(limiter: Limiter, made: Decision[], operation: Operation & { others: readonly Subject[] }): unknown {
  const { kind, key, tier, cost, of, others, grant, tiers } = operation;
  if (kind === "consume" && others.length > 0) return performAll(limiter, made, [{ key, tier, cost }, ...others]);
  try {
    switch (kind) {
      case "consume":
      case "peek": {
        const decision = limiter[kind](key, tier, cost);
        if (kind === "consume") made.push(decision);
        return { ...decision.toJSON(), holdsPlace: decision.holdsPlace };
      }
      case "grant":
        return limiter.grant(key, tier, typeof cost === "number" ? cost : 1, grant).toJSON();
      case "reset":
        return limiter.reset(key);
      case "reload":
        return limiter.reload(tiers);
      case "settle":
      case "charge":
        return made[of % made.length]?.[kind](cost);
      case "release":
        return made[of % made.length]?.release();
      default:
        return made[of % made.length]?.refund(kind === "quotas" ? "quotas" : "all");
    }
  } catch (error) {
    return misuse(error);
  }
}

/** The same of a call of several subjects. */
function performAll(limiter: Limiter, made: Decision[], subjects: Subject[]): unknown {
  try {
    const decision = limiter.consumeAll(subjects);
    made.push(...decision.decisions);
    return { ...decision.toJSON(), decisions: decision.decisions.map((decision) => decision.toJSON()) };
  } catch (error) {
    return misuse(error);
  }
}

function misuse(error: unknown): string {
  if (error instanceof TollkeeperError) return `${error.code}: ${error.message}`;
  throw error;
}

it.each([
  { kind: "in force", ofTiers: tiers, own: fc.constant(null), runs: 2000 },
  { kind: "in shadow mode", ofTiers: shadowed(tiers), own: fc.constant(null), runs: 1000 },
  { kind: "of callers' own", ofTiers: tiers, own: overrides, runs: 1000 },
])(
  "the native and the JavaScript engine answer every operation alike, with limits $kind",
  async ({ ofTiers, own, runs }) => {
    let decisions = 0;
    let denials = 0;
    const next = fc
      .tuple(operation, ofTiers, own, others)
      .map(([next, tiers, own, others]) => ({ ...next, tiers, tier: overriddenTier(next.tier, own), others }));
    await fc.assert(
      fc.asyncProperty(
        ofTiers,
        fc.array(next, { minLength: 1, maxLength: 120, size: "max" }),
        async (tiers, operations) => {
          let now = DECEMBER_30_2026;
          const engines = (["native", "js"] as const).map((engine) => ({
            limiter: createLimiter({ tiers, engine, clock: () => now }),
            made: [] as Decision[],
          }));
          for (const [index, next] of operations.entries()) {
            now += next.advanceMs;
            const [native, js] = engines.map(({ limiter, made }) => perform(limiter, made, next));
            expect(native, `operation ${index}, ${JSON.stringify(next)}`).toEqual(js);
            if (typeof native === "object") decisions++;
            if (typeof native === "object" && !(native as Decision).allowed) denials++;
          }
          const [native, js] = engines.map(({ limiter }) => ({ ...limiter.stats(), engine: "" }));
          expect(native).toEqual(js);
          await Promise.all(engines.map(({ limiter }) => limiter.close()));
        },
      ),
      { numRuns: runs },
    );
    expect(decisions).toBeGreaterThan(15 * runs);
    expect(denials).toBeGreaterThan(runs / 10);
  },
  120_000,
);
