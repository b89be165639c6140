import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import fastifyPlugin from "fastify-plugin";
import { TollkeeperError } from "../errors.js";
import { LimitHeaders } from "../http/headers.js";
import { checkIdentity, type Identify, type Identity, identifyByAddress, type Refusal } from "../http/identity.js";
import { costExceedsCapacity, quotaExceeded, sendProblem, temporaryReducedCapacity } from "../http/problem.js";
import { checkToll, checkTotal, type RouteToll, type Toll, tollOf } from "../http/toll.js";
import type { Decision } from "../limiter/decision.js";
import { plainTier } from "../limiter/overrides.js";
import { checkOptions, type TollkeeperOptions } from "./options.js";
import { isPreflight } from "./preflight.js";

export { LIMIT_FIELDS } from "../http/headers.js";
export {
  type AddressIdentityOptions,
  type Identify,
  type Identity,
  identifyByAddress,
  type Refusal,
} from "../http/identity.js";
export { type Problem, problem, sendProblem } from "../http/problem.js";
export type { RouteToll } from "../http/toll.js";
export type { TollkeeperOptions } from "./options.js";

declare module "fastify" {
  interface FastifyContextConfig {
    /** What a call of this route costs; 1 if left out, `false` for nothing. */
    toll?: RouteToll;
  }
  interface FastifyRequest {
    /** The decision on this call; undefined where it cost nothing or has not been made. */
    toll: Decision | undefined;
    [kEntry]: Entry | undefined;
  }
}

/** A call that was charged and let in. */
interface Entry {
  /** Whose tokens it has spent. */
  caller: Identity;
  /** What it costs once its body is known, where that is more than its route says. */
  readonly total: Toll["total"];
  /** Whether it was good enough to be handled, and its whole cost spent. */
  handled: boolean;
}

/**
 * One property and no more: Fastify sets every one that is declared in every request, by a loop that is slow. The other
 * build of this module finds it too.
 */
const kEntry: unique symbol = Symbol.for("tollkeeper.entry");

/** Who calls, as `identify` has said; undefined where nobody was asked, or was refused. */
export function callerOf(request: FastifyRequest): Identity | undefined {
  return request[kEntry]?.caller;
}

/** Has nothing given back of what a call has spent, whatever of its faults it is refused for before it is handled. */
export function keepToll(request: FastifyRequest): void {
  const entry = request[kEntry];
  if (entry !== undefined) entry.handled = true;
}

/** After how many seconds a call is worth trying again that could not be decided. */
const RETRY_AFTER_S = "1";

/** Charges every call before its body is read, says in the answer what is left, and denies what is too much. */
async function tollkeeper(app: FastifyInstance, options: TollkeeperOptions): Promise<void> {
  checkOptions(options);
  const { limiter, extendedHeaders = true, shadow = false } = options;
  const isShadow = typeof shadow === "function" ? shadow : () => shadow;
  const identify = options.identify ?? identifyByAddress(options);
  const headers = new LimitHeaders(extendedHeaders);
  /** Preflights that have not been answered yet. */
  const preflights = new WeakSet<FastifyRequest>();

  app.decorateRequest("toll", undefined);
  app.decorateRequest(kEntry, undefined);

  // Routes registered earlier are checked when they are first called.
  app.addHook("onRoute", ({ config }) => void checkToll(config?.toll));

  app.addHook("onRequest", (request, reply, done) => {
    try {
      const toll = tollOf(request);
      if (!toll.identified) return done();
      if (request.method === "OPTIONS" && isLeftToCors(request)) {
        preflights.add(request);
        return done();
      }
      go(request, chargeCaller(request, reply, toll), done);
    } catch (error) {
      done(errorOf(request, error));
    }
  });

  app.addHook("preHandler", (request, reply, done) => {
    const entry = request[kEntry];
    const isUnanswered = entry === undefined && request.method === "OPTIONS" && preflights.delete(request);
    if (entry === undefined && !isUnanswered) return done();
    try {
      if (entry === undefined) return go(request, chargePreflight(request, reply), done);
      const { total } = entry;
      if (total === undefined) {
        entry.handled = true;
        return done();
      }
      const chargeNow = (caller: Identity | Refusal): boolean | PromiseLike<boolean> => {
        checkIdentity(caller);
        if (!("key" in caller) || caller.refusal) return admit(request, reply, caller, total);
        entry.caller = caller;
        return chargeWhole(request, reply, caller, total(request));
      };
      const caller = presentCaller(request, entry.caller);
      const mayGo = isThenable(caller) ? caller.then(chargeNow) : chargeNow(caller);
      go(request, handledIf(request, mayGo), done);
    } catch (error) {
      done(errorOf(request, error));
    }
  });

  // Only now is the status final: to the last, hooks and streams may change it.
  app.addHook("onResponse", (request, { statusCode }, done) => {
    const entry = request[kEntry];
    if (entry !== undefined && hasFailed(entry, statusCode) && !isGone(request)) refundQuotas(request);
    done();
  });

  /** Asks who calls, and charges whoever that is; tells whether the call may go on. */
  function chargeCaller(request: FastifyRequest, reply: FastifyReply, toll: Toll): boolean | PromiseLike<boolean> {
    const identity = identify(request);
    if (!isThenable(identity)) return enter(request, reply, identity, toll);
    return Promise.resolve(identity).then((identity) => enter(request, reply, identity, toll));
  }

  /** A preflight that no hook has answered is a call like any other, before a handler gets it. */
  function chargePreflight(request: FastifyRequest, reply: FastifyReply): boolean | PromiseLike<boolean> {
    return handledIf(request, chargeCaller(request, reply, tollOf(request)));
  }

  /** Notes whether a call is now for its handler. */
  function handledIf(request: FastifyRequest, mayGo: boolean | PromiseLike<boolean>): boolean | PromiseLike<boolean> {
    const handled = (may: boolean): boolean => {
      const entry = request[kEntry];
      if (entry !== undefined) entry.handled = may;
      return may;
    };
    return isThenable(mayGo) ? mayGo.then(handled) : handled(mayGo);
  }

  function enter(
    request: FastifyRequest,
    reply: FastifyReply,
    identity: Identity | Refusal,
    toll: Toll,
  ): boolean | PromiseLike<boolean> {
    checkIdentity(identity);
    const { total } = toll;
    const cost = toll.cost === 0 && identity.refusal ? 1 : toll.cost;
    const charged = "key" in identity && cost > 0 ? charge(request, reply, identity, cost) : true;
    if (!isThenable(charged)) return charged && admit(request, reply, identity, total);
    return charged.then((mayGo) => mayGo && admit(request, reply, identity, total));
  }

  /** Lets a call in that was charged, or refuses it all the same; returns whether it may go on. */
  function admit(
    request: FastifyRequest,
    reply: FastifyReply,
    identity: Identity | Refusal,
    total: Toll["total"],
  ): boolean {
    if (identity.refusal) {
      sendProblem(reply, identity.refusal, identity.headers);
      return false;
    }
    if ("key" in identity) request[kEntry] = { caller: identity, total, handled: false };
    return true;
  }

  /** The caller of a call whose body has come; asked again if a reload has taken its tier away meanwhile. */
  function presentCaller(request: FastifyRequest, caller: Identity): ReturnType<Identify> {
    return Object.hasOwn(limiter.tiers, plainTier(caller.tier)) ? caller : identify(request);
  }

  /** Spends the whole cost in place of the first, or answers; tells whether the call may go on. */
  function chargeWhole(
    request: FastifyRequest,
    reply: FastifyReply,
    caller: Identity,
    total: number,
  ): boolean | PromiseLike<boolean> {
    const { toll } = request;
    // In shadow mode a call goes on that was denied, and is not denied twice.
    if (toll === undefined || !toll.allowed) return true;
    checkTotal(total, toll.cost);
    if (total === toll.cost) return true;
    const maxCost = limiter.maxCost(caller.tier);
    if (total > maxCost) {
      if (isShadow()) {
        limiter.countShadow(toll.tier, "");
        return true;
      }
      headers.write(reply, toll, total);
      sendProblem(reply, costExceedsCapacity(total, maxCost, toll.tier));
      return false;
    }
    // If it is to be denied, the first cost keeps its place in the rate; else large bodies could be sent for nothing.
    const rest = Math.round((total - toll.cost) * 1000) / 1000;
    const chargeAll = (fits: boolean) => {
      toll.refund(fits ? "all" : "quotas");
      return charge(request, reply, caller, total);
    };
    const peeked = limiter.peek(caller.key, caller.tier, rest);
    return isThenable(peeked) ? peeked.then(({ allowed }) => chargeAll(allowed)) : chargeAll(peeked.allowed);
  }

  /** Gives back to the quotas what the call has spent. The rate keeps it. */
  function refundQuotas(request: FastifyRequest): void {
    try {
      request.toll?.refund("quotas");
    } catch (error) {
      request.log.error({ err: error }, "the quotas can't be given back what a failed call has spent");
    }
  }

  /** Spends the cost, or answers; tells whether the call may go on. */
  function charge(
    request: FastifyRequest,
    reply: FastifyReply,
    { key, tier }: Identity,
    cost: number,
  ): boolean | Promise<boolean> {
    const fail = (error: unknown): boolean => {
      return answerFault(error, request, reply, tier, cost);
    };
    try {
      const decision = limiter.consume(key, tier, cost);
      if (!isThenable(decision)) return conclude(request, reply, decision);
      return decision.then((decided) => conclude(request, reply, decided), fail);
    } catch (error) {
      return fail(error);
    }
  }

  /** Says what a decision leaves, and answers a denial; returns whether the call may go on. */
  function conclude(request: FastifyRequest, reply: FastifyReply, decision: Decision): boolean {
    request.toll = decision;
    headers.write(reply, decision);
    if (decision.allowed) return true;
    if (isShadow()) {
      limiter.countShadow(decision.tier, decision.deniedBy ?? "");
      return true;
    }
    // While other replicas hold tokens of it, a quota is not used up for its period.
    const period = decision.isProvisional ? undefined : headers.policyOf(decision).periodOf(decision.deniedBy);
    const document = quotaExceeded(decision, period);
    reply.header("retry-after", document["retry_after"]);
    // Clients made by common generators sleep for Retry-After, which would be weeks.
    if (period !== undefined) reply.header("x-should-retry", "false");
    sendProblem(reply, document);
    return false;
  }

  /** Returns whether the call may go on all the same. */
  function answerFault(
    error: unknown,
    request: FastifyRequest,
    reply: FastifyReply,
    tier: string,
    cost: number,
  ): boolean {
    const code = error instanceof TollkeeperError ? error.code : undefined;
    if (code === "ERR_COST_EXCEEDS_CAPACITY") {
      if (isShadow()) {
        limiter.countShadow(plainTier(tier), "");
        return true;
      }
      sendProblem(reply, costExceedsCapacity(cost, limiter.maxCost(tier), plainTier(tier)));
    } else if (code === "ERR_ENGINE_FAILED" || code === "ERR_LIMITER_CLOSED" || code?.startsWith("ERR_STORE_")) {
      request.log.error({ err: error }, "the limits can't be checked");
      sendProblem(reply, temporaryReducedCapacity(), { "retry-after": RETRY_AFTER_S });
    } else {
      throw error;
    }
    return false;
  }
}

/** Whether a call that was let in failed through the server's fault, or was rejected before it was handled. */
function hasFailed({ handled }: Entry, statusCode: number): boolean {
  return statusCode >= 500 || (statusCode >= 400 && !handled);
}

/** Whether the caller has not waited for the answer: else a client could have all the work done and never pay. */
function isGone({ raw }: FastifyRequest): boolean {
  return raw.aborted || (raw.httpVersionMajor < 2 && raw.socket.destroyed);
}

/**
 * Whether `@fastify/cors` is there to answer a call, maybe by a hook that comes later. A toll that the route has is for
 * preflights too.
 */
function isLeftToCors({ raw, routeOptions, server }: FastifyRequest): boolean {
  return routeOptions.config.toll === undefined && server.hasPlugin("@fastify/cors") && isPreflight(raw);
}

/**
 * What was thrown, for the app's error handler. That may show the client its message, so what is wrong with the set-up,
 * such as the names of all tiers, is for the log. Fastify would take `undefined` and the like for no error at all, and
 * let the call in.
 */
function errorOf({ log }: FastifyRequest, thrown: unknown): Error {
  if (thrown && !(thrown instanceof TollkeeperError)) return thrown as Error;
  const cause = thrown || new Error(`${String(thrown)} was thrown where the call was to be charged`);
  log.error({ err: cause }, "the call can't be charged");
  return Object.assign(new Error("The call can't be charged."), { statusCode: 500 });
}

/** Lets the call go on if it may, at once where that is known at once. */
function go(request: FastifyRequest, mayGo: boolean | PromiseLike<boolean>, done: (error?: Error) => void): void {
  if (!isThenable(mayGo)) {
    if (mayGo) done();
    return;
  }
  Promise.resolve(mayGo)
    .then((may) => may && done())
    .catch((error: unknown) => done(errorOf(request, error)));
}

/** Promises of other realms and libraries count too. */
function isThenable<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as { then?: unknown } | null)?.then === "function";
}

export default fastifyPlugin(tollkeeper, { fastify: "5.x", name: "tollkeeper" });
