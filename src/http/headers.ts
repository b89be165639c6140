import type { FastifyReply } from "fastify";
import type { TierSpec } from "../engine/spec.js";
import type { Decision, LimitState } from "../limiter/decision.js";
import { LastNumber } from "./field.js";
import { TierPolicy } from "./policy.js";

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
  "X-Request-Cost",
  "X-Should-Retry",
];

/** Writes what a decision leaves the caller into the header of the answer. */
export class LimitHeaders {
  readonly #extended: boolean;
  /** By tier as configured: a reload brings other objects, and the old ones go with their policies. */
  readonly #policies = new WeakMap<TierSpec, TierPolicy>();
  /** The one asked for last, since neighbouring calls are often of one tier. */
  #last: { spec: TierSpec; policy: TierPolicy } | undefined;

  readonly #reset = new LastNumber();
  readonly #cost = new LastNumber();

  /** `extended`: whether the `X-` fields are written too. */
  constructor(extended: boolean) {
    this.#extended = extended;
  }

  /** The policy under which a decision was made. */
  policyOf({ tierSpec }: Decision): TierPolicy {
    if (this.#last?.spec === tierSpec) return this.#last.policy;
    let policy = this.#policies.get(tierSpec);
    if (policy === undefined) {
      policy = new TierPolicy(tierSpec);
      this.#policies.set(tierSpec, policy);
    }
    this.#last = { spec: tierSpec, policy };
    return policy;
  }

  /** `cost` is that of the call, where it is not the decision's. */
  write(reply: FastifyReply, decision: Decision, cost = decision.cost): void {
    const { tier, limits, atMs, clockMs } = decision;
    const policy = this.policyOf(decision);
    let state = "";
    if (limits.length > 0) {
      state = policy.stateField(limits);
      reply.header("ratelimit-policy", policy.policyField(atMs));
      reply.header("ratelimit", state);
    }
    if (!this.#extended) return;
    // As text, since Node would make it of a number once to check the field and once more to send it.
    const index = leastLeft(limits);
    const least = limits[index];
    if (least !== undefined) {
      reply.header("x-ratelimit-limit", policy.limitTexts[index]);
      reply.header("x-ratelimit-remaining", policy.remainingIn(state, index));
      reply.header("x-ratelimit-reset", this.#reset.textOf(Math.ceil((clockMs + least.resetMs) / 1000)));
    }
    reply.header("x-quota-tier", tier);
    if (policy.monthly >= 0) reply.header("x-quota-monthly-remaining", policy.remainingIn(state, policy.monthly));
    reply.header("x-request-cost", this.#cost.textOf(cost));
  }
}

/** Index of the limit with the fewest tokens left; of several, of the one that takes longest. */
function leastLeft(limits: readonly LimitState[]): number {
  let least = 0;
  for (let index = 1; index < limits.length; index++) {
    const { remaining, resetMs } = limits[index] as LimitState;
    const before = limits[least] as LimitState;
    if (remaining < before.remaining || (remaining === before.remaining && resetMs > before.resetMs)) least = index;
  }
  return least;
}
