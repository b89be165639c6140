import { Concurrency } from "../engine/concurrency.js";
import { type CostMilli, costAt } from "../engine/cost.js";
import type { Rule, Tier, TierLimit } from "../engine/tier.js";
import type { OutagePolicies } from "./outage-policy.js";
import type { Outcome } from "./outcome.js";

/** After how long, in ms, a call that its replica's part denies may try again. */
const ASK_AGAIN_MS = 1000;

interface Part {
  /**
   * Bucket: units spent of this replica's part. Quota: thousandths that it may still admit in the period. Concurrency: how it
   * stands by the places that the replica's own calls hold.
   */
  amount: number;
  /** Bucket: its part of what was spent when the outage began. Quota: all that was spent by then of the present period. */
  base: number;
  /** Thousandths admitted, in the present period if it is a quota. */
  admitted: number;
  /** Bucket: until when it is blocked, by the store's time; 0 if it is not. */
  readonly blockedUntilMs: number;
}

/** The places that a replica's own calls of a key hold. */
export interface OwnPlaces {
  /** How each limit of the tier stands by them. */
  readonly amounts: () => readonly number[];
  /** Takes one for the call that is being decided. */
  readonly take: () => void;
}

/**
 * One key while the store is away. Each bucket is a bucket of a part of the size and rate, spent to the same fraction;
 * each quota what was left of it, divided alike. All replicas together admit what one limiter would have. A block goes on where
 * it is known, and none begins: a part that is empty does not tell that the whole is.
 */
export class FallbackLimits {
  readonly tier: Tier;
  readonly #replicas: number;
  readonly #policies: OutagePolicies;
  readonly #startMs: number;
  readonly #parts: Part[];
  #atMs: number;

  /** `spent` is what the key has spent of each limit of the tier at `nowMs`, as far as this replica can tell. */
  constructor(tier: Tier, spent: readonly number[], replicas: number, policies: OutagePolicies, nowMs: number) {
    this.tier = tier;
    this.#replicas = replicas;
    this.#policies = policies;
    this.#startMs = nowMs;
    this.#atMs = nowMs;
    this.#parts = tier.limits.map(({ rule }, index) => {
      const before = spent[index] ?? 0;
      if (rule.type === "concurrency") return { amount: 0, base: 0, admitted: 0, blockedUntilMs: 0 };
      if (rule.type === "quota") {
        const amount = Math.floor(Math.max(0, rule.maxCostMilli - before) / replicas);
        return { amount, base: before, admitted: 0, blockedUntilMs: 0 };
      }
      const leftMs = rule.blockLeftMs(before);
      const base = (leftMs > 0 ? rule.initial : before) / replicas;
      return { amount: base, base, admitted: 0, blockedUntilMs: leftMs > 0 ? nowMs + leftMs : 0 };
    });
  }

  /** Thousandths admitted that nobody else has heard of. */
  get admitted(): number {
    return Math.max(0, ...this.#parts.map(({ admitted }) => admitted));
  }

  /** Decides a call and, if it passes and `spends`, admits it. */
  decide(costMilli: CostMilli, nowMs: number, spends: boolean, places?: OwnPlaces): Outcome {
    this.#advance(nowMs);
    this.#stand(places);
    let denied = 0;
    let waitMs = 0;
    this.#parts.forEach((part, index) => {
      const wait = this.#waitMs(part, index, costAt(costMilli, index));
      if (wait > waitMs) {
        waitMs = wait;
        denied = index + 1;
      }
    });
    if (denied === 0 && spends) {
      this.#admit(costMilli);
      places?.take();
      this.#stand(places);
    }
    // Others may have tokens left, and the store may be back at any time: of a block they all know.
    const isForNothing = denied > 0 && this.#rule(denied - 1).maxCostMilli === 0;
    const isBlocked = (this.#parts[denied - 1]?.blockedUntilMs ?? 0) > this.#atMs;
    const isProvisional = this.#replicas > 1 && waitMs > ASK_AGAIN_MS && !isForNothing && !isBlocked;
    return {
      denied,
      waitMs: isProvisional ? ASK_AGAIN_MS : waitMs,
      isProvisional,
      nowMs: this.#atMs,
      lagMs: 0,
      spent: this.#parts.map((part, index) => this.#shown(part, index)),
    };
  }

  /** What is to be charged at the end for what was admitted, in thousandths per limit; undefined if nothing was. */
  charges(nowMs: number): { deltas: number[]; atMs: number } | undefined {
    return this.outstanding(nowMs);
  }

  /** What would be, were this the end. */
  outstanding(nowMs: number): { deltas: number[]; atMs: number } | undefined {
    if (this.#parts.every(({ admitted }) => admitted === 0)) return undefined;
    this.#advance(nowMs);
    const deltas = this.#parts.map(({ amount, base, admitted, blockedUntilMs }, index) => {
      const rule = this.#rule(index);
      if (rule.type !== "bucket") return admitted;
      // Redis has gone on refilling what was spent before; charged is what stands above that now.
      const refilledMs = Math.max(0, this.#atMs - Math.max(this.#startMs, blockedUntilMs));
      const before = Math.max(0, base - (refilledMs * rule.perMs) / this.#replicas);
      return Math.max(0, Math.ceil((Math.min(amount, rule.capacity) - before) / rule.perMilli));
    });
    return { deltas, atMs: this.#atMs };
  }

  #advance(nowMs: number): void {
    if (nowMs <= this.#atMs) return;
    this.#parts.forEach((part, index) => {
      const rule = this.#rule(index);
      if (rule.type === "bucket") {
        const refilledMs = Math.max(0, nowMs - Math.max(this.#atMs, part.blockedUntilMs));
        part.amount = Math.max(0, part.amount - (refilledMs * rule.perMs) / this.#replicas);
      } else if (rule.type === "quota" && this.#atMs < rule.periodOf(nowMs).startMs) {
        part.amount = Math.floor(rule.maxCostMilli / this.#replicas);
        part.base = 0;
        part.admitted = 0;
      }
    });
    this.#atMs = nowMs;
  }

  #waitMs(part: Part, index: number, costMilli: number): number {
    const rule = this.#rule(index);
    if (costMilli === 0) return 0;
    // What a limit of 0 says of a call, no store has to be asked for.
    if (rule.maxCostMilli === 0) return Number.POSITIVE_INFINITY;
    if (this.#policies[rule.type] === "open") return 0;
    if (rule.type === "quota") return costMilli > part.amount ? rule.resetMs(this.#atMs) : 0;
    if (rule.type === "concurrency") {
      return rule.taken(part.amount) < this.#partOf(rule) ? 0 : rule.resetMs(part.amount) || ASK_AGAIN_MS;
    }
    const missing = part.amount + costMilli * rule.perMilli - rule.capacity / this.#replicas;
    const blockMs = Math.max(0, part.blockedUntilMs - this.#atMs);
    return blockMs + (missing > 0 ? Math.ceil((missing * this.#replicas) / rule.perMs) : 0);
  }

  #admit(costMilli: CostMilli): void {
    this.#parts.forEach((part, index) => {
      const rule = this.#rule(index);
      if (rule.type === "concurrency") return;
      const cost = costAt(costMilli, index);
      part.admitted += cost;
      part.amount += rule.type === "bucket" ? cost * rule.perMilli : -cost;
    });
  }

  /** What the whole limit would have to have spent to leave as much. */
  #shown(part: Part, index: number): number {
    const rule = this.#rule(index);
    if (rule.type === "quota") {
      const { overageMilli = 0 } = this.tier.limits[index] as TierLimit;
      const spent = rule.maxCostMilli - overageMilli - Math.max(0, part.amount);
      // What others may use is no overage of which anybody knows.
      return overageMilli > 0 ? Math.max(part.base + part.admitted, spent) : spent;
    }
    if (rule.type === "concurrency") {
      const free = Math.max(0, this.#partOf(rule) - rule.taken(part.amount));
      return Concurrency.amount(rule.limit - free, rule.resetMs(part.amount));
    }
    if (part.blockedUntilMs > this.#atMs) return rule.blockedFor(part.blockedUntilMs - this.#atMs);
    const left = rule.capacity / this.#replicas - part.amount;
    return Math.ceil(Math.min(rule.capacity, Math.max(0, rule.capacity - left)));
  }

  /** Has limits of concurrency stand as the replica's own calls have them. */
  #stand(places: OwnPlaces | undefined): void {
    const amounts = places?.amounts() ?? [];
    this.#parts.forEach((part, index) => {
      if (this.#rule(index).type === "concurrency") part.amount = amounts[index] ?? 0;
    });
  }

  /** This replica's part of the places, whole: all replicas together let no more run than there are. */
  #partOf({ limit }: Concurrency): number {
    return Math.floor(limit / this.#replicas);
  }

  #rule(index: number): Rule {
    const limit = this.tier.limits[index];
    if (limit === undefined) throw new RangeError(`tier ${this.tier.name} has no limit ${index}`);
    return limit.rule;
  }
}
