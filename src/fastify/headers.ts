import type { FastifyReply } from "fastify";
import type { TierSpec } from "../engine/types.js";
import type { Decision, LimitState } from "../limiter/decision.js";
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
    const { tier, limits, atMs } = decision;
    const policy = this.policyOf(decision);
    if (limits.length > 0) {
      reply.header("ratelimit-policy", policy.policyField(atMs));
      reply.header("ratelimit", policy.stateField(limits));
    }
    if (!this.#extended) return;
    // As text, since Node would make it of a number once to check the field and once more to send it.
    const least = leastLeft(limits);
    if (least !== undefined) {
      reply.header("x-ratelimit-limit", String(Math.floor(least.limit)));
      reply.header("x-ratelimit-remaining", String(Math.floor(least.remaining)));
      reply.header("x-ratelimit-reset", String(Math.ceil((atMs + least.resetMs) / 1000)));
    }
    reply.header("x-quota-tier", tier);
    const monthly = limits[policy.monthly];
    if (monthly !== undefined) reply.header("x-quota-monthly-remaining", String(Math.floor(monthly.remaining)));
    reply.header("x-request-cost", String(cost));
  }
}

/** The limit with the fewest tokens left; of several, the one that takes longest. */
function leastLeft(limits: readonly LimitState[]): LimitState | undefined {
  let least = limits[0];
  for (const limit of limits) {
    if (least === undefined) continue;
    const fewer = limit.remaining - least.remaining;
    if (fewer < 0 || (fewer === 0 && limit.resetMs > least.resetMs)) least = limit;
  }
  return least;
}
