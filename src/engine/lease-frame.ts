import { FRAME } from "./frame.js";

/** Codes of {@link LEASE_FRAME.CODE} beyond those of `OUTCOME` in `frame.ts`, and flags that are added to these. */
export const LEASE_OUTCOME = {
  /** Added to 0: what is held runs low; the caller asks for more ahead. Told once, and again after a while if nobody has. */
  LOW: 64,
  /** Added to a denial: {@link LEASE_FRAME.WAIT} says how long it stands, and not the limit's own wait. */
  WAIT: 128,
  /** Added to a denial: tokens that other replicas hold may come back and end it early. */
  PROVISIONAL: 256,
  /** Added to any code, {@link LEASE_OUTCOME.ASK} apart from which it is told by: grants of another tier wait to be given back; see `takeReturns`. */
  RETURNS: 512,
  /** Nothing was decided: the store is to be asked. */
  ASK: 1024,
  /** Nothing was decided: the key was told to have no NUL, by {@link WITHOUT_NUL}, and has one. */
  NUL: 2048,
} as const;

/** In the place of KEY_LENGTH in a call of `consume`: the key has no NUL, or is not to be decided. To look at it here costs nothing. */
export const WITHOUT_NUL = -1;

/** How a row of `apply` ended. */
export const APPLIED = {
  /** What was learned is kept, and what was granted is held. */
  KEPT: 0,
  /**
   * The key has gone to another tier since: nothing was learned, and what was granted is the caller's to hand out or give back.
   * If the store keeps what it says, no denial is believed any more.
   */
  STALE: 1,
  /** There is no room for the key: as {@link APPLIED.STALE}. */
  FULL: 2,
  /** The tier is not known any more: as {@link APPLIED.STALE}. */
  UNKNOWN: 3,
} as const;

/**
 * What a row of a lease engine's frame holds where: the first numbers are those of `FRAME`, so that a `Decision` is
 * copied from either. Costs and grants are thousandths of a token, times ms.
 */
export const LEASE_FRAME = {
  ...FRAME,
  /** In: a monotonic clock in whole ms, or -1 for the engine's own. */
  MONO: 22,
  /** Out with {@link LEASE_OUTCOME.WAIT}; in to `apply`: for how long the reply's denial may be believed, 0 if it did not deny. */
  WAIT: 23,
  /** Out of `ask` and `look`: what is held. In to `apply`: what was granted and is to be held. */
  HELD: 24,
  /** Out of `ask`: what the key will use in `leaseMs` beyond what is held for it. In to `apply`: for how long, from now, the grant may be handed out. */
  AHEAD: 25,
  /** The number of the server in the epoch of what is known (see `LeaseEngine.serverId`); -1 if nothing is known. */
  SERVER: 26,
  /** The rest of that epoch: its instant × 256, plus how many resets it has seen. */
  EPOCH: 27,
  /** Out of `takeReturns` and `nextReport`: the number of the rules that the amounts are told in; see `LeaseEngine.rulesOf`. */
  RULES: 28,
  /** In to `apply`, where {@link FRAME.BEHIND} is the key's length: by how many ms the key's time is ahead of the store's. */
  LAG: 28,
  /** In to `apply`: whether the reply's denial is provisional, 1 or 0. */
  IS_PROVISIONAL: 29,
  /** In to `apply`: 1 if others tell the same table of answers, by connections of their own: of two of one instant, the older may come last. */
  RACES: 30,
  /** Numbers of a row. */
  ROW: 31,
} as const;
