import { beforeAll, describe, it, onTestFinished } from "vitest";
import { createLimiter, type Tiers } from "../../src/index.js";
import { type RedisServer, redisForFile } from "../redis/server.js";
import { PROFILES } from "./model/profile.js";
import { moreOf, vectorsOf } from "./model/vectors.js";
import { run, type Subjected } from "./run.js";

/** What is denied of several subjects is given back over Redis, and not undone at once: `test/integration/redis-joint.test.ts`. */
const JOINT = "several subjects";

let server: RedisServer;
let prefixes = 0;
beforeAll(async () => {
  server = await redisForFile();
});

describe.each(PROFILES.filter(({ name }) => name !== JOINT))("Redis in exact mode, on vectors of $name", (profile) => {
  it.each([...vectorsOf(profile), ...moreOf(profile, 3)])("$name", async (vector) => {
    const clock = { now: vector.ops[0]?.t ?? 0 };
    const limiter = createLimiter({
      tiers: vector.tiers as Tiers,
      clock: () => clock.now,
      storage: { type: "redis", url: server.url, mode: "exact", prefix: `kinds-${prefixes++}`, timeoutMs: 5000 },
    });
    onTestFinished(() => limiter.close());
    await limiter.ready();
    await run(limiter as unknown as Subjected, vector, clock, () => limiter.reset("nobody"));
  });
});
