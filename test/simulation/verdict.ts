import type { Bucket } from "../../src/engine/bucket.js";
import type { Quota } from "../../src/engine/quota.js";
import type { Ledger } from "./ledger.js";
import { levelAt, overBucket } from "./oracle.js";
import { refilled } from "./policy.js";
import type { ScriptModel } from "./script-model.js";

/** What a run was like, by which it is judged. Amounts are thousandths. */
export interface Circumstances {
  /** What the server holds in the end, at `nowMs`. */
  readonly keys: ScriptModel;
  readonly nowMs: number;
  /** How much later, in ms, tokens may be used than they were taken. */
  readonly aheadMs: number;
  /** What may have been lost by those who alone knew of it. */
  readonly excused: number;
  /** What was spent of the key and is of use to nobody. */
  readonly leaked: number;
  /** Whether the server has lost writes, and whether a replica was killed. */
  readonly forgets: boolean;
  readonly hasCrashed: boolean;
  readonly crossesMidnight: boolean;
}

/** What was promised of a key and not kept, and the largest part of the allowed overshoot of a bucket that was used. */
export interface Verdict {
  readonly violations: readonly string[];
  readonly overshoot: number;
}

/** Judges what has become of a key, which is also its tier. */
export function verdictOn(key: string, ledger: Ledger, circumstances: Circumstances): Verdict {
  const verdicts = ledger.tier.limits.map(({ name, rule }, index): Verdict => {
    if (rule.type === "bucket") return onBucket(key, name, rule, ledger, index, circumstances);
    const violations = rule.type === "quota" ? onQuota(key, name, rule, ledger, index, circumstances) : [];
    return { violations: violations.map((violation) => `${key}.${name}: ${violation}`), overshoot: 0 };
  });
  return {
    violations: verdicts.flatMap(({ violations }) => violations),
    overshoot: Math.max(0, ...verdicts.map(({ overshoot }) => overshoot)),
  };
}

function onBucket(
  key: string,
  name: string,
  rule: Bucket,
  ledger: Ledger,
  index: number,
  { keys, nowMs, aheadMs, excused }: Circumstances,
): Verdict {
  const violations: string[] = [];
  const allowed = (rule.perMs / rule.perMilli) * aheadMs;
  const over = overBucket(rule, ledger.admitted(index));
  if (over > allowed + excused + 0.001) {
    violations.push(`${key}.${name}: ${over / 1000} over, ${allowed / 1000} allowed`);
  }
  // What replicas hold, and use later than it is taken, drains from the bucket for as much less.
  const level = levelAt(rule, ledger.spent(index), nowMs);
  const used = keys.spent(key, name, nowMs) ?? 0;
  const lost = level - used / rule.perMilli - allowed - excused - (refilled.get(`${key}.${name}`) ?? 0);
  // What is charged after an outage is rounded to thousandths.
  if (lost > 1) violations.push(`${key}.${name}: ${lost / 1000} not charged`);
  return { violations, overshoot: allowed > 0 ? over / allowed : 0 };
}

function onQuota(
  key: string,
  name: string,
  rule: Quota,
  ledger: Ledger,
  index: number,
  { keys, nowMs, excused, leaked, forgets, hasCrashed, crossesMidnight }: Circumstances,
): string[] {
  const violations: string[] = [];
  const most = mostAdmitted(rule, ledger, index);
  if (most > rule.maxCostMilli + excused) {
    violations.push(`${most / 1000} of ${rule.maxCostMilli / 1000} admitted`);
  }
  if (crossesMidnight) return violations;
  const spent = ledger.spentMilli(index);
  const granted = keys.granted(key, name);
  const asked = ledger.grantedMilli(index);
  // A grant that is lost takes as much along of what was used.
  const used = (keys.spent(key, name, nowMs) ?? 0) + (forgets ? asked.most : granted);
  if (used + excused < spent) violations.push(`${(spent - used) / 1000} not charged`);
  if (forgets) return violations;
  if (granted < asked.least) violations.push(`${granted / 1000} are granted, and not ${asked.least / 1000}`);
  if (granted > asked.most) violations.push(`${granted / 1000} are granted, of ${asked.most / 1000} at most`);
  if (!hasCrashed && used > spent + leaked) violations.push(`${(used - spent - leaked) / 1000} charged too much`);
  return violations;
}

/** The most that was let in of a period at any time beyond what was given back and granted until then, by the store. */
function mostAdmitted(rule: Quota, ledger: Ledger, index: number): number {
  const byPeriod = new Map<number, number>();
  let most = 0;
  for (const { atMs, costMilli, byPolicy } of ledger.admitted(index)) {
    if (byPolicy) continue;
    const { startMs } = rule.periodOf(atMs);
    const admitted = (byPeriod.get(startMs) ?? 0) + costMilli;
    byPeriod.set(startMs, admitted);
    most = Math.max(most, admitted - ledger.grantedMilli(index, atMs).most);
  }
  return most;
}
