import { isThousandths } from "../engine/amount.js";
import type { Cost } from "../engine/cost.js";
import { optionInvalid } from "../errors.js";
import { COST, isAnyCost, isAtLeast, isNothing, textOf } from "./costs.js";
import type { Identify } from "./identity.js";
import { type MaybePromise, mute } from "./maybe-promise.js";
import { checkMeter, type Meter } from "./usage.js";

/** What a route costs; one that says nothing costs 1. */
export type RouteToll<Request> = FixedToll<Request> | (() => FixedToll<Request>);

/** A toll; a function gives one where it changes while the app runs: the same object as long as it does not. */
export type FixedToll<Request> =
  | {
      /**
       * Tokens spent before the body is read: from 0, at most three decimals; 1 by default, 0 is free. Or such a number for
       * each limit, by its name: one that is left out costs nothing, nor does one that the caller's tier lacks. Or a function
       * of the call that says how many.
       */
      cost?: Cost | ((request: Request) => Cost) | undefined;
      /** Tokens that the call costs once its body is known and valid, at least `cost`. All are spent or none. It may be async. */
      total?: ((request: Request) => MaybePromise<Cost>) | undefined;
      /**
       * Whether callers are identified though the route costs 0; false by default. A caller that is refused is charged 1,
       * so that trying keys is not free.
       */
      identified?: boolean | undefined;
      /**
       * The tier whose limits are in force here, whatever the caller's own. Callers are counted under it by themselves, over
       * all routes that name it: by the key `${key}\0${tier}`.
       */
      tier?: string | undefined;
      /** Says who calls, in place of the layer's own. */
      identify?: Identify<Request> | undefined;
      /** Under which meter a ledger counts calls, in place of the layer's own. */
      meter?: Meter | undefined;
    }
  /** Free: nobody is identified and nothing is counted. */
  | false;

/** A route's toll, checked. */
export interface Toll<Request> {
  /** Tokens spent before the body is read. */
  cost: Cost;
  /** Where the cost is told of each call by itself. */
  costOf: ((request: Request) => Cost) | undefined;
  /** The whole cost, once the body is known. */
  total: ((request: Request) => MaybePromise<Cost>) | undefined;
  /** Whether it matters who calls. */
  identified: boolean;
  /** The tier whose limits are in force here. */
  tier: string | undefined;
  /** Says who calls here. */
  identify: Identify<Request> | undefined;
  /** Under which meter calls are counted here. */
  meter: Meter | undefined;
}

const NOTHING_ELSE = { costOf: undefined, total: undefined, tier: undefined, identify: undefined, meter: undefined };
const ONE: Toll<never> = { cost: 1, identified: true, ...NOTHING_ELSE };
const FREE: Toll<never> = { cost: 0, identified: false, ...NOTHING_ELSE };

const FIELDS = ["cost", "total", "identified", "tier", "identify", "meter"];

/** Checked tolls by the route's own object, so that each is checked once. */
const checked = new WeakMap<object, Toll<never>>();

/**
 * The toll that is configured for a route; 1 where nothing is.
 *
 * @param where What messages put before the name of a field: where that is configured.
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function checkedToll<Request>(
  configured: RouteToll<Request> | undefined,
  where = "config.toll.",
): Toll<Request> {
  if (configured === undefined) return ONE as Toll<Request>;
  const toll = typeof configured === "function" ? configured() : configured;
  if (toll === false) return FREE as Toll<Request>;
  if (typeof toll !== "object" || toll === null)
    throw optionInvalid(where.slice(0, -1), toll, `{ ${FIELDS.join(", ")} } or false`);
  let known = checked.get(toll);
  if (known === undefined) {
    known = read(toll, where) as Toll<never>;
    checked.set(toll, known);
  }
  return known as Toll<Request>;
}

function read<Request>(toll: Exclude<FixedToll<Request>, false>, where: string): Toll<Request> {
  const invalid = (field: string, was: unknown, mayBe: string) => optionInvalid(where + field, was, mayBe);
  const unknown = Object.keys(toll).find((field) => !FIELDS.includes(field));
  if (unknown !== undefined) throw invalid(unknown, "an unknown field", `one of ${FIELDS.join(", ")}`);
  const { cost = 1, total, tier, identify, meter } = toll;
  const costOf = typeof cost === "function" ? cost : undefined;
  if (costOf === undefined && !isAnyCost(cost)) {
    throw invalid("cost", cost, `${COST}, or a function of the request`);
  }
  const isFree = typeof cost !== "function" && isNothing(cost);
  const { identified = !isFree } = toll;
  if (total !== undefined && typeof total !== "function") throw invalid("total", total, "a function of the request");
  if (total !== undefined && isFree) throw invalid("cost", cost, "above 0 where total is given");
  if (typeof identified !== "boolean") throw invalid("identified", identified, "true or false");
  if (!identified && !isFree) throw invalid("identified", identified, "true where the route costs something");
  if (tier !== undefined && typeof tier !== "string") throw invalid("tier", tier, "the name of a tier");
  if (identify !== undefined && typeof identify !== "function")
    throw invalid("identify", identify, "a function of the request");
  checkMeter(`${where}meter`, meter);
  const own: Cost = typeof cost === "function" ? 1 : typeof cost === "number" ? cost : { ...cost };
  return { cost: own, costOf, total, identified, tier, identify, meter };
}

/**
 * Checks what a toll's own function has given for the first cost: more than nothing, if `isPaid`.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function checkedCost(cost: unknown, isPaid: boolean): Cost {
  if (isAnyCost(cost) && !(isPaid && isNothing(cost))) return cost;
  mute(cost);
  throw optionInvalid("config.toll.cost()", cost, isPaid ? `${COST}, and above 0 where total is given` : COST);
}

/**
 * The same for the whole cost, of which each limit that `names` has is at least as much as it was at first.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function checkedTotal(total: unknown, first: Cost, names: () => readonly string[]): Cost {
  // Nearly all are numbers.
  if (typeof total === "number" && typeof first === "number" && isThousandths(total) && total >= first) return total;
  if (isAnyCost(total) && isAtLeast(total, first, names)) return total;
  throw optionInvalid("config.toll.total()", total, `${COST}, and at least ${textOf(first)}, what was spent at first`);
}
