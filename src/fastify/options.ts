import type { FastifyReply, FastifyRequest } from "fastify";
import { optionInvalid } from "../errors.js";
import type { AdapterOptions, Layer } from "../http/index.js";
import { checkFunctions, layerOf } from "../http/options.js";
import type { Decision } from "../limiter/decision.js";
import { identifyByAddress } from "./identify.js";

/**
 * How the plugin is registered. Registered more than once, each has limits of its own that calls pass.
 *
 * @example
 * ```ts
 * import Fastify from "fastify";
 * import { createLimiter } from "tollkeeper";
 * import tollkeeper from "tollkeeper/fastify";
 *
 * const minute = { name: "minute", type: "bucket", limit: 100, windowSeconds: 60, burst: 1.5 } as const;
 * const limiter = createLimiter({ tiers: { free: { limits: [minute] } } });
 *
 * const app = Fastify();
 * await app.register(tollkeeper, {
 *   limiter,
 *   identify: ({ headers }) => ({ key: `acct:${headers["x-account"]}`, tier: "free" }),
 *   fields: { x: "delta" },
 *   onDenied: (_request, _reply, { retryAfterMs }) => ({ error: "too many calls", retryAfterMs }),
 * });
 * app.get("/items", { config: { toll: { cost: 2 } } }, async () => ["one"]);
 *
 * const { headers } = await app.inject({ url: "/items", headers: { "x-account": "42" } });
 * console.log(headers["x-ratelimit-remaining"]); // 98
 * await app.close();
 * await limiter.close();
 * ```
 */
export interface TollkeeperOptions extends AdapterOptions<FastifyRequest> {
  /**
   * When calls are charged: `"onRequest"`, before their body is read, by default; or `"preHandler"`, where a key or cost
   * comes from the body or from a hook that knows who is logged in. Bodies are then read for nothing.
   */
  hook?: "onRequest" | "preHandler" | undefined;
  /**
   * Answers a call that was denied, in place of the problem document: the status and the fields are set, and what it
   * returns is sent as a handler's is. It may be async.
   */
  onDenied?: ((request: FastifyRequest, reply: FastifyReply, decision: Decision) => unknown) | undefined;
}

/**
 * The limits that the options say.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function layerOfPlugin(options: TollkeeperOptions): Layer<FastifyRequest> {
  const { hook } = options;
  if (hook !== undefined && hook !== "onRequest" && hook !== "preHandler") {
    throw optionInvalid("hook", hook, '"onRequest" or "preHandler"');
  }
  checkFunctions(options, ["onDenied"]);
  return layerOf(options, ["hook", "onDenied", "prefix"], identifyByAddress); // `prefix` is of `register` itself.
}
