import fc from "fast-check";
import { expect } from "vitest";
import type { BucketSpec } from "../../../src/index.js";

export const QUARTER_MS = 900_000;
export const HOUR_MS = 3_600_000;

/** Five attempts in a quarter of an hour, and then an hour of rest: a token comes back each quarter. */
export const ATTEMPTS: BucketSpec = {
  name: "attempts",
  type: "bucket",
  limit: 5,
  windowSeconds: 5 * 900,
  burst: 1,
  blockSeconds: 3600,
};

/** Pauses before the attempts of somebody who guesses: at once, at some pace, or as it comes. */
export const pauses: fc.Arbitrary<number[]> = fc.oneof(
  fc.constant(Array.from({ length: 40 }, () => 0)),
  fc.integer({ min: 1, max: QUARTER_MS }).map((pause) => Array.from({ length: 40 }, () => pause)),
  fc.array(
    fc.oneof(
      fc.integer({ min: 0, max: 1000 }),
      fc.integer({ min: 0, max: 2 * QUARTER_MS }),
      fc.constantFrom(HOUR_MS - 1, HOUR_MS, HOUR_MS + 1, 3 * HOUR_MS),
    ),
    { minLength: 12, maxLength: 60 },
  ),
);

/** An attempt, and what came of it. */
export interface Attempt {
  readonly atMs: number;
  readonly allowed: boolean;
  readonly retryAfterMs: number;
}

/** Holds what became of attempts in a row to what was promised of {@link ATTEMPTS}. */
export function checkAttempts(attempts: readonly Attempt[]): void {
  const passed = attempts.filter(({ allowed }) => allowed).map(({ atMs }) => atMs);
  // Never six within any quarter of an hour.
  passed.forEach((atMs, index) => {
    expect((passed[index + 5] ?? Number.POSITIVE_INFINITY) - atMs).toBeGreaterThanOrEqual(QUARTER_MS);
  });
  let blockedUntilMs = 0;
  for (const { atMs, allowed, retryAfterMs } of attempts) {
    if (allowed) {
      expect(atMs).toBeGreaterThanOrEqual(blockedUntilMs);
    } else {
      // Neither prolonged nor shortened by what comes meanwhile.
      if (atMs >= blockedUntilMs) blockedUntilMs = atMs + HOUR_MS;
      expect(retryAfterMs).toBe(blockedUntilMs - atMs);
    }
  }
  // Who comes six times within a quarter gets the first five, and then nothing for an hour, however the rest come.
  const [first, , , , , sixth] = attempts;
  if (first !== undefined && sixth !== undefined && sixth.atMs - first.atMs < QUARTER_MS) {
    const before = attempts.filter(({ atMs }) => atMs < sixth.atMs + HOUR_MS);
    expect(before.filter(({ allowed }) => allowed).length).toBe(5);
  }
}
