import { readFileSync } from "node:fs";
import { afterEach, describe, it } from "vitest";
import { createLimiter, type Decision, type SharedLimiter } from "../../src/index.js";
import { redisForFile } from "../redis/server.js";
import { compare, type Operation, type Vector } from "./vector.js";

const { cases } = JSON.parse(readFileSync(new URL("limit-vectors.json", import.meta.url), "utf8")) as {
  cases: Vector[];
};

const server = await redisForFile();

describe("exact mode on the conformance vectors", () => {
  let limiter: SharedLimiter;
  afterEach(() => limiter.close());

  it.each(cases.map((vector, index) => ({ ...vector, index })))(
    "$name",
    async ({ tiers, ops, index }) => {
      let now = 0;
      limiter = createLimiter({
        tiers,
        clock: () => now,
        storage: { type: "redis", url: server.url, mode: "exact", prefix: `v${index}`, timeoutMs: 5000 },
      });
      await limiter.ready();
      const decisions: (Decision | undefined)[] = [];
      for (const [at, operation] of ops.entries()) {
        now = operation.t;
        const decision = await perform(limiter, operation, decisions);
        decisions.push(decision);
        if (operation.expect && decision) compare(decision, operation.expect, `operation ${at}`);
      }
    },
    60_000,
  );
});

async function perform(
  limiter: SharedLimiter,
  { op, key, tier, cost, of }: Operation,
  decisions: (Decision | undefined)[],
): Promise<Decision | undefined> {
  switch (op) {
    case "consume":
      return limiter.consume(key, tier, cost);
    case "peek":
      return limiter.peek(key, tier, cost);
    case "reset":
      await limiter.reset(key);
      return undefined;
    case "refund":
      decisions[of]?.refund();
      return undefined;
  }
}
