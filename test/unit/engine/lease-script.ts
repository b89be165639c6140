import type { Tiers } from "../../../src/engine/spec.js";
import { compileTiers, type SlotNames, slotsFor, type TierLimit } from "../../../src/engine/tier.js";
import { compileOverridden, overriddenTier } from "../../../src/limiter/overrides.js";
import { DECEMBER_30_2026 } from "../../conformance/operations.js";
import type { Answer, Instant, LeaseCaller, NumberedTier } from "./lease-caller.js";
import type { LeaseOperation, ScriptedAnswer } from "./lease-operations.js";

/** Takes that may be answered at once at most, the first to come being forgotten. */
const MOST_UNDERWAY = 8;

/** A tier, and by which limits the store counts under it. */
interface ScriptedTier extends NumberedTier {
  readonly name: string;
  readonly of: readonly TierLimit[];
}

/** What the store was asked, and has not answered for good. */
interface Underway {
  readonly key: string;
  readonly tier: ScriptedTier;
}

/** Plays the same operations, and the same answers of a store, to several engines of leases. */
export class LeaseScript {
  readonly #callers: readonly LeaseCaller[];
  readonly #versions: readonly Tiers[];
  readonly #slots: SlotNames = new Map();
  readonly #maxSlots: number;
  readonly #all: ScriptedTier[] = [];
  #inForce: ScriptedTier[] = [];
  #underway: Underway[] = [];
  /** When something ends, by the monotonic clock. */
  #ends: number[] = [];
  #at: Instant = { now: DECEMBER_30_2026, mono: 10_000 };

  /** The engines are open with the first of the tiers. */
  constructor(callers: readonly LeaseCaller[], versions: readonly Tiers[]) {
    this.#callers = callers;
    this.#versions = versions;
    this.#enact(versions[0] ?? {});
    this.#maxSlots = slotsFor(this.#slots.size);
  }

  /** Plays one operation; returns what each engine has told. */
  play(operation: LeaseOperation): unknown[] {
    this.#advance(operation);
    const { key, tier } = { key: keyOf(operation.key), tier: this.#tierOf(operation) };
    const at = this.#at;
    // As a rule no more than could ever pass.
    const most = Math.min(...tier.of.map(({ rule }) => rule.maxCostMilli));
    const costMilli = operation.pick === 0 ? operation.costMilli : Math.min(operation.costMilli, most);
    switch (operation.kind) {
      case "consume":
        return this.#each((caller) => caller.consume(key, tier, costMilli, at));
      case "burst":
        return Array.from({ length: 2 + (operation.pick % 12) }, () => {
          this.#at = { now: this.#at.now + 3, mono: this.#at.mono + 3 };
          return this.#each((caller) => caller.consume(key, tier, costMilli, this.#at));
        }).reduce(
          (all, told) => all.map((each, index) => [...each, told[index]]),
          this.#each((): unknown[] => []),
        );
      case "peek":
        return this.#each((caller) => caller.peek(key, tier, costMilli, at));
      case "look":
        return this.#each((caller) => caller.look(key, tier, at, false));
      case "ask":
        this.#underway = [...this.#underway, { key, tier }].slice(-MOST_UNDERWAY);
        this.#ends.push(at.mono + ([50, 100, 1000][operation.pick % 3] ?? 0));
        return this.#each((caller) => caller.look(key, tier, at, true));
      case "answer":
        return this.#answer(operation);
      case "sweep":
        return this.#each((caller) => [caller.sweep(at), caller.returns(), caller.report()]);
      case "giveBack":
        return this.#each((caller) => caller.giveBack(key, operation.again, at));
      case "returns":
        return this.#each((caller) => caller.returns());
      case "report":
        return this.#each((caller) => caller.report());
      case "forget":
        return this.#each((caller) => caller.forget(key));
      case "drain":
        return this.#each((caller) => [caller.engine.drain(), caller.returns()]);
      case "count":
        return this.#count(operation);
      case "override":
        return this.#override(tier, operation);
      case "reload":
        return this.#reload(this.#versions[operation.pick % this.#versions.length] ?? {});
      default:
        return this.#each(({ engine }) => [engine.stats(), engine.version]);
    }
  }

  /** All that the engines tell at the end. */
  end(): unknown[] {
    const at = this.#at;
    return this.#each((caller) => [
      caller.sweep(at),
      caller.report(),
      caller.engine.stats(),
      caller.engine.drain(),
      caller.returns(),
      caller.engine.stats(),
    ]);
  }

  #each<T>(call: (caller: LeaseCaller) => T): T[] {
    return this.#callers.map(call);
  }

  /** Has the clocks go on, if so asked to an instant at which something ends, or close to it. */
  #advance({ advanceMs, missesMs, jumpMs, pick }: LeaseOperation): void {
    let step = advanceMs;
    this.#ends = this.#ends.filter((end) => end > this.#at.mono).sort((a, b) => a - b);
    const end = this.#ends[Math.min(pick % 4, this.#ends.length - 1)];
    if (missesMs !== undefined && end !== undefined) step = Math.max(0, end - this.#at.mono + missesMs);
    this.#at = { now: this.#at.now + step + jumpMs, mono: this.#at.mono + step };
  }

  #tierOf({ tier, isOld }: LeaseOperation): ScriptedTier {
    if (!isOld) return this.#inForce[tier % this.#inForce.length] as ScriptedTier;
    const old = this.#all[tier % this.#all.length] as ScriptedTier;
    return this.#inForce.find(({ id }) => id === old.id) ?? old;
  }

  /** Counts a decision made elsewhere, be it under a tier of an earlier version. */
  #count({ tier, pick }: LeaseOperation): unknown[] {
    const { version, id, limits } = this.#all[tier % this.#all.length] as ScriptedTier;
    return this.#each(({ engine }) => [engine.count(version, id, pick % (limits + 1)), engine.stats().tiers]);
  }

  #answer({ pick, answers }: LeaseOperation): unknown[] {
    const rows = answers.flatMap((scripted, index) => {
      const asked = this.#underway[(pick + index) % Math.max(1, this.#underway.length)];
      if (asked === undefined) return [];
      if (!scripted.again) this.#underway = this.#underway.filter((other) => other !== asked);
      return [this.#answerTo(asked, scripted)];
    });
    const { mono } = this.#at;
    for (const { lasts, wait } of rows)
      this.#ends.push(...[lasts, wait, Math.min(wait, 5000)].map((ms) => mono + Math.min(ms, 10_000)));
    this.#ends.push(mono + ([250, 500, 1000][pick % 3] ?? 0));
    if (rows.length === 0) return []; // Nor is the store's time known.
    return this.#each((caller) => [caller.apply(rows, this.#at), caller.engine.storeMs(this.#at.mono)]);
  }

  #answerTo({ key, tier }: Underway, scripted: ScriptedAnswer): Answer {
    const { held, age, spent, denies, again: _, ...answer } = scripted;
    const granted = denies ? 0 : answer.granted;
    const parts = { all: granted, half: Math.floor(granted / 2), more: granted + 5000, none: 0 };
    return {
      ...answer,
      key,
      tier,
      granted,
      held: denies ? 0 : Math.max(0, parts[held as keyof typeof parts]),
      wait: denies ? Math.max(300, answer.wait) : answer.wait,
      at: this.#at.now + answer.lag - age,
      spent: tier.of.map(({ rule }, index) => {
        if (rule.type === "concurrency") return Number.NaN; // Of which nothing is told.
        const most = rule.type === "bucket" ? rule.capacity : rule.maxCostMilli;
        const part = spent[index] ?? 0;
        return denies ? most : Math.floor(most * (rule.type === "quota" ? part : Math.max(0, part)));
      }),
    };
  }

  #override(tier: ScriptedTier, { own }: LeaseOperation): unknown[] {
    const name = overriddenTier(tier.name.replace(/\{.*/, ""), own);
    try {
      const compiled = compileOverridden(name, this.#callers[0]?.engine.tiersOf(tier.version) ?? {}, this.#slots);
      if (compiled === undefined || !name.includes("{")) return [];
      const plain = this.#callers[0]?.engine.tierId(compiled.name) ?? -1;
      const ids = this.#each(({ engine }) => engine.overrideTier(tier.version, plain, name, compiled.spec));
      const { version } = tier;
      this.#add({ name, version, id: ids[0] as number, limits: compiled.limits.length, of: compiled.limits });
      return ids;
    } catch {
      // Such tiers can't be overridden so, which is found before any engine is asked.
      return [];
    }
  }

  #add(tier: ScriptedTier): void {
    if (tier.id < 0) return;
    this.#all.push(tier);
    if (tier.version === this.#callers[0]?.engine.version) this.#inForce.push(tier);
  }

  #reload(tiers: Tiers): unknown[] {
    try {
      compileTiers(tiers, new Map(this.#slots), this.#maxSlots);
    } catch {
      // Too many names for the slots of the first tiers, which is found before any engine is asked.
      return [];
    }
    this.#each(({ engine }) => engine.reload(tiers));
    this.#enact(tiers);
    return this.#each(({ engine }) => [engine.version, this.#inForce.map(({ name }) => engine.tierId(name))]);
  }

  #enact(tiers: Tiers): void {
    const engine = this.#callers[0]?.engine;
    this.#inForce = [];
    for (const [name, { limits }] of compileTiers(tiers, this.#slots)) {
      const [version, id] = [engine?.version ?? 0, engine?.tierId(name) ?? -1];
      this.#add({ name, version, id, limits: limits.length, of: limits });
    }
  }
}

/** Keys whose units are pairs, halves of pairs and Latin letters; some longer than 22. */
function keyOf(number: number): string {
  const names = ["acct:1", "k\u0142", "kB", "\ud83e\udd84", "k\ud800", "x".repeat(22), "y".repeat(23), "z".repeat(512)];
  return names[number] ?? `key-${number}`;
}
