import { expect, it, vi } from "vitest";
import { Relay } from "../redis/relay.js";
import { openReplicas } from "../redis/replicas.js";
import { forFile, redisForFile } from "../redis/server.js";

const server = await redisForFile();
const relay = await forFile(Relay.start(server.port));
const TIERS = { t: { limits: [{ name: "day", type: "quota", limit: 100, period: "day" }] } } as const;

it.each([":0\r\n", "+OK\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n", "*1\r\n:0\r\n"])(
  "calls that are answered %j are decided by the outage policy, and nobody dies of it",
  async (answer) => {
    const told: unknown[] = [];
    const [limiter] = await openReplicas(relay.url, [TIERS], { mode: "exact", timeoutMs: 500 }, told);
    relay.edit = () => answer;
    const decisions = await Promise.all(["a", "b", "c"].map((key) => limiter.consume(key, "t")));
    for (const { allowed } of decisions) expect(allowed).toBe(true);
    expect(String(told[0])).toMatch(/answered/);
    relay.edit = (text) => text;
    await vi.waitFor(() => expect(limiter.isReady).toBe(true), { timeout: 20_000, interval: 50 });
  },
  60_000,
);
