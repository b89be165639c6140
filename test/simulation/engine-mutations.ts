import type { CountedRule, LeaseEngine } from "../../src/engine/lease-engine.js";
import { APPLIED, LEASE_FRAME, LEASE_OUTCOME } from "../../src/engine/lease-frame.js";
import { Delegate, type Told } from "./delegate.js";

const { ROW, TIER, COST, KEY_LENGTH, NOW, CODE, VERSION, MONO, WAIT, HELD, AHEAD, SERVER } = LEASE_FRAME;
const { IS_PROVISIONAL, LAG, RACES, RULES } = LEASE_FRAME;

/** Makes an engine that does something wrong of one that does not: for each lane of a process, which have a table in common. */
export type Spoil = (engine: LeaseEngine, table: object, leaseMs: number) => LeaseEngine;

/** A spoilt engine: it remembers frames that it must not be seen to have used. */
class Spoilt extends Delegate {
  /** Runs calls of the engine beside the one that is under way. */
  protected aside<T>(rows: number, use: () => T): T {
    const before = this.frame.slice(0, rows * ROW);
    const result = use();
    this.frame.set(before);
    return result;
  }

  protected read(number: number): number {
    return this.frame[number] as number;
  }

  /** Adds a grant to what a key holds, which nobody has given. */
  protected grant(key: string, tier: number, milli: number, lastsMs: number): boolean {
    const frame = this.frame;
    const [nowMs, monoMs, version] = [this.read(NOW), this.read(MONO), this.inner.version];
    frame.fill(0, 0, ROW);
    frame[TIER] = tier;
    frame[VERSION] = version;
    frame[COST] = milli;
    frame[KEY_LENGTH] = key.length;
    frame[NOW] = nowMs;
    frame[MONO] = monoMs;
    frame[SERVER] = -1;
    frame[HELD] = milli;
    frame[AHEAD] = lastsMs;
    frame[WAIT] = -1;
    this.inner.apply(key, 1);
    return this.read(CODE) === APPLIED.KEPT;
  }
}

/** Who has spent of a key last, by table: the other lanes still see what there was before that. */
const spenders = new WeakMap<object, Map<string, LeaseEngine>>();

/** Two lanes that spend of a key one after the other spend the same tokens. */
class SpentTwice extends Spoilt {
  readonly #spender: Map<string, LeaseEngine>;
  readonly #leaseMs: number;

  constructor(inner: LeaseEngine, table: object, leaseMs: number) {
    super(inner);
    this.#spender = spenders.get(table) ?? new Map();
    spenders.set(table, this.#spender);
    this.#leaseMs = leaseMs;
  }

  override consume(key: string): void {
    const spender = this.#spender.get(key);
    const [tier, cost] = [this.read(TIER), this.read(COST)];
    if (spender !== undefined && spender !== this && this.#held(key) >= cost) {
      this.#spender.delete(key);
      this.aside(1, () => this.grant(key, tier, cost, this.#leaseMs));
    }
    this.inner.consume(key);
    if ((this.read(CODE) & ~(LEASE_OUTCOME.LOW | LEASE_OUTCOME.RETURNS)) === 0) this.#spender.set(key, this);
  }

  #held(key: string): number {
    return this.aside(1, () => {
      this.inner.look(key);
      return this.read(CODE) === 0 ? this.read(HELD) : 0;
    });
  }
}

/** Takes in each answer as if it had come twice. */
class AppliedTwice extends Spoilt {
  override apply(keys: string, count: number): void {
    this.aside(count, () => this.inner.apply(keys, count));
    this.inner.apply(keys, count);
  }
}

/** Hands out what is granted long after it may be. */
class Endless extends Spoilt {
  override apply(keys: string, count: number): void {
    for (let at = 0; at < count * ROW; at += ROW) this.frame[at + AHEAD] = 10 * this.read(at + AHEAD);
    this.inner.apply(keys, count);
  }
}

/** Leaves to another tier, token for token, what was granted under one. */
class CarriedOver extends Spoilt {
  readonly #others: { readonly key: string; readonly row: Float64Array }[] = [];
  /** An engine tells rules only of what it has told last. */
  readonly #rules = new Map<number, readonly CountedRule[]>();
  readonly #leaseMs: number;

  constructor(inner: LeaseEngine, _: object, leaseMs: number) {
    super(inner);
    this.#leaseMs = leaseMs;
  }

  override consume(key: string): void {
    const tier = this.read(TIER);
    this.inner.consume(key);
    if ((this.read(CODE) & LEASE_OUTCOME.RETURNS) === 0 || this.read(CODE) < 0) return;
    this.aside(1, () => {
      const [nowMs, monoMs] = [this.read(NOW), this.read(MONO)];
      for (const returned of this.#drawn()) {
        this.frame[NOW] = nowMs;
        this.frame[MONO] = monoMs;
        const milli = returned.row[HELD] as number;
        if (returned.key !== key || !this.grant(key, tier, milli, this.#leaseMs)) this.#others.push(returned);
      }
    });
  }

  override takeReturns(): Told {
    if (this.#others.length === 0) return this.inner.takeReturns();
    const told = this.#others.splice(0, this.frame.length / ROW);
    told.forEach(({ row }, index) => void this.frame.set(row, index * ROW));
    return { count: told.length, keys: told.map(({ key }) => key).join("") };
  }

  override rulesOf(number: number): readonly CountedRule[] {
    return this.#rules.get(number) ?? this.inner.rulesOf(number);
  }

  #drawn(): { key: string; row: Float64Array }[] {
    const drawn: { key: string; row: Float64Array }[] = [];
    for (let told = this.inner.takeReturns(); told.count > 0; told = this.inner.takeReturns()) {
      let start = 0;
      for (let at = 0; at < told.count * ROW; at += ROW) {
        const end = start + this.read(at + KEY_LENGTH);
        this.#rules.set(this.read(at + RULES), this.inner.rulesOf(this.read(at + RULES)));
        drawn.push({ key: told.keys.slice(start, end), row: this.frame.slice(at, at + ROW) });
        start = end;
      }
    }
    return drawn;
  }
}

/** Takes what is known of a key under one tier for what is known of it under another. */
class Unconverted extends Spoilt {
  readonly #tiers = new Map<string, number>();

  override consume(key: string): void {
    const tier = this.read(TIER);
    const before = this.#tiers.get(key);
    this.#tiers.set(key, tier);
    const known = before === undefined || before === tier ? undefined : this.#known(key, before);
    this.inner.consume(key);
    if (known === undefined) return;
    this.aside(1, () => {
      const [nowMs, monoMs] = [this.read(NOW), this.read(MONO)];
      this.frame.set(known);
      this.frame[TIER] = tier;
      this.frame[COST] = -1;
      this.frame[KEY_LENGTH] = key.length;
      this.frame[LAG] = 0;
      this.frame[NOW] = nowMs;
      this.frame[MONO] = monoMs;
      this.frame[HELD] = 0;
      this.frame[WAIT] = -1;
      this.frame[IS_PROVISIONAL] = 0;
      this.frame[RACES] = 0;
      this.inner.apply(key, 1);
    });
  }

  #known(key: string, tier: number): Float64Array | undefined {
    return this.aside(1, () => {
      this.frame[TIER] = tier;
      this.inner.look(key);
      return this.read(CODE) === 0 && this.read(SERVER) >= 0 ? this.frame.slice(0, ROW) : undefined;
    });
  }
}

/** Takes the answer that comes last for the younger of one instant, whoever else tells of answers. */
class LastOfAnInstant extends Spoilt {
  override apply(keys: string, count: number): void {
    for (let at = 0; at < count * ROW; at += ROW) this.frame[at + RACES] = 0;
    this.inner.apply(keys, count);
  }
}

/** Loses what a thread that has ended owes. */
class Disinherited extends Delegate {
  override inherit(): readonly string[] {
    this.inner.inherit();
    return [];
  }
}

/** Leaves to each of two threads what one that has ended owes. */
class InheritedTwice extends Delegate {
  override inherit(): readonly string[] {
    return this.inner.inherit().flatMap((debt) => [debt, debt]);
  }
}

/** Faults that an engine of leases must not have. */
export const ENGINE_FAULTS = {
  "a grant spent by two threads": (engine, table, leaseMs) => new SpentTwice(engine, table, leaseMs),
  "a reply applied twice": (engine) => new AppliedTwice(engine),
  "a grant that outlives its end": (engine) => new Endless(engine),
  "a grant carried to another tier as it is": (engine, table, leaseMs) => new CarriedOver(engine, table, leaseMs),
  "amounts carried to another tier as they are": (engine) => new Unconverted(engine),
  "the last answer of an instant believed": (engine) => new LastOfAnInstant(engine),
  "debts that nobody inherits": (engine) => new Disinherited(engine),
  "debts that two inherit": (engine) => new InheritedTwice(engine),
} satisfies Record<string, Spoil>;
