import { Random } from "../../simulation/random.js";
import { type Cost, capacityOf, type LimitRule, type TierRules } from "./model.js";
import type { Profile, StepKind } from "./profile.js";
import { Trace } from "./trace.js";

const KEYS = ["k0", "k1", "k2"] as const;
const TIERS = ["t0", "t1", "t2"] as const;

/** A vector of so many random steps, the same for the same seed. */
export function randomTrace(profile: Profile, seed: number, steps: number) {
  const random = new Random(seed);
  const tiers = tiersOf(profile, random);
  const begin = Date.UTC(2026, random.whole(0, 11), random.whole(1, 28), random.whole(0, 23), 59, 30);
  const trace = new Trace(`${profile.name}, random steps of seed ${seed}`, tiers, begin);
  for (let step = 0; step < steps; step++) {
    if (random.chance(0.5)) trace.pass(random.whole(0, random.pick(profile.pauses)));
    takeStep(trace, profile, tiers, random);
  }
  return trace.vector;
}

function tiersOf({ pool, hasCosts }: Profile, random: Random): TierRules {
  const names = Object.keys(pool);
  const tiers = TIERS.map((tier) => {
    const chosen = shuffled(names, random).slice(0, hasCosts ? names.length : random.whole(1, names.length));
    return [tier, { limits: chosen.map((name) => (pool[name] as (random: Random) => LimitRule)(random)) }] as const;
  });
  return Object.fromEntries(tiers);
}

function shuffled<T>(items: readonly T[], random: Random): T[] {
  const order = items.map((item) => ({ item, place: random.next() }));
  return order.sort((a, b) => a.place - b.place).map(({ item }) => item);
}

function takeStep(trace: Trace, profile: Profile, tiers: TierRules, random: Random): void {
  const [key, tier] = callerOf(profile, random);
  const rulesOf = (tier: string) => tiers[tier]?.limits ?? [];
  const kind = kindOf(profile, random);
  const of = trace.spending.length === 0 ? undefined : random.pick(trace.spending.slice(-8) as [number, ...number[]]);
  switch (kind) {
    case "consume":
    case "peek":
      trace[kind](key, tier, costOf(profile, rulesOf(tier), random));
      return;
    case "consumeAll":
      trace.consumeAll(
        shuffled([0, 1, 2], random)
          .slice(0, random.whole(1, 3))
          .map((index) => subjectOf(index, profile, tiers, random)),
      );
      return;
    case "reset":
      trace.reset(key);
      return;
    case "grant": {
      const quotas = rulesOf(tier).filter(({ type }) => type === "quota");
      if (quotas.length === 0) return;
      const { name, limit } = random.pick(quotas as [LimitRule, ...LimitRule[]]);
      trace.grant(key, tier, random.pick([0.5, 5, limit]), name, random.chance(0.5));
      return;
    }
    case "release": {
      const taken = trace.spending.filter((of) => trace.callsOf(of).some(({ places }) => places.size > 0)).slice(-12);
      if (taken.length > 0) trace.release(random.pick(taken as [number, ...number[]]));
      return;
    }
    case "refund":
    case "quotas":
      if (of !== undefined) trace.refund(of, kind === "quotas" ? kind : undefined);
      return;
    case "settle":
    case "charge":
      // What more costs in a later period than the call's is said nowhere.
      if (of !== undefined && trace.isOfThePeriod(of)) {
        trace[kind](of, costOf(profile, trace.callsOf(of)[0]?.rules ?? [], random));
      }
  }
}

function kindOf({ weights }: Profile, random: Random): StepKind | "consume" {
  const kinds: [StepKind | "consume", number][] = [
    ["consume", 60],
    ...(Object.entries(weights) as [StepKind, number][]),
  ];
  let rest = random.next() * kinds.reduce((sum, [, weight]) => sum + weight, 0);
  for (const [kind, weight] of kinds) {
    rest -= weight;
    if (rest < 0) return kind;
  }
  return "consume";
}

function callerOf({ changesTier }: Profile, random: Random): [key: string, tier: string] {
  const index = random.whole(0, 2);
  const another = changesTier && random.chance(0.1);
  return [KEYS[index] as string, another ? random.pick(TIERS) : (TIERS[index] as string)];
}

function subjectOf(index: number, profile: Profile, tiers: TierRules, random: Random) {
  const tier = TIERS[index] as string;
  return { key: KEYS[index] as string, tier, cost: costOf(profile, tiers[tier]?.limits ?? [], random) };
}

/** Mostly small ones, and some of half or all that there can be; now and then one that no limit could ever hold. */
function costOf({ hasCosts }: Profile, rules: readonly LimitRule[], random: Random): Cost {
  if (!hasCosts || random.chance(0.2)) return tokensOf(rules, random);
  return Object.fromEntries(
    rules.filter(() => random.chance(0.7)).map((rule) => [rule.name, tokensOf([rule], random)]),
  );
}

function tokensOf(rules: readonly LimitRule[], random: Random): number {
  const most = Math.min(1000, ...rules.map((rule) => capacityOf(rule) ?? 1000));
  if (random.chance(0.01)) return most + 0.001;
  if (random.chance(0.05)) return 0;
  const part = random.pick([0.125, 0.25, 0.5, 1]) * most;
  const small = random.pick([1, 1, 2, 3, 0.5, 0.125]);
  return random.chance(0.3) || small > most ? Math.ceil(part * 1000) / 1000 : small;
}
