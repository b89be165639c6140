import type { CostMilli } from "../engine/cost.js";
import type { Tier } from "../engine/tier.js";
import type { TollkeeperError } from "../errors.js";
import type { LimitKinds } from "./limit-kinds.js";

/** What a caller knows of a key from an earlier answer: amounts in the units of the tier's limits, in their order, where known. */
export interface Snapshot {
  readonly epoch: string;
  /** The store's time, in ms, at which the amounts held. */
  readonly atMs: number;
  readonly spent: readonly (number | undefined)[];
}

/** One step of the protocol; `lua/keys.ts` says what each does. Amounts are in thousandths of a token. */
export type Command = {
  readonly key: string;
  readonly tier: Tier;
  /**
   * Which thread of the replica asks, or did, if it is dead and another sends what it has left behind; 0, the first, if left
   * out. Of a grant a number of its own, by which it is known if it is sent again.
   */
  readonly lane?: number;
  readonly snapshot: Snapshot | undefined;
  /** The time to decide by, in ms since the epoch; the store's own if undefined. */
  readonly nowMs: number | undefined;
} & (
  | Take
  | { readonly op: "peek"; readonly need: CostMilli; readonly present?: Present | undefined }
  | Adjust
  | Grant
  | Release
  | Hold
  | { readonly op: "reset" }
  | { readonly op: "leave" }
);

interface Take {
  readonly op: "take";
  /** What must be had: so much of every limit, or of each in the tier's order; of such, nothing is granted beyond. */
  readonly need: CostMilli;
  readonly want: number;
  /** Which part of what is left may be granted beyond the need, in whole tokens: one in so many. */
  readonly divisor: number;
  /** How long, in ms, what is granted beyond the need may still be handed out or come back. */
  readonly outMs: number;
  /** Whether other threads of the replica may give that back, so that this one can't tell when it has come. */
  readonly isShared?: boolean;
  /** Under which a place is taken of each limit of concurrency of which something is needed; the caller's lane gives none twice. */
  readonly place?: number | undefined;
  /** The replicas that there were: places that others had taken before are free. Undefined if that is not known. */
  readonly present?: Present | undefined;
}

/** Which replicas there were at an instant, by the store's time. */
export interface Present {
  readonly atMs: number;
  readonly replicas: readonly string[];
}

/** Gives the places back that the lane has taken under a number; says for how many limits there was one. */
interface Release {
  readonly op: "release";
  readonly place: number;
}

/** Tells of places that the lane has taken under a number without the store, or that the store may have lost. */
interface Hold {
  readonly op: "hold";
  readonly place: number;
  /** When they were taken, by the store's time. */
  readonly atMs: number;
}

interface Adjust {
  readonly op: "adjust";
  /** Charged if above 0, given back if below, per limit of the tier. */
  readonly deltas: readonly number[];
  /** When what is corrected was decided, by the store's time. */
  readonly atMs: number;
  readonly quotasOnly: boolean;
  /** Whether others are told, who may remember a denial that no longer holds. */
  readonly tell: boolean;
  /** Counts the caller's corrections upward, so that one sent twice counts once; undefined where none is sent twice. */
  readonly sequence: number | undefined;
  /** Whether it was sent before; `snapshot` is then the one of that time. */
  readonly isRetry: boolean;
  /** Whether what is given back was handed out to nobody: then a bucket takes back only what it has not refilled since `atMs`. */
  readonly unused: boolean;
  /** Whether it was admitted while the store was away: it counts for limits too of which the store holds nothing. */
  readonly duringOutage: boolean;
}

interface Grant {
  readonly op: "grant";
  /** Index of a quota of the tier. */
  readonly limit: number;
  readonly milli: number;
  /** Whether what is left of it outlasts the period. */
  readonly keeps: boolean;
}

/** What a command was answered. */
export interface Reply {
  /** The limit of the tier that denies, counted from 1; 0 if none. */
  readonly denied: number;
  /**
   * To a take thousandths of every limit, of a need of each the largest; places freed by a release; or what a grant comes to: 0
   * if that is more than can be counted.
   */
  readonly granted: number;
  /** The key's time in ms: the store's, or where it stands still since the store's clock was once ahead. */
  readonly nowMs: number;
  /** By how much, in ms, that is ahead of the store's time; 0 but after a clock has jumped. */
  readonly lagMs: number;
  /** Empty where the store holds nothing of the key. */
  readonly epoch: string;
  /** For how long, in ms, tokens that other replicas hold may still come back and end a denial early; 0 if none do. */
  readonly backMs: number;
  /** Whether something is kept of what was granted, so that nothing is granted ahead; not if left out. */
  readonly isExact?: boolean;
  /** Per limit of the tier; empty after a reset, a release and a hold. Below 0 for a quota of which less is used than was granted. */
  readonly spent: readonly number[];
}

/** How a replica reports to the others; of one that is several threads each reports. */
export interface Heartbeat {
  /** Which thread of the replica this is; 0, the first, if left out. */
  readonly lane?: number;
  /** How many threads the replica is now, this one among them; 1 if left out. While others stay, one that leaves does so alone. */
  readonly lanes?: number;
  /** The replicas that this one knew last. */
  readonly peers: readonly string[];
  /** Whether it knows amounts of keys at all. */
  readonly hasState: boolean;
  /** Whether it has reported to the server all that it knows. */
  readonly hasReported: boolean;
  /** Whether this thread leaves for good. */
  readonly isLeaving: boolean;
  /** What the names of its limits stand for, which replicas must agree on. */
  readonly kinds: LimitKinds;
  /** Tokens spent by unlimited tiers since the last heartbeat, in thousandths. */
  readonly usage: ReadonlyMap<string, number>;
}

/** What a heartbeat was answered. */
export interface Membership {
  /** Replicas heard of lately, the asking one among them. */
  readonly replicas: readonly string[];
  /** How long, in ms at most, decisions still have to wait for others to tell what they know; 0 if not at all. */
  readonly recoveringMs: number;
  /** Whether the store has no room for what is spent. */
  readonly isFull?: boolean;
  /** When that was so, by the store's time; undefined if that is not known. */
  readonly atMs?: number;
}

/** What comes from a store unasked. */
export interface LinkEvents {
  /** A connection stands; `server` is the process at the other end. */
  connected(server: string): void;
  disconnected(): void;
  /** The store answers, and does not let itself be used: for want of a right, or as it is set up. */
  refused(error: TollkeeperError): void;
  /** Another replica has changed the key from outside, or forgotten it. */
  changed(key: string, reset: boolean): void;
  /** Another replica has nothing left of the key, and asks for what lies idle. */
  wanted(key: string): void;
}

/** A way to a store. Promises reject if the connection breaks, and may stay open for ever if nothing is heard. */
export interface Link {
  /** Begins to connect, and to connect anew whenever the connection breaks. */
  open(events: LinkEvents): void;
  send(command: Command): Promise<Reply>;
  heartbeat(heartbeat: Heartbeat): Promise<Membership>;
  close(): Promise<void>;
}
