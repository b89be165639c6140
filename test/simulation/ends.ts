import type { Decision } from "../../src/index.js";
import { type Admission, overBucket } from "./oracle.js";
import { bucketOf } from "./tiers.js";
import { type Mutation, type Replica, World } from "./world.js";

const MIDNIGHT = Date.UTC(2026, 5, 16);
/** How long, in ms, a key is called slowly. */
const SLOW_MS = 3000;

/**
 * What is taken ahead in a rush is handed out slowly, until its end and no longer: neither when the bucket has long been
 * refilled nor in the next period of a quota.
 */
export async function ends(seed: number, mutation: Mutation = {}): Promise<string[]> {
  await new Promise((resolve) => setTimeout(resolve)); // Lets the test runner have its turn.
  const world = new World(seed, mutation, { nowMs: MIDNIGHT - 6000 });
  const { random, time, mode, leaseMs } = world;
  const quota = random.whole(50, 200);
  // Either ends at midnight.
  const period = seed % 2 === 0 ? ("day" as const) : ("hour" as const);
  const bucket = {
    limits: [{ name: "rate", type: "bucket" as const, limit: random.whole(20, 100), windowSeconds: 20, burst: 1 }],
  };
  const tiers = {
    bucket,
    quota: { limits: [{ name: "quota", type: "quota" as const, limit: quota, period }] },
  };
  for (let replica = random.whole(1, 3); replica > 0; replica--) world.start(tiers, { threads: world.drawThreads() });
  const admissions: Record<string, Admission[]> = { bucket: [], quota: [] };
  const call = (key: string, whose: number) => {
    const { limiter } = world.alive[whose % world.alive.length] as Replica;
    const admit = (decision: Decision) => {
      const atMs = mode === "exact" ? decision.atMs : time.nowMs;
      if (decision.allowed) admissions[key]?.push({ atMs, costMilli: 1000, byPolicy: false });
    };
    const decided = limiter.consume(key, key);
    if (decided instanceof Promise) void decided.then(admit);
    else admit(decided);
  };
  const calls = (key: string, fromMs: number, untilMs: number, everyMs: number, whose: () => number) => {
    for (let atMs = fromMs; atMs < untilMs; atMs += random.between(0.5, 1.5) * everyMs) {
      time.after(atMs - time.nowMs, () => call(key, whose()));
    }
  };
  await world.run(1500);
  const anyone = () => random.whole(0, 20);
  // A rush, then just enough that nothing lies idle, and all at once.
  for (let round = 0; round < 2; round++) {
    const startMs = time.nowMs + round * (SLOW_MS + 1000);
    const rushMs = random.between(100, 300);
    calls("bucket", startMs, startMs + rushMs, 3, anyone);
    for (let whose = 0; whose < world.alive.length; whose++) {
      calls("bucket", startMs + rushMs, startMs + SLOW_MS, leaseMs / 4, () => whose);
    }
    calls("bucket", startMs + SLOW_MS, startMs + SLOW_MS + 300, 1, anyone);
  }
  calls(
    "quota",
    MIDNIGHT - random.between(300, 2000),
    MIDNIGHT + random.between(1000, 3000),
    random.pick([5, 15]),
    anyone,
  );
  await world.run(2 * SLOW_MS + 3000);
  const violations = await world.close();
  const rule = bucketOf(bucket);
  const allowed = mode === "exact" ? 0 : (rule.perMs / rule.perMilli) * leaseMs;
  for (const each of Object.values(admissions)) each.sort((a, b) => a.atMs - b.atMs);
  const over = overBucket(rule, admissions["bucket"] ?? []);
  if (over > allowed + 1) violations.push(`bucket: ${over / 1000} over, ${allowed / 1000} allowed`);
  for (const isNext of [false, true]) {
    const admitted = (admissions["quota"] ?? []).filter(({ atMs }) => atMs >= MIDNIGHT === isNext).length;
    if (admitted > quota)
      violations.push(`quota: ${admitted} of ${quota} admitted, ${isNext ? "after" : "before"} midnight`);
  }
  return violations;
}
