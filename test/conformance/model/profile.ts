import type { Random } from "../../simulation/random.js";
import { DAY, HOUR } from "./calendar.js";
import type { LimitRule } from "./model.js";

/** What random steps of one kind of vector are made of. */
export interface Profile {
  /** What its vectors are called. */
  name: string;
  /** Limits by name, anew for each tier: the same name is the same kind in all. */
  pool: Record<string, (random: Random) => LimitRule>;
  /** Whether keys change their tier, or each has its own. */
  changesTier: boolean;
  /** Whether costs may differ from limit to limit. */
  hasCosts: boolean;
  /** How long, in ms, is waited between two steps: one of these at most. */
  pauses: readonly [number, ...number[]];
  /** How often each step is made, beside 60 of `consume`. */
  weights: Partial<Record<StepKind, number>>;
}
/** A step other than `consume`. */
export type StepKind =
  | "peek"
  | "reset"
  | "refund"
  | "quotas"
  | "settle"
  | "charge"
  | "release"
  | "grant"
  | "consumeAll";

const SECOND = 1000;
const MINUTE = 60 * SECOND;

function bucket(name: string, windowSeconds: number, limits: readonly [number, ...number[]], more: object = {}) {
  return (random: Random): LimitRule => {
    const burst = random.pick([1, 1.25, 1.5, 2, 3]);
    return { name, type: "bucket", limit: random.pick(limits), windowSeconds, burst, ...more };
  };
}

function quota(name: string, period: "hour" | "day" | "week" | "month" | "year" | "once", limits = FEW) {
  return (random: Random): LimitRule => {
    const rule = { name, type: "quota", limit: random.pick(limits), period } as const;
    if (period === "week") return { ...rule, anchorDay: random.whole(1, 7) };
    if (period === "month") return { ...rule, anchorDay: random.whole(1, 31) };
    return period === "year" ? { ...rule, anchorMonth: random.whole(1, 12) } : rule;
  };
}

/** A quota that mostly has overage, and now and then nothing else. */
const beyond = (name: string, period: "day" | "month" | "once") => {
  return (random: Random): LimitRule => {
    const rule = quota(name, period, random.chance(0.1) ? [0] : FEW)(random);
    return random.chance(0.8) ? ({ ...rule, overage: { max: random.pick([0.5, 3, 20, 60]) } } as LimitRule) : rule;
  };
};

const FEW: readonly [number, ...number[]] = [7, 15, 30, 60, 120];
const RATES: readonly [number, ...number[]] = [3, 7, 45, 100];
const second = bucket("second", 1, [3, 7]);
const minute = bucket("minute", 60, RATES);
const anyPeriod = (name: string, limits = FEW) => ({
  [name]: quota(name, name as "hour", limits),
});

/** A bucket of any burst, also one that holds less than its limit, or of no tokens at all. */
const odd =
  (name: string, windowSeconds: number) =>
  (random: Random): LimitRule => {
    const limit = random.pick([0, 0.5, 2, 10, 100, 1000]);
    const burst = limit === 0 || limit > 50 ? random.pick([0.01, 0.1, 0.25, 1]) : random.pick([0.5, 0.75, 1, 1.5, 40]);
    return { name, type: "bucket", limit, windowSeconds, burst };
  };

const blocking = (name: string, windowSeconds: number, limits: readonly [number, ...number[]]) => (random: Random) => {
  const blockSeconds = random.pick([1, 10, 60, 0.5]);
  return bucket(name, windowSeconds, limits, random.chance(0.7) ? { blockSeconds } : {})(random);
};

const places =
  (name: string) =>
  (random: Random): LimitRule => ({
    name,
    type: "concurrency",
    limit: random.pick([1, 2, 3, 10]),
    timeoutSeconds: random.pick([1, 5, 30]),
  });

const SHORT = [20, 300, 900, 5 * SECOND, 30 * SECOND] as const;

/** One for each kind of limit and of call, and one of all together. */
export const PROFILES: readonly Profile[] = [
  {
    name: "buckets and quotas",
    pool: { second, minute, ...anyPeriod("day"), ...anyPeriod("month") },
    changesTier: true,
    hasCosts: false,
    pauses: [300, 300, MINUTE, HOUR, 12 * HOUR],
    weights: { peek: 6, refund: 4, quotas: 2, settle: 3, reset: 1 },
  },
  {
    name: "periods",
    pool: { minute, ...anyPeriod("hour"), ...anyPeriod("week"), ...anyPeriod("year") },
    changesTier: true,
    hasCosts: false,
    pauses: [500, 500, MINUTE, 20 * MINUTE, 10 * HOUR, 3 * DAY, 60 * DAY],
    weights: { peek: 6, refund: 4, quotas: 2, settle: 3, reset: 1 },
  },
  {
    name: "once",
    pool: { second, ...anyPeriod("day"), ...anyPeriod("month"), ...anyPeriod("once", [30, 120, 250]) },
    changesTier: true,
    hasCosts: false,
    pauses: [300, 300, MINUTE, 20 * HOUR, 40 * DAY],
    weights: { peek: 6, refund: 6, quotas: 2, settle: 3, reset: 1 },
  },
  {
    name: "sizes",
    pool: {
      second: odd("second", 1),
      minute: odd("minute", 60),
      hour: odd("hour", 3600),
      day: quota("day", "day", [0, 1.5, 60, 120]),
    },
    changesTier: true,
    hasCosts: false,
    pauses: [50, 300, 2 * SECOND, MINUTE],
    weights: { peek: 6, refund: 4, settle: 3, reset: 1 },
  },
  {
    name: "eight names",
    pool: {
      second,
      minute,
      fifth: bucket("fifth", 300, [20, 100]),
      ...anyPeriod("hour"),
      ...anyPeriod("day"),
      ...anyPeriod("week"),
      ...anyPeriod("month"),
      ...anyPeriod("once", [250, 1000]),
    },
    changesTier: true,
    hasCosts: false,
    pauses: [300, 300, MINUTE, HOUR, 12 * HOUR],
    weights: { peek: 6, refund: 4, quotas: 2, settle: 3, reset: 1 },
  },
  {
    name: "costs",
    pool: {
      requests: bucket("requests", 60, [10, 60]),
      tokens: bucket("tokens", 60, [1000, 2500, 6000]),
      day: quota("day", "day", [120, 5000]),
      month: quota("month", "month", [500, 20_000]),
    },
    changesTier: true,
    hasCosts: true,
    pauses: [300, 2 * SECOND, 20 * SECOND, 2 * HOUR],
    weights: { peek: 6, refund: 4, quotas: 2, settle: 5, charge: 8, reset: 1 },
  },
  {
    name: "blocks",
    pool: {
      second: blocking("second", 1, [3, 7]),
      attempts: blocking("attempts", 60, [5, 10, 45]),
      ...anyPeriod("day", [60, 120, 500]),
    },
    changesTier: false,
    hasCosts: false,
    pauses: [20, 300, 2 * SECOND, 20 * SECOND, 2 * MINUTE],
    weights: { peek: 8, refund: 4, settle: 3, charge: 3, reset: 1 },
  },
  {
    name: "places",
    pool: { running: places("running"), exports: places("exports"), second, minute },
    changesTier: true,
    hasCosts: true,
    pauses: SHORT,
    weights: { peek: 6, release: 25, reset: 1 },
  },
  {
    name: "grants",
    pool: { second, ...anyPeriod("day"), ...anyPeriod("month"), ...anyPeriod("once") },
    changesTier: false,
    hasCosts: false,
    pauses: [300, 300, MINUTE, 20 * HOUR, 40 * DAY],
    weights: { peek: 6, refund: 6, settle: 3, grant: 6 },
  },
  {
    name: "overage",
    pool: { minute, day: beyond("day", "day"), month: beyond("month", "month"), once: beyond("once", "once") },
    changesTier: true,
    hasCosts: false,
    pauses: [300, 300, MINUTE, 12 * HOUR, 20 * DAY],
    weights: { peek: 8, refund: 5, quotas: 2, settle: 5, charge: 5, reset: 1 },
  },
  {
    name: "several subjects",
    pool: { second: bucket("second", 1, [3, 7, 20]), minute, ...anyPeriod("day"), ...anyPeriod("month") },
    changesTier: false,
    hasCosts: false,
    pauses: SHORT,
    weights: { peek: 6, refund: 4, settle: 2, consumeAll: 40 },
  },
];
