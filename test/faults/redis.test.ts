import { expect, it, onTestFinished, vi } from "vitest";
import { createLimiter, type Decision } from "../../src/index.js";
import { redisForFile } from "../redis/server.js";

const tiers = { t: { limits: [{ name: "day", type: "quota" as const, limit: 1000, period: "day" as const }] } };
const server = await redisForFile();

it("Redis killed and back, empty: calls are answered, the quota holds, and what passed meanwhile is charged once", async () => {
  const told: unknown[] = [];
  const limiter = createLimiter({
    tiers,
    storage: { type: "redis", url: server.url, mode: "exact", prefix: "kill" },
    onStorageError: (error) => told.push(error),
  });
  onTestFinished(() => limiter.close());
  await limiter.ready();
  const spend = async (calls: number) => {
    const decisions: Decision[] = [];
    for (let call = 0; call < calls; call++) decisions.push(await limiter.consume("k", "t"));
    return decisions.filter(({ allowed }) => allowed).length;
  };
  expect(await spend(300)).toBe(300);
  await server.kill();
  await vi.waitFor(() => expect(limiter.isReady).toBe(false));
  expect(await spend(300)).toBe(300);
  expect(limiter.stats().store.unreconciled).toBe(300);
  await vi.waitFor(() => expect(told.length).toBeGreaterThan(0));
  await server.run();
  await limiter.ready();
  await vi.waitFor(() => expect(limiter.stats().store.unreconciled).toBe(0));
  expect((await limiter.peek("k", "t")).limits[0]?.remaining).toBe(400);
  expect(await spend(500)).toBe(400);
}, 20_000);

it("under closed no call is decided while Redis is away, and it is no denial", async () => {
  const limiter = createLimiter({
    tiers,
    storage: { type: "redis", url: server.url, onOutage: "closed", prefix: "closed" },
    onStorageError: () => undefined,
  });
  onTestFinished(() => limiter.close());
  await limiter.ready();
  server.signal("SIGSTOP");
  const refused = async () => limiter.consume("k", "t");
  await expect(refused()).rejects.toMatchObject({ code: "ERR_STORE_UNAVAILABLE" });
  server.signal("SIGCONT");
  await vi.waitFor(async () => expect((await limiter.consume("k", "t")).allowed).toBe(true), { timeout: 5000 });
}, 20_000);
