import { readFileSync } from "node:fs";
import { afterEach, describe, expect, it } from "vitest";
import { createLimiter, type Decision, type Limiter, type Tiers } from "../../src/index.js";

interface Expected {
  allowed: boolean;
  deniedBy: string | null;
  retryAfterMs: number;
  limits: { name: string; limit: number; remaining: number; resetMs: number }[];
}
interface Operation {
  t: number;
  op: "consume" | "peek" | "reset" | "refund";
  key: string;
  tier: string;
  cost: number;
  of: number;
  expect?: Expected;
}
interface Vector {
  name: string;
  tiers: Tiers;
  ops: Operation[];
}

const file = new URL("limit-vectors.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: Vector[] };

describe.each(["native", "js"] as const)("the %s engine on the conformance vectors", (engine) => {
  let limiter: Limiter;
  afterEach(() => limiter.close());

  it.each(cases)("$name", ({ tiers, ops }) => {
    let now = 0;
    limiter = createLimiter({ tiers, engine, clock: () => now });
    const decisions: (Decision | undefined)[] = [];
    ops.forEach((operation, index) => {
      now = operation.t;
      const decision = perform(limiter, operation, decisions);
      decisions.push(decision);
      if (operation.expect && decision) compare(decision, operation.expect, `operation ${index}`);
    });
  });
});

function perform(limiter: Limiter, { op, key, tier, cost, of }: Operation, decisions: (Decision | undefined)[]) {
  switch (op) {
    case "consume":
      return limiter.consume(key, tier, cost);
    case "peek":
      return limiter.peek(key, tier, cost);
    case "reset":
      limiter.reset(key);
      return undefined;
    case "refund":
      decisions[of]?.refund();
      return undefined;
  }
}

function compare(decision: Decision, expected: Expected, at: string): void {
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
