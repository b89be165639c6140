import type { Vector } from "../vector.js";
import type { BucketRule } from "./bucket.js";
import { DAY, HOUR } from "./calendar.js";
import type { LimitRule, TierRules } from "./model.js";
import type { PlacesRule } from "./places.js";
import type { QuotaRule } from "./quota.js";
import { Trace } from "./trace.js";

const SECOND = 1000;
const MINUTE = 60 * SECOND;
/** A Tuesday afternoon in a month of 31 days. */
const TUESDAY = Date.UTC(2026, 2, 17, 15, 20, 10, 500);

function tier(...limits: LimitRule[]): TierRules {
  return { a: { limits } };
}

function bucket(name: string, limit: number, windowSeconds: number, burst = 1, blockSeconds?: number): BucketRule {
  return { name, type: "bucket", limit, windowSeconds, burst, ...(blockSeconds !== undefined && { blockSeconds }) };
}

function quota(name: string, limit: number, period: QuotaRule["period"], anchor: Partial<QuotaRule> = {}): QuotaRule {
  return { name, type: "quota", limit, period, ...anchor };
}

function places(limit: number, timeoutSeconds: number): PlacesRule {
  return { name: "running", type: "concurrency", limit, timeoutSeconds };
}

function steps(name: string, tiers: TierRules, take: (trace: Trace) => void, from = TUESDAY): Vector {
  const trace = new Trace(name, tiers, from);
  take(trace);
  return trace.vector;
}

function times(count: number, take: (index: number) => void): void {
  for (let index = 0; index < count; index++) take(index);
}

/** The index of a step that was not left out. */
function made(step: number | undefined): number {
  if (step === undefined) throw new Error("a step was left out");
  return step;
}

/** Calls just before and at each of these instants, more than the limit has. */
function around(trace: Trace, instants: readonly number[]): void {
  for (const instant of instants) {
    for (const at of [instant - 1, instant]) {
      trace.now = at;
      times(3, () => trace.consume("u", "a"));
    }
  }
}

const midnights = (from: number, count: number) => Array.from({ length: count }, (_, index) => from + index * DAY);
const firsts = (...years: number[]) =>
  years.flatMap((year) => Array.from({ length: 12 }, (_, month) => Date.UTC(year, month, 1)));

function periods(): Vector[] {
  const hours = Array.from({ length: 26 }, (_, index) => Date.UTC(2026, 11, 31, 10 + index));
  return [
    steps("an hour begins on the hour", tier(quota("hour", 2, "hour")), (trace) => around(trace, hours), hours[0]),
    ...[1, 2, 3, 4, 5, 6, 7].map((anchorDay) => {
      const mondays = midnights(Date.UTC(2026, 11, 28), 16);
      const week = quota("week", 2, "week", { anchorDay });
      return steps(`a week begins on day ${anchorDay}`, tier(week), (trace) => around(trace, mondays), mondays[0]);
    }),
    steps("a week begins on Monday unless said otherwise", tier(quota("week", 2, "week")), (trace) =>
      around(trace, midnights(Date.UTC(2028, 1, 27), 9)),
    ),
    ...[1, 2, 3, 7, 12].map((anchorMonth) => {
      const year = quota("year", 2, "year", { anchorMonth });
      return steps(`a year begins in month ${anchorMonth}`, tier(year), (trace) =>
        around(trace, firsts(2027, 2028, 2029)),
      );
    }),
    steps("a year begins in January unless said otherwise", tier(quota("year", 2, "year")), (trace) =>
      around(trace, firsts(2100)),
    ),
    steps("a refund after the hour's end credits nothing", tier(quota("hour", 3, "hour")), (trace) => {
      const spent = made(trace.consume("u", "a", 3));
      trace.pass(HOUR).consume("u", "a", 2);
      trace.refund(spent).peek("u", "a", 0);
      const again = made(trace.consume("u", "a", 1));
      trace.refund(again).refund(again).peek("u", "a", 0);
    }),
    steps(
      "a week that begins on another day is another count",
      { a: { limits: [quota("week", 5, "week")] }, b: { limits: [quota("week", 5, "week", { anchorDay: 2 })] } },
      (trace) => {
        trace.consume("u", "a", 4);
        trace.peek("u", "b", 0);
        trace.consume("u", "b", 3);
        trace.consume("u", "a", 1);
      },
    ),
  ];
}

function once(): Vector[] {
  return [
    steps("what is given once never comes again", tier(quota("trial", 3, "once")), (trace) => {
      times(5, () => trace.consume("u", "a"));
      times(4, (year) => {
        trace.now = Date.UTC(2027 + 20 * year, 0, 1);
        trace.consume("u", "a");
        trace.peek("u", "a", 0);
      });
    }),
    steps(
      "a trial is kept under another plan, and may be larger there",
      {
        a: { limits: [quota("trial", 3, "once")] },
        b: { limits: [quota("trial", 10, "once"), bucket("minute", 2, 60)] },
      },
      (trace) => {
        times(4, () => trace.consume("u", "a"));
        times(4, () => trace.consume("u", "b"));
        trace.pass(400 * DAY).consume("u", "b", 2);
        trace.pass(MINUTE).consume("u", "b", 2);
        trace.pass(MINUTE).consume("u", "b", 2);
        trace.peek("u", "a", 0);
      },
    ),
    steps("a refund of what is given once is good at any time", tier(quota("trial", 3, "once")), (trace) => {
      const spent = made(trace.consume("u", "a", 3));
      trace.pass(900 * DAY).consume("u", "a");
      trace.refund(spent).consume("u", "a", 3);
    }),
  ];
}

function sizes(): Vector[] {
  const none = { a: { limits: [bucket("minute", 0, 60)] }, b: { limits: [quota("month", 0, "month")] } };
  return [
    steps("a limit of 0 denies all that costs anything, for ever", none, (trace) => {
      for (const plan of ["a", "b"]) {
        trace.consume("u", plan, 1);
        trace.consume("u", plan, 0.001);
        trace.consume("u", plan, 0);
        trace.peek("u", plan, 1000);
        trace.pass(90 * DAY).consume("u", plan, 1);
      }
    }),
    steps("a limit of 0 beside another", tier(bucket("minute", 10, 60), quota("month", 0, "month")), (trace) => {
      times(3, () => trace.consume("u", "a", 10));
      trace.consume("u", "a", 10.001);
      trace.peek("u", "a", 0);
    }),
    steps(
      "a bucket that leaves a limit of 0 begins anew",
      { a: { limits: [bucket("minute", 0, 60)] }, b: { limits: [bucket("minute", 10, 60, 2)] } },
      (trace) => {
        trace.consume("u", "a", 1);
        trace.consume("u", "b", 4);
        trace.pass(SECOND).consume("u", "a", 1);
        trace.consume("u", "b", 1);
      },
    ),
    steps("100 a minute, at most 10 at once", tier(bucket("minute", 100, 60, 0.1)), (trace) => {
      times(12, () => trace.consume("u", "a"));
      trace.pass(599).consume("u", "a");
      trace.pass(1).consume("u", "a");
      trace.pass(5 * MINUTE).peek("u", "a", 0);
      trace.consume("u", "a", 10);
      trace.consume("u", "a", 10.001);
      times(200, () => trace.pass(300).consume("u", "a"));
    }),
    steps("one at a time, evenly", tier(bucket("minute", 1000, 60, 0.001)), (trace) => {
      times(60, () => trace.pass(20).consume("u", "a"));
      trace.pass(HOUR).peek("u", "a", 0);
    }),
    steps("a new key holds no more than the bucket", tier(bucket("minute", 8, 60, 0.5)), (trace) => {
      trace.peek("u", "a", 4);
      trace.consume("u", "a", 4);
      trace.consume("u", "a", 4.001);
      trace.pass(7500).consume("u", "a", 1);
    }),
    steps(
      "between a small burst and a large one the fraction is kept",
      { a: { limits: [bucket("minute", 100, 60, 0.1)] }, b: { limits: [bucket("minute", 100, 60, 3)] } },
      (trace) => {
        trace.consume("u", "a", 5);
        trace.consume("u", "b", 100);
        trace.peek("u", "a", 0);
        trace.pass(40 * SECOND).consume("u", "b", 100);
        trace.consume("u", "a", 3);
      },
    ),
    steps("in any window at most the capacity and what refills", tier(bucket("minute", 40, 60, 0.5)), (trace) => {
      times(30, () => trace.consume("u", "a"));
      times(80, () => trace.pass(750).consume("u", "a"));
    }),
  ];
}

function eightNames(): Vector[] {
  const all: LimitRule[] = [
    bucket("second", 4, 1),
    bucket("minute", 30, 60, 1.5),
    bucket("quarter", 100, 900, 0.5),
    quota("hour", 70, "hour"),
    quota("day", 90, "day"),
    quota("week", 120, "week", { anchorDay: 7 }),
    quota("year", 140, "year", { anchorMonth: 4 }),
    quota("trial", 150, "once"),
  ];
  const plans = { a: { limits: all }, b: { limits: all.slice(0, 4) }, c: { limits: all.slice(4).reverse() } };
  return [
    steps("eight limits of one tier, each denies in its turn", { a: plans.a }, (trace) => {
      const pauses = [0, 300, 300, 2 * MINUTE, 300, 20 * MINUTE, HOUR, DAY, 9 * DAY, 40 * DAY, 400 * DAY];
      for (const pause of pauses) times(12, () => trace.pass(pause / 4).consume("u", "a", 2));
    }),
    steps("tiers of the first four and the last four of eight names", plans, (trace) => {
      for (const plan of ["a", "b", "c", "b", "a", "c", "a"]) {
        times(3, () => trace.pass(400).consume("u", plan, 3));
        trace.peek("u", plan === "c" ? "a" : "c", 0);
      }
      trace.reset("u").peek("u", "a", 0);
    }),
  ];
}

function costs(): Vector[] {
  const model = tier(bucket("requests", 10, 60), bucket("tokens", 6000, 60));
  const metered = tier(bucket("requests", 10, 60, 1.5), bucket("tokens", 100, 60, 1.5), quota("month", 500, "month"));
  return [
    steps("requests and tokens a minute in one call", model, (trace) => {
      times(6, () => trace.consume("u", "a", { requests: 1, tokens: 1850 }));
      times(20, () => trace.pass(2500).consume("u", "a", { requests: 1, tokens: 1850 }));
      times(12, () => trace.consume("u", "a", { requests: 1 }));
    }),
    steps("a limit that costs nothing denies nothing, not even in debt", metered, (trace) => {
      const spent = made(trace.consume("u", "a", { requests: 1, tokens: 50 }));
      trace.settle(spent, { requests: 1, tokens: 400 });
      trace.consume("u", "a", { requests: 1, tokens: 0.001 });
      trace.consume("u", "a", { requests: 1, tokens: 0 });
      trace.consume("u", "a", { requests: 1, month: 2 });
      trace.consume("u", "a", 1);
    }),
    steps("a call of nothing passes and begins nothing", metered, (trace) => {
      trace.consume("u", "a", {});
      trace.consume("u", "a", { requests: 0, tokens: 0 });
      trace.pass(MINUTE).consume("u", "a", { requests: 1 });
      trace.pass(MINUTE).consume("u", "a", { tokens: 0 });
    }),
    steps(
      "a call begins and converts limits that it costs nothing, too",
      { ...metered, b: { limits: [bucket("requests", 100, 60), bucket("tokens", 1000, 60, 3)] } },
      (trace) => {
        trace.consume("u", "a", { requests: 5 });
        trace.pass(30 * SECOND).peek("u", "a", 0);
        trace.consume("u", "b", { requests: 5 });
        trace.pass(30 * SECOND).peek("u", "b", 0);
      },
    ),
    steps("what no limit of the tier is called, and what no limit holds", metered, (trace) => {
      trace.consume("u", "a", { requests: 1, token: 1 });
      trace.consume("u", "a", { requests: -1 });
      trace.consume("u", "a", { requests: 1, tokens: 0.0001 });
      trace.consume("u", "a", { requests: 15.001 });
      trace.consume("u", "a", { requests: 10, tokens: 150.001 });
      trace.peek("u", "a", { requests: 1, token: 1 });
      trace.peek("u", "a", 0);
      trace.consume("u", "a", { requests: 10, tokens: 100, month: 500 });
      trace.peek("u", "a", 0);
    }),
    steps("a refund gives each limit its own back, or the quotas alone", metered, (trace) => {
      const first = made(trace.consume("u", "a", { requests: 2, tokens: 60, month: 100 }));
      const second = made(trace.consume("u", "a", { requests: 3, tokens: 20, month: 50 }));
      trace.refund(first, "quotas").peek("u", "a", 0);
      trace.refund(first).refund(second).refund(second).peek("u", "a", 0);
    }),
    steps("charged as it goes, and then settled", metered, (trace) => {
      const stream = made(trace.consume("u", "a", { requests: 1, tokens: 10 }));
      times(6, () => trace.pass(200).charge(stream, { tokens: 20, month: 20 }).peek("u", "a", 0));
      trace.consume("u", "a", { tokens: 1 });
      trace.settle(stream, { requests: 1, tokens: 115, month: 115 }).peek("u", "a", 0);
      trace.charge(stream, 1).settle(stream, 1).refund(stream).peek("u", "a", 0);
    }),
    steps("a refund gives back what was charged as well", metered, (trace) => {
      const stream = made(trace.consume("u", "a", 1));
      trace.charge(stream, { tokens: 140 }).charge(stream, 2.5).peek("u", "a", 0);
      trace.refund(stream).refund(stream).peek("u", "a", 0);
    }),
    steps("one number settles all that several have cost, and the other way around", metered, (trace) => {
      const each = made(trace.consume("u", "a", { requests: 1, tokens: 60, month: 90 }));
      trace.settle(each, 4).peek("u", "a", 0);
      const all = made(trace.consume("u", "a", 5));
      trace.settle(all, { tokens: 30 }).peek("u", "a", 0);
    }),
  ];
}

function blocks(): Vector[] {
  const login = tier(bucket("attempts", 5, 4500, 1, 3600));
  const plain = bucket("attempts", 4, 60, 1.5, 10);
  return [
    steps("a fast attacker has five, and then an hour of rest", login, (trace) => {
      times(40, () => trace.pass(250).consume("u", "a"));
      times(12, () => trace.pass(5 * MINUTE).consume("u", "a"));
      times(8, () => trace.consume("u", "a"));
    }),
    steps("a slow attacker has five in any quarter of an hour", login, (trace) =>
      times(60, () => trace.pass(100 * SECOND).consume("u", "a")),
    ),
    steps("calls during a block neither prolong it nor pay", tier(plain), (trace) => {
      times(5, () => trace.consume("u", "a"));
      times(19, () => trace.pass(500).consume("u", "a", 2));
      trace.pass(499).consume("u", "a");
      trace.pass(1).consume("u", "a", 4);
      trace.consume("u", "a", 0.001);
    }),
    steps("after a block a bucket is as a new key's, and refills from its end", tier(plain), (trace) => {
      times(5, () => trace.consume("u", "a"));
      trace.pass(25 * SECOND).peek("u", "a", 0);
      trace.consume("u", "a", 5);
      trace.pass(HOUR).peek("u", "a", 6);
    }),
    steps("what costs more than a new key has waits for the refill after the block", tier(plain), (trace) => {
      times(5, () => trace.consume("u", "a"));
      const denied = trace.consume("u", "a", 6);
      if (denied === undefined) throw new Error("a step was left out");
      trace.pass(10 * SECOND).consume("u", "a", 6);
      trace.pass(10 * SECOND).consume("u", "a", 4);
    }),
    steps("a peek says that a block would begin, and begins none", tier(plain), (trace) => {
      trace.consume("u", "a", 4);
      trace.peek("u", "a", 1);
      trace.pass(15 * SECOND).peek("u", "a", 1);
      trace.consume("u", "a", 1);
      trace.consume("u", "a", 1);
      trace.peek("u", "a", 1);
      trace.pass(3 * SECOND).peek("u", "a", 0);
    }),
    steps(
      "each bucket that denies begins its block",
      tier(plain, bucket("second", 2, 1, 1, 60), quota("day", 50, "day")),
      (trace) => {
        trace.consume("u", "a", 2);
        trace.consume("u", "a", 1);
        trace.pass(59 * SECOND).consume("u", "a", 1);
        trace.pass(1 * SECOND).consume("u", "a", 2);
      },
    ),
    steps("a block begins though another limit waits longer", tier(plain, quota("day", 4, "day")), (trace) => {
      trace.consume("u", "a", 4);
      trace.consume("u", "a", 1);
      trace.peek("u", "a", 0);
      trace.now = Date.UTC(2026, 2, 18);
      trace.consume("u", "a", 4);
    }),
    steps(
      "corrections leave a blocked bucket alone, and quotas get theirs",
      tier(plain, quota("day", 50, "day")),
      (trace) => {
        const [first, second, third] = [1, 1, 1].map(() => made(trace.consume("u", "a")));
        trace.consume("u", "a", 3);
        trace.refund(made(first)).charge(made(second), 5).settle(made(third), 3).peek("u", "a", 0);
        trace.pass(10 * SECOND).peek("u", "a", 0);
        trace.charge(made(second), 1).refund(made(second)).peek("u", "a", 0);
      },
    ),
    steps("a reset ends a block", tier(plain), (trace) => {
      times(5, () => trace.consume("u", "a"));
      trace.reset("u").peek("u", "a", 0);
      trace.consume("u", "a", 4);
    }),
    steps("what costs a blocked bucket nothing passes", tier(plain, bucket("requests", 10, 60)), (trace) => {
      times(5, () => trace.consume("u", "a", { attempts: 1, requests: 1 }));
      trace.consume("u", "a", { requests: 1 });
      trace.consume("u", "a", { attempts: 0.001 });
      trace.consume("u", "a", 0);
    }),
    steps(
      "a block goes on under another plan, and as a debt where none knows it",
      {
        a: { limits: [plain] },
        b: { limits: [bucket("attempts", 8, 60, 1, 20)] },
        c: { limits: [bucket("attempts", 8, 60, 2)] },
      },
      (trace) => {
        times(5, () => trace.consume("u", "a"));
        trace.pass(2 * SECOND).consume("u", "b");
        trace.pass(2 * SECOND).consume("u", "c");
        trace.pass(7 * SECOND).consume("u", "c");
        trace.pass(7 * SECOND).consume("u", "c");
      },
    ),
  ];
}

function concurrency(): Vector[] {
  const running = tier(places(2, 10), bucket("minute", 6, 60));
  return [
    steps("a place is given back, once", running, (trace) => {
      const first = made(trace.consume("u", "a"));
      trace.pass(SECOND).consume("u", "a");
      trace.consume("u", "a");
      trace.release(first).release(first).consume("u", "a");
      trace.consume("u", "a");
      trace.peek("u", "a", 0);
    }),
    steps("a place that nobody gives back is free after its timeout, and not a moment before", running, (trace) => {
      const first = made(trace.consume("u", "a"));
      trace.pass(4 * SECOND).consume("u", "a");
      trace.pass(5999).consume("u", "a");
      trace.pass(1).consume("u", "a");
      trace.release(first).consume("u", "a");
      trace.pass(HOUR).peek("u", "a", 1);
    }),
    steps("a call takes one place, whatever it costs, or none", running, (trace) => {
      trace.consume("u", "a", { minute: 3 });
      trace.consume("u", "a", { running: 1000, minute: 1 });
      trace.consume("u", "a", { running: 0, minute: 1 });
      trace.consume("u", "a", { running: 0.5 });
      trace.consume("u", "a", { running: 0.001 });
      trace.consume("u", "a", { minute: 1 });
    }),
    steps("who is denied for something else takes no place", running, (trace) => {
      trace.consume("u", "a", 6);
      trace.consume("u", "a", 1);
      trace.peek("u", "a", 0);
    }),
    steps(
      "a key that has only held places is charged as a new one what a call of nothing cost after all",
      {
        a: { limits: [places(2, 10), bucket("minute", 6, 60, 2), quota("day", 20, "day")] },
        b: { limits: [places(2, 10)] },
      },
      (trace) => {
        const [settled, charged] = [made(trace.consume("u", "a", 0)), made(trace.consume("u", "a", {}))];
        trace.consume("u", "b");
        trace
          .pass(5 * SECOND)
          .settle(settled, { minute: 2.5, day: 1 })
          .peek("u", "a", 0);
        trace
          .pass(2 * SECOND)
          .charge(charged, { day: 4 })
          .peek("u", "a", 0);
        trace.consume("u", "a", 3);
        trace.consume("u", "b");
      },
    ),
    steps("places are of the key, under every plan", { ...running, b: { limits: [places(4, 60)] } }, (trace) => {
      const first = made(trace.consume("u", "a"));
      trace.consume("u", "b");
      trace.consume("u", "b");
      trace.peek("u", "a", 0);
      trace.release(first).consume("u", "b");
      trace.consume("v", "a");
      trace.reset("u").peek("u", "b", 0);
    }),
  ];
}

function grants(): Vector[] {
  const plans = tier(quota("day", 10, "day"));
  const [tomorrow, afterwards] = [Date.UTC(2026, 2, 18), Date.UTC(2026, 2, 19)];
  return [
    steps("tokens are given beside the quota, and end with its period", plans, (trace) => {
      trace.consume("u", "a", 8);
      trace.grant("u", "a", 20, "day").consume("u", "a", 10);
      times(2, () => trace.consume("u", "a", 6));
      trace.now = tomorrow;
      trace.peek("u", "a", 0);
    }),
    steps("what is kept outlasts the period, as far as it is left", plans, (trace) => {
      trace.consume("u", "a", 8);
      trace.grant("u", "a", 20, "day", true).consume("u", "a", 10);
      trace.now = tomorrow;
      trace.peek("u", "a", 0);
      trace.consume("u", "a", 1);
      trace.now = afterwards;
      times(3, () => trace.consume("u", "a", 10));
      trace.now = afterwards + DAY;
      trace.peek("u", "a", 0);
    }),
    steps("what is given goes before what is kept", plans, (trace) => {
      trace.grant("u", "a", 5, "day", true).grant("u", "a", 5, "day").consume("u", "a", 10);
      trace.consume("u", "a", 5);
      trace.now = tomorrow;
      trace.peek("u", "a", 0);
      trace.consume("u", "a", 10);
      trace.consume("u", "a", 2);
      trace.now = afterwards;
      trace.peek("u", "a", 0);
    }),
    steps("a refund gives granted tokens back", plans, (trace) => {
      trace.grant("u", "a", 5, "day", true);
      const spent = made(trace.consume("u", "a", 3));
      trace.peek("u", "a", 0);
      trace.refund(spent).peek("u", "a", 0);
      const more = made(trace.consume("u", "a", 4));
      trace.settle(more, 1.5).peek("u", "a", 0);
    }),
    steps("a plan of nothing but what is bought", tier(quota("credits", 0, "once")), (trace) => {
      trace.consume("u", "a", 1);
      trace.grant("u", "a", 2.5, "credits", true);
      times(3, () => trace.consume("u", "a", 1));
      trace.consume("u", "a", 0.5);
      trace.consume("u", "a", 0.001);
    }),
    steps("trial credits are topped up", tier(quota("trial", 3, "once"), bucket("minute", 100, 60)), (trace) => {
      times(4, () => trace.consume("u", "a"));
      trace.grant("u", "a", 2, "trial");
      times(3, () => trace.consume("u", "a"));
    }),
  ];
}

function overage(): Vector[] {
  const beyond = (limit: number, max: number, period: QuotaRule["period"] = "month") => {
    return tier(quota(period, limit, period, { overage: { max } }));
  };
  const nextMonth = Date.UTC(2026, 3, 1);
  return [
    steps("calls go on beyond the limit, and end with the overage", beyond(10, 5), (trace) => {
      trace.peek("u", "a", 0);
      trace.consume("u", "a", 9.5);
      trace.consume("u", "a", 1);
      trace.consume("u", "a", 4);
      trace.consume("u", "a", 1);
      trace.consume("u", "a", 0.5);
      trace.consume("u", "a", 0.001);
      trace.now = nextMonth - 1;
      trace.consume("u", "a", 0.001);
      trace.now = nextMonth;
      trace.consume("u", "a", 1);
    }),
    steps("a call may cost as much as the limit and its overage, and no more", beyond(10, 5), (trace) => {
      trace.consume("u", "a", 15.001);
      trace.consume("u", "a", 15);
    }),
    steps("what is refunded and settled is of the overage first", beyond(10, 5), (trace) => {
      trace.consume("u", "a", 8);
      const spent = made(trace.consume("u", "a", 5));
      trace.settle(spent, 2.5).peek("u", "a", 0);
      const more = made(trace.consume("u", "a", 4));
      trace.refund(more).peek("u", "a", 0);
    }),
    steps("what is charged past the overage is told", beyond(10, 5), (trace) => {
      const spent = made(trace.consume("u", "a", 14));
      trace.charge(spent, 7).peek("u", "a", 0);
      trace.consume("u", "a", 0.001);
    }),
    steps("a plan of overage alone", beyond(0, 3), (trace) => {
      times(4, () => trace.consume("u", "a"));
      trace.now = nextMonth;
      trace.consume("u", "a");
    }),
    steps("tokens that are given are used before the overage", beyond(10, 5, "day"), (trace) => {
      trace.consume("u", "a", 8);
      trace.grant("u", "a", 4, "day").consume("u", "a", 5);
      trace.consume("u", "a", 3);
      trace.consume("u", "a", 4);
      trace.consume("u", "a", 3);
      trace.now = Date.UTC(2026, 2, 18);
      trace.peek("u", "a", 0);
    }),
    steps(
      "a change of plan takes what is used along: what is beyond the one limit may lie within the other",
      {
        ...beyond(10, 5),
        b: beyond(20, 5)["a"] ?? { limits: [] },
        c: tier(quota("month", 10, "month"))["a"] ?? { limits: [] },
      },
      (trace) => {
        trace.consume("u", "a", 13);
        trace.consume("u", "b", 2);
        trace.peek("u", "c", 0);
        trace.consume("u", "c", 1);
        trace.consume("u", "b", 7);
        trace.peek("u", "a", 0);
        trace.consume("u", "a", 1);
      },
    ),
    steps(
      "an hourly and a monthly one, each with its own",
      tier(quota("hour", 4, "hour", { overage: { max: 4 } }), quota("month", 10, "month", { overage: { max: 100 } })),
      (trace) => {
        times(3, () => trace.consume("u", "a", 3));
        trace.pass(HOUR);
        times(3, () => trace.consume("u", "a", 3));
      },
    ),
  ];
}

function severalSubjects(): Vector[] {
  const plans: TierRules = {
    user: { limits: [bucket("minute", 3, 60)] },
    organisation: { limits: [bucket("minute", 5, 60), quota("month", 8, "month")] },
    address: { limits: [bucket("second", 4, 1)] },
    everybody: { limits: [] },
  };
  const of = (user: string, cost = 1) => [
    { key: "acme", tier: "organisation", cost },
    { key: user, tier: "user", cost },
  ];
  return [
    steps("an organisation and its users: all, or nothing of any", plans, (trace) => {
      times(4, () => trace.consumeAll(of("ada")));
      times(3, () => trace.consumeAll(of("bob")));
      trace.peek("acme", "organisation", 0);
      trace.peek("bob", "user", 0);
      trace.pass(20 * SECOND).consumeAll(of("bob", 2));
      trace.pass(MINUTE).consumeAll(of("ada", 3));
      trace.pass(MINUTE).consumeAll(of("bob", 1));
    }),
    steps("what is taken of all is given back to all, once", plans, (trace) => {
      const spent = made(trace.consumeAll(of("ada", 2)));
      trace.peek("acme", "organisation", 0);
      trace.refund(spent).refund(spent).peek("acme", "organisation", 0);
      const more = made(trace.consumeAll(of("ada", 2)));
      trace.settle(more, 1).peek("ada", "user", 0);
    }),
    steps("the costs of a subject that is there twice add up", plans, (trace) => {
      const twice = [...of("ada", 1), ...of("ada", 1)];
      trace.consumeAll(twice);
      trace.peek("ada", "user", 0);
      trace.consumeAll(twice);
      trace.peek("ada", "user", 0);
      trace.consumeAll([...twice, ...twice]);
      const spent = made(trace.consumeAll(of("ada", 1)));
      trace.refund(spent).peek("acme", "organisation", 0);
    }),
    steps("subjects without limits count with the others", plans, (trace) => {
      const all = { key: "all", tier: "everybody", cost: 1 };
      times(5, () => trace.consumeAll([all, { key: "192.0.2.7", tier: "address", cost: 1 }, ...of("ada", 0.5)]));
      trace.pass(SECOND).consumeAll([{ key: "192.0.2.7", tier: "address", cost: 4 }, ...of("ada", 0.5)]);
    }),
  ];
}

/** Vectors made by hand, by the name of the profile that they are of. */
export const CASES: Readonly<Record<string, () => Vector[]>> = {
  periods,
  once,
  sizes,
  "eight names": eightNames,
  costs,
  blocks,
  places: concurrency,
  grants,
  overage,
  "several subjects": severalSubjects,
};
