/**
 * The plugin for Fastify 5.
 *
 * @module tollkeeper/fastify
 */
import type { FastifyInstance, FastifyPluginAsync, FastifyReply, FastifyRequest } from "fastify";
import type * as http from "../http/index.js";
import {
  type Answer,
  Call,
  checkedToll,
  countUsage,
  decisionsOf,
  faultOf,
  hasBody,
  type Identity,
  isPreflight,
  isThenable,
  type MaybePromise,
  tightestOf,
} from "../http/index.js";
import type { Decision } from "../limiter/decision.js";
import { layerOfPlugin, type TollkeeperOptions } from "./options.js";
import { sendProblem, writeFields } from "./reply.js";
import { routeTollOf } from "./route-toll.js";

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
export { identifyByAddress } from "./identify.js";
export type { TollkeeperOptions } from "./options.js";
export { sendProblem } from "./reply.js";

/** Says who calls; without a key nothing is charged and the call is refused. */
export type Identify = http.Identify<FastifyRequest>;
/** What a route costs, in its `config.toll`; a route that says nothing costs 1. */
export type RouteToll = http.RouteToll<FastifyRequest>;
/** The same where it does not change. */
export type FixedToll = http.FixedToll<FastifyRequest>;
/** What of its cost an answered call gets back. */
export type RefundOn = http.RefundOn<FastifyRequest>;

declare module "fastify" {
  interface FastifyContextConfig {
    /** What a call of this route costs; 1 if left out, `false` for nothing. */
    toll?: RouteToll;
  }
  interface FastifyRequest {
    /**
     * The decision on this call; of several registrations of the plugin, the one that leaves least. undefined where it cost
     * nothing or has not been made.
     */
    readonly toll: Decision | undefined;
    /** The decisions on this call, of each registration that has made one. */
    readonly tolls: readonly Decision[];
    [kCall]: Call<FastifyRequest> | undefined;
  }
}

/**
 * One property and no more: Fastify sets every one that is declared in every request, by a loop that is slow. The other
 * build of this module finds it too.
 */
const kCall: unique symbol = Symbol.for("tollkeeper.call");

/** Who calls, as `identify` has said; undefined where nobody was asked, or was refused. */
export function callerOf(request: FastifyRequest): Identity | undefined {
  return request[kCall]?.caller;
}

/** The same, also of a call that its limits deny. */
export function identifiedOf(request: FastifyRequest): Identity | undefined {
  return request[kCall]?.identified;
}

/** Has nothing given back of what a call has spent, whatever of its faults it is refused for before it is handled. */
export function keepToll(request: FastifyRequest): void {
  for (let call = request[kCall]; call !== undefined; call = call.previous) call.keep();
}

/**
 * The plugin: charges every call of the scope that registers it, says in the answer what is left, and denies what is too
 * much.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`, for its options when it is registered, for a route's when that is added.
 */
const tollkeeper: FastifyPluginAsync<TollkeeperOptions> = async (app, options) => {
  const layer = layerOfPlugin(options);
  const { hook = "onRequest", onDenied } = options;
  /** Preflights that have not been answered yet. */
  const preflights = new WeakSet<FastifyRequest>();

  decorateRequests(app);
  // Routes registered earlier are checked when they are first called.
  app.addHook("onRoute", ({ config }) => {
    const { meter } = checkedToll(config?.toll);
    layer.checkMeter("config.toll.meter", meter);
  });

  if (hook === "onRequest") {
    app.addHook("onRequest", (request, reply, done) => {
      if (request.method === "OPTIONS" && isLeftToCors(request)) {
        preflights.add(request);
        done();
      } else {
        begin(request, reply, false, done);
      }
    });
  }

  app.addHook("preHandler", (request, reply, done) => {
    if (hook === "preHandler") return begin(request, reply, true, done);
    const call = callAt(request);
    if (call !== undefined) return act(request, reply, call.complete(), done);
    // A preflight that no hook has answered is a call like any other, before a handler gets it.
    if (request.method === "OPTIONS" && preflights.delete(request)) return begin(request, reply, true, done);
    done();
  });

  /** The call at this layer. */
  function callAt(request: FastifyRequest): Call<FastifyRequest> | undefined {
    let call = request[kCall];
    while (call !== undefined && call.layer !== layer) call = call.previous;
    return call;
  }

  function begin(request: FastifyRequest, reply: FastifyReply, isWhole: boolean, done: Done): void {
    const toll = routeTollOf(request);
    if ("type" in toll) {
      actNow(request, reply, toll, done);
    } else if (toll.identified) {
      const before = request[kCall];
      // Only then is the status final: to the last, hooks and streams may change it. Fastify's onResponse costs thrice as much.
      if (before === undefined) reply.raw.on("finish", () => end(request, reply));
      const call = new Call(layer, request, toll, before);
      request[kCall] = call;
      if (layer.ledger !== undefined) countAtEnd(request, reply);
      act(request, reply, call.begin(isWhole), done);
    } else done();
  }

  /** Does what is answered, at once where that is known at once. */
  function act(request: FastifyRequest, reply: FastifyReply, answer: MaybePromise<Answer>, done: Done): void {
    if (isThenable(answer)) answer.then((later) => actNow(request, reply, later, done)).then(undefined, done);
    else actNow(request, reply, answer, done);
  }

  function actNow(request: FastifyRequest, reply: FastifyReply, answer: Answer, done: Done): void {
    if (answer.type === "fault") {
      if (answer.cause !== undefined) request.log.error({ err: answer.cause }, "the call can't be charged");
      done(answer.error);
      return;
    }
    writeFields(reply, answer.fields);
    if (request[kCall]?.holdsPlace) releaseAtEnd(request, reply);
    if (layer.ledger !== undefined && reply.raw.destroyed) count(request); // It was over before it was known what it costs.
    if (answer.type === "pass") done();
    else deny(request, reply, answer, done);
  }

  function deny(request: FastifyRequest, reply: FastifyReply, answer: http.Denial, done: Done): void {
    const { problem, decision, cause } = answer;
    if (cause !== undefined) request.log.error({ err: cause }, "the limits can't be checked");
    if (decision === undefined || onDenied === undefined) {
      sendProblem(reply, problem);
      return;
    }
    reply.code(problem.status).header("cache-control", "no-store");
    const fail = (error: Error): void => {
      if (!reply.sent) reply.code(200); // That of a denial would be taken for the error's.
      const fault = faultOf(error);
      if (fault.cause !== undefined) request.log.error({ err: fault.cause }, "onDenied has failed");
      done(fault.error);
    };
    try {
      const own = onDenied(request, reply, decision);
      if (isThenable(own)) own.then((payload) => reply.sent || reply.send(payload)).then(undefined, fail);
      else if (own !== undefined && own !== reply && !reply.sent) reply.send(own);
    } catch (error) {
      fail(error as Error);
    }
  }
};

type Done = (error?: Error) => void;

/** What requests have, once for all registrations. */
function decorateRequests(app: FastifyInstance): void {
  if (app.hasRequestDecorator(kCall)) return;
  app.decorateRequest(kCall, undefined);
  app.decorateRequest("toll", {
    getter(this: FastifyRequest) {
      const call = this[kCall];
      return call && tightestOf(call);
    },
  });
  app.decorateRequest("tolls", {
    getter(this: FastifyRequest) {
      const call = this[kCall];
      return call === undefined ? [] : decisionsOf(call);
    },
  });
}

/** Has each layer give back what the call should not have paid, now that it is answered. */
function end(request: FastifyRequest, { statusCode }: FastifyReply): void {
  for (let call = request[kCall]; call !== undefined; call = call.previous) {
    // A good answer keeps what it has cost, which is not worth a look at its connection.
    if (statusCode < 400 && call.layer.refundOn === "failure") continue;
    if (isGone(request)) return;
    try {
      call.end(statusCode);
    } catch (error) {
      request.log.error({ err: error }, "it can't be given back what the call has spent");
    }
  }
}

/** Answers at whose end places are given back. */
const releasing = new WeakSet<FastifyReply["raw"]>();

/** Has the places of a call given back when its answer is sent, or its caller has gone: at once, if that was before. */
function releaseAtEnd(request: FastifyRequest, { raw }: FastifyReply): void {
  const release = (): void => {
    for (let call = request[kCall]; call !== undefined; call = call.previous) {
      try {
        call.release();
      } catch (error) {
        request.log.error({ err: error }, "the call's place can't be given back");
      }
    }
  };
  if (raw.destroyed) release();
  if (raw.destroyed || releasing.has(raw)) return;
  releasing.add(raw);
  raw.once("close", release);
  raw.once("finish", release); // The only one of both that there is under `inject`.
}

/** Answers at whose end calls are counted. */
const counting = new WeakSet<FastifyReply["raw"]>();

/** Has a call counted when its answer is sent, after all that gives something back, or when its caller has gone. */
function countAtEnd(request: FastifyRequest, { raw }: FastifyReply): void {
  if (counting.has(raw)) return;
  counting.add(raw);
  let isSent = false; // `writableFinished` says so of answers to nobody, too.
  raw.once("finish", () => {
    isSent = true;
    queueMicrotask(() => count(request));
  });
  // Whoever hears of it beside us may settle what the call has cost so far.
  raw.once("close", () => isSent || setImmediate(() => count(request)));
}

function count(request: FastifyRequest): void {
  const call = request[kCall];
  try {
    if (call !== undefined) countUsage(call);
  } catch (error) {
    request.log.error({ err: error }, "the call can't be counted");
  }
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
  const { method, headers } = raw;
  return (
    routeOptions.config.toll === undefined &&
    server.hasPlugin("@fastify/cors") &&
    isPreflight({ method, headers, hasBody: hasBody(raw) })
  );
}

// What `fastify-plugin` would say of the plugin: it is for the scope that registers it, and for which Fastify it is.
Object.assign(tollkeeper, {
  [Symbol.for("skip-override")]: true,
  [Symbol.for("fastify.display-name")]: "tollkeeper",
  [Symbol.for("plugin-meta")]: { name: "tollkeeper", fastify: "5.x" },
});

export default tollkeeper;
