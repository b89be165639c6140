import fc from "fast-check";
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
    const line = [run, replica, ...flags, "", "0", "1", String(peers.length), ...peers];
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

const beat = fc.record({
  thread: fc.nat(3),
  hasState: fc.boolean(),
  hasReported: fc.boolean(),
  leaves: fc.oneof({ weight: 4, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
  knows: fc.boolean(),
  failsOver: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
});

it("the threads of one replica are one: waited for until all have reported, there until the last has left", async () => {
  const { redis, time } = registries();
  const waits = new Set<boolean>();
  await fc.assert(
    fc.asyncProperty(fc.array(beat, { minLength: 5, maxLength: 60, size: "max" }), async (beats) => {
      await redis.flushall();
      const simulated = new Server(time);
      let run = 0;
      // Of the replica a there are three threads, of b one.
      const threads = [0, 1, 2, 3].map((lane) => ({ replica: lane < 3 ? "a" : "b", lane: lane % 3, isThere: true }));
      let peers: string[] = [];
      for (const { thread, hasState, hasReported, leaves, knows, failsOver } of beats) {
        const { replica, lane } = threads[thread] ?? { replica: "", lane: 0 };
        const lanes = threads.filter((each) => each.isThere && each.replica === replica).length;
        if (!threads[thread]?.isThere) continue;
        if (failsOver) {
          run++;
          simulated.failOver(0);
        }
        const told = knows ? peers : [];
        const flags = [hasState, hasReported, leaves, false].map((flag) => (flag ? "1" : "0"));
        const line = [`run${run}`, replica, ...flags, "", String(lane), String(lanes), String(told.length), ...told];
        const [recoveringMs, replicas] = (await redis.eval(REGISTRY, 1, KEY, ...line)) as [number, string[]];
        const about = { ...heartbeatOf(hasReported, told), lane, lanes, hasState, isLeaving: leaves };
        const membership = simulated.heartbeat(about, replica);
        expect(replicas.toSorted()).toEqual(membership.replicas.toSorted());
        expect(recoveringMs > 0).toBe(membership.recoveringMs > 0);
        waits.add(recoveringMs > 0);
        peers = replicas;
        if (leaves) Object.assign(threads[thread] ?? {}, { isThere: false });
      }
    }),
    { numRuns: 200, endOnFailure: true },
  );
  expect(waits.size).toBe(2);
}, 240_000);

it("a thread that has not reported is waited for until it has left, and what stays of its replica is there", async () => {
  const { redis } = registries();
  await redis.flushall();
  const heartbeat = async (run: string, replica: string, lane: number, lanes: number, flags: string[]) => {
    const line = [run, replica, ...flags, "", String(lane), String(lanes), "2", "a", "b"];
    const [recoveringMs, replicas] = (await redis.eval(REGISTRY, 1, KEY, ...line)) as [number, string[]];
    return { isRecovering: recoveringMs > 0, replicas: replicas.toSorted() };
  };
  const [SILENT, REPORTED, LEAVES] = [["1", "0", "0", "0"], ["1", "1", "0", "0"], ["1", "1", "1", "0"]]; // biome-ignore format: a table
  const both = ["a", "b"];
  await heartbeat("run1", "a", 0, 2, SILENT);
  await heartbeat("run1", "b", 0, 1, REPORTED);
  expect(await heartbeat("run1", "a", 0, 2, REPORTED)).toEqual({ isRecovering: true, replicas: both });
  // Its other thread hears of the new server later.
  expect(await heartbeat("run1", "a", 1, 2, SILENT)).toEqual({ isRecovering: true, replicas: both });
  expect(await heartbeat("run1", "a", 0, 2, REPORTED)).toEqual({ isRecovering: true, replicas: both });
  expect(await heartbeat("run1", "a", 1, 2, LEAVES)).toEqual({ isRecovering: false, replicas: both });
  expect(await heartbeat("run1", "a", 0, 1, REPORTED)).toEqual({ isRecovering: false, replicas: both });
  expect(await heartbeat("run1", "a", 0, 1, LEAVES)).toEqual({ isRecovering: false, replicas: ["b"] });
});

it("who was never told of others waits for them at an empty server, also with something to tell, in Redis as here", async () => {
  const { redis, time, simulated } = registries();
  simulated.restartEmpty();
  await redis.del(KEY);
  const line = ["empty", "a", "1", "0", "0", "1", "", "0", "1", "0"];
  const [recoveringMs] = (await redis.eval(REGISTRY, 1, KEY, ...line)) as [number];
  const membership = simulated.heartbeat(heartbeatOf(false, []), "a");
  expect([recoveringMs, membership.recoveringMs]).toEqual([1000, 1000]);
  // One that knows who else there is waits for these.
  simulated.restartEmpty();
  await redis.del(KEY);
  await time.runUntil(time.nowMs + 1);
  const known = ["empty", "a", "1", "1", "0", "1", "", "0", "1", "1", "a"];
  expect(((await redis.eval(REGISTRY, 1, KEY, ...known)) as [number])[0]).toBe(0);
  expect(simulated.heartbeat(heartbeatOf(true, ["a"]), "a").recoveringMs).toBe(0);
});
