import { expect } from "vitest";
import type { Decision, Tiers } from "../../src/index.js";

/** What a decision should be. */
export interface Expected {
  allowed: boolean;
  deniedBy: string | null;
  retryAfterMs: number;
  limits: { name: string; limit: number; remaining: number; resetMs: number }[];
}
/** One step of a vector. */
export interface Operation {
  t: number;
  op: "consume" | "peek" | "reset" | "refund";
  key: string;
  tier: string;
  cost: number;
  of: number;
  expect?: Expected;
}
/** A vector of `limit-vectors.json`. */
export interface Vector {
  name: string;
  tiers: Tiers;
  ops: Operation[];
}

/** Compares as closely as the model that made the vectors does. */
export function compare(decision: Decision, expected: Expected, at: string): void {
  expect(decision.allowed, at).toBe(expected.allowed);
  expect(decision.deniedBy, at).toBe(expected.deniedBy);
  expect(Math.abs(decision.retryAfterMs - expected.retryAfterMs), `${at}: retryAfterMs`).toBeLessThanOrEqual(1);
  expect(decision.limits.map(({ name, limit }) => [name, limit])).toEqual(
    expected.limits.map(({ name, limit }) => [name, limit]),
  );
  decision.limits.forEach((limit, index) => {
    const { remaining, resetMs } = expected.limits[index] as Expected["limits"][number];
    expect(Math.abs(limit.remaining - remaining), `${at}: ${limit.name}.remaining`).toBeLessThanOrEqual(0.002);
    expect(Math.abs(limit.resetMs - resetMs), `${at}: ${limit.name}.resetMs`).toBeLessThanOrEqual(1);
  });
}
