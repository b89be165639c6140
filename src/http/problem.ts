import { STATUS_CODES } from "node:http";
import type { FastifyReply } from "fastify";
import type { Decision } from "../limiter/decision.js";

/** A problem document of RFC 9457, with the members that the type of problem adds. */
export interface Problem {
  /** URI of the problem's type; `about:blank` where the status says it all. */
  type: string;
  title: string;
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

const EXCEEDED = {
  rate: { code: "rate_limit_exceeded", what: "rate" },
  day: { code: "daily_quota_exceeded", what: "daily quota" },
  month: { code: "monthly_quota_exceeded", what: "monthly quota" },
};

/** A call that would pass later. `period` is that of the quota that denied for good; undefined for any other denial. */
export function quotaExceeded(decision: Decision, period: "day" | "month" | undefined): Problem {
  const retryAfter = Math.ceil(decision.retryAfterMs / 1000);
  const { code, what } = EXCEEDED[period ?? "rate"];
  const detail = decision.isProvisional
    ? `What is left of tier ${decision.tier} is on its way between servers; ask again in ${retryAfter} s.`
    : `The ${what} of tier ${decision.tier} is used up; this call passes in ${retryAfter} s.`;
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

/** A call that can never pass. Costs are in tokens. */
export function costExceedsCapacity(cost: number, maximum: number, tier: string): Problem {
  const detail = `The call costs ${cost}; tier ${tier} never holds more than ${maximum}.`;
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

/** Answers with a problem document, which no cache keeps. */
export function sendProblem(
  reply: FastifyReply,
  document: Problem,
  headers: Record<string, string> = {},
): FastifyReply {
  return reply
    .code(document.status)
    .headers(headers)
    .header("cache-control", "no-store")
    .header("content-type", "application/problem+json")
    .send(Buffer.from(JSON.stringify(document))); // As bytes, since Fastify adds a charset to a string's content type.
}
