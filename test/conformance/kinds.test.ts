import { describe, it, onTestFinished } from "vitest";
import { createLimiter, type Tiers } from "../../src/index.js";
import { PROFILES } from "./model/profile.js";
import { moreOf, vectorsOf } from "./model/vectors.js";
import { run, type Subjected } from "./run.js";

describe.each(["native", "js"] as const)("the %s engine", (engine) => {
  describe.each(PROFILES)("on vectors of $name", (profile) => {
    it.each([...vectorsOf(profile), ...moreOf(profile, 20)])("$name", async (vector) => {
      const clock = { now: 0 };
      const limiter = createLimiter({ tiers: vector.tiers as Tiers, engine, clock: () => clock.now });
      onTestFinished(() => limiter.close());
      await run(limiter as unknown as Subjected, vector, clock);
    });
  });
});
