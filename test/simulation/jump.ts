import { createLimiter, type Decision } from "../../src/index.js";
import { type Mutation, type Replica, World } from "./world.js";

const YEAR_MS = 365 * 86_400_000;
const LOAD_MS = 4000;
const TIERS = {
  t: {
    limits: [
      { name: "rate", type: "bucket" as const, limit: 600, windowSeconds: 60, burst: 1 },
      { name: "day", type: "quota" as const, limit: 100_000, period: "day" as const },
    ],
  },
};

/** The server's clock is a year ahead for one reading, when one key is asked for; later somebody resets that key. */
export async function jump(seed: number, mutation: Mutation = {}): Promise<string[]> {
  await new Promise((resolve) => setTimeout(resolve)); // Lets the test runner have its turn.
  const world = new World(seed, mutation);
  const { random, time, server, mode, leaseMs } = world;
  const violations: string[] = [];
  for (let replica = random.whole(1, 3); replica > 0; replica--) world.start(TIERS, { threads: world.drawThreads() });
  const memory = createLimiter({ tiers: TIERS, engine: "js", clock: () => time.nowMs });
  const fine = { admitted: 0, inMemory: 0 };
  await world.run(1500);
  const any = () => world.alive[random.whole(0, world.alive.length - 1)] as Replica;
  const ask = (key: string, cost: number, heard: (decision: Decision) => void) => {
    const decided = any().limiter.consume(key, "t", cost);
    if (decided instanceof Promise) void decided.then(heard);
    else heard(decided);
  };
  // Empty, and then as full as a year makes it, at a time that does not come for a year.
  ask("odd", 600, () => undefined);
  await world.run(100);
  server.aheadMs = YEAR_MS;
  ask("odd", 600, () => undefined);
  await world.run(100);
  server.aheadMs = 0;
  const jumpedMs = time.nowMs;
  for (const endMs = time.nowMs + LOAD_MS; time.nowMs < endMs; ) {
    await world.run(random.between(0, 20));
    if (memory.consume("fine", "t", 2).allowed) fine.inMemory += 2;
    ask("fine", 2, (decision) => {
      if (decision.allowed) fine.admitted += 2;
      const off = decision.atMs - time.nowMs;
      // Who asked for the odd key knows better with the next answer.
      if (time.nowMs > jumpedMs + 2 * leaseMs && Math.abs(off) > 10_000) violations.push(`fine is off by ${off} ms`);
    });
    ask("odd", 1, ({ allowed, retryAfterMs }) => {
      const left = jumpedMs + YEAR_MS - time.nowMs;
      if (allowed) violations.push("odd passes");
      else if (Math.abs(retryAfterMs - left) > 10_000) violations.push(`odd is told ${retryAfterMs} ms of ${left}`);
    });
  }
  await world.run(100); // All is answered.
  const bound = mode === "exact" ? 0 : (600 * leaseMs) / 60_000;
  if (fine.admitted > 1.05 * fine.inMemory + bound || fine.admitted < 0.9 * fine.inMemory - bound) {
    violations.push(`fine: ${fine.admitted} admitted, ${fine.inMemory} in memory`);
  }
  const asked = server.asked.get("odd") ?? 0;
  if (mode === "leased" && asked > 50) violations.push(`${asked} commands for a key that denies for a year`);
  let isReset = false;
  void any()
    .limiter.reset("odd")
    .then(() => {
      isReset = true;
    });
  await world.run(1000);
  ask("odd", 1, ({ allowed }) => {
    if (!allowed) violations.push("odd is denied after its reset");
  });
  await world.run(1000);
  if (!isReset) violations.push("odd can not be reset");
  violations.push(...(await world.close()));
  await memory.close();
  return violations;
}
