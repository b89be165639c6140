import type { Decision } from "../../src/index.js";
import { isByPolicy } from "./policy.js";
import { type Mutation, type Replica, World } from "./world.js";

const LOAD_MS = 4000;
/** A wait, in ms, above which nothing but the end of the period can be meant. */
const FINAL_MS = 60_000;

/** What a run has come to. */
export interface Full {
  readonly violations: string[];
  /** Calls whose key found no room, over all replicas. */
  readonly overflow: number;
  readonly evictions: number;
}

interface Key {
  readonly name: string;
  /** Calls are more frequent at lower ranks. */
  readonly rank: number;
  /** Denials that said that the quota is used up. */
  final: number;
  admitted: number;
  refunded: number;
}

/** Far more keys than a replica has room for: each is counted exactly, whether there is a lease of it or not. */
export async function full(seed: number, mutation: Mutation = {}): Promise<Full> {
  await new Promise((resolve) => setTimeout(resolve)); // Lets the test runner have its turn.
  const world = new World(seed, mutation, { maxKeys: 1 + (seed % 7) });
  const { random, time } = world;
  const quota = random.whole(1, 60);
  const tiers = { t: { limits: [{ name: "day", type: "quota" as const, limit: quota, period: "day" as const }] } };
  for (let replica = random.whole(1, 4); replica > 0; replica--) world.start(tiers, { threads: world.drawThreads() });
  const keys: Key[] = Array.from({ length: random.whole(4, 40) }, (_, rank) => ({
    ...{ name: `key${rank}`, rank },
    ...{ final: 0, admitted: 0, refunded: 0 },
  }));
  const refunds = random.pick([0, 0.1, 0.5]);
  const violations: string[] = [];
  await world.run(1500);
  const startMs = time.nowMs;
  const call = (key: Key) => {
    const { limiter } = world.alive[random.whole(0, world.alive.length - 1)] as Replica;
    const admit = (decision: Decision) => {
      if (isByPolicy(decision)) violations.push(`${key.name} was decided by the outage policy`);
      if (!decision.allowed && decision.retryAfterMs > FINAL_MS) key.final++;
      if (!decision.allowed) return;
      key.admitted++;
      if (!random.chance(refunds)) return;
      time.after(random.between(0, 1000), () => {
        if (decision.refund()) key.refunded++;
      });
    };
    const decided = limiter.consume(key.name, "t");
    if (decided instanceof Promise) void decided.then(admit);
    else admit(decided);
  };
  const perMs = random.pick([0.05, 0.5]);
  for (let atMs = startMs; atMs < startMs + LOAD_MS; atMs += -Math.log(1 - random.next()) / perMs) {
    const key = keys[Math.floor(random.next() ** 2 * keys.length)] as Key;
    time.after(atMs - time.nowMs, () => call(key));
  }
  await time.runUntil(startMs + LOAD_MS + 3000);
  let [overflow, evictions] = [0, 0];
  for (const { alive, replica } of world.processes) {
    const stats = (alive[0] as Replica).limiter.stats();
    overflow += stats.overflow;
    evictions += stats.evictions;
    if (stats.keys > world.maxKeys) violations.push(`${replica} holds ${stats.keys} keys of ${world.maxKeys}`);
  }
  violations.push(...(await world.close()));
  const isAsked = world.server.generousMilli === 0;
  for (const { name, final, admitted, refunded } of keys) {
    const [net, used] = [admitted - refunded, world.used(name, "day") / 1000];
    if (net > quota) violations.push(`${name}: ${net} of ${quota} admitted`);
    if (used !== net) violations.push(`${name}: ${used} counted, ${net} admitted`);
    // Of what a store grants unasked it does not know that it comes back.
    if (isAsked && refunds === 0 && final > 0 && admitted < quota) {
      violations.push(`${name}: ${final} were told that it is used up, and ${admitted} of ${quota} admitted`);
    }
  }
  return { violations, overflow, evictions };
}
