import type { FastifyReply, FastifyRequest } from "fastify";
import { optionInvalid } from "../errors.js";
import { type AddressIdentityOptions, type Identify, LAYER_OPTIONS, type LayerOptions } from "../http/index.js";
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
export interface TollkeeperOptions extends AddressIdentityOptions, Omit<LayerOptions<FastifyRequest>, "identify"> {
  /** Says who calls. By default callers are told apart by address, and the options for that stand beside this one. */
  identify?: Identify<FastifyRequest> | undefined;
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

const ADDRESS_OPTIONS = ["trustProxy", "trusted", "ipv6Prefix"] as const;
const OPTIONS: readonly string[] = [...LAYER_OPTIONS, "hook", "onDenied", ...ADDRESS_OPTIONS];

/**
 * The options of the limits themselves; what else the plugin takes is checked.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function layerOptions(options: TollkeeperOptions): LayerOptions<FastifyRequest> {
  const unknown = Object.keys(options).find((option) => !OPTIONS.includes(option) && option !== "prefix");
  if (unknown !== undefined) throw optionInvalid(unknown, "unknown", `one of ${OPTIONS.join(", ")}`);
  const { limiter, identify, hook, onDenied } = options;
  if (hook !== undefined && hook !== "onRequest" && hook !== "preHandler") {
    throw optionInvalid("hook", hook, '"onRequest" or "preHandler"');
  }
  if (onDenied !== undefined && typeof onDenied !== "function") throw optionInvalid("onDenied", onDenied, "a function");
  if (identify === undefined) {
    const tiers = options.trusted?.length ? ["anonymous", "trusted"] : ["anonymous"];
    const missing = tiers.find((tier) => limiter?.tiers !== undefined && !Object.hasOwn(limiter.tiers, tier));
    if (missing !== undefined) {
      throw optionInvalid(
        "limiter",
        `without a tier ${missing}`,
        "one with it, since callers known by address are of it",
      );
    }
    return { ...options, identify: identifyByAddress(options) };
  }
  const idle = ADDRESS_OPTIONS.find((option) => options[option] !== undefined);
  if (idle !== undefined) {
    throw optionInvalid(idle, options[idle], `left out beside identify; call identifyByAddress({ ${idle} }) in it`);
  }
  return { ...options, identify };
}
