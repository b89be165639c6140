import type { LimitSpec, QuotaSpec } from "tollkeeper";
import { columns, type Output } from "./output.js";
import type { ServiceClient } from "./service.js";

/** A tier as the service lists it; null where it is unlimited. */
interface ListedTier {
  name: string;
  limits: { name: string; limit: number | null; capacity: number | null; shadow?: boolean }[];
}

/** Prints the tiers that a running service has in force. */
export async function listTiers(service: ServiceClient, json: boolean, output: Output): Promise<void> {
  const tiers = await service.all<ListedTier>("/api/v1/rate-limit/tiers");
  if (json) return output.print(JSON.stringify(tiers, undefined, 2));
  const rows = tiers.map(({ name, limits }) => [name, listedText(limits)]);
  for (const line of columns([["TIER", "LIMITS"], ...rows])) output.print(line);
}

function listedText(limits: ListedTier["limits"]): string {
  const own = limits.filter(({ limit }) => limit !== null);
  const texts = own.map(({ name, limit, capacity, shadow = false }) => {
    const most = capacity === limit ? "" : `, at most ${capacity}`;
    return `${name} ${limit}${most}${shadow ? ", shadow" : ""}`;
  });
  return texts.length === 0 ? "unlimited" : texts.join("; ");
}

/** How often a quota begins anew. */
const OFTEN: Record<QuotaSpec["period"], string> = {
  hour: "an hour",
  day: "a day",
  week: "a week",
  month: "a month",
  year: "a year",
  once: "once",
};

/** `minute 100 in 60 s, burst 1.5; month 50000 a month; attempts 5 in 4500 s, burst 1, then blocked for 3600 s` */
export function limitsText(limits: readonly LimitSpec[]): string {
  return limits.length === 0 ? "unlimited" : limits.map(limitText).join("; ");
}

function limitText(spec: LimitSpec): string {
  const shadow = spec.shadow === true ? ", shadow" : "";
  if (spec.type === "quota") {
    const overage = spec.overage === undefined ? "" : `, then ${spec.overage.max} of overage`;
    return `${spec.name} ${spec.limit} ${OFTEN[spec.period]}${overage}${shadow}`;
  }
  if (spec.type === "concurrency") {
    return `${spec.name} ${spec.limit} at the same time, ${spec.timeoutSeconds} s at most${shadow}`;
  }
  const block = spec.blockSeconds === undefined ? "" : `, then blocked for ${spec.blockSeconds} s`;
  return `${spec.name} ${spec.limit} in ${spec.windowSeconds} s, burst ${spec.burst}${block}${shadow}`;
}
