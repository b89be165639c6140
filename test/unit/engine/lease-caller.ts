import { OUTCOME } from "../../../src/engine/frame.js";
import type { CountedRule, LeaseEngine } from "../../../src/engine/lease-engine.js";
import { LEASE_FRAME, LEASE_OUTCOME } from "../../../src/engine/lease-frame.js";

/** One instant by both clocks, in whole ms. */
export interface Instant {
  readonly now: number;
  readonly mono: number;
}

/** A tier by its number, and how many limits it has. */
export interface NumberedTier {
  readonly version: number;
  readonly id: number;
  readonly limits: number;
}

/** What a store has answered, as a row of `apply` has it. */
export interface Answer {
  readonly key: string;
  readonly tier: NumberedTier;
  /** Thousandths that a take has brought in all; -1 for an answer to anything else. */
  readonly granted: number;
  /** Thousandths of it that are to be held, and for how many ms. */
  readonly held: number;
  readonly lasts: number;
  readonly server: number;
  readonly epoch: number;
  /** The key's time, and by how much it is ahead of the store's. */
  readonly at: number;
  readonly lag: number;
  readonly spent: readonly number[];
  readonly wait: number;
  readonly isProvisional: boolean;
  /** Whether another thread's answer may have come before it that is younger. */
  readonly races: boolean;
}

/** What a consume or a peek has told. */
export interface Told {
  readonly code: number;
  /** The limit that denies, from 1; 0 if none does, undefined if nothing was decided. */
  readonly denied?: number;
  readonly version?: number;
  readonly now?: number;
  readonly behind?: number;
  readonly wait?: number;
  readonly spent?: readonly number[];
}

/** What is in no field of a row. */
const UNTOUCHED = -77;

/** Calls an engine of leases, and reads only what it has told. */
export class LeaseCaller {
  readonly engine: LeaseEngine;

  constructor(engine: LeaseEngine) {
    this.engine = engine;
  }

  /** `length` is what stands in the place of the key's. */
  consume(key: string, tier: NumberedTier, cost: number, at: Instant, length = 0): Told {
    this.#begin({ TIER: tier.id, COST: cost, KEY_LENGTH: length, NOW: at.now, MONO: at.mono });
    this.engine.consume(key);
    return this.#told(tier.limits);
  }

  peek(key: string, tier: NumberedTier, cost: number, at: Instant): Told {
    this.#begin({ TIER: tier.id, COST: cost, NOW: at.now, MONO: at.mono });
    this.engine.peek(key);
    return this.#told(tier.limits);
  }

  /** `asks` notes that the store is being asked. */
  look(key: string, tier: NumberedTier, { mono }: Instant, asks: boolean) {
    this.#begin({ TIER: tier.id, MONO: mono });
    if (asks) this.engine.ask(key);
    else this.engine.look(key);
    const code = this.#read(0, "CODE");
    if (code < 0) return { code };
    const [version, held, server] = [this.#read(0, "VERSION"), this.#read(0, "HELD"), this.#read(0, "SERVER")];
    const ahead = asks ? this.#read(0, "AHEAD") : undefined;
    const snapshot = server < 0 ? undefined : this.#snapshot(0, tier.limits);
    return { code, version, held, ahead, snapshot };
  }

  apply(answers: readonly Answer[], { mono }: Instant): number[] {
    this.engine.frame.fill(UNTOUCHED);
    for (const [row, answer] of answers.entries()) {
      const { key, tier, granted, held, lasts, server, epoch, at, lag, spent, wait, isProvisional, races } = answer;
      const [TIER, VERSION, KEY_LENGTH, NOW, LAG] = [tier.id, tier.version, key.length, at, lag];
      const of = { TIER, VERSION, KEY_LENGTH, NOW, LAG, COST: granted, HELD: held, AHEAD: lasts, SERVER: server };
      const [IS_PROVISIONAL, RACES] = [Number(isProvisional), Number(races)];
      this.#write(row, { ...of, EPOCH: epoch, WAIT: wait, IS_PROVISIONAL, RACES, MONO: mono });
      spent.forEach((amount, index) => {
        this.engine.frame[row * LEASE_FRAME.ROW + LEASE_FRAME.SPENT + index] = amount;
      });
    }
    this.engine.apply(answers.map(({ key }) => key).join(""), answers.length);
    return answers.map((_, row) => this.#read(row, "CODE"));
  }

  forget(key: string): void {
    this.engine.forget(key);
  }

  giveBack(key: string, again: boolean, { mono }: Instant): void {
    this.#begin({ MONO: mono });
    this.engine.giveBack(key, again);
  }

  /** Sweeps until nothing is due any more, and every key was looked at. */
  sweep({ now, mono }: Instant): void {
    let quiet = 0;
    while (quiet < 3) quiet = this.engine.sweep(now, mono) ? 0 : quiet + 1;
  }

  /** All that is to be given back: thousandths by key, rules and when they were taken. */
  returns(): Record<string, number> {
    const returns: Record<string, number> = {};
    for (;;) {
      const { count, keys } = this.engine.takeReturns();
      if (count === 0) return sorted(returns);
      for (const { row, key, rules } of this.#rows(count, keys)) {
        const name = `${key} ${this.#read(row, "NOW")} ${rules.map(textOf).join()}`;
        returns[name] = (returns[name] ?? 0) + this.#read(row, "HELD");
      }
    }
  }

  /** All that is known, by key. */
  report() {
    const report: Record<string, { rules: readonly CountedRule[]; snapshot: unknown }> = {};
    this.engine.startReport();
    for (;;) {
      const { count, keys } = this.engine.nextReport();
      if (count === 0) return sorted(report);
      for (const { row, key, rules } of this.#rows(count, keys)) {
        if (key in report) throw new Error(`${key} is told of twice`);
        report[key] = { rules, snapshot: this.#snapshot(row, rules.length) };
      }
    }
  }

  #rows(count: number, keys: string) {
    let start = 0;
    return Array.from({ length: count }, (_, row) => {
      const key = keys.slice(start, start + this.#read(row, "KEY_LENGTH"));
      start += key.length;
      return { row, key, rules: this.engine.rulesOf(this.#read(row, "RULES")) };
    });
  }

  #snapshot(row: number, limits: number) {
    const [server, epoch, at] = [this.#read(row, "SERVER"), this.#read(row, "EPOCH"), this.#read(row, "NOW")];
    return { server, epoch, at, spent: this.#spent(row, limits) };
  }

  #spent(row: number, limits: number): number[] {
    const at = row * LEASE_FRAME.ROW + LEASE_FRAME.SPENT;
    return [...this.engine.frame.subarray(at, at + limits)];
  }

  #told(limits: number): Told {
    const code = this.#read(0, "CODE");
    if (code < 0) return { code };
    const version = this.#read(0, "VERSION");
    if (code & LEASE_OUTCOME.ASK) return { code, version };
    return {
      code,
      version,
      denied: code & OUTCOME.LIMIT_MASK,
      now: this.#read(0, "NOW"),
      behind: code & OUTCOME.BEHIND ? this.#read(0, "BEHIND") : 0,
      ...(code & LEASE_OUTCOME.WAIT ? { wait: this.#read(0, "WAIT") } : {}),
      spent: this.#spent(0, limits),
    };
  }

  #begin(fields: Fields): void {
    this.engine.frame.fill(UNTOUCHED, 0, LEASE_FRAME.ROW);
    this.#write(0, fields);
  }

  #write(row: number, fields: Fields): void {
    for (const [name, value] of Object.entries(fields)) {
      this.engine.frame[row * LEASE_FRAME.ROW + LEASE_FRAME[name as FieldName]] = value;
    }
  }

  #read(row: number, name: FieldName): number {
    return this.engine.frame[row * LEASE_FRAME.ROW + LEASE_FRAME[name]] as number;
  }
}

type FieldName = Exclude<keyof typeof LEASE_FRAME, "ROW" | "ROWS">;
type Fields = Partial<Record<FieldName, number>>;

function textOf(rule: CountedRule): string {
  return JSON.stringify(sorted({ ...rule }));
}

function sorted<T>(record: Record<string, T>): Record<string, T> {
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Whether nothing was decided. */
export function asks({ code }: Told): boolean {
  return code >= 0 && (code & LEASE_OUTCOME.ASK) !== 0;
}

/** Noon of a day in the middle of a month, by the store's time. */
export const NOON = Date.UTC(2026, 5, 15, 12);

/** An instant so many ms after noon. */
export function at(ms: number): Instant {
  return { now: NOON + ms, mono: 5000 + ms };
}

/** A take of one token that the store has answered at noon, when nothing was spent; or another answer. */
export function answerTo(key: string, tier: NumberedTier, more: Partial<Answer> = {}): Answer {
  const [granted, lasts, server, epoch, lag, wait] = [1000, 1000, 0, 7, 0, 0];
  const spent = Array.from({ length: tier.limits }, () => 0);
  const answer = { key, tier, granted, held: granted, lasts, server, epoch, at: NOON, lag, spent, wait };
  return { ...answer, isProvisional: false, races: false, ...more };
}
