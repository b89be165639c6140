import { readFileSync } from "node:fs";
import { describe, it, onTestFinished } from "vitest";
import { createLimiter, type Tiers } from "../../src/index.js";
import { run, type Subjected } from "./run.js";
import type { Vector } from "./vector.js";

const file = new URL("limit-vectors.json", import.meta.url);
const { cases } = JSON.parse(readFileSync(file, "utf8")) as { cases: Vector[] };

describe.each(["native", "js"] as const)("the %s engine on the conformance vectors", (engine) => {
  it.each(cases)("$name", async (vector) => {
    const clock = { now: 0 };
    const limiter = createLimiter({ tiers: vector.tiers as Tiers, engine, clock: () => clock.now });
    onTestFinished(() => limiter.close());
    await run(limiter as unknown as Subjected, vector, clock);
  });
});
