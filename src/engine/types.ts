import type { TollkeeperError } from "../errors.js";

/** A token bucket: `limit` tokens a window, refilled continuously, holding at most `limit × burst`. */
export interface BucketSpec {
  name: string;
  type: "bucket";
  /** Tokens refilled in one window; above 0, at most three decimals. */
  limit: number;
  /** Length of the window in seconds; above 0, at most three decimals. */
  windowSeconds: number;
  /** Capacity as a multiple of `limit`; from 1, at most three decimals. */
  burst: number;
  /** Whether it only counts what it would deny, and denies nothing; false by default. */
  shadow?: boolean | undefined;
}

/** A quota: `limit` tokens per calendar period in UTC. */
export interface QuotaSpec {
  name: string;
  type: "quota";
  /** Tokens of one period; above 0, at most three decimals. */
  limit: number;
  period: "day" | "month";
  /** Day of the month, 1 to 31, on which a month begins; clamped to the month's last day. 1 by default. */
  anchorDay?: number | undefined;
  /** Whether it only counts what it would deny, and denies nothing; false by default. */
  shadow?: boolean | undefined;
}

/** One limit of a tier. */
export type LimitSpec = BucketSpec | QuotaSpec;

/** A named set of limits; none at all means unlimited. */
export interface TierSpec {
  limits: readonly LimitSpec[];
}

/** All tiers by name. */
export type Tiers = Readonly<Record<string, TierSpec>>;

/** Decisions of one tier since the limiter was opened. */
export interface TierStats {
  tier: string;
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

/** How `consume` and `peek` of an engine ended, in {@link Engine.frame}. */
export const OUTCOME = {
  /** 0: allowed. 1 to 4: denied by the first to fourth limit of the tier. */
  LIMIT_MASK: 7,
  /** Set when the decision was made on the tier's overflow bucket. */
  OVERFLOW: 8,
  /** Set when the instant told lies before the one that the key is at; {@link FRAME.BEHIND} says by how much. */
  BEHIND: 16,
  KEY_INVALID: -1,
  TIER_UNKNOWN: -2,
  COST_INVALID: -3,
  COST_EXCEEDS_CAPACITY: -4,
  FAILED: -5,
  CLOSED: -6,
} as const;

/** What is to be known of a decision to correct it. */
export interface DecisionRef {
  /** The version of the tiers that decided. */
  readonly version: number;
  /** The number of the tier. */
  readonly tier: number;
  /** When it was decided, in ms since the epoch. */
  readonly atMs: number;
}

/** How {@link Engine.adjust} corrects. */
export const ADJUST = {
  /** Leave the buckets alone. */
  QUOTAS_ONLY: 1,
  /** The decision was made on the overflow bucket of its tier. */
  OVERFLOW: 8,
} as const;

/**
 * What a row of {@link Engine.frame} holds where. A single call has the first row, a batch one for each key.
 *
 * The numbers of a call are here and not among its arguments, since reading and returning them over Node-API would take
 * as long as the decision.
 */
export const FRAME = {
  /** Set before a call: the number of the tier. */
  TIER: 0,
  /** Set before a call: the cost, in thousandths of a token. */
  COST: 1,
  /** Set before a call of many: the length of the row's key, in UTF-16 units. */
  KEY_LENGTH: 2,
  /** After a call whose code has {@link OUTCOME.BEHIND}: for how many ms the key stands still until the clock is there. */
  BEHIND: 2,
  /** Set before a call: whole ms since the epoch, or -1 for the system's clock. After it: the instant of the decision. */
  NOW: 3,
  /** After a call: an {@link OUTCOME}; what follows is there if it is 0 or more. */
  CODE: 4,
  /** After a call: the version of the tiers that decided; see {@link Engine.version}. */
  VERSION: 5,
  /** After a call, from here on: one amount spent per limit of the tier, in the limit's own units. */
  SPENT: 6,
  /** Numbers of a row. */
  ROW: 10,
  /** Rows, which are the most keys of one batch. */
  ROWS: 64,
} as const;

/** The numbers of {@link Engine.frame}, which TypeScript can't know to be there. */
export type Frame = Float64Array & { readonly [index: number]: number };

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
   * Corrects an allowed decision by `deltaMilli`: below 0 gives tokens back, above 0 charges more, even past empty.
   * Quotas are corrected only while the period of the decision lasts. `flags` is a sum of {@link ADJUST}. Whether the tier
   * was known: one with overrides may be forgotten.
   */
  adjust(key: string, deltaMilli: number, decision: DecisionRef, flags: number, nowMs: number): boolean;
  /** Forgets a key. */
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
  /** Small records kept beside the keys in the storage file, for the API keys of an app. */
  readonly records: RecordStore;
}

/** Is told of a record that was written, with its value, or deleted. */
export type RecordListener = (name: string, value: string | undefined) => void;

/** Named records, durable when the storage is. */
export interface RecordStore {
  get(name: string): string | undefined;
  /** Every record whose name begins with `prefix`, ordered by name. */
  list(prefix: string): [name: string, value: string][];
  /** At most `size` of them, after the one named `after`; no others are looked at. */
  page(prefix: string, size: number, after?: string): [name: string, value: string][];
  /** Has a listener told of every change from now on that this thread knows of. */
  watch(listener: RecordListener): void;
  /** Durable when it resolves; `undefined` deletes. */
  put(name: string, value: string | undefined): Promise<void>;
  /** Writes a record unless there is one of that name; gives the value that is there then. */
  putNew(name: string, value: string): Promise<string>;
  /** Whether what is read can be relied on; false where it was never read from where it is kept, or not for long. */
  readonly isFresh: boolean;
  /** `ERR_RECORDS_LOST` while some of them are known to be lost where they are kept; then none can be written. */
  readonly loss: TollkeeperError | undefined;
  /** Another number after every change that this thread knows of: what was read before may have changed. */
  readonly version: number;
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
