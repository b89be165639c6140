import type { FastifyRequest } from "fastify";
import { TollkeeperError } from "../errors.js";
import { shown } from "../limiter/misuse.js";

/** What a route costs, in the route's `config.toll`; a route that says nothing costs 1. */
export type RouteToll = FixedToll | (() => FixedToll);

/** A toll; a function gives one where it changes while the app runs: the same object as long as it does not. */
export type FixedToll =
  | {
      /** Tokens spent before the body is read: from 0, at most three decimals; 1 by default, 0 is free. */
      cost?: number;
      /** Tokens that the call costs once its body is known and valid, at least `cost`. All are spent or none. */
      total?: (request: FastifyRequest) => number;
      /**
       * Whether callers are identified though the route costs 0; false by default. A caller that is refused is charged 1,
       * so that trying keys is not free.
       */
      identified?: boolean;
    }
  /** Free: nobody is identified and nothing is counted. */
  | false;

/** A route's toll, checked. */
export interface Toll {
  cost: number;
  total: ((request: FastifyRequest) => number) | undefined;
  /** Whether it matters who calls. */
  identified: boolean;
}

const ONE: Toll = { cost: 1, total: undefined, identified: true };
const FREE: Toll = { cost: 0, total: undefined, identified: false };

const FIELDS = ["cost", "total", "identified"];

/** Checked tolls by the route's own object, so that each is checked once. */
const checked = new WeakMap<object, Toll>();

/**
 * The toll of the route that a request has found; 1 if it has found none, since guessing routes is not free.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function tollOf(request: FastifyRequest): Toll {
  const { toll: configured } = request.routeOptions.config;
  if (configured === undefined) return ONE;
  const toll = typeof configured === "function" ? configured() : configured;
  if (toll === false) return FREE;
  let known = checked.get(toll);
  if (known === undefined) {
    known = checkToll(toll);
    checked.set(toll, known);
  }
  return known;
}

/** @throws {TollkeeperError} `ERR_OPTION_INVALID` */
export function checkToll(configured: RouteToll | undefined): Toll {
  if (configured === undefined) return ONE;
  const toll = typeof configured === "function" ? configured() : configured;
  if (toll === false) return FREE;
  if (typeof toll !== "object" || toll === null) throw invalid("toll", toll, "{ cost, total, identified } or false");
  const unknown = Object.keys(toll).find((field) => !FIELDS.includes(field));
  if (unknown !== undefined) throw invalid(`toll.${unknown}`, "an unknown field", "cost, total or identified");
  const { cost = 1, total, identified = cost !== 0 } = toll;
  if (typeof cost !== "number" || !(cost >= 0) || Math.round(cost * 1000) / 1000 !== cost) {
    throw invalid("toll.cost", cost, "a number from 0 with at most three decimals");
  }
  if (total !== undefined && typeof total !== "function")
    throw invalid("toll.total", total, "a function of the request");
  if (total !== undefined && cost === 0) throw invalid("toll.cost", cost, "above 0 where toll.total is given");
  if (typeof identified !== "boolean") throw invalid("toll.identified", identified, "true or false");
  if (!identified && cost !== 0) throw invalid("toll.identified", identified, "true where the route costs something");
  return { cost, total, identified };
}

/**
 * Checks what a toll's `total` has given, where `first` was charged before.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function checkTotal(total: unknown, first: number): void {
  const isNumber = typeof total === "number" && Number.isFinite(total);
  if (isNumber && total >= first && Math.round(total * 1000) / 1000 === total) return;
  const mayBe = `a number from ${first}, the route's cost, with at most three decimals`;
  throw new TollkeeperError("ERR_OPTION_INVALID", `config.toll.total returned ${shown(total)}; it may return ${mayBe}`);
}

function invalid(option: string, was: unknown, mayBe: string): TollkeeperError {
  return new TollkeeperError("ERR_OPTION_INVALID", `config.${option} is ${shown(was)}; it may be ${mayBe}`);
}
