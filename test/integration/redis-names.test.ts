import { Redis } from "ioredis";
import { expect, it, onTestFinished } from "vitest";
import { createLimiter, type SharedLimiter } from "../../src/index.js";
import { forFile, RedisServer } from "../redis/server.js";

const redis = await forFile(RedisServer.start());
const client = new Redis(redis.port);
await forFile(Promise.resolve({ stop: async () => client.disconnect() }));

const day = { name: "day", type: "quota" as const, limit: 10, period: "day" as const };
const tiers = { t: { limits: [day] }, shadowed: { limits: [day, { ...day, name: "more", shadow: true }] } };

async function open(name?: string, prefix?: string): Promise<SharedLimiter> {
  const storage = {
    type: "redis" as const,
    url: redis.url,
    timeoutMs: 5000,
    ...(prefix === undefined ? {} : { prefix }),
  };
  const limiter = createLimiter({ tiers, storage, ...(name === undefined ? {} : { name }) });
  onTestFinished(() => limiter.close());
  await limiter.ready(8000);
  return limiter;
}

it.each(["app:v2", "app v2", "app}", "{app", "a/b", "é", "a*", "x".repeat(65), "app\n", "app\0"])(
  "a name that could run together with another is no prefix: %j",
  (name) => {
    const refused = expect.objectContaining({
      code: "ERR_OPTION_INVALID",
      message: expect.stringMatching(/^name is .*1 to 64 letters.*storage\.prefix/s),
    });
    const storage = { type: "redis" as const, url: redis.url };
    expect(() => createLimiter({ tiers, name, storage })).toThrow(refused);
    expect(() => createLimiter({ tiers, storage: { ...storage, prefix: name } })).toThrow(/storage\.prefix/);
    const other = createLimiter({ tiers, name, storage: { ...storage, prefix: "app" } });
    onTestFinished(() => other.close());
    expect(other.prefix).toBe("app");
  },
);

it("the name is the prefix, which a limiter tells", async () => {
  expect((await open("app")).prefix).toBe("app");
  expect((await open("named", "other")).prefix).toBe("other");
  expect((await open()).prefix).toBe("tollkeeper");
});

it("no key of one prefix is one of another, nor what a shadow limit counts, nor the replicas' own", async () => {
  const limiters = await Promise.all(["app", "app.v2", "app-v2", "app_v2"].map((name) => open(name)));
  const keys = [
    "acct:1",
    "v2:acct:1",
    "}:replicas",
    ":acct:1",
    "a",
    "a\0more",
    "a\0\0more",
    "a\0",
    "%0.more",
    "a%0.more",
  ];
  const calls = limiters.flatMap((limiter) => keys.map((key) => ({ limiter, key })));
  for (const { limiter, key } of calls) await limiter.consume(key, "shadowed", 3);
  for (const { limiter, key } of calls) {
    expect((await limiter.peek(key, "shadowed")).limits[0]).toMatchObject({ remaining: 7 });
  }
  await Promise.all(limiters.map((limiter) => limiter.close()));
  const names = await client.keys("{app*");
  // Per limiter each key and what its shadow limit counts, and the hash in which replicas report.
  expect(names).toHaveLength(limiters.length * (2 * keys.length + 1));
});

it("a reset takes the key and what its shadow limit has counted, and no other's", async () => {
  const limiter = await open("reset");
  for (const key of ["a", "a\0more", "a\0\0more"]) await limiter.consume(key, "shadowed", 3);
  await limiter.reset("a");
  expect((await limiter.peek("a", "shadowed")).limits[0]?.remaining).toBe(10);
  for (const key of ["a\0more", "a\0\0more"]) expect((await limiter.peek(key, "t")).limits[0]?.remaining).toBe(7);
});
