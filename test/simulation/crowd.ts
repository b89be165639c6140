import { REMEMBERED_MS } from "../../src/store/lua/key-state.js";
import { type Mutation, type Replica, World } from "./world.js";

const LIVES = 150;
const EVERY_MS = 800;
const LIFE_MS = 1500;
const KEYS = ["key0", "key1"] as const;
const TIERS = { t: { limits: [{ name: "day", type: "quota" as const, limit: 1_000_000, period: "day" as const }] } };

/**
 * Processes, or threads of one, that come, call, correct what they called, and go again, by hundreds: some close, and some are
 * killed.
 */
export async function crowd(seed: number, mutation: Mutation = {}): Promise<{ violations: string[]; most: number }> {
  await new Promise((resolve) => setTimeout(resolve)); // Lets the test runner have its turn.
  const world = new World(seed, mutation);
  const { random, time, server } = world;
  const killed = random.pick([0, 0.2, 1]);
  /** When each that was killed can't send anything again any more, by the time of its death. */
  const deaths: number[] = [];
  const net = new Map<string, number>(KEYS.map((key) => [key, 0]));
  const call = (replica: Replica, key: string, isRefunded: boolean) => {
    const admit = (decision: { allowed: boolean; refund(): boolean }) => {
      if (!decision.allowed || !replica.isAlive) return;
      net.set(key, (net.get(key) ?? 0) + 1000);
      if (isRefunded && decision.refund()) net.set(key, (net.get(key) ?? 0) - 1000);
    };
    const decided = replica.limiter.consume(key, "t");
    if (decided instanceof Promise) void decided.then(admit);
    else admit(decided);
  };
  const areThreads = world.aside.chance(0.4);
  const [resident] = world.start(TIERS, { threads: areThreads ? 2 : 1 }) as [Replica];
  const live = () => {
    const [replica] = (areThreads ? [resident.process.begin()] : world.start(TIERS)) as [Replica];
    void replica.limiter.ready().then(() => {
      for (const key of KEYS) call(replica, key, true);
    });
    time.after(LIFE_MS, () => {
      if (random.chance(killed)) {
        replica.process.end(replica);
        deaths.push(time.nowMs);
      } else {
        void replica.process.close(replica);
      }
    });
  };
  for (let life = 0; life < LIVES; life++) time.after(1000 + EVERY_MS * life, live);
  const violations: string[] = [];
  let most = 0;
  for (let round = 0; round < LIVES; round++) {
    await world.run(EVERY_MS);
    for (const key of KEYS) call(resident, key, false);
    const dead = deaths.filter((atMs) => atMs > time.nowMs - REMEMBERED_MS - 2 * EVERY_MS).length;
    for (const key of KEYS) {
      const sequences = server.keys.sequences(key);
      most = Math.max(most, sequences);
      const may = world.alive.length + dead;
      if (sequences > may) violations.push(`${key}: ${sequences} numbers, for ${may} who may still send`);
    }
  }
  await world.run(REMEMBERED_MS + LIFE_MS);
  for (const key of KEYS) call(resident, key, false);
  violations.push(...(await world.close()));
  for (const key of KEYS) {
    const [used, served] = [world.used(key, "day"), net.get(key) ?? 0];
    if (used < served) violations.push(`${key}: ${(served - used) / 1000} not charged`);
    if (killed === 0 && used > served) violations.push(`${key}: ${(used - served) / 1000} charged too much`);
    if (server.keys.sequences(key) > 1) violations.push(`${key}: ${server.keys.sequences(key)} numbers of nobody`);
  }
  return { violations, most };
}
