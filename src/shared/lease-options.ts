import type { OutagePolicies } from "./outage-policy.js";

/** How limits are shared. */
export interface LeaseOptions {
  readonly mode: "leased" | "exact";
  /** How long, in ms, tokens taken ahead may be handed out. */
  readonly leaseMs: number;
  /** How long, in ms, an answer is waited for. */
  readonly timeoutMs: number;
  readonly policies: OutagePolicies;
  /** The time to decide by, if not the store's own. */
  readonly clock: (() => number) | undefined;
}
