import type { JointDecision, Subject, Tiers } from "../../src/index.js";
import type { Weather } from "./network.js";
import { type Admission, overBucket } from "./oracle.js";
import { bucketOf } from "./tiers.js";
import { type Mutation, type Replica, World } from "./world.js";

const LOAD_MS = 5000;
const CALM_MS = 3000;
const TEAMS = 12;
const USERS = 3;
/** Slow enough for buckets to refill something while a call is decided, and never later than a call waits. */
const WEATHER: Weather = { delayMs: [2, 10], stall: 0, loss: 0 };

const TIERS = {
  // Each lets one call in, denies the next ones, and lets another in: what it denies has been spent of its users.
  team: { limits: [{ name: "rate", type: "bucket", limit: 2, windowSeconds: 1, burst: 1 }] },
  user: {
    limits: [
      { name: "rate", type: "bucket", limit: 20, windowSeconds: 1, burst: 1 },
      { name: "day", type: "quota", limit: 500, period: "day" },
    ],
  },
} as const satisfies Tiers;

/** One of those of whom a call spends, each limit alike. */
type Payer = Subject & { readonly cost?: number };

/** What a run has come to. */
export interface Joint {
  readonly violations: string[];
  readonly admitted: number;
  readonly denied: number;
  /** By how much, in thousandths, a bucket was exceeded at worst, where Redis alone decides. */
  readonly over: number;
}

/**
 * Replicas whose calls are each of a team and of a user, all of which spend or none, and others of the user alone, all of
 * them at the same time.
 */
export async function joint(seed: number, mutation: Mutation = {}): Promise<Joint> {
  await new Promise((resolve) => setTimeout(resolve)); // Lets the test runner have its turn.
  const world = new World(seed, mutation);
  const { random, time } = world;
  for (let replica = random.whole(1, 4); replica > 0; replica--) {
    world.start(TIERS, { threads: world.drawThreads(), weather: WEATHER });
  }
  await world.run(1500);
  const admissions = new Map<string, Admission[]>();
  let admitted = 0;
  let denied = 0;
  const admit = (subjects: readonly Payer[], decision: JointDecision) => {
    if (decision.allowed) admitted++;
    else denied++;
    if (!decision.allowed) return;
    subjects.forEach(({ key, cost = 1 }, index) => {
      // In exact mode the store's time counts, at which it was decided; the answer may be long under way.
      const atMs = world.mode === "exact" ? (decision.decisions[index]?.atMs ?? 0) : time.nowMs;
      const before = admissions.get(key) ?? [];
      admissions.set(key, [...before, { atMs, costMilli: cost * 1000, byPolicy: false }]);
    });
  };
  const call = (subjects: readonly Payer[]) => {
    const { limiter } = random.pick(world.open as [Replica, ...Replica[]]);
    const decided = limiter.consumeAll(subjects);
    if (decided instanceof Promise) void decided.then((decision) => admit(subjects, decision));
    else admit(subjects, decided);
  };
  const user = (number: number, cost: number) => ({ key: `user${number}`, tier: "user", cost });
  const gapMs = (perMs: number) => -Math.log(1 - random.next()) / perMs;
  const perMs = random.pick([0.02, 0.05]);
  for (let atMs = 0; atMs < LOAD_MS; atMs += gapMs(perMs)) {
    const team = { key: `team${random.whole(0, TEAMS - 1)}`, tier: "team" };
    time.after(atMs, () => call([team, user(random.whole(0, USERS - 1), random.whole(1, 3))]));
  }
  // In bursts, each on buckets that are full again.
  for (let burstMs = 0; burstMs < LOAD_MS; burstMs += 1600) {
    for (let atMs = 0; atMs < 300; atMs += gapMs(0.4)) {
      time.after(burstMs + atMs, () => call([user(random.whole(0, USERS - 1), 1)]));
    }
  }
  await world.run(LOAD_MS + CALM_MS);
  const violations = await world.close();
  let worst = Number.NEGATIVE_INFINITY;
  for (const [key, ofKey] of admissions) {
    ofKey.sort((a, b) => a.atMs - b.atMs);
    const tier = key.startsWith("team") ? "team" : "user";
    const rule = bucketOf(TIERS[tier]);
    const allowed = world.mode === "exact" ? 0 : (rule.perMs / rule.perMilli) * world.leaseMs;
    const over = overBucket(rule, ofKey);
    if (world.mode === "exact") worst = Math.max(worst, over);
    if (over > allowed + 1) violations.push(`${key}: ${over / 1000} over, ${allowed / 1000} allowed`);
    if (tier === "team") continue;
    const sum = ofKey.reduce((total, { costMilli }) => total + costMilli, 0);
    const used = world.used(key, "day");
    if (used < sum) violations.push(`${key}: ${(sum - used) / 1000} not charged`);
    if (used > sum) violations.push(`${key}: ${(used - sum) / 1000} charged too much`);
  }
  return { violations, admitted, denied, over: worst };
}
