import { expect } from "vitest";
import type { Cost, Said, Subject, TierRules } from "./model/model.js";

/** A number that may be infinite, as JSON has it: then it is null. */
export type Finite<T> = { [K in keyof T]: T[K] extends number ? number | null : T[K] };

/** What a decision should be. */
export interface Expected extends Finite<Omit<Said, "limits">> {
  limits: Finite<Said["limits"][number]>[];
}
/** What a misuse should be. */
export interface ExpectedError {
  error: string;
}
/** What a decision on several subjects should be. */
export interface ExpectedAll {
  allowed: boolean;
  /** Which subject denies, with the longest wait; null when allowed. */
  denied: number | null;
  retryAfterMs: number | null;
  /** Of each subject. */
  limits: Expected["limits"][];
}

/** One step of a vector; `of` is the index of the step whose decision is meant. */
export type Operation = { t: number } & (
  | { op: "consume" | "peek"; key: string; tier: string; cost: Cost; expect?: Expected | ExpectedError }
  | { op: "consumeAll"; subjects: Subject[]; expect: ExpectedAll | ExpectedError }
  | { op: "refund"; of: number; part?: "quotas"; returns?: boolean }
  | { op: "settle" | "charge"; of: number; cost: Cost; returns: boolean }
  | { op: "release"; of: number; returns: boolean }
  | { op: "grant"; key: string; tier: string; tokens: number; limit: string; keep: boolean }
  | { op: "reset"; key: string }
);
/** A vector: steps in order, each at an instant in ms since the epoch. */
export interface Vector {
  name: string;
  tiers: TierRules;
  ops: Operation[];
}

/** What a vector's file says in place of what never ends. */
export function finite(ms: number): number | null {
  return Number.isFinite(ms) ? ms : null;
}

/** A decision as a vector's file says it. */
export function toExpected({ limits, retryAfterMs, ...said }: Said): Expected {
  return { ...said, retryAfterMs: finite(retryAfterMs), limits: limits.map(toExpectedLimit) };
}

/** Where a limit stands, likewise. */
export function toExpectedLimit({ resetMs, ...state }: Said["limits"][number]): Expected["limits"][number] {
  return { ...state, resetMs: finite(resetMs) };
}

/** Compares as closely as the model that made the vectors does. */
export function compare(decision: Said, expected: Expected, at: string): void {
  expect(decision.allowed, at).toBe(expected.allowed);
  expect(decision.deniedBy, at).toBe(expected.deniedBy);
  compareMs(decision.retryAfterMs, expected.retryAfterMs, `${at}: retryAfterMs`);
  compareLimits(decision.limits, expected.limits, at);
}

/** Compares where limits stand, likewise. */
export function compareLimits(limits: Said["limits"], expected: Expected["limits"], at: string): void {
  const configured = limits.map(({ name, limit }) => [name, limit]);
  expect(configured, at).toEqual(expected.map(({ name, limit }) => [name, limit]));
  expected.forEach(({ name, remaining, resetMs, overage }, index) => {
    const limit = limits[index] as Said["limits"][number];
    expect(Math.abs(limit.remaining - Number(remaining)), `${at}: ${name}.remaining`).toBeLessThanOrEqual(0.002);
    compareMs(limit.resetMs, resetMs, `${at}: ${name}.resetMs`);
    expect(typeof limit.overage, `${at}: ${name}.overage`).toBe(typeof overage);
    const beyond = Math.abs((limit.overage ?? 0) - (overage ?? 0));
    expect(beyond, `${at}: ${name}.overage is ${limit.overage}`).toBeLessThanOrEqual(0.002);
  });
}

/** Compares times to a millisecond. */
export function compareMs(actual: number, expected: number | null, at: string): void {
  const within = expected === null ? actual === Number.POSITIVE_INFINITY : Math.abs(actual - expected) <= 1;
  expect(within, `${at}: ${actual}, and not ${expected ?? "infinite"}`).toBe(true);
}
