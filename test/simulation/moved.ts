import type { Decision } from "../../src/index.js";
import { type Mutation, World } from "./world.js";

/**
 * Keys that go to another tier, with its limits in another order, while the server is away that comes back with nothing: what
 * was used of them under the first outlives both.
 */
export async function moved(seed: number, mutation: Mutation = {}): Promise<string[]> {
  await new Promise((resolve) => setTimeout(resolve)); // Lets the test runner have its turn.
  const world = new World(seed, mutation);
  const { random, time, server } = world;
  const limits = (limit: number) => [
    { name: "minute", type: "bucket" as const, limit, windowSeconds: 60, burst: 1 },
    { name: "day", type: "quota" as const, limit: 10_000, period: "day" as const },
  ];
  const [one, other] = random.chance(0.5) ? [500, 5000] : [5000, 500];
  world.start({ free: { limits: limits(one) }, paid: { limits: limits(other).reverse() } });
  const [replica] = world.alive;
  const used = new Map<string, number>();
  const call = (key: string, tier: string) => {
    const count = ({ allowed }: Decision) => {
      if (allowed) used.set(key, (used.get(key) ?? 0) + 1);
    };
    const decided = replica?.limiter.consume(key, tier);
    if (decided instanceof Promise) void decided.then(count);
    else if (decided !== undefined) count(decided);
  };
  const keys = ["a", "b", "c"];
  await world.run(1500);
  for (let calls = random.whole(20, 100); calls > 0; calls--) {
    call(random.pick(["a", "b", "c"]), "free");
    await world.run(random.between(1, 10));
  }
  // What is held has come back, so that whoever moves takes nothing along.
  await world.run(2000);
  const downMs = random.between(100, 2000);
  server.awayUntilMs = time.nowMs + downMs;
  replica?.link.breakOff(random.between(5, 500));
  server.restartEmpty();
  for (const key of keys) time.after(random.between(0, downMs), () => call(key, "paid"));
  await world.run(downMs + 5000);
  const violations = await world.close();
  for (const key of keys) {
    const missing = 1000 * (used.get(key) ?? 0) - world.used(key, "day");
    if (missing !== 0) violations.push(`${key}: ${missing / 1000} of ${used.get(key)} not charged`);
  }
  return violations;
}
