import { expect, it } from "vitest";
import { SimulatedTime } from "../../bench/simulated-time.js";
import { ENGINE_FAULTS, type Spoil } from "./engine-mutations.js";
import { limiterOn } from "./limiter.js";
import { SimulatedLink } from "./network.js";
import { Random } from "./random.js";
import { Server } from "./server.js";

const START = Date.UTC(2026, 5, 15, 12);
const limitsOf = (limit: number) => [
  { name: "minute", type: "bucket" as const, limit, windowSeconds: 60, burst: 1 },
  { name: "day", type: "quota" as const, limit, period: "day" as const },
];

/** What a key has used by its tier, in the middle of a failover to a server that knows nothing, and what is counted then. */
async function outlived(mode: "exact" | "leased", spoil: Spoil = (engine) => engine) {
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
    ...{ mode, leaseMs: 200, spoil },
  });
  await time.runUntil(START + 100);
  for (let call = 0; call < 60; call++) {
    void limiter.consume("k", "free");
    await time.runUntil(time.nowMs + 5);
  }
  await time.runUntil(START + 1000);
  server.failOver(Number.POSITIVE_INFINITY);
  link.breakOff(500);
  expect(server.keys.spent("k", "day", time.nowMs)).toBeUndefined();
  await limiter.consume("k", "paid");
  const { limits } = await limiter.peek("k", "paid", 0);
  const used = Object.fromEntries(limits.map(({ name, limit, remaining }) => [name, limit - remaining]));
  await time.runUntil(START + 3000);
  expect(limiter.isReady).toBe(true);
  return { used, counted: server.keys.spent("k", "day", time.nowMs) };
}

it.each(["exact", "leased"] as const)(
  "what a key has used outlives a change of its tier in the middle of a failover, in %s mode",
  async (mode) => {
    const { used, counted } = await outlived(mode);
    expect(used["day"]).toBe(61);
    // In the outage the new tier goes on from where the old one stood: 60 of 100 a minute are 600 of 1,000.
    expect(used["minute"]).toBeGreaterThan(550);
    expect(counted).toBe(61_000);
  },
);

it("an engine with amounts carried to another tier as they are is caught", async () => {
  const { used } = await outlived("leased", ENGINE_FAULTS["amounts carried to another tier as they are"]);
  expect(used["day"]).not.toBe(61);
});
