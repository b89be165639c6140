import {
  type Expected,
  type ExpectedAll,
  finite,
  type Operation,
  toExpected,
  toExpectedLimit,
  type Vector,
} from "../vector.js";
import { type Call, type Cost, Misuse, Model, type Subject, type TierRules } from "./model.js";

/** Steps of a vector, with what the model says of each. A step that hangs on a rounding is left out. */
export class Trace {
  now: number;
  readonly #name: string;
  readonly #tiers: TierRules;
  readonly #model: Model;
  readonly #ops: Operation[] = [];
  /** By the index of their step. */
  readonly #calls = new Map<number, readonly Call[]>();

  /** `now` is when it begins, in ms since the epoch. */
  constructor(name: string, tiers: TierRules, now: number) {
    this.now = now;
    this.#name = name;
    this.#tiers = tiers;
    this.#model = new Model(tiers);
  }

  get vector(): Vector {
    return { name: this.#name, tiers: this.#tiers, ops: this.#ops };
  }

  /** Steps whose decisions may still be corrected or released: all that spent something, and were not forgotten. */
  get spending(): number[] {
    return [...this.#calls.keys()];
  }

  /** The decisions of a step. */
  callsOf(of: number): readonly Call[] {
    return this.#calls.get(of) ?? [];
  }

  /** Lets time go on. */
  pass(ms: number): this {
    this.now += ms;
    return this;
  }

  /** Returns the index of the step; undefined if it was left out. */
  consume(key: string, tier: string, cost: Cost = 1): number | undefined {
    return this.#decide("consume", { key, tier, cost });
  }

  peek(key: string, tier: string, cost: Cost = 1): number | undefined {
    return this.#decide("peek", { key, tier, cost });
  }

  consumeAll(subjects: Subject[]): number | undefined {
    const expected = this.#try(() => {
      const calls = this.#model.decideAll(subjects, this.now, false);
      if (calls.some(({ isUnclear }) => isUnclear) || denierOf(calls) === undefined) return undefined;
      return this.#keep(this.#model.decideAll(subjects, this.now, true));
    });
    if (expected === undefined) return undefined;
    const expect = "error" in expected ? expected : expectedOfAll(expected);
    return this.#add({ t: this.now, op: "consumeAll", subjects, expect });
  }

  refund(of: number, part?: "quotas"): this {
    const done = this.callsOf(of).map((call) => this.#model.refund(call, this.now, part));
    this.#add({ t: this.now, op: "refund", of, ...(part && { part }), returns: done.includes(true) });
    return this;
  }

  settle(of: number, cost: Cost): this {
    const done = this.callsOf(of).map((call) => this.#model.settle(call, cost, this.now));
    this.#add({ t: this.now, op: "settle", of, cost, returns: done.includes(true) });
    return this;
  }

  charge(of: number, cost: Cost): this {
    const done = this.callsOf(of).map((call) => this.#model.charge(call, cost, this.now));
    this.#add({ t: this.now, op: "charge", of, cost, returns: done.includes(true) });
    return this;
  }

  release(of: number): this {
    const done = this.callsOf(of).map((call) => this.#model.release(call, this.now));
    this.#add({ t: this.now, op: "release", of, returns: done.includes(true) });
    return this;
  }

  grant(key: string, tier: string, tokens: number, limit: string, keep = false): this {
    this.#model.grant(key, tier, tokens, limit, keep, this.now);
    this.#add({ t: this.now, op: "grant", key, tier, tokens, limit, keep });
    return this;
  }

  /** Of decisions before it nothing may be corrected any more: what that would change is another key's. */
  reset(key: string): this {
    this.#model.reset(key);
    for (const [index, calls] of this.#calls) if (calls.some((call) => call.key === key)) this.#calls.delete(index);
    this.#add({ t: this.now, op: "reset", key });
    return this;
  }

  /** Whether every quota of a step's decisions still counts the period that was charged. */
  isOfThePeriod(of: number): boolean {
    return this.callsOf(of).every((call) => this.#model.isOfThePeriod(call, this.now));
  }

  #decide(op: "consume" | "peek", subject: Subject): number | undefined {
    const expected = this.#try(() => {
      const peeked = this.#model.decide(subject, this.now, false);
      if (peeked.isUnclear) return undefined;
      return op === "peek" ? [peeked] : this.#keep([this.#model.decide(subject, this.now, true)]);
    });
    if (expected === undefined) return undefined;
    const expect = "error" in expected ? expected : toExpected((expected[0] as Call).said);
    return this.#add({ t: this.now, op, ...subject, expect });
  }

  /** Has decisions be those of the next step. */
  #keep(calls: readonly Call[]): readonly Call[] {
    if (calls.some(({ isOpen }) => isOpen)) this.#calls.set(this.#ops.length, calls);
    return calls;
  }

  #try<T>(decide: () => T): T | { error: string } {
    try {
      return decide();
    } catch (error) {
      if (error instanceof Misuse) return { error: error.code };
      throw error;
    }
  }

  #add(operation: Operation): number {
    return this.#ops.push(operation) - 1;
  }
}

/** Which of the calls denies the longest, null if none does; undefined if two do for equally long. */
function denierOf(calls: readonly Call[]): number | null | undefined {
  const waits = calls.map(({ said }) => said.retryAfterMs);
  const longest = Math.max(...waits);
  if (longest === 0) return null;
  if (Number.isFinite(longest) && waits.filter((wait) => longest - wait <= 2).length > 1) return undefined;
  return waits.indexOf(longest);
}

function expectedOfAll(calls: readonly Call[]): ExpectedAll {
  const denied = denierOf(calls) ?? null;
  const retryAfterMs = denied === null ? 0 : finite((calls[denied] as Call).said.retryAfterMs);
  const limits: Expected["limits"][] = calls.map(({ said }) => said.limits.map(toExpectedLimit));
  return { allowed: denied === null, denied, retryAfterMs, limits };
}
