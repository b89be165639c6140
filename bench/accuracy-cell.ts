import type { Tiers } from "tollkeeper";

/** How long tokens are leased for in the benchmark `accuracy`, in ms. */
export const LEASE_MS = 250;
/** Tokens of a bucket in a window, and of a quota in the cell. */
export const LIMIT = 100;
/** The window of the bucket, and how long a cell lasts. */
export const WINDOW_S = 2;

/** Tokens by which a bucket may exceed its limit in `leased`: L/W × `leaseMs`. */
export const BUCKET_BOUND = (LIMIT / WINDOW_S) * (LEASE_MS / 1000);

/** A tier with a bucket, and one with a quota that nobody renews while a cell lasts. */
export function cellTiers(): Tiers {
  return {
    bucket: { limits: [{ name: "b", type: "bucket", limit: LIMIT, windowSeconds: WINDOW_S, burst: 1 }] },
    quota: { limits: [{ name: "q", type: "quota", limit: LIMIT, period: "month" }] },
  };
}

/** A call as it went: between the two instants it was decided. */
export interface Event {
  readonly calledMs: number;
  readonly answeredMs: number;
  readonly allowed: boolean;
}

/** What one limiter would have admitted that has met every call at the instant it was made. */
export function idealOf(events: readonly Event[], tier: "bucket" | "quota"): number {
  const perMs = tier === "bucket" ? LIMIT / WINDOW_S / 1000 : 0;
  let spent = 0;
  let atMs = 0;
  let admitted = 0;
  for (const { calledMs } of [...events].sort((a, b) => a.calledMs - b.calledMs)) {
    spent = Math.max(0, spent - (calledMs - atMs) * perMs);
    atMs = calledMs;
    if (spent + 1 > LIMIT) continue;
    spent++;
    admitted++;
  }
  return admitted;
}

/**
 * Whole calls admitted beyond the limit, in that window of the cell where they are most: no call counts for a window
 * that was not both made and answered in it, since only then is it known to have been decided there.
 */
export function overOf(events: readonly Event[], tier: "bucket" | "quota"): number {
  const admitted = events.filter(({ allowed }) => allowed);
  if (tier === "quota") return Math.max(0, admitted.length - LIMIT);
  const perMs = LIMIT / WINDOW_S / 1000;
  const starts = Float64Array.from(admitted, ({ calledMs }) => calledMs).sort();
  const within = new Uint32Array(starts.length);
  let over = 0;
  for (const { calledMs, answeredMs } of [...admitted].sort((a, b) => a.answeredMs - b.answeredMs)) {
    // Windows that end with this answer, by where they start.
    for (let start = 0; (starts[start] ?? Number.POSITIVE_INFINITY) <= calledMs; start++) {
      const count = (within[start] ?? 0) + 1;
      within[start] = count;
      over = Math.max(over, count - LIMIT - (answeredMs - (starts[start] ?? 0)) * perMs);
    }
  }
  return Math.floor(over);
}
