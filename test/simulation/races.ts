import type { Decision } from "../../src/index.js";
import { isByPolicy } from "./policy.js";
import { type Mutation, type Replica, World } from "./world.js";

const ROUNDS = 4;
const KEYS = ["key0", "key1", "key2", "key3", "key4"] as const;
/** Until the answers to all calls have come; and until a server that has lost all was told what everybody knows. */
const ANSWERED_MS = 100;
const TOLD_MS = 5000;
const TIERS = {
  t: {
    limits: [
      { name: "rate", type: "bucket" as const, limit: 100_000, windowSeconds: 86_400, burst: 1 },
      { name: "day", type: "quota" as const, limit: 100_000, period: "day" as const },
    ],
  },
};

/**
 * Threads that share a table, each with a connection of its own, whose answers of one ms overtake each other: whichever comes
 * last, a server that comes back with nothing is told all that was spent.
 */
export async function races(seed: number, mutation: Mutation = {}): Promise<string[]> {
  await new Promise((resolve) => setTimeout(resolve)); // Lets the test runner have its turn.
  const world = new World(seed, mutation, { mode: "exact" });
  const { random, time, server } = world;
  world.start(TIERS, { threads: random.whole(2, 4) });
  await world.run(1500);
  const admitted = new Map<string, number>();
  const violations: string[] = [];
  const call = (key: string) => {
    const { limiter } = random.pick(world.open as [Replica, ...Replica[]]);
    const admit = (decision: Decision) => {
      if (isByPolicy(decision)) violations.push(`${key} was decided by the outage policy`);
      if (decision.allowed) admitted.set(key, (admitted.get(key) ?? 0) + 1000);
    };
    const decided = limiter.consume(key, "t");
    if (decided instanceof Promise) void decided.then(admit);
    else admit(decided);
  };
  for (let round = 0; round < ROUNDS; round++) {
    for (const key of KEYS) {
      const lastsMs = random.between(0.5, 3);
      for (let calls = random.whole(2, 20); calls > 0; calls--) time.after(random.between(0, lastsMs), () => call(key));
    }
    await world.run(ANSWERED_MS);
    server.awayUntilMs = time.nowMs + random.between(1, 500);
    for (const { link } of world.alive) link.breakOff(random.between(5, 100));
    server.restartEmpty();
    await world.run(TOLD_MS);
    for (const [key, milli] of admitted) {
      const used = world.used(key, "day");
      if (used < milli) violations.push(`${key}: ${(milli - used) / 1000} not charged`);
      if (used > milli) violations.push(`${key}: ${(used - milli) / 1000} charged too much`);
    }
  }
  return [...violations, ...(await world.close())];
}
