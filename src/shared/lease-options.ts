import type { OutagePolicies } from "./outage-policy.js";

/** How limits are shared. */
export interface LeaseOptions {
  readonly mode: "leased" | "exact";
  /** How long, in ms, tokens taken ahead may be handed out. */
  readonly leaseMs: number;
  /** How long, in ms, an answer is waited for. */
  readonly timeoutMs: number;
  readonly policies: OutagePolicies;
  /** Keys that may wait at once for a store that is away. */
  readonly maxKeys: number;
  /** Whether this thread may end before the process, and leave to others what the store has not heard of. */
  readonly isMortal?: boolean;
  /** Whether what the store has not heard of can be left under the name of the table when this thread closes. */
  readonly outlives?: boolean;
  /** The time to decide by, if not the store's own. */
  readonly clock: (() => number) | undefined;
}
