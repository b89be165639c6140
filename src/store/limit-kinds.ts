import type { PeriodName } from "../engine/period.js";
import { kindOf, named, type Tier } from "../engine/tier.js";
import { TollkeeperError } from "../errors.js";

/** What each limit's name stands for: its kind, and where its periods begin if they have a choice, as text. */
export type LimitKinds = ReadonlyMap<string, string>;

/** Where limits are shared, as it may be shown. */
export interface StoreRef {
  readonly url: string;
  readonly prefix: string;
}

/** What the periods that may begin anywhere begin with. */
const ANCHORED: Partial<Record<PeriodName, string>> = { week: "day", month: "day", year: "month" };

/** What the names of these tiers stand for. */
export function kindsOf(tiers: Iterable<Tier>): LimitKinds {
  const rules = [...tiers].flatMap(({ limits }) => limits);
  return new Map(
    rules.map(({ name, rule }) => {
      const anchors = rules.flatMap((one) => (one.name === name && one.rule.type === "quota" ? [one.rule.anchor] : []));
      const from = [...new Set(anchors)].sort((a, b) => a - b).join("/");
      const unit = rule.type === "quota" ? ANCHORED[rule.period] : undefined;
      return [name, unit === undefined ? kindOf(rule) : `${kindOf(rule)} from ${unit} ${from}`];
    }),
  );
}

/** As replicas tell each other. */
export function kindsText(kinds: LimitKinds): string {
  return [...kinds].map((entry) => entry.join("=")).join(",");
}

/** The conflicts with a replica that has told other kinds. */
export function conflictsWith(told: string, kinds: LimitKinds, storeRef: StoreRef): TollkeeperError[] {
  const theirs = new Map(told.split(",").map((entry) => entry.split("=") as [string, string]));
  return [...kinds].flatMap(([name, here]) => {
    const there = theirs.get(name);
    return there === undefined || there === here
      ? []
      : [conflict(name, here, `${named(there)} in another replica`, storeRef)];
  });
}

/** A limit whose name stands for something else in another place. It is without a key, since it is the same for all. */
export function conflict(
  limit: string,
  here: string,
  elsewhere: string,
  { url, prefix }: StoreRef,
  options?: ErrorOptions,
): TollkeeperError {
  return new TollkeeperError(
    "ERR_STORE_CONFLICT",
    `the limit ${limit} is ${named(here)} here, and ${elsewhere}, under the prefix ${prefix} of Redis at ${url}: ` +
      "give the limit another name, or the app another prefix",
    options,
  );
}
