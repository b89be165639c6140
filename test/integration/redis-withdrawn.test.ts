import { Redis } from "ioredis";
import { beforeEach, describe, expect, it, onTestFinished, vi } from "vitest";
import { createLimiter, type SharedLimiter, type TollkeeperError } from "../../src/index.js";
import { newPrefix } from "../redis/replicas.js";
import { redisForFile } from "../redis/server.js";

vi.setConfig({ testTimeout: 60_000 });
const redis = await redisForFile();
const DAY_S = 86_400;
const bucket = (limit: number) => ({
  limits: [
    { name: "bucket", type: "bucket" as const, limit, windowSeconds: DAY_S, burst: 1 },
    { name: "month", type: "quota" as const, limit: 1000, period: "month" as const },
  ],
});
const tiers = { free: bucket(500), pro: bucket(1000) };
const MODES = ["leased", "exact"] as const;

let users = 0;

/** A limiter whose user may do everything, how to change that, and what it has told of. */
async function limited(mode: "leased" | "exact") {
  const admin = new Redis(redis.port);
  const user = `user${users++}`;
  const grant = (...rules: readonly string[]) => admin.call("ACL", "SETUSER", user, ...rules);
  await grant("on", ">secret", "allchannels", "~*", "+@all");
  const told: string[] = [];
  const limiter = createLimiter({
    tiers,
    storage: {
      type: "redis",
      url: `redis://${user}:secret@127.0.0.1:${redis.port}`,
      mode,
      prefix: newPrefix(),
      timeoutMs: 5000,
    },
    onStorageError: (error) => told.push(`${(error as TollkeeperError).code}: ${(error as Error).message}`),
  });
  onTestFinished(async () => {
    await limiter.close();
    admin.disconnect();
  });
  return { limiter, told, grant };
}

/** What a key has used of its month, which nothing refills, once all that is held has come back. */
async function used(limiter: SharedLimiter, key: string): Promise<number> {
  const month = (await limiter.peek(key, "free", 0)).limits.find(({ name }) => name === "month");
  return 1000 - (month?.remaining ?? Number.NaN);
}

/** Ten calls of two keys, of which each makes the script publish, in one batch with five bystanders. */
async function callTen(limiter: SharedLimiter, bystanders: readonly string[]) {
  for (let call = 0; call < 10; call++) {
    const tier = call % 2 === 0 ? "free" : "pro";
    const decisions = await Promise.all([
      limiter.consume("acct:changing", tier),
      limiter.consume("acct:refunded", "free", 5),
      ...bystanders.map((key) => limiter.consume(key, "free", 3)),
    ]);
    for (const { allowed } of decisions) expect(allowed).toBe(true);
    decisions[1]?.settle(2);
  }
}

const BYSTANDERS = ["acct:1", "acct:2", "acct:3", "acct:4", "acct:5"];

/** What the script runs, after a write or before, and may be refused in the midst of calls. */
const WITHDRAWN = ["-pexpire", "-hdel", "-publish", "resetchannels", "-hset", "-hgetall", "-evalsha"];

describe.each(MODES.flatMap((mode) => WITHDRAWN.map((rule) => ({ mode, rule }))))(
  "$rule while it runs, $mode",
  (cell) => {
    let running: Awaited<ReturnType<typeof limited>>;
    beforeEach(async () => {
      running = await limited(cell.mode);
      await running.limiter.ready(60_000);
    });

    it("charges every key exactly what it called for, says so, and goes on when the right is back", async () => {
      const { limiter, told, grant } = running;
      await callTen(limiter, BYSTANDERS);
      await grant(cell.rule);
      await callTen(limiter, BYSTANDERS);
      await grant("allchannels", "+@all");
      await callTen(limiter, BYSTANDERS);
      await vi.waitFor(
        async () => {
          expect(limiter.isReady).toBe(true);
          expect(await used(limiter, "acct:changing")).toBe(30);
          expect(await used(limiter, "acct:refunded")).toBe(60);
          for (const key of BYSTANDERS) expect(await used(limiter, key)).toBe(90);
        },
        { timeout: 30_000 },
      );
      // Nothing that is gone needs to be deleted here.
      if (cell.rule !== "-hdel") expect(told.join("\n")).toMatch(/^ERR_STORE_REFUSED/m);
    });
  },
);
