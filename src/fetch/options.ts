import type {
  AddressIdentityOptions,
  Cost,
  FieldOptions,
  FinalAnswer,
  Identified,
  LayerOptions,
  MaybePromise,
  OnFault,
} from "../http/index.js";
import type { Decision } from "../limiter/decision.js";

/**
 * Limits of a handler. `Rest` is what the server hands to it behind the request, such as Bun's server, or the context of a
 * route; each function is given it too.
 */
export interface TollkeeperOptions<Rest extends unknown[] = []>
  extends AddressIdentityOptions,
    Pick<LayerOptions<never>, "limiter" | "shadow" | "ledger" | "meter"> {
  /** Says who calls. By default callers are told apart by address, and the options for that stand beside this one. */
  identify?: ((request: Request, ...rest: Rest) => MaybePromise<Identified>) | undefined;
  /** The address of the connection's other end, which a `Request` does not tell; needed where `identify` is left out. */
  address?: ((request: Request, ...rest: Rest) => string | undefined) | undefined;
  /**
   * Tokens spent before the handler is called: from 0, at most three decimals; 1 by default, 0 is free. Or such a number for each
   * limit, by its name.
   */
  cost?: Cost | ((request: Request, ...rest: Rest) => Cost) | undefined;
  /**
   * Tokens that the call costs once its body is known, at least `cost`; it reads a clone, `request.clone()`. All are spent or
   * none. A `Response` refuses the body, and gives back to the quotas.
   */
  total?: ((request: Request, ...rest: Rest) => MaybePromise<Cost | Response>) | undefined;
  /** Whether callers are identified though the call costs 0; false by default. */
  identified?: boolean | undefined;
  /** The tier whose limits are in force here, whatever the caller's own. */
  tier?: string | undefined;
  /** Which fields say how a caller stands; `false` for none. */
  fields?: FieldOptions | false | undefined;
  /** What of its cost an answered call gets back; `"failure"` by default. Nothing, where the caller has gone away. */
  refundOn?: "failure" | "success" | ((answer: FinalAnswer, request: Request) => "all" | "quotas" | false) | undefined;
  /** Answers a call that was denied, in place of the problem document; the fields are added to its answer. */
  onDenied?: ((request: Request, decision: Decision, ...rest: Rest) => MaybePromise<Response>) | undefined;
  /** Told what is wrong with the set-up, and why calls can't be decided. By default a process warning, once of each code. */
  onFault?: OnFault | undefined;
}
