import type { FastifyReply } from "fastify";
import type { Tiers } from "../engine/types.js";
import type { Decision, LimitState } from "../limiter/decision.js";
import type { Limiter } from "../limiter/limiter.js";
import { policiesOf, type TierPolicy } from "./policy.js";

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
  readonly #limiter: Limiter;
  readonly #extended: boolean;
  readonly #clock: () => number;
  #tiers: Tiers | undefined;
  #policies = new Map<string, TierPolicy>();

  /** `extended`: whether the `X-` fields are written too. `clock` gives ms since the epoch. */
  constructor(limiter: Limiter, extended: boolean, clock: () => number) {
    this.#limiter = limiter;
    this.#extended = extended;
    this.#clock = clock;
  }

  /** The policy of a tier that has just decided. */
  policyOf(tier: string): TierPolicy | undefined {
    const { tiers } = this.#limiter;
    if (tiers !== this.#tiers) {
      this.#policies = policiesOf(tiers);
      this.#tiers = tiers;
    }
    return this.#policies.get(tier);
  }

  write(reply: FastifyReply, decision: Decision): void {
    const { tier, cost, limits } = decision;
    const policy = this.policyOf(tier);
    const nowMs = this.#clock();
    if (policy !== undefined && limits.length > 0) {
      reply.header("ratelimit-policy", policy.policyField(nowMs));
      reply.header("ratelimit", policy.stateField(limits));
    }
    if (!this.#extended) return;
    const least = leastLeft(limits);
    if (least !== undefined) {
      reply.header("x-ratelimit-limit", Math.floor(least.limit));
      reply.header("x-ratelimit-remaining", Math.floor(least.remaining));
      reply.header("x-ratelimit-reset", Math.ceil((nowMs + least.resetMs) / 1000));
    }
    reply.header("x-quota-tier", tier);
    const monthly = limits[policy?.monthly ?? -1];
    if (monthly !== undefined) reply.header("x-quota-monthly-remaining", Math.floor(monthly.remaining));
    reply.header("x-request-cost", cost);
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
