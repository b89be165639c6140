import type { Cost } from "tollkeeper";
import { UsageError } from "./exit.js";
import { columns, type Output } from "./output.js";
import type { ServiceClient } from "./service.js";

/** Where a caller stands, as the service tells it. */
interface QuotaState {
  subject: string;
  tier: string;
  limits: {
    name: string;
    limit: number | null;
    remaining: number | null;
    resets_at: string | null;
    overage?: number;
  }[];
}

/** Prints what a caller has left. */
export async function showQuota(service: ServiceClient, subject: string, json: boolean, output: Output): Promise<void> {
  print(await service.call<QuotaState>("GET", pathOf(subject)), json, output);
}

/** What a caller would be told now, as the service tells it. */
interface Check {
  allowed: boolean;
  denied_by: string | null;
  retry_after: number | null;
  quota: QuotaState;
}

/** Prints what a call of a caller would be told. */
export async function checkQuota(
  service: ServiceClient,
  subject: string,
  { cost, tier, json }: { cost: Cost; tier: string | undefined; json: boolean },
  output: Output,
): Promise<void> {
  const check = await service.call<Check>("POST", "/api/v1/rate-limit/check", { subject, cost, tier });
  if (json) {
    output.print(JSON.stringify(check, undefined, 2));
    return;
  }
  const { allowed, denied_by: deniedBy, retry_after: seconds, quota } = check;
  const wait = seconds === null ? "no wait helps" : `it passes in ${seconds} s`;
  output.print(allowed ? "passes" : `denied by ${deniedBy}; ${wait}`);
  print(quota, json, output);
}

/**
 * A cost as it is written: `2`, or `requests=1,tokens=1850`.
 *
 * @throws {UsageError}
 */
export function costOf(text: string): Cost {
  if (/^\d+(\.\d{1,3})?$/.test(text)) return Number(text);
  const parts = text.split(",").map((part) => /^\s*([\w-]+)\s*=\s*(\d+(?:\.\d{1,3})?)\s*$/.exec(part));
  const costs = Object.fromEntries(parts.map((part) => [part?.[1] ?? "", Number(part?.[2])]));
  if (!parts.includes(null) && Object.keys(costs).length === parts.length) return costs;
  throw new UsageError(
    `the cost is ${JSON.stringify(text)}; it may be tokens, such as 2, or by limit, each once, requests=1,tokens=1850`,
  );
}

/** Has a caller begin anew. */
export async function resetQuota(
  service: ServiceClient,
  subject: string,
  json: boolean,
  output: Output,
): Promise<void> {
  const answer = await service.call<unknown>("POST", `${pathOf(subject)}/reset`);
  output.print(json ? JSON.stringify(answer ?? null, undefined, 2) : `${subject} begins anew`);
}

/** How tokens are granted. */
export interface GrantFlags {
  limit?: string;
  keep?: boolean;
}

/** Gives a caller tokens of a quota. */
export async function grantTokens(
  service: ServiceClient,
  subject: string,
  tokens: number,
  { limit, keep }: GrantFlags,
  json: boolean,
  output: Output,
): Promise<void> {
  const body = { tokens, ...(limit === undefined ? {} : { limit }), ...(keep === undefined ? {} : { keep }) };
  print(await service.call<QuotaState>("POST", `${pathOf(subject)}/grant`, body), json, output);
}

/** Puts an account on a tier, from its next call on. */
export async function setTier(
  service: ServiceClient,
  subject: string,
  tier: string,
  json: boolean,
  output: Output,
): Promise<void> {
  const answer = await service.call<unknown>("PUT", `${pathOf(subject)}/tier`, { tier });
  output.print(json ? JSON.stringify(answer ?? null, undefined, 2) : `${subject} is on tier ${tier}`);
}

function pathOf(subject: string): string {
  return `/api/v1/rate-limit/quota/${encodeURIComponent(subject)}`;
}

function print(state: QuotaState, json: boolean, output: Output): void {
  if (json) {
    output.print(JSON.stringify(state, undefined, 2));
    return;
  }
  output.print(`${state.subject}, tier ${state.tier}${state.limits.length === 0 ? ", unlimited" : ""}`);
  if (state.limits.length === 0) return;
  const text = (value: unknown) => (value === null ? "-" : String(value));
  const hasOverage = state.limits.some(({ overage }) => overage !== undefined);
  const rows = state.limits.map(({ name, limit, remaining, resets_at: resets, overage = null }) =>
    [name, limit, remaining, resets, ...(hasOverage ? [overage] : [])].map(text),
  );
  const titles = ["LIMIT", "TOKENS", "LEFT", "FULL AT", ...(hasOverage ? ["OVERAGE"] : [])];
  for (const line of columns([titles, ...rows])) output.print(line);
}
