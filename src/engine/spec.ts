/** A token bucket: `limit` tokens a window, refilled continuously, holding at most `limit × burst`. */
export interface BucketSpec {
  name: string;
  type: "bucket";
  /** Tokens refilled in one window; above 0, at most three decimals. */
  limit: number;
  /** Length of the window in seconds; above 0, at most three decimals. */
  windowSeconds: number;
  /** Capacity as a multiple of `limit`; from 1, at most three decimals. */
  burst: number;
  /** Whether it only counts what it would deny, and denies nothing; false by default. */
  shadow?: boolean | undefined;
}

/** A quota: `limit` tokens per calendar period in UTC. */
export interface QuotaSpec {
  name: string;
  type: "quota";
  /** Tokens of one period; above 0, at most three decimals. */
  limit: number;
  period: "day" | "month";
  /** Day of the month, 1 to 31, on which a month begins; clamped to the month's last day. 1 by default. */
  anchorDay?: number | undefined;
  /** Whether it only counts what it would deny, and denies nothing; false by default. */
  shadow?: boolean | undefined;
}

/** One limit of a tier. */
export type LimitSpec = BucketSpec | QuotaSpec;

/** Tokens that a limit can hold, rounded down to thousandths. */
export function capacityOf(limit: LimitSpec): number {
  return limit.type === "bucket" ? Math.floor(Math.round(limit.limit * limit.burst * 1e6) / 1e3) / 1e3 : limit.limit;
}

/** A named set of limits; none at all means unlimited. */
export interface TierSpec {
  limits: readonly LimitSpec[];
}

/** All tiers by name. */
export type Tiers = Readonly<Record<string, TierSpec>>;
