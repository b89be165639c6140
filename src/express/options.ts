import type { IncomingMessage, ServerResponse } from "node:http";
import type { AdapterOptions, FixedToll, OnFault } from "../http/index.js";
import type { Decision } from "../limiter/decision.js";

/** What a call costs, and under which tier it is counted. */
type Toll<Request> = Pick<Exclude<FixedToll<Request>, false>, "cost" | "total" | "identified" | "tier">;

/** How the middleware is made. Each is a layer of limits of its own. */
export interface TollkeeperOptions<
  Request extends IncomingMessage = IncomingMessage,
  Response extends ServerResponse = ServerResponse,
> extends AdapterOptions<Request>,
    Toll<Request> {
  /**
   * Answers a call that was denied, in place of the problem document: the status and the fields are set, and it sends what
   * it will. It may be async; what it throws goes to `next`.
   */
  onDenied?: ((request: Request, response: Response, decision: Decision) => unknown) | undefined;
  /** Told what is wrong with the set-up, and why calls can't be decided. By default a process warning, once of each code. */
  onFault?: OnFault | undefined;
}

/** A request whose toll has been taken. */
export interface Tolled {
  /** The decision on this call; of several layers, the one that leaves least. undefined where it cost nothing. */
  toll?: Decision | undefined;
  /** The decisions on this call, of each layer that has made one. */
  tolls?: readonly Decision[] | undefined;
}

declare global {
  // biome-ignore lint/style/noNamespace: The one of Express's types, which other packages add to as well.
  namespace Express {
    interface Request extends Tolled {}
  }
}

/** Goes on with the next middleware, or with the one for errors. */
export type Next = (error?: unknown) => void;

/** What a framework calls for every request. */
export type Middleware<Request, Response> = (request: Request, response: Response, next: Next) => void;
