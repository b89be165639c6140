import { readFileSync } from "node:fs";
import { afterEach, describe, it } from "vitest";
import { createLimiter, type Decision, type Limiter } from "../../src/index.js";
import { compare, type Operation, type Vector } from "./vector.js";

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
