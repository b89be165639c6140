/** How `consume` and `peek` of an engine ended, in {@link Engine.frame}. */
export const OUTCOME = {
  /** 0: allowed. 1 to 8: denied by the first to eighth limit of the tier. */
  LIMIT_MASK: 15,
  /** Set when the decision was made on the tier's overflow bucket. */
  OVERFLOW: 16,
  /** Set when the instant told lies before the one that the key is at; {@link FRAME.BEHIND} says by how much. */
  BEHIND: 32,
  KEY_INVALID: -1,
  TIER_UNKNOWN: -2,
  COST_INVALID: -3,
  COST_EXCEEDS_CAPACITY: -4,
  FAILED: -5,
  CLOSED: -6,
} as const;

/** How {@link Engine.adjust} corrects. */
export const ADJUST = {
  /** Leave the buckets alone. */
  QUOTAS_ONLY: 1,
  /**
   * What is given back was handed out to nobody: over a store, what a bucket has refilled of it since is not given back as
   * well. Means nothing to an {@link Engine}, which gives back at the instant at which it has spent.
   */
  UNUSED: 2,
  /** The decision was made on the overflow bucket of its tier: {@link OUTCOME.OVERFLOW}, so that it can be handed on. */
  OVERFLOW: 16,
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
  /**
   * Set before a call: the cost, in thousandths of a token; or -1, `EACH`, where each limit has a cost of its own. Then
   * {@link FRAME.COSTS} are set, and {@link FRAME.VERSION} to the version of the tiers whose order they are in: while another
   * is in force, the tier is unknown.
   */
  COST: 1,
  /** After an allowed call of a tier with limits of concurrency: the number of the place that it has taken, if any. */
  PLACE: 1,
  /** Set before a call of many: the length of the row's key, in UTF-16 units. */
  KEY_LENGTH: 2,
  /** After a call whose code has {@link OUTCOME.BEHIND}: for how many ms the key stands still until the clock is there. */
  BEHIND: 2,
  /** Set before a call: whole ms since the epoch, or -1 for the system's clock. After it: the instant of the decision. */
  NOW: 3,
  /** After a call: an {@link OUTCOME}; what follows is there if it is 0 or more. */
  CODE: 4,
  /** After a call: the version of the tiers that decided; see {@link Engine.version}. Set before one for {@link FRAME.COSTS}. */
  VERSION: 5,
  /** After a call, from here on: one amount spent per limit of the tier, in the limit's own units; room for eight. */
  SPENT: 6,
  /** Set before a call if {@link FRAME.COST} says so, from here on: a cost per limit of the tier, in its order, in thousandths; room for eight. */
  COSTS: 14,
  /** Numbers of a row. */
  ROW: 22,
  /** Rows, which are the most keys of one batch. */
  ROWS: 64,
} as const;

/** The numbers of {@link Engine.frame}, which TypeScript can't know to be there. */
export type Frame = Float64Array & { readonly [index: number]: number };
