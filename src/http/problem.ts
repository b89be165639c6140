import { STATUS_CODES } from "node:http";
import type { Cost } from "../engine/cost.js";
import type { Decision } from "../limiter/decision.js";
import { textOf } from "./costs.js";
import { exhaustedOf, retryAfterOf } from "./headers.js";
import type { Exhausted } from "./policy.js";

/** A problem document of RFC 9457, with the members that the type of problem adds. */
export interface Problem {
  /** URI of the problem's type; `about:blank` where the status says it all. */
  type: string;
  /** What the type means, in a few words. */
  title: string;
  /** The status of the answer. */
  status: number;
  /** What happened this time, for people. */
  detail: string;
  /** Stable, for programs. */
  code: string;
  [member: string]: unknown;
}

/** The types that draft-ietf-httpapi-ratelimit-headers-11 registers. */
const QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded";
const TEMPORARY_REDUCED_CAPACITY = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";

/** A problem whose type is its status. */
export function problem(status: number, code: string, detail: string, members: Record<string, unknown> = {}): Problem {
  return { type: "about:blank", title: STATUS_CODES[status] ?? "Error", status, detail, code, ...members };
}

const EXCEEDED: Record<Exhausted, { code: string; what: string }> = {
  rate: { code: "rate_limit_exceeded", what: "rate" },
  hour: { code: "hourly_quota_exceeded", what: "hourly quota" },
  day: { code: "daily_quota_exceeded", what: "daily quota" },
  week: { code: "weekly_quota_exceeded", what: "weekly quota" },
  month: { code: "monthly_quota_exceeded", what: "monthly quota" },
  year: { code: "yearly_quota_exceeded", what: "yearly quota" },
  once: { code: "quota_exhausted", what: "quota" },
  places: { code: "concurrency_limit_exceeded", what: "limit of calls at the same time" },
  nothing: { code: "limit_is_zero", what: "limit" },
};

/** How much a problem document tells. */
export interface ProblemOptions {
  /** Whether it names the tier; false by default. */
  tier?: boolean | undefined;
}

/** The answer to a call that was denied; undefined for one that was allowed. */
export function problemOf(decision: Decision, options: ProblemOptions = {}): Problem | undefined {
  return decision.allowed ? undefined : quotaExceeded(decision, options);
}

/** A call that would pass later, or that no wait helps. */
export function quotaExceeded(decision: Decision, { tier = false }: ProblemOptions): Problem {
  const ofTier = tier ? ` of tier ${decision.tier}` : "";
  const exhausted = exhaustedOf(decision);
  const { code } = EXCEEDED[exhausted];
  const retryAfter = retryAfterOf(decision);
  const detail = decision.isProvisional
    ? `What is left${ofTier} is on its way between servers; ask again in ${retryAfter} s.`
    : usedUp(exhausted, ofTier, retryAfter);
  return {
    type: QUOTA_EXCEEDED,
    title: "Request cannot be satisfied as assigned quota has been exceeded",
    status: 429,
    detail,
    "violated-policies": [decision.deniedBy],
    code,
    retry_after: retryAfter,
  };
}

function usedUp(exhausted: Exhausted, ofTier: string, retryAfter: number | null): string {
  if (exhausted === "nothing") return `The limit${ofTier} is 0, and no wait helps.`;
  if (exhausted === "places") {
    return `As many calls${ofTier} run as may at the same time; one passes as soon as another has ended.`;
  }
  const { what } = EXCEEDED[exhausted];
  const then = retryAfter === null ? ", and does not begin anew" : `; this call passes in ${retryAfter} s`;
  return `The ${what}${ofTier} is used up${then}.`;
}

/** A call that can never pass. Costs are in tokens, the maximum of the limits that never hold them; `tier` is named if it is given. */
export function costExceedsCapacity(cost: Cost, maximum: Cost, tier?: string): Problem {
  const holder = tier === undefined ? "its limits never hold" : `tier ${tier} never holds`;
  const detail = `The call costs ${textOf(cost)}; ${holder} more than ${textOf(maximum)}.`;
  return problem(422, "cost_exceeds_capacity", detail, { cost, maximum });
}

/** A call that could not be decided through no fault of the caller. */
export function temporaryReducedCapacity(): Problem {
  return {
    type: TEMPORARY_REDUCED_CAPACITY,
    title: "Request cannot be satisfied due to temporary server capacity constraints",
    status: 503,
    detail: "The limits can't be checked just now.",
    code: "limiter_unavailable",
  };
}
