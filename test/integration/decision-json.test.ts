import { expect, it, onTestFinished } from "vitest";
import { createLimiter, type Limiter, type SharedLimiter, type Tiers } from "../../src/index.js";
import { redisForFile } from "../redis/server.js";

const redis = await redisForFile();
const storage = { type: "redis", url: redis.url, timeoutMs: 5000 } as const;
const NOON = Date.UTC(2026, 5, 15, 12);

const day = (limit: number) => ({ name: "day", type: "quota", limit, period: "day" }) as const;
const hour = { name: "hour", type: "quota", limit: 1, period: "hour", shadow: true } as const;
const parallel = { name: "parallel", type: "concurrency", limit: 1, timeoutSeconds: 60 } as const;
const TIERS: Tiers = {
  plain: { limits: [day(1)] },
  watched: { limits: [day(2), hour] },
  placed: { limits: [day(5), parallel] },
  both: { limits: [day(5), parallel, hour] },
  none: { limits: [] },
};
const common = { tiers: TIERS, clock: () => NOON };
const OPEN: Record<string, () => Limiter | SharedLimiter> = {
  native: () => createLimiter({ ...common, engine: "native" }),
  js: () => createLimiter({ ...common, engine: "js" }),
  "redis, exact": () => createLimiter({ ...common, storage: { ...storage, prefix: "json-exact", mode: "exact" } }),
  "redis, leased": () => createLimiter({ ...common, storage: { ...storage, prefix: "json-leased" } }),
};

/** What a caller reads of each of three calls, of a peek, and of calls of several subjects, as JSON. */
async function told(limiter: Limiter | SharedLimiter, tier: string): Promise<string[]> {
  const subjects = [
    { key: `joint ${tier}`, tier },
    { key: `beside ${tier}`, tier: "plain" },
  ];
  const all: unknown[] = [];
  for (let call = 0; call < 3; call++) all.push(await limiter.consume(tier, tier));
  all.push(await limiter.peek(tier, tier), await limiter.consume(tier, tier, 0));
  for (let call = 0; call < 2; call++) all.push(await limiter.consumeAll(subjects));
  return all.map((decision) => JSON.stringify(decision));
}

it.each(Object.keys(TIERS))("a decision under tier %s is the same as JSON, whoever decides", async (tier) => {
  const answers = new Map<string, string[]>();
  for (const [name, open] of Object.entries(OPEN)) {
    const limiter = open();
    onTestFinished(() => limiter.close());
    await limiter.ready();
    answers.set(name, await told(limiter, tier));
  }
  for (const [name, answer] of answers) expect(answer, name).toEqual(answers.get("native"));
  const [native = []] = answers.values();
  expect(native.some((text) => text.includes('"shadowDenials"'))).toBe(tier === "watched" || tier === "both");
});
