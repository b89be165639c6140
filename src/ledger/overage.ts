import { type MeterUsage, unitsOf } from "./month-usage.js";

/** Usage of which it is known how much lies beyond a quota's limit. */
export interface WithOverage {
  /** Tokens of the row that do, from 0. */
  overage: number;
}

/**
 * Says how much of each row of usage lies beyond a quota's limit, in the order of the rows, which is that of time. What one plan
 * has used counts for the next, as in a quota that both have; what is once overage stays so. Of rows of one hour, the first come first.
 *
 * @param usage Rows of one account and one period of the quota, of the meters that spend it.
 * @param limits Tokens of the period before overage begins, by name of the plan, with those that were granted; a plan that is left
 * out has no limit.
 * @returns The same rows, each with its `overage` in tokens.
 * @throws {TollkeeperError} `ERR_USAGE_INVALID`
 *
 * @example
 * ```ts
 * import { splitOverage } from "tollkeeper/ledger";
 *
 * const rows = [
 *   { plan: "small", meter: "identify", units: 900 },
 *   { plan: "small", meter: "identify", units: 300 },
 *   { plan: "large", meter: "identify", units: 1000 },
 * ];
 * const split = splitOverage(rows, { small: 1000, large: 5000 });
 * console.log(split.map(({ overage }) => overage)); // [ 0, 200, 0 ]
 * ```
 */
export function splitOverage<Row extends MeterUsage>(
  usage: readonly Row[],
  limits: Readonly<Record<string, number>>,
): (Row & WithOverage)[] {
  const limitsMilli = new Map(
    Object.entries(limits).map(([plan, limit]) => [plan, BigInt(unitsOf(`limits.${plan}`, limit))]),
  );
  let usedMilli = 0n;
  return usage.map((row, index) => {
    const milli = BigInt(unitsOf(`usage[${index}].units`, row.units));
    usedMilli += milli;
    const limitMilli = row.plan === undefined ? undefined : limitsMilli.get(row.plan);
    const beyond = limitMilli === undefined || usedMilli <= limitMilli ? 0n : usedMilli - limitMilli;
    return { ...row, overage: Number(beyond < milli ? beyond : milli) / 1000 };
  });
}
