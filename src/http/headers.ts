import type { Cost } from "../engine/cost.js";
import type { TierSpec } from "../engine/spec.js";
import type { Decision, LimitState } from "../limiter/decision.js";
import { textOf } from "./costs.js";
import { LastNumber } from "./field.js";
import { type Exhausted, TierPolicy } from "./policy.js";

/** Names of every field that says how a caller stands, for CORS to expose. */
export const LIMIT_FIELDS = [
  "RateLimit",
  "RateLimit-Policy",
  "Retry-After",
  "X-RateLimit-Limit",
  "X-RateLimit-Remaining",
  "X-RateLimit-Reset",
  "X-Quota-Tier",
  "X-Quota-Monthly-Remaining",
  "X-Quota-Overage",
  "X-Request-Cost",
  "X-Should-Retry",
];

/** Header fields: names in lower case, and their text. */
export type Fields = readonly (readonly [name: string, text: string])[];

/** Which fields say how a caller stands. */
export interface FieldOptions {
  /** Whether `RateLimit` and `RateLimit-Policy` are sent; true by default. */
  draft?: boolean | undefined;
  /**
   * Has `X-RateLimit-Limit`, `-Remaining` and `-Reset`, `X-Quota-Monthly-Remaining`, `X-Quota-Overage` and `X-Request-Cost` sent
   * as well, the reset in seconds since 1970 (`"epoch"`) or from now (`"delta"`); none of them by default.
   */
  x?: "epoch" | "delta" | undefined;
  /** Whether callers are told the name of their tier: in `X-Quota-Tier`, and in problem documents; false by default. */
  tier?: boolean | undefined;
}

/** By tier as configured: a reload brings other objects, and the old ones go with their policies. */
const policies = new WeakMap<TierSpec, TierPolicy>();
/** The one asked for last, since neighbouring calls are often of one tier. */
let last: { spec: TierSpec; policy: TierPolicy } | undefined;

/** The policy under which a decision was made. */
export function policyOf({ tierSpec }: Decision): TierPolicy {
  if (last?.spec === tierSpec) return last.policy;
  let policy = policies.get(tierSpec);
  if (policy === undefined) {
    policy = new TierPolicy(tierSpec);
    policies.set(tierSpec, policy);
  }
  last = { spec: tierSpec, policy };
  return policy;
}

/** What a denial says is used up. */
export function exhaustedOf(decision: Decision): Exhausted {
  // While other replicas hold tokens of it, a quota is not used up for its period.
  return (decision.isProvisional ? undefined : policyOf(decision).exhaustedOf(decision.deniedBy)) ?? "rate";
}

/**
 * The whole seconds after which a denied call is worth trying again; null if no wait helps. A call that runs may end at any
 * moment, and nobody is to wait until its place has timed out: that takes one second.
 */
export function retryAfterOf(decision: Decision): number | null {
  const { retryAfterMs } = decision;
  if (!Number.isFinite(retryAfterMs)) return null;
  return Math.ceil(exhaustedOf(decision) === "places" ? Math.min(1000, retryAfterMs) / 1000 : retryAfterMs / 1000);
}

const reset = new LastNumber();
const costs = new LastNumber();

/** What a decision leaves the caller. `cost` is that of the call, where it is not the decision's. */
export function stateFields(
  decision: Decision,
  { draft = true, x, tier = false }: FieldOptions,
  cost?: Cost,
): [name: string, text: string][] {
  if (!draft && x === undefined) return [];
  const policy = policyOf(decision);
  const isLimited = policy.limitTexts.length > 0;
  const state = isLimited ? policy.stateField(decision) : "";
  // As a literal: an array that grows is made for more than these.
  const fields: [name: string, text: string][] =
    draft && isLimited
      ? [
          ["ratelimit-policy", policy.policyField(decision.atMs)],
          ["ratelimit", state],
        ]
      : [];
  if (x === undefined) return fields;
  // As text, since Node would make it of a number once to check the field and once more to send it.
  const { limits } = decision;
  const index = leastLeft(limits);
  const least = limits[index];
  if (least !== undefined) {
    const resetMs = x === "epoch" ? decision.clockMs + least.resetMs : least.resetMs;
    fields.push(
      ["x-ratelimit-limit", policy.limitTexts[index] as string],
      ["x-ratelimit-remaining", policy.remainingIn(state, index)],
    );
    if (Number.isFinite(resetMs)) fields.push(["x-ratelimit-reset", reset.textOf(Math.ceil(resetMs / 1000))]);
  }
  if (tier) fields.push(["x-quota-tier", decision.tier]);
  if (policy.monthly >= 0) fields.push(["x-quota-monthly-remaining", policy.remainingIn(state, policy.monthly)]);
  // Rounded up, so that whoever is told 0 has nothing to pay for.
  if (policy.overage >= 0) fields.push(["x-quota-overage", String(Math.ceil(decision.overageOf(policy.overage)))]);
  const asked = cost ?? decision.cost;
  fields.push(["x-request-cost", typeof asked === "number" ? costs.textOf(asked) : textOf(asked)]);
  return fields;
}

/** What is there again soon. */
const PASSING: readonly Exhausted[] = ["rate", "places"];

/** What a denial adds to them. */
export function denialFields(decision: Decision): [name: string, text: string][] {
  const fields: [name: string, text: string][] = [];
  const retryAfter = retryAfterOf(decision);
  // Where no wait helps there is none to name.
  if (retryAfter !== null) fields.push(["retry-after", String(retryAfter)]);
  // Clients made by common generators sleep for Retry-After, which would be weeks.
  if (!PASSING.includes(exhaustedOf(decision))) fields.push(["x-should-retry", "false"]);
  return fields;
}

/**
 * The header fields of the answer to a call: what the decision on it leaves the caller, and when to come again if it was
 * denied.
 */
export function fieldsOf(decision: Decision, options: FieldOptions = {}): Fields {
  const fields = stateFields(decision, options);
  return decision.allowed ? fields : [...fields, ...denialFields(decision)];
}

/** Which of two decisions leaves less; of equal ones, the first. */
export function tighterOf(first: Decision, second: Decision): Decision {
  if (first.allowed !== second.allowed) return first.allowed ? second : first;
  const least = (limits: LimitState[]) => limits[leastLeft(limits)] ?? UNLIMITED;
  return isLess(least(second.limits), least(first.limits)) ? second : first;
}

type Left = Pick<LimitState, "remaining" | "resetMs">;

const UNLIMITED: Left = { remaining: Number.POSITIVE_INFINITY, resetMs: 0 };

/** Index of the limit with the fewest tokens left; of several, of the one that takes longest. */
function leastLeft(limits: readonly LimitState[]): number {
  let least = 0;
  for (let index = 1; index < limits.length; index++) {
    if (isLess(limits[index] as LimitState, limits[least] as LimitState)) least = index;
  }
  return least;
}

function isLess(left: Left, right: Left): boolean {
  return left.remaining < right.remaining || (left.remaining === right.remaining && left.resetMs > right.resetMs);
}
