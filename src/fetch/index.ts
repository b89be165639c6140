/**
 * Limits for handlers of `Request → Response`: Next's route handlers, SvelteKit, Bun, Deno, Hono and whatever else speaks
 * Fetch on a runtime with Node's modules. No framework is imported.
 *
 * @module tollkeeper/fetch
 */
import { optionInvalid } from "../errors.js";
import { faultListener } from "../http/fault.js";
import {
  AddressIdentity,
  type Answer,
  Call,
  type Cost,
  checkedToll,
  countUsage,
  decisionsOf,
  type Fields,
  faultOf,
  type MaybePromise,
  tightestOf,
} from "../http/index.js";
import { checkFunctions, layerOf } from "../http/options.js";
import type { Decision } from "../limiter/decision.js";
import type { TollkeeperOptions } from "./options.js";

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
export type { TollkeeperOptions } from "./options.js";

/** Puts limits before a handler; what it returns is called as the handler is. */
export type Limit<Rest extends unknown[]> = <Asked extends Request, Args extends [...Rest, ...unknown[]]>(
  handler: (request: Asked, ...rest: Args) => MaybePromise<Response>,
) => (request: Asked, ...rest: Args) => Promise<Response>;

/** A call as the functions of the options are asked about it. */
interface Asked {
  request: Request;
  /** What came with the request: `Rest` of the layer that asks. */
  rest: unknown[];
  /** What it costs in all, once that is known. */
  total: Cost;
}

/** The call at the layer that it came to last. */
const calls = new WeakMap<Request, Call<Asked>>();
/** Those that have been answered: who hands in the same `Request` once more makes another call. */
const answered = new WeakSet<Call<Asked>>();

/** The decision on a call; of several layers, the one that leaves least. undefined where it cost nothing. */
export function tollOf(request: Request): Decision | undefined {
  const call = calls.get(request);
  return call && tightestOf(call);
}

/** The decisions on a call, of each layer that has made one. */
export function tollsOf(request: Request): readonly Decision[] {
  const call = calls.get(request);
  return call === undefined ? [] : decisionsOf(call);
}

const OWN = ["address", "cost", "total", "identified", "tier", "onDenied", "onFault"];

/**
 * Limits that charge every call, say in its answer what is left, and deny what is too much.
 *
 * @example
 * ```ts
 * import { createLimiter } from "tollkeeper";
 * import { tollkeeper, tollOf } from "tollkeeper/fetch";
 *
 * const minute = { name: "minute", type: "bucket", limit: 100, windowSeconds: 60, burst: 1.5 } as const;
 * const limiter = createLimiter({ tiers: { free: { limits: [minute] } } });
 * const limit = tollkeeper({ limiter, identify: async () => ({ key: "acct:42", tier: "free" }) });
 * export const GET = limit((request) => new Response(`cost ${tollOf(request)?.cost}`));
 *
 * console.log(await (await GET(new Request("http://127.0.0.1/"))).text()); // cost 1
 * await limiter.close();
 * ```
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`
 */
export function tollkeeper<Rest extends unknown[] = []>(options: TollkeeperOptions<Rest>): Limit<Rest> {
  const { identify, address, cost, total, identified, tier, refundOn, onDenied } = options;
  checkFunctions(options, ["identify", "address", "total", "onDenied", "onFault"]);
  const layer = layerOf<Asked>(
    {
      ...options,
      identify: identify && (({ request, rest }) => identify(request, ...(rest as Rest))),
      refundOn: typeof refundOn === "function" ? (answer, { request }) => refundOn(answer, request) : refundOn,
    },
    OWN,
    (addressOptions) => {
      if (address === undefined) throw optionInvalid("address", address, "a function, or identify in its place");
      const addresses = new AddressIdentity(addressOptions);
      return ({ request, rest }) => {
        const forwarded = request.headers.get("x-forwarded-for") ?? undefined;
        return addresses.ofPeer(address(request, ...(rest as Rest)), { "x-forwarded-for": forwarded });
      };
    },
  );
  const toll = checkedToll<Asked>(
    {
      cost: typeof cost === "function" ? ({ request, rest }) => cost(request, ...(rest as Rest)) : cost,
      total: total && ((asked) => asked.total),
      identified,
      tier,
    },
    "",
  );
  const tell = faultListener(options.onFault);

  /** What is answered in place of the handler; undefined where the call goes on. Notes the fields of the answer. */
  async function refusalOf({ request, rest }: Asked, answer: Answer, told: Field[]) {
    if (answer.type !== "pass" && answer.cause !== undefined) tell(answer.cause);
    if (answer.type === "fault") throw answer.error;
    told.push(...answer.fields);
    if (answer.type === "pass") return undefined;
    told.push(["cache-control", "no-store"]);
    const { decision, problem } = answer;
    if (decision !== undefined && onDenied !== undefined) return ownAnswer(onDenied, { request, rest }, decision);
    const headers = { "content-type": "application/problem+json" };
    return new Response(JSON.stringify(problem), { status: problem.status, headers });
  }

  /** What the app answers to a denied call, which is never let in for want of it. */
  async function ownAnswer(
    ask: NonNullable<typeof onDenied>,
    { request, rest }: Pick<Asked, "request" | "rest">,
    decision: Decision,
  ) {
    try {
      const own: unknown = await ask(request, decision, ...(rest as Rest));
      if (typeof (own as Response | undefined)?.status === "number") return own as Response;
      throw optionInvalid("onDenied()", own, "a Response");
    } catch (thrown) {
      const { error, cause } = faultOf(thrown);
      if (cause !== undefined) tell(cause);
      throw error;
    }
  }

  /** The same once the body is known. */
  async function refusalOfBody(call: Call<Asked>, asked: Asked, told: Field[]) {
    const known = await total?.(asked.request, ...(asked.rest as Rest));
    if (isResponse(known)) return known;
    asked.total = known ?? Number.NaN;
    return refusalOf(asked, await call.complete(), told);
  }

  /** What is answered in place of the handler; where that is to be called, the call's place is given back once its caller goes. */
  async function refusalBefore(call: Call<Asked>, asked: Asked, told: Field[]) {
    const first = await refusalOf(asked, await call.begin(), told);
    const refusal = first ?? (await refusalOfBody(call, asked, told));
    if (call.holdsPlace) releaseOnceGone(call, asked.request);
    return refusal;
  }

  /** Gives back what the call should not have paid. Nothing, where the caller has gone away. */
  function end(call: Call<Asked>, { request }: Asked, status: number): void {
    try {
      if (!request.signal.aborted) call.end(status);
    } catch (error) {
      tell(error);
    }
  }

  function releaseNow(call: Call<Asked>): void {
    try {
      call.release();
    } catch (error) {
      tell(error);
    }
  }

  function releaseOnceGone(call: Call<Asked>, { signal }: Request): void {
    if (signal.aborted) releaseNow(call);
    else signal.addEventListener("abort", () => releaseNow(call), { once: true });
  }

  /** The answer of a call that gives its places back, and is counted, when that is sent, or its caller has gone. */
  function untilSent(call: Call<Asked>, { request }: Asked, response: Response): Response {
    const isCounted = isCountedAt(call);
    const { body } = response;
    if (body && request.method !== "HEAD" && (call.holdsPlace || (isCounted && isStreamed(response)))) {
      if (isCounted) countOnceGone(call, request);
      return new Response(
        watched(body, () => finish(call)),
        response,
      );
    }
    finish(call);
    return response;
  }

  /** Has a call that runs no more give its places back, and counts it if it is to be counted here. */
  function finish(call: Call<Asked>): void {
    releaseNow(call);
    if (isCountedAt(call)) countNow(call);
  }

  /** Counts a call, of all layers that it has come to. */
  function countNow({ last }: Call<Asked>): void {
    try {
      countUsage(last);
    } catch (error) {
      tell(error);
    }
  }

  /** Whoever hears of it beside us may settle what the call has cost so far. */
  function countOnceGone(first: Call<Asked>, { signal }: Request): void {
    const count = () => setImmediate(() => countNow(first));
    if (signal.aborted) count();
    else signal.addEventListener("abort", count, { once: true });
  }

  return (handler) =>
    async (request, ...rest) => {
      if (!toll.identified) return handler(request, ...rest);
      const asked: Asked = { request, rest, total: Number.NaN };
      let previous = calls.get(request);
      while (previous !== undefined && answered.has(previous)) previous = previous.previous;
      const call = new Call(layer, asked, toll, previous);
      calls.set(request, call);
      const told: Field[] = [];
      let response: Response;
      try {
        response = (await refusalBefore(call, asked, told)) ?? (await handler(request, ...rest));
      } catch (error) {
        end(call, asked, statusOf(error));
        finish(call);
        throw error;
      } finally {
        answered.add(call);
      }
      // What takes over the connection, as for a WebSocket, has no header of ours: Bun's handlers return nothing, Deno's a 101.
      const status = (response as Response | undefined)?.status ?? 101;
      end(call, asked, status || 500);
      if (status < 200) {
        finish(call);
        return response;
      }
      return untilSent(call, asked, withFields(response, new Map(told)));
    };
}

/** Whether a call is counted at its end: by the layer around all others, if any of them has a ledger. */
function isCountedAt({ previous, last }: Call<Asked>): boolean {
  for (let call = previous === undefined ? last : undefined; call !== undefined; call = call.previous) {
    if (call.layer.ledger !== undefined) return true;
  }
  return false;
}

/** Whether a body may still be in the making: of one whose length or form is known, all is known that it costs. */
function isStreamed({ headers }: Response): boolean {
  return !headers.has("content-length") && !headers.get("content-type")?.startsWith("application/json");
}

/** Whether it is an answer, of whichever realm, and no cost: such has a number as status, too, where a limit is called so. */
function isResponse(known: unknown): known is Response {
  return typeof (known as Response | undefined)?.status === "number" && typeof (known as Response).headers === "object";
}

/** The same body, which tells when all of it was read, or nobody reads on. */
function watched(body: ReadableStream<Uint8Array>, over: () => void): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read();
          if (!done) return controller.enqueue(value);
          over();
          controller.close();
        } catch (error) {
          over();
          controller.error(error);
        }
      },
      async cancel(reason) {
        over();
        await reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}

/** What an error will be answered with: those that frameworks have thrown, and a `Response`, say so. */
function statusOf(error: unknown): number {
  const { status } = (error ?? {}) as { status?: unknown };
  return typeof status === "number" ? status : 500;
}

type Field = Fields[number];

/** What the handler, or another layer behind this one, has said itself stays as it is. */
function withFields(response: Response, fields: ReadonlyMap<string, string>): Response {
  let answer = response;
  for (const [name, text] of fields) {
    if (answer.headers.has(name)) continue;
    try {
      answer.headers.set(name, text);
    } catch {
      answer = new Response(response.body, response); // The header of a redirect, or of what `fetch` has got, stays as it is.
      answer.headers.set(name, text);
    }
  }
  return answer;
}
