import type { Engine, EngineCounts } from "./engine.js";
import type { Frame } from "./frame.js";
import type { PeriodName } from "./period.js";

/** A limit as a key was counted by it: integers, as the rules of `Bucket` and `Quota` take them. */
export type CountedRule =
  | {
      readonly name: string;
      readonly type: "bucket";
      readonly limitMilli: number;
      readonly windowMs: number;
      readonly burstMilli: number;
      /** Left out where a denial begins no block. */
      readonly blockMs?: number | undefined;
    }
  | {
      readonly name: string;
      readonly type: "quota";
      readonly limitMilli: number;
      readonly period: PeriodName;
      /** Of weeks and months. */
      readonly anchorDay?: number;
      /** Of years. */
      readonly anchorMonth?: number;
    };

/** What a lease engine has counted since it was opened; `keys` are those of which something is known or held. */
export interface LeaseCounts extends Omit<EngineCounts, "places"> {
  /** Thousandths held now. */
  readonly held: number;
  /** Replies whose key found no room. */
  readonly overflow: number;
}

/**
 * Holds what one replica knows and holds of every key, and decides from that; what it can't decide is to be asked of the
 * store by the caller, who applies the answer. Numbers stand in the frame, as `LEASE_FRAME` lays them out.
 *
 * Two clocks: `NOW` is the store's time in ms since the epoch, or -1 for what the engine makes of its own clock and of
 * what the store has said last; `MONO` a monotonic one in whole ms, or -1 for the engine's own. A caller gives both or neither.
 */
export interface LeaseEngine extends Pick<Engine, "version" | "tiersOf" | "tierId" | "overrideTier" | "reload"> {
  readonly kind: "native" | "js";
  readonly frame: Frame;
  /** Names the replica to the others: all threads that share the table are one. */
  readonly replica: string;
  /** Tells the threads of a replica apart, from 0: corrections are numbered in each. */
  readonly lane: number;
  /** Threads that share the table now. */
  readonly users: number;

  /**
   * Decides from what is held or believed, and spends; else {@link LEASE_OUTCOME.ASK}. In: TIER, COST above 0, NOW, MONO.
   * Out: CODE, VERSION, NOW, BEHIND, SPENT, WAIT. Brings a known key under the tier: what was granted under another goes to the
   * returns (RETURNS is set), what is known is converted, no denial is believed. A tier without limits allows at once.
   */
  consume(key: string): void;
  /** Says what `consume` would, for any cost, if the key is under this tier, holds something, and was heard of within `leaseMs`; else ASK. Changes nothing. */
  peek(key: string): void;
  /**
   * What a take for the key should say. In: TIER, MONO. Out: VERSION, HELD, AHEAD, and what is known in the units of the tier
   * (SERVER, EPOCH, NOW, SPENT; SERVER -1 if nothing, or under another tier; an amount that is not known is NaN). Notes that
   * it is being asked, so that nobody asks ahead beside it for as long as `timeoutMs`. Closes the window of the rate when due.
   */
  ask(key: string): void;
  /** The same without noting anything and without AHEAD. */
  look(key: string): void;
  /**
   * Takes in what the store has answered, of the first `count` rows; `keys` is their keys, joined. In per row: KEY_LENGTH,
   * TIER and VERSION that were asked about, NOW and LAG (the key's time and its lag), SERVER, EPOCH, SPENT in the order of the
   * tier's limits, HELD, AHEAD (lasts), WAIT, IS_PROVISIONAL, MONO, RACES. Out: CODE, one of `APPLIED`.
   *
   * An answer about the epoch that is known, but from before what is known, teaches nothing; one with SERVER -1 neither. Of
   * one of the same instant that RACES, each limit's amount is learned if it is the larger.
   * A take stops asking ahead for a sixteenth of `leaseMs`, or for a quarter if nothing was to be had.
   */
  apply(keys: string, count: number): void;
  /** Forgets what is known, held and believed of a key. */
  forget(key: string): void;
  /**
   * What is held of a key goes to the returns; `again` lets the store be asked at once, else nothing is asked ahead for a
   * quarter of `leaseMs`. In: MONO.
   */
  giveBack(key: string, again: boolean): void;
  /**
   * Has what has expired, or lies idle for half of `leaseMs`, go to the returns; a part of it, and forgets keys that hold nothing and
   * are as good as new. Whether there is more to do now.
   */
  sweep(nowMs: number, monoMs: number): boolean;
  /** Has all that is held go to the returns. */
  drain(): void;
  /**
   * Takes what is to be given back out, as many as the frame has rows: the number of rows, and their keys, joined. Per row
   * KEY_LENGTH, HELD (thousandths), NOW (when it was taken, by the store's time), RULES.
   */
  takeReturns(): { readonly count: number; readonly keys: string };
  /** Begins to tell all that is known. */
  startReport(): void;
  /** The next of it, as `takeReturns`: per row KEY_LENGTH, RULES, SERVER, EPOCH, NOW, SPENT in the order of the rules. No rows at the end. */
  nextReport(): { readonly count: number; readonly keys: string };
  /** The rules that a number of a row just read stands for, which is never given to others. */
  rulesOf(number: number): readonly CountedRule[];
  /** The number of a server's name, below 2^13 and the same for all threads; -1 if there are too many. And back. */
  serverId(name: string): number;
  serverName(id: number): string;
  /** The store's time by what it has said last, or the system's if it has said nothing; `monoMs` as MONO. */
  storeMs(monoMs: number): number;
  /** Counts a decision that was made elsewhere: `denied` as of OUTCOME, 0 if allowed. */
  count(version: number, tier: number, denied: number): void;
  stats(): LeaseCounts;
  /**
   * Keeps what this thread owes the store under a number of its own, undefined once it is settled: should the thread end
   * without closing, those who share the table inherit it. Nothing where a table is not shared.
   */
  keepDebt(id: number, text: string | undefined): void;
  /** What threads that have ended have left, once. */
  inherit(): readonly string[];
  /** Leaves the table; whether nobody is left who shares it. The calls above still work until `close`. */
  leave(): boolean;
  /** Lets the table go. */
  close(): void;
  /**
   * Lets the table go as a thread that ends without closing: it stays under its name, with what this thread still owes, for
   * the others or for whoever opens that name next.
   */
  abandon(): void;
}

/** How a lease engine is opened. */
export interface LeaseEngineOptions {
  /** Those of one name share a table, in every thread of the process, if the engine is native; empty for a table of its own. */
  readonly name: string;
  /** What else they must agree on: the store and the mode, as text. */
  readonly agreement: string;
  readonly tiers: import("./spec.js").Tiers;
  readonly maxKeys: number;
  readonly leaseMs: number;
  readonly timeoutMs: number;
  /** Names the replica if the table is new. */
  readonly replica: string;
}
