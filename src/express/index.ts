/**
 * Limits for whatever calls `(request, response, next)`: Express 4 and 5, Connect, NestJS on Express, `node:http` by hand.
 * No framework is imported.
 *
 * @module tollkeeper/express
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { faultListener } from "../http/fault.js";
import {
  AddressIdentity,
  type AddressIdentityOptions,
  type Answer,
  Call,
  checkedToll,
  countUsage,
  type Denial,
  decisionsOf,
  type Fields,
  faultOf,
  type Identity,
  isThenable,
  type MaybePromise,
  type Refusal,
  tightestOf,
} from "../http/index.js";
import { checkFunctions, layerOf } from "../http/options.js";
import type { Middleware, Next, Tolled, TollkeeperOptions } from "./options.js";

export {
  type AddressIdentityOptions,
  type FieldOptions,
  type FinalAnswer,
  type Identity,
  LIMIT_FIELDS,
  type Problem,
  problem,
  type Refusal,
} from "../http/index.js";
export type { Middleware, Next, Tolled, TollkeeperOptions } from "./options.js";

/** Limits, to be put before what they are for. */
export interface Tollkeeper<Request, Response> extends Middleware<Request, Response> {
  /**
   * Spends the whole cost that the option `total` says. It goes behind what parses the body, and before the handler; a call
   * that is refused with 4xx on the way there gets back what it has spent of quotas.
   */
  afterBody: Middleware<Request, Response>;
}

/** The call at the layer that it came to last. The other build of this module finds it too. */
const kCall: unique symbol = Symbol.for("tollkeeper.call");

type Called<Request> = Request & Tolled & { [kCall]?: Call<Request> | undefined };

/** Answers at whose end places are given back. */
const releasing = new WeakSet<ServerResponse>();
/** Answers at whose end calls are counted. */
const counting = new WeakSet<ServerResponse>();

/**
 * Middleware that charges every call, says in the answer what is left, and denies what is too much.
 *
 * @example
 * ```ts
 * import express from "express";
 * import { createLimiter } from "tollkeeper";
 * import { tollkeeper } from "tollkeeper/express";
 *
 * const minute = { name: "minute", type: "bucket", limit: 100, windowSeconds: 60, burst: 1.5 } as const;
 * const limiter = createLimiter({ tiers: { anonymous: { limits: [minute] }, trusted: { limits: [] } } });
 * const app = express();
 * app.use(tollkeeper({ limiter, trustProxy: ["10.0.0.0/8"], trusted: ["192.0.2.0/24"] }));
 * app.get("/items", (_request, response) => response.json(["one"]));
 * await limiter.close();
 * ```
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function tollkeeper<
  Request extends IncomingMessage = IncomingMessage,
  Response extends ServerResponse = ServerResponse,
>(options: TollkeeperOptions<Request, Response>): Tollkeeper<Request, Response> {
  const { cost, total, identified, tier, onDenied } = options;
  checkFunctions(options, ["onDenied", "onFault"]);
  const layer = layerOf<Request>(options, ["cost", "total", "identified", "tier", "onDenied", "onFault"], byAddress);
  const toll = checkedToll<Request>({ cost, total, identified, tier }, "");
  const tell = faultListener(options.onFault);

  const limit: Middleware<Request, Response> = (request: Called<Request>, response, next) => {
    if (!toll.identified) return next();
    const call = new Call(layer, request, toll, request[kCall]);
    request[kCall] = call;
    // Only then is the status final; it does not come where the caller has gone away.
    response.once("finish", () => isGone(request) || end(call, response.statusCode));
    if (layer.ledger !== undefined) countAtEnd(request, response);
    act(request, response, call.begin(), next, () => {
      if (toll.total === undefined) call.keep();
      next();
    });
  };

  const afterBody: Middleware<Request, Response> = (request: Called<Request>, response, next) => {
    let call = request[kCall];
    while (call !== undefined && call.layer !== layer) call = call.previous;
    if (call === undefined) next();
    else act(request, response, call.complete(), next, next);
  };

  /** Does what is answered, at once where that is known at once. */
  function act(
    request: Called<Request>,
    response: Response,
    answer: MaybePromise<Answer>,
    next: Next,
    pass: Next,
  ): void {
    if (isThenable(answer)) answer.then((later) => actNow(request, response, later, next, pass));
    else actNow(request, response, answer, next, pass);
  }

  function actNow(request: Called<Request>, response: Response, answer: Answer, next: Next, pass: Next): void {
    const call = request[kCall];
    request.toll = call && tightestOf(call);
    request.tolls = call && decisionsOf(call);
    if (answer.type !== "pass" && answer.cause !== undefined) tell(answer.cause);
    if (call?.holdsPlace) releaseAtEnd(request, response);
    countIfOver(request, response);
    if (answer.type === "fault") {
      next(answer.error);
      return;
    }
    // Somebody may have answered meanwhile, as who does at a time-out.
    const isOpen = !response.headersSent;
    try {
      if (isOpen) setFields(response, answer.fields);
      if (isOpen && answer.type === "deny") deny(request, response, answer, next);
    } catch (error) {
      fail(response, error, next);
      return;
    }
    if (answer.type === "pass") pass();
  }

  /** Has the places of a call given back when its answer is sent, or its caller has gone: at once, if that was before. */
  function releaseAtEnd(request: Called<Request>, response: Response): void {
    const release = (): void => {
      for (let call = request[kCall]; call !== undefined; call = call.previous) {
        try {
          call.release();
        } catch (error) {
          tell(error);
        }
      }
    };
    if (response.destroyed) release();
    if (response.destroyed || releasing.has(response)) return;
    releasing.add(response);
    response.once("close", release);
  }

  /** Has a call counted when its answer is sent, after all that gives something back, or when its caller has gone. */
  function countAtEnd(request: Called<Request>, response: Response): void {
    if (counting.has(response)) return;
    counting.add(response);
    let isSent = false; // `writableFinished` says so of answers to nobody, too.
    response.once("finish", () => {
      isSent = true;
      queueMicrotask(() => count(request));
    });
    // Whoever hears of it beside us may settle what the call has cost so far.
    response.once("close", () => isSent || setImmediate(() => count(request)));
  }

  /** Counts a call that was over before it was known what it costs. */
  function countIfOver(request: Called<Request>, response: Response): void {
    if (layer.ledger !== undefined && response.destroyed) count(request);
  }

  function count(request: Called<Request>): void {
    const call = request[kCall];
    try {
      if (call !== undefined) countUsage(call);
    } catch (error) {
      tell(error);
    }
  }

  function deny(request: Request, response: Response, { problem, decision }: Denial, next: Next): void {
    response.statusCode = problem.status;
    response.setHeader("cache-control", "no-store");
    if (decision !== undefined && onDenied !== undefined) {
      new Promise((resolve) => resolve(onDenied(request, response, decision))).catch((error: unknown) =>
        fail(response, error, next),
      );
      return;
    }
    response.setHeader("content-type", "application/problem+json");
    response.end(JSON.stringify(problem));
  }

  /** Hands on what was thrown where a call was to be answered. It is never let in for that. */
  function fail(response: Response, thrown: unknown, next: Next): void {
    const { error, cause } = faultOf(thrown);
    if (cause !== undefined) tell(cause);
    if (!response.headersSent) response.statusCode = 200; // That of a denial would be taken for the error's.
    next(error);
  }

  function end(call: Call<Request>, status: number): void {
    const isCheated = total !== undefined && call.caller !== undefined && !call.isWhole && status < 400;
    if (isCheated)
      tell(new Error("a call has not paid its total: put afterBody between what parses its body and its handler"));
    try {
      call.end(status);
    } catch (error) {
      tell(error);
    }
  }

  return Object.assign(limit, { afterBody });
}

/**
 * Tells callers apart by address, for an `identify` of one's own. A caller without one is refused.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function identifyByAddress(
  options: AddressIdentityOptions = {},
): (request: IncomingMessage) => Identity | Refusal {
  return byAddress(options);
}

function byAddress(options: AddressIdentityOptions): (request: IncomingMessage) => Identity | Refusal {
  const addresses = new AddressIdentity(options);
  return (request) => addresses.ofMessage(request);
}

function setFields(response: ServerResponse, fields: Fields): void {
  for (const [name, text] of fields) response.setHeader(name, text);
}

/** Whether the caller has not waited for the answer: else a client could have all the work done and never pay. */
function isGone(request: IncomingMessage): boolean {
  return request.aborted || (request.httpVersionMajor < 2 && request.socket.destroyed);
}
