import { Bucket, type BucketRule, milliOf } from "./bucket.js";
import { Fraction } from "./fraction.js";
import { type Place, Places, type PlacesRule } from "./places.js";
import { Quota, type QuotaRule } from "./quota.js";
import type { Answer, Slot } from "./slot.js";

/** One limit of a tier. */
export type LimitRule = BucketRule | QuotaRule | PlacesRule;
/** Tiers by name. */
export type TierRules = Readonly<Record<string, { limits: readonly LimitRule[] }>>;
/** Tokens of every limit, or of each by its name; a name left out costs nothing. */
export type Cost = number | Readonly<Record<string, number>>;
/** Whose tokens a call spends, under which tier. */
export interface Subject {
  key: string;
  tier: string;
  cost: Cost;
}

/** What the model says of a call. A wait that never ends is infinite. */
export interface Said {
  allowed: boolean;
  deniedBy: string | null;
  retryAfterMs: number;
  limits: { name: string; limit: number; remaining: number; resetMs: number; overage?: number }[];
}

/** A call that was decided, and what it may still correct. */
export class Call {
  readonly key: string;
  readonly rules: readonly LimitRule[];
  readonly at: number;
  readonly said: Said;
  /** Whether it is of a kind that counters of whole units may decide otherwise. */
  readonly isUnclear: boolean;
  /** Tokens that it has spent of each limit, by name. */
  readonly spent: Map<string, Fraction>;
  readonly places: ReadonlyMap<string, Place>;
  /** Whether it may still be corrected. */
  isOpen: boolean;

  constructor(call: Omit<Call, "isOpen">, isOpen: boolean) {
    this.key = call.key;
    this.rules = call.rules;
    this.at = call.at;
    this.said = call.said;
    this.isUnclear = call.isUnclear;
    this.spent = call.spent;
    this.places = call.places;
    this.isOpen = isOpen;
  }
}

/** A misuse: the code of the error that it is. */
export class Misuse extends Error {
  readonly code: string;

  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

type Slots = Map<string, Slot>;

/** What each limit means, in exact fractions: what the engines count in whole units must agree with it. */
export class Model {
  readonly #tiers: TierRules;
  readonly #keys = new Map<string, Slots>();

  constructor(tiers: TierRules) {
    this.#tiers = tiers;
  }

  /** Decides, and spends if `spends` says so. @throws {Misuse} */
  decide(subject: Subject, now: number, spends: boolean): Call {
    const [call] = this.decideAll([subject], now, spends);
    return call as Call;
  }

  /**
   * Decides on calls of several subjects: all of them, or nothing is spent of any. What each says is what it would say
   * alone, and its limits are as they stand after all. Of one that is there twice the costs add up, and so does what it says.
   *
   * @throws {Misuse}
   */
  decideAll(subjects: readonly Subject[], now: number, spends: boolean): Call[] {
    const sums = new Map<string, Subject>();
    for (const { key, tier, cost } of subjects) {
      const same = sums.get(`${key}\0${tier}`);
      sums.set(`${key}\0${tier}`, { key, tier, cost: same === undefined ? cost : sumOf(same.cost, cost) });
    }
    const calls = this.#decideSums([...sums.values()], now, spends);
    const names = [...sums.keys()];
    return subjects.map(({ key, tier }) => calls[names.indexOf(`${key}\0${tier}`)] as Call);
  }

  #decideSums(subjects: readonly Subject[], now: number, spends: boolean): Call[] {
    const asked = subjects.map(({ key, tier, cost }) => {
      const rules = this.#rulesOf(tier);
      const costs = costsOf(rules, cost);
      const isFree = [...costs.values()].every(({ isZero }) => isZero);
      const slots = this.#slotsOf(key, rules, now);
      const answers = rules.map(({ name }) =>
        (slots.get(name) as Slot).answer({ now, cost: costs.get(name) as Fraction }),
      );
      return { key, rules, costs, isFree, slots, answers };
    });
    const allowed = asked.every(({ answers }) => answers.every(({ waitMs }) => waitMs === 0));
    for (const { key, rules, costs, isFree, slots, answers } of asked) {
      if (!spends || isFree) continue;
      const kept = this.#keys.get(key);
      this.#keys.set(key, kept === undefined ? slots : new Map([...kept, ...slots]));
      rules.forEach(({ name }, index) => {
        const slot = slots.get(name) as Slot;
        const { waitMs } = answers[index] as Answer;
        if (allowed) slot.spend({ now, cost: costs.get(name) as Fraction });
        else if (waitMs > 0) slot.deny(now);
      });
    }
    return asked.map(({ key, rules, costs, isFree, slots, answers }) => {
      const places = [...slots].flatMap(([name, slot]): [string, Place][] =>
        spends && allowed && !isFree && slot instanceof Places && slot.last !== undefined ? [[name, slot.last]] : [],
      );
      const said = { ...verdictOf(rules, answers), limits: this.#standings(rules, slots, now) };
      const spent = costs;
      const isUnclear = answers.some(({ hangsOnRounding }) => hangsOnRounding) || hasTie(answers);
      return new Call({ key, rules, at: now, said, isUnclear, spent, places: new Map(places) }, spends && allowed);
    });
  }

  /** Gives back what was spent, to quotas only if `part` says so; says whether it did. */
  refund(call: Call, now: number, part: "all" | "quotas" = "all"): boolean {
    if (!call.isOpen) return false;
    call.isOpen = false;
    for (const { name, type } of call.rules) {
      if (part === "all" || type === "quota")
        this.#correct(call, name, (call.spent.get(name) as Fraction).negated(), now);
    }
    return true;
  }

  /** Corrects what was spent to what it cost in truth; says whether it did. @throws {Misuse} */
  settle(call: Call, actual: Cost, now: number): boolean {
    const costs = costsOf(call.rules, actual, false);
    if (!call.isOpen) return false;
    call.isOpen = false;
    for (const [name, cost] of costs) this.#correct(call, name, cost.minus(call.spent.get(name) as Fraction), now);
    return true;
  }

  /** Spends more, past empty if need be; says whether it did. @throws {Misuse} */
  charge(call: Call, more: Cost, now: number): boolean {
    const costs = costsOf(call.rules, more, false);
    if (!call.isOpen) return false;
    for (const [name, cost] of costs) {
      call.spent.set(name, (call.spent.get(name) as Fraction).plus(cost));
      this.#correct(call, name, cost, now);
    }
    return true;
  }

  /** Frees the places that a call has taken; says whether any was still taken. */
  release(call: Call, now: number): boolean {
    let freed = false;
    for (const [name, place] of call.places) {
      const slot = this.#keys.get(call.key)?.get(name);
      if (slot instanceof Places && slot.release(place, now)) freed = true;
    }
    return freed;
  }

  /** Has a key have tokens beside a quota. */
  grant(key: string, tier: string, tokens: number, name: string | undefined, keep: boolean, now: number): void {
    const rules = this.#rulesOf(tier).filter(
      (rule) => rule.type === "quota" && (name === undefined || rule.name === name),
    );
    const slots = this.#slotsOf(key, rules, now);
    for (const slot of slots.values()) if (slot instanceof Quota) slot.grant(Fraction.of(tokens), keep);
    this.#keys.set(key, new Map([...(this.#keys.get(key) ?? []), ...slots]));
  }

  reset(key: string): void {
    this.#keys.delete(key);
  }

  /** Whether every quota of a call still counts the period that the call was charged in. */
  isOfThePeriod(call: Call, now: number): boolean {
    return call.rules.every((rule) => {
      const slot = this.#keys.get(call.key)?.get(rule.name);
      if (rule.type !== "quota" || !(slot instanceof Quota)) return true;
      return new Quota(rule, call.at).start === slot.convertedTo(slot.rule, now).start;
    });
  }

  #rulesOf(tier: string): readonly LimitRule[] {
    const { limits } = this.#tiers[tier] ?? {};
    if (limits === undefined) throw new Misuse("ERR_TIER_UNKNOWN");
    return limits;
  }

  /** The key's slots as they are under these rules, as of now; copies. */
  #slotsOf(key: string, rules: readonly LimitRule[], now: number): Slots {
    const kept = this.#keys.get(key);
    return new Map(rules.map((rule) => [rule.name, slotUnder(rule, kept?.get(rule.name), now)]));
  }

  #standings(rules: readonly LimitRule[], slots: Slots, now: number): Said["limits"] {
    return rules.map(({ name, limit }) => ({ name, limit, ...(slots.get(name) as Slot).standing(now) }));
  }

  /** Has a limit stand as if a call had spent more, or, below 0, less. A bucket counts it as the fraction that it was. */
  #correct(call: Call, name: string, tokens: Fraction, now: number): void {
    const rule = call.rules.find((rule) => rule.name === name);
    if (tokens.isZero || rule === undefined) return;
    // What a call of nothing costs after all is the first that its key spends, be it that it has held places.
    const kept = [...(this.#keys.get(call.key) ?? [])];
    if (kept.every(([, slot]) => slot instanceof Places)) {
      this.#keys.set(call.key, new Map([...kept, ...this.#slotsOf(call.key, call.rules, now)]));
    }
    const slot = this.#keys.get(call.key)?.get(name);
    if (slot instanceof Bucket && rule.type === "bucket") {
      slot.correct(tokens.negated(), new Bucket(rule, now).capacity, now);
    } else if (slot instanceof Quota && rule.type === "quota") {
      const current = slot.convertedTo(slot.rule, now);
      if (new Quota(rule, call.at).start !== current.start) return;
      current.add(tokens);
      this.#keys.get(call.key)?.set(name, current);
    }
  }
}

function slotUnder(rule: LimitRule, slot: Slot | undefined, now: number): Slot {
  switch (rule.type) {
    case "bucket":
      return slot instanceof Bucket ? slot.convertedTo(rule, now) : new Bucket(rule, now);
    case "quota":
      return slot instanceof Quota ? slot.convertedTo(rule, now) : new Quota(rule, now);
    case "concurrency":
      return slot instanceof Places ? slot.convertedTo(rule) : new Places(rule);
  }
}

/** Two costs in one. @throws {RangeError} if one is of each limit and the other of all. */
function sumOf(one: Cost, other: Cost): Cost {
  if (typeof one === "number" && typeof other === "number") return one + other;
  if (typeof one === "number" || typeof other === "number") throw new RangeError("costs of two kinds");
  const names = [...Object.keys(one), ...Object.keys(other)];
  return Object.fromEntries(names.map((name) => [name, (one[name] ?? 0) + (other[name] ?? 0)]));
}

/** What each limit is asked for. @throws {Misuse} if that can't be, or, where `isBounded` says so, could never be had. */
function costsOf(rules: readonly LimitRule[], cost: Cost, isBounded = true): Map<string, Fraction> {
  if (typeof cost !== "number" && Object.keys(cost).some((name) => rules.every((rule) => rule.name !== name))) {
    throw new Misuse("ERR_COST_INVALID");
  }
  const costs = rules.map(({ name }): [string, Fraction] => {
    const tokens = typeof cost === "number" ? cost : (cost[name] ?? 0);
    if (!(tokens >= 0) || Math.round(tokens * 1000) / 1000 !== tokens) throw new Misuse("ERR_COST_INVALID");
    return [name, Fraction.of(tokens)];
  });
  costs.forEach(([, tokens], index) => {
    const most = capacityOf(rules[index] as LimitRule);
    if (isBounded && most !== undefined && tokens.isAbove(Fraction.of(most)))
      throw new Misuse("ERR_COST_EXCEEDS_CAPACITY");
  });
  return new Map(costs);
}

/** Tokens that a limit can hold, if a single call may not cost more; one that holds nothing denies it. */
export function capacityOf(rule: LimitRule): number | undefined {
  if (rule.type === "concurrency") return undefined;
  const limit = Fraction.of(rule.limit);
  const capacity =
    rule.type === "bucket" ? limit.times(Fraction.of(rule.burst)) : limit.plus(Fraction.of(rule.overage?.max ?? 0));
  return capacity.isZero ? undefined : milliOf(capacity);
}

function verdictOf(rules: readonly LimitRule[], answers: readonly Answer[]): Omit<Said, "limits"> {
  const waits = answers.map(({ waitMs }) => waitMs);
  const retryAfterMs = Math.max(0, ...waits);
  if (retryAfterMs === 0) return { allowed: true, deniedBy: null, retryAfterMs };
  return { allowed: false, deniedBy: rules[waits.indexOf(retryAfterMs)]?.name ?? null, retryAfterMs };
}

/** Whether two limits deny for so equally long that either may be named; of those for ever, the first is. */
function hasTie(answers: readonly Answer[]): boolean {
  const [longest = 0, next = 0] = answers.map(({ waitMs }) => waitMs).sort((a, b) => b - a);
  return next > 0 && Number.isFinite(next) && longest - next <= 2;
}
