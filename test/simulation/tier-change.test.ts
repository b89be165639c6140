import { expect, it } from "vitest";
import { SimulatedTime } from "../../bench/simulated-time.js";
import type { SharedLimiter } from "../../src/shared/shared-limiter.js";
import { limiterOn } from "./limiter.js";
import { SimulatedLink } from "./network.js";
import { Random } from "./random.js";
import { Server } from "./server.js";

const START = Date.UTC(2026, 5, 15, 12);
const limitsOf = (limit: number) => [
  { name: "minute", type: "bucket" as const, limit, windowSeconds: 60, burst: 1 },
  { name: "day", type: "quota" as const, limit, period: "day" as const },
];

/** A limiter on a server that will lose what it was told. */
function forgetful(mode: "exact" | "leased") {
  const time = new SimulatedTime(START);
  const server = new Server(time);
  const link = new SimulatedLink("replica", {
    time,
    server,
    random: new Random(1),
    weather: { delayMs: [0.1, 0.5], stall: 0, loss: 0 },
    sabotage: (command) => command,
    leaks: new Map(),
  });
  const limiter = limiterOn(link, time, {
    tiers: { free: { limits: limitsOf(100) }, paid: { limits: limitsOf(1000).reverse() } },
    mode,
    leaseMs: 200,
  });
  return { time, server, link, limiter };
}

const used = async (limiter: SharedLimiter, tier: string) =>
  Object.fromEntries(
    (await limiter.peek("k", tier, 0)).limits.map(({ name, limit, remaining }) => [name, limit - remaining]),
  );

it.each(["exact", "leased"] as const)(
  "what a key has used outlives a change of its tier in the middle of a failover, in %s mode",
  async (mode) => {
    const { time, server, link, limiter } = forgetful(mode);
    await time.runUntil(START + 100);
    for (let call = 0; call < 60; call++) {
      void limiter.consume("k", "free");
      await time.runUntil(time.nowMs + 5);
    }
    await time.runUntil(START + 1000);
    server.failOver(Number.POSITIVE_INFINITY);
    link.breakOff(500);
    expect(server.keys.spent("k", "day", time.nowMs)).toBeUndefined();

    // In the outage the new tier goes on from where the old one stood: 60 of 100 a minute are 600 of 1,000.
    expect(await limiter.consume("k", "paid")).toMatchObject({ allowed: true });
    const { day, minute } = await used(limiter, "paid");
    expect(day).toBe(61);
    expect(minute).toBeGreaterThan(550);

    await time.runUntil(START + 3000);
    expect(limiter.isReady).toBe(true);
    await expect(time.runUntil(START + 3001).then(() => server.keys.spent("k", "day", time.nowMs))).resolves.toBe(
      61_000,
    );
  },
);
