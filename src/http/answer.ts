import { TollkeeperError } from "../errors.js";
import type { Decision } from "../limiter/decision.js";
import type { Fields } from "./headers.js";
import type { Problem } from "./problem.js";

/** What is to be done with a call. */
export type Answer = Pass | Denial | Fault;

/** It goes on. */
export interface Pass {
  /** Which kind of answer it is. */
  readonly type: "pass";
  /** For the header of its answer. */
  readonly fields: Fields;
}

/** It is answered with a problem document, and goes no further. */
export interface Denial {
  /** Which kind of answer it is. */
  readonly type: "deny";
  /** The document; its `status` is the status. */
  readonly problem: Problem;
  /** For the header of the answer. */
  readonly fields: Fields;
  /** What denied it; undefined where it was refused for something else. */
  readonly decision: Decision | undefined;
  /** Why it can't be decided, for the log; undefined where that is not the reason. */
  readonly cause: unknown;
}

/** Its charging has failed by a mistake of the app's, which is for the framework's error handler. */
export interface Fault {
  /** Which kind of answer it is. */
  readonly type: "fault";
  /** May be shown to the client; of status 500 unless it is the app's own. */
  readonly error: Error;
  /** What is wrong, for the log; undefined where `error` is the app's own. */
  readonly cause: unknown;
}

/** A call that goes on, and of which nothing is said. */
export const PASS: Pass = { type: "pass", fields: [] };

export function denial(problem: Problem, fields: Fields, about: Partial<Denial> = {}): Denial {
  return { type: "deny", problem, fields, decision: undefined, cause: undefined, ...about };
}

/**
 * What was thrown, for the app's error handler. That may show the client its message, so what is wrong with the set-up,
 * such as the names of all tiers, is for the log. Frameworks would take `undefined` and the like for no error at all, and
 * Express `"route"` for the word to go on, and let the call in.
 */
export function faultOf(thrown: unknown): Fault {
  const isError = typeof thrown === "object" && thrown !== null;
  if (isError && !(thrown instanceof TollkeeperError)) {
    return { type: "fault", error: thrown as Error, cause: undefined };
  }
  const cause = isError ? thrown : new Error(`${String(thrown)} was thrown where the call was to be charged`);
  const error = Object.assign(new Error("The call can't be charged."), { statusCode: 500, status: 500 });
  return { type: "fault", error, cause };
}
