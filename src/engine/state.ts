import type { Bucket } from "./bucket.js";
import { type CostMilli, costAt } from "./cost.js";
import { type Credit, type Credits, carried, unused, withGrant } from "./credit.js";
import type { Quota } from "./quota.js";
import type { Rule, Tier, TierLimit } from "./tier.js";

/** The rule that governs each slot of a key, by slot: those of its last tier, and older ones where that tier has none. */
export type RuleSet = readonly (Rule | undefined)[];

/** The rules of a key that has only ever been in one tier. */
export function ruleSetOf(tier: Tier): RuleSet {
  const ruleSet: (Rule | undefined)[] = [];
  for (const { slot, rule } of tier.limits) ruleSet[slot] = rule;
  return ruleSet;
}

/** What one key has spent, as of one instant. */
export class KeyState {
  /** The instant up to which buckets are refilled and quotas rolled, in ms since the epoch. */
  atMs: number;
  rules: RuleSet;
  /** The amount spent per slot, in the units of the slot's rule; of one of concurrency, when the last place is over. */
  readonly spent: number[] = [];
  /** What it was granted, by slot; undefined if nothing ever was, as nearly always. */
  credits: Credits | undefined;

  /** A key at its first call. */
  constructor(tier: Tier, ruleSet: RuleSet, nowMs: number) {
    this.atMs = nowMs;
    this.rules = ruleSet;
    this.credits = undefined;
    for (const { slot, rule } of tier.limits) this.spent[slot] = rule.initial;
  }

  /** Brings the key to `nowMs` under the rules that govern it. */
  advance(nowMs: number): void {
    if (nowMs <= this.atMs) return;
    for (let slot = 0; slot < this.rules.length; slot++) {
      const rule = this.rules[slot];
      if (rule === undefined) continue;
      const spent = this.spent[slot] as number;
      if (rule.type === "bucket") this.spent[slot] = rule.refilled(spent, nowMs - this.atMs);
      else if (rule.type === "concurrency") this.spent[slot] = rule.advanced(spent, nowMs);
      else if (rule.hasEnded(this.atMs, nowMs)) this.begin(slot, rule, spent);
    }
    this.atMs = nowMs;
  }

  /** Begins a new period of a slot that ended with so much spent of a quota. */
  private begin(slot: number, ended: Quota, spent: number): void {
    const credit = this.credits?.[slot];
    const left = credit && carried(credit, ended, spent);
    if (this.credits !== undefined) this.credits[slot] = left;
    this.spent[slot] = unused(left);
  }

  /** Brings the key to `nowMs` and under a tier: see *Tier change* in the documentation of limits. */
  bringTo(tier: Tier, ruleSet: RuleSet, nowMs: number): void {
    const beforeMs = this.atMs;
    const before = this.rules;
    const spentBefore = before === ruleSet ? this.spent : [...this.spent];
    const creditsBefore = before === ruleSet ? undefined : this.credits?.slice();
    this.advance(nowMs);
    // A key that was in tiers with more limits is under those as well, for good.
    if (before === ruleSet || tier.limits.every(({ slot, rule }) => before[slot] === rule)) return;
    let merged: (Rule | undefined)[] | undefined;
    for (let slot = 0; slot < before.length; slot++) {
      if (before[slot] !== undefined && ruleSet[slot] === undefined) {
        merged ??= [...ruleSet];
        merged[slot] = before[slot];
      }
    }
    for (const { slot, rule } of tier.limits) {
      const from = before[slot];
      if (from === rule) continue;
      const spent = this.spent[slot];
      if (from === undefined || spent === undefined) this.spent[slot] = rule.initial;
      else if (rule.type === "bucket") this.spent[slot] = rule.converted(spent, from as Bucket);
      // Places stay what they are.
      else if (rule.type === "quota")
        this.convert(slot, rule, from as Quota, spentBefore[slot] as number, creditsBefore?.[slot], beforeMs);
    }
    this.rules = merged ?? ruleSet;
  }

  /**
   * Brings a slot under another quota: as it was at `beforeMs`, not as the old quota has it now, whose period may have ended
   * where this one's goes on.
   */
  private convert(
    slot: number,
    to: Quota,
    from: Quota,
    spent: number,
    credit: Credit | undefined,
    beforeMs: number,
  ): void {
    if (this.credits !== undefined) this.credits[slot] = credit;
    if (to.goesOn(from, beforeMs, this.atMs)) this.spent[slot] = spent;
    else this.begin(slot, from, spent);
  }

  /** Grants tokens of a quota of the tier that the key is under; false if that is more than can be. */
  grant(slot: number, milli: number, keeps: boolean): boolean {
    const credit = withGrant(this.credits?.[slot], milli, keeps);
    if (credit === undefined) return false;
    this.credits ??= [];
    this.credits[slot] = credit;
    this.spent[slot] = (this.spent[slot] as number) - milli;
    return true;
  }

  /** Spends a cost of every limit of the tier that the key is under. */
  charge({ limits }: Tier, costMilli: CostMilli): void {
    for (let index = 0; index < limits.length; index++) {
      const { slot, rule } = limits[index] as TierLimit;
      const [spent, cost] = [this.spent[slot] as number, costAt(costMilli, index)];
      if (rule.type === "bucket") this.spent[slot] = rule.charged(spent, cost);
      else if (rule.type === "quota") this.spent[slot] = spent + cost;
    }
  }

  /** Begins the blocks that a denied call of this cost begins. */
  block({ limits }: Tier, costMilli: CostMilli): void {
    for (let index = 0; index < limits.length; index++) {
      const { slot, rule } = limits[index] as TierLimit;
      if (rule.type !== "bucket") continue;
      this.spent[slot] = rule.afterDenial(this.spent[slot] as number, costAt(costMilli, index));
    }
  }

  /**
   * Corrects what a call under `charged` spent at `chargedAtMs`, by the rules that counted it. The key is at the present,
   * maybe under another tier.
   */
  correct({ limits }: Tier, deltaMilli: CostMilli, chargedAtMs: number, quotasOnly: boolean): void {
    for (let index = 0; index < limits.length; index++) {
      const { slot, rule: chargedRule } = limits[index] as TierLimit;
      const delta = costAt(deltaMilli, index);
      const rule = this.rules[slot];
      if (rule === undefined || rule.type === "concurrency") continue;
      const spent = this.spent[slot] as number;
      if (rule.type === "bucket") {
        if (!quotasOnly) this.spent[slot] = rule.charged(spent, delta, chargedRule as Bucket);
      } else if (rule.periodOf(this.atMs).startMs === (chargedRule as Quota).periodOf(chargedAtMs).startMs) {
        this.spent[slot] = rule.charged(spent, delta, this.credits?.[slot]?.grantedMilli);
      }
    }
  }

  /** Whether nothing of it was ever counted: it was under limits of concurrency alone. */
  get countsNothing(): boolean {
    return this.rules.every((rule) => rule === undefined || rule.type === "concurrency");
  }

  /** Whether every bucket is full and no quota is used at `nowMs`, nor anything left of what was granted. */
  isIdle(nowMs: number): boolean {
    return this.rules.every((rule, slot) => {
      if (rule === undefined) return true;
      const spent = this.spent[slot] as number;
      if (rule.type === "bucket") return rule.refilled(spent, nowMs - this.atMs) === 0;
      if (rule.type === "concurrency") return rule.advanced(spent, nowMs) === 0;
      const credit = this.credits?.[slot];
      if (!rule.hasEnded(this.atMs, nowMs)) return spent === 0 && credit === undefined;
      return credit === undefined || carried(credit, rule, spent) === undefined;
    });
  }

  /** Whether forgetting the key would change no later decision: idle, and new keys begin with full buckets too. */
  isAsNew(nowMs: number): boolean {
    return this.rules.every((rule) => rule === undefined || rule.initial === 0) && this.isIdle(nowMs);
  }

  copy(): KeyState {
    const copy: KeyState = Object.create(KeyState.prototype);
    return Object.assign(copy, this, { spent: [...this.spent], credits: this.credits?.slice() });
  }
}
