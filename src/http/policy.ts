import { type BareItem, serializeItem, serializeList } from "structured-headers";
import { type Period, type PeriodName, periodAt } from "../engine/period.js";
import { anchorOf, capacityOf, type LimitSpec, type TierSpec } from "../engine/spec.js";
import type { Decision } from "../limiter/decision.js";
import { FieldWriter } from "./field.js";

/** What may be used up: a rate, a quota by its period, the places of calls, or nothing, of which there never is anything. */
export type Exhausted = "rate" | PeriodName | "places" | "nothing";

const SECONDS = Buffer.from(";t=");
/** The quota unit of calls that run at the same time. */
const CONCURRENT: [string, BareItem] = ["qu", "concurrent-requests"];
const field = new FieldWriter();

/**
 * What a tier's limits say in `RateLimit-Policy` and `RateLimit`, as draft-ietf-httpapi-ratelimit-headers-11 has them; the
 * draft still moves. What can be known before the call is written only once.
 */
export class TierPolicy {
  /** Index of the limit that is a monthly quota; -1 if there is none. */
  readonly monthly: number;
  /** Index of the quota whose overage is told: the monthly one if it has any, or else the first that has; -1 if none has. */
  readonly overage: number;
  /** The tokens of each limit, whole, as text. */
  readonly limitTexts: readonly string[];
  readonly #limits: readonly LimitSpec[];
  /** `"minute";r=` and so on: the start of each item of `RateLimit`. */
  readonly #items: readonly Uint8Array[];
  /** Where in the state written last the tokens left of each limit stand. */
  readonly #starts: number[];
  readonly #ends: number[];
  #policy = "";
  /** When `#policy` was written for a period that has an end: the instants, in ms, between which it holds. */
  #holds: Period = { startMs: 0, endMs: 0 };

  constructor({ limits }: TierSpec) {
    this.#limits = limits;
    this.#items = limits.map(({ name }, index) =>
      Buffer.from(`${index > 0 ? ", " : ""}${serializeItem(name, new Map())};r=`),
    );
    this.limitTexts = limits.map(({ limit }) => String(Math.floor(limit)));
    this.#starts = limits.map(() => 0);
    this.#ends = limits.map(() => 0);
    this.monthly = limits.findIndex((limit) => limit.type === "quota" && limit.period === "month");
    const hasOverage = limits.map((limit) => limit.type === "quota" && limit.overage !== undefined);
    this.overage = hasOverage[this.monthly] === true ? this.monthly : hasOverage.indexOf(true);
  }

  /** What the limit of that name has used up when it denies for itself alone; undefined if there is none. */
  exhaustedOf(name: string | null): Exhausted | undefined {
    const limit = this.#limits.find((limit) => limit.name === name);
    if (limit === undefined) return undefined;
    if (capacityOf(limit) === 0) return "nothing";
    if (limit.type === "concurrency") return "places";
    return limit.type === "quota" ? limit.period : "rate";
  }

  /**
   * The field `RateLimit-Policy`: per limit what it can hold, without overage, and the seconds it takes to fill, or its period
   * lasts, if it does end; of one of concurrency its places, which is a unit of its own.
   */
  policyField(nowMs: number): string {
    if (nowMs < this.#holds.startMs || nowMs >= this.#holds.endMs) this.#write(nowMs);
    return this.#policy;
  }

  /**
   * The field `RateLimit`: per limit what is left, in whole tokens, and the seconds until it is full or starts anew, if it ever
   * does.
   *
   * @internal
   */
  stateField(decision: Pick<Decision, "remainingOf" | "resetMsOf">): string {
    for (let index = 0; index < this.#items.length; index++) {
      this.#starts[index] = field.text(this.#items[index] as Uint8Array).length;
      this.#ends[index] = field.number(Math.floor(decision.remainingOf(index))).length;
      const resetMs = decision.resetMsOf(index);
      if (resetMs < Number.POSITIVE_INFINITY) field.text(SECONDS).number(Math.ceil(resetMs / 1000));
    }
    return field.take();
  }

  /** The whole tokens left of a limit, cut from the state written last, which costs less than to write them again. */
  remainingIn(state: string, index: number): string {
    return state.slice(this.#starts[index], this.#ends[index]);
  }

  #write(nowMs: number): void {
    const holds = { startMs: Number.NEGATIVE_INFINITY, endMs: Number.POSITIVE_INFINITY };
    const items = this.#limits.map((limit): [string, Map<string, BareItem>] => {
      const period = currentPeriod(limit, nowMs);
      holds.startMs = Math.max(holds.startMs, period.startMs);
      holds.endMs = Math.min(holds.endMs, period.endMs);
      const q = Math.floor(limit.type === "quota" ? limit.limit : capacityOf(limit));
      if (limit.type === "concurrency") return [limit.name, new Map<string, BareItem>([["q", q], CONCURRENT])];
      const w = limit.type === "bucket" ? limit.windowSeconds * limit.burst : (period.endMs - period.startMs) / 1000;
      const parameters = new Map<string, BareItem>([["q", q]]);
      if (w < Number.POSITIVE_INFINITY) parameters.set("w", Math.ceil(w));
      return [limit.name, parameters];
    });
    this.#policy = flat(serializeList(items));
    this.#holds = holds;
  }
}

function currentPeriod(limit: LimitSpec, nowMs: number): Period {
  if (limit.type !== "quota") return { startMs: Number.NEGATIVE_INFINITY, endMs: Number.POSITIVE_INFINITY };
  return periodAt(nowMs, limit.period, anchorOf(limit));
}

/** The same text in one piece; Node would put the pieces together anew for every answer. */
function flat(text: string): string {
  return Buffer.from(text).toString("latin1");
}
