import { readFileSync } from "node:fs";
import { describe, it, onTestFinished } from "vitest";
import { createLimiter, type Tiers } from "../../src/index.js";
import { redisForFile } from "../redis/server.js";
import { run, type Subjected } from "./run.js";
import type { Vector } from "./vector.js";

const { cases } = JSON.parse(readFileSync(new URL("limit-vectors.json", import.meta.url), "utf8")) as {
  cases: Vector[];
};

const server = await redisForFile();

describe("exact mode on the conformance vectors", () => {
  it.each(cases.map((vector, index) => ({ ...vector, index })))(
    "$name",
    async ({ index, ...vector }) => {
      const clock = { now: 0 };
      const limiter = createLimiter({
        tiers: vector.tiers as Tiers,
        clock: () => clock.now,
        storage: { type: "redis", url: server.url, mode: "exact", prefix: `v${index}`, timeoutMs: 5000 },
      });
      onTestFinished(() => limiter.close());
      await limiter.ready();
      await run(limiter as unknown as Subjected, vector, clock, () => limiter.reset("nobody"));
    },
    60_000,
  );
});
