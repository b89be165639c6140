import { Redis } from "ioredis";
import { expect, it, onTestFinished } from "vitest";
import { SimulatedTime } from "../../bench/simulated-time.js";
import { ABSENT_MS, REGISTRY } from "../../src/store/lua/replicas.js";
import { redisForFile } from "../redis/server.js";
import { Server } from "./server.js";

const server = await redisForFile();
const KEY = "registry";

/** How two registries answer a heartbeat: Redis running the script, and the server of the simulation. */
function registries() {
  const redis = new Redis({ host: "127.0.0.1", port: server.port, protocol: 2 });
  onTestFinished(() => redis.disconnect());
  const time = new SimulatedTime(Date.now());
  const simulated = new Server(time);
  return { redis, time, simulated };
}

const heartbeatOf = (hasReported: boolean, peers: string[]) => ({
  peers,
  hasState: true,
  hasReported,
  isLeaving: false,
  kinds: new Map(),
  usage: new Map(),
});

it("whoever was there before an outage of any length is waited for, in Redis as in the simulation", async () => {
  const { redis, time, simulated } = registries();
  const names = ["a", "b", "c", "d", "e"];
  const heartbeat = async (run: string, replica: string, hasReported: boolean, peers: string[]) => {
    const flags = ["1", hasReported ? "1" : "0", "0", "0"];
    const line = [run, replica, ...flags, "", String(peers.length), ...peers];
    const [recoveringMs, replicas] = (await redis.eval(REGISTRY, 1, KEY, ...line)) as [number, string[]];
    const membership = simulated.heartbeat(heartbeatOf(hasReported, peers), replica);
    expect(replicas.toSorted()).toEqual(membership.replicas.toSorted());
    expect(recoveringMs > 0).toBe(membership.recoveringMs > 0);
    return { replicas, isRecovering: recoveringMs > 0 };
  };
  for (const name of names) await heartbeat("run1", name, true, []);

  // An hour passes without a server: their last heartbeats are as old, and none of them has left.
  const longAgo = Date.now() - 3_600_000;
  expect(longAgo).toBeLessThan(Date.now() - ABSENT_MS);
  for (const name of names) await redis.hset(KEY, `p:${name}`, longAgo);
  await time.runUntil(time.nowMs + 3_600_000);
  simulated.failOver(0);

  expect(await heartbeat("run2", "a", false, names)).toMatchObject({ isRecovering: true });
  for (const name of names) {
    const { replicas, isRecovering } = await heartbeat("run2", name, true, names);
    expect(replicas.toSorted()).toEqual(names);
    expect(isRecovering).toBe(name !== "e");
  }
});
