import type { CostMilli } from "./cost.js";
import type { Frame } from "./frame.js";
import type { LedgerHandle, LedgerSettings } from "./ledger-handle.js";
import type { TakenPlace } from "./places.js";
import type { RecordStore } from "./record-store.js";
import type { TierSpec, Tiers } from "./spec.js";

/** Decisions of one tier since the limiter was opened. */
export interface TierStats {
  /** Its name. */
  tier: string;
  /** Decisions that let the call in. */
  allowed: number;
  /** Denials by the limit that denied. */
  denied: Record<string, number>;
}

/** What an engine has counted since the limiter was opened. */
export interface EngineStats {
  /** Keys held now. */
  keys: number;
  /** Keys forgotten by the sweep or to make room, none of which was limited or had used any of a quota. */
  evictions: number;
  /** Decisions made on the shared overflow bucket of their tier because `maxKeys` was reached. */
  overflow: number;
  /** Places that running calls hold of limits of concurrency; those that have timed out may be among them for a second. */
  places: number;
  /** The same by tier. */
  tiers: TierStats[];
}

/** The same as an engine tells it, to which a shadow limit is a tier as any other. */
export interface EngineCounts extends Omit<EngineStats, "overflow" | "tiers"> {
  tiers: EngineTierCounts[];
}

/** Decisions of one tier as an engine tells them. */
export interface EngineTierCounts extends TierStats {
  /** Decisions made on the tier's overflow bucket. */
  overflow: number;
}

/** What is to be known of a decision to correct it. */
export interface DecisionRef {
  /** The version of the tiers that decided. */
  readonly version: number;
  /** The number of the tier. */
  readonly tier: number;
  /** When it was decided, in ms since the epoch. */
  readonly atMs: number;
}

/**
 * Holds the state of every key and decides. An engine reports amounts, not limits: what remains and when it resets is
 * arithmetic over the tier's limits, done by `Decision` only when somebody asks.
 *
 * `nowMs` is whole milliseconds since the epoch, or -1 for the system's clock.
 */
export interface Engine {
  readonly kind: "native" | "js";
  /** The numbers that go into a call and come out of it, laid out as in {@link FRAME}; valid until the next call. */
  readonly frame: Frame;
  /** Counts the reloads of the tiers. */
  readonly version: number;
  /** The tiers of a version that is in force or was. */
  tiersOf(version: number): Tiers;
  /** The number that stands for a tier in the calls below, the same for as long as the engine lives; -1 if there is none. */
  tierId(name: string): number;
  /**
   * The number of a tier like `tier`, of a version in force or earlier, but with other limits, whose names are known; -1 if
   * that version has no such tier. Its decisions are counted as those of `tier`. It decides until the next reload.
   *
   * The engine holds those that were used last, 32,768 or a few less; to one that is forgotten it answers as to an unknown
   * tier, and made anew it has another number.
   *
   * @param name Names the tier with these limits: of one name and version it is held once.
   * @throws {TollkeeperError} `ERR_TOO_MANY_LIMITS`
   */
  overrideTier(version: number, tier: number, name: string, spec: TierSpec): number;
  /** Decides and, if allowed, spends. */
  consume(key: string): void;
  /** Decides and changes nothing. */
  peek(key: string): void;
  /** One `consume` for each of the first `count` rows, in order; `keys` is their keys, joined. */
  consumeMany(keys: string, count: number): void;
  /**
   * One `consume` for each of the first `count` rows, at most {@link FRAME.ROWS}, all of which spend or none; `keys` is their
   * keys, joined. Each row's code is its own: one of 0 has spent nothing beside one that denies. If a row can't be decided,
   * its code says why, and that of all others stays as it was.
   */
  consumeAll(keys: string, count: number): void;
  /**
   * Corrects an allowed decision by `deltaMilli`: below 0 gives tokens back, above 0 charges more, even past empty.
   * Quotas are corrected only while the period of the decision lasts. `flags` is a sum of {@link ADJUST}. Whether the tier
   * was known: one with overrides may be forgotten.
   */
  adjust(key: string, deltaMilli: CostMilli, decision: DecisionRef, flags: number, nowMs: number): boolean;
  /**
   * Grants a key thousandths of a token of a quota, the limit of that name of a tier in force; if it `keeps` them, what is
   * left of them outlasts the period. Whether the tier was known: one with overrides may be forgotten.
   *
   * @throws {TollkeeperError} `ERR_GRANT_INVALID` if it is no quota, or that is more than can be counted; `ERR_TABLE_FULL`
   */
  grant(key: string, tier: number, limit: string, milli: number, keeps: boolean, nowMs: number): boolean;
  /** Gives a place back that a decision has taken; whether it was not over, nor given back before. */
  release(key: string, place: TakenPlace, nowMs: number): boolean;
  /** Forgets a key, and the places that it holds. */
  reset(key: string): void;
  /** Puts other tiers in force from the next decision on; throws and changes nothing if they can't be used. */
  reload(tiers: Tiers): void;
  /** Looks at a small part of the table, round and round, and forgets the keys that are as good as new. */
  sweep(nowMs: number): void;
  stats(): EngineCounts;
  /** Writes what changed since the last flush to the storage file, off the event loop. */
  flush(): Promise<void>;
  /** Releases the engine, after a last flush; may be called again if that fails, and not if it does not. */
  close(): Promise<void>;
  /**
   * Opens the ledger of the table, or joins the one that is open; undefined if there is no binding.
   *
   * @throws {TollkeeperError} `ERR_OPTION_INVALID`, `ERR_STORAGE_…`
   */
  openLedger(settings: LedgerSettings): LedgerHandle | undefined;
  /** Whether state is kept in a file. */
  readonly isDurable: boolean;
  /** Small records kept beside the keys in the storage file, for the API keys of an app. */
  readonly records: RecordStore;
}

/** How an engine is opened. */
export interface EngineOptions {
  name: string;
  tiers: Tiers;
  maxKeys: number;
  /** Path of the storage file, if state is to be durable. */
  file?: string | undefined;
  /** Told of what has happened to that file. */
  onStorageNote?: ((note: unknown) => void) | undefined;
}
