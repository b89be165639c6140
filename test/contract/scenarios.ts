import { expect } from "vitest";
import { problem } from "../../src/http/index.js";
import type { Limiter, SharedLimiter, Subject, TierSpec, Tiers } from "../../src/index.js";
import { type Answer, type Asked, hangUp, inHalves, pipelined } from "./client.js";
import type { Layer, Reply, Setup } from "./site.js";

const minute = (limit: number) => ({ name: "minute", type: "bucket", limit, windowSeconds: 60, burst: 1 }) as const;
const month = (limit: number) => ({ name: "month", type: "quota", limit, period: "month" }) as const;

export const TIERS: Tiers = {
  free: { limits: [minute(3), month(100)] },
  monthly: { limits: [minute(50), month(2)] },
  two: { limits: [{ ...minute(2), name: "two" }] },
  strict: { limits: [{ ...minute(1), name: "strict" }] },
  unlimited: { limits: [] },
  anonymous: { limits: [minute(3)] },
  trusted: { limits: [minute(30)] },
};

/** An app that listens, seen from outside, and the limiter in it. */
export interface Site {
  port: number;
  limiter: Limiter | SharedLimiter;
  call: (asked?: Asked) => Promise<Answer>;
  /** What is left of the limits of `acct:1` in a tier, `free` by default. */
  left: (tier?: string) => Promise<number[]>;
}

export interface Scenario {
  setup: Setup;
  /** Whether the limiter's store is away. */
  away?: boolean;
  /** Calls, and returns all that was seen: it must be the same in every framework. */
  run: (site: Site) => Promise<unknown>;
  /** What that must have in it. */
  seen: unknown;
}

const free = { identify: () => ({ key: "acct:1", tier: "free" }) } satisfies Layer;
const all = { fields: { x: "epoch", tier: true } } satisfies Layer;
const of = (tier: string) => ({ identify: () => ({ key: "acct:1", tier }) }) satisfies Layer;
const several = (...others: Subject[]) =>
  ({ identify: () => [{ key: "acct:1", tier: "free" }, ...others] }) satisfies Layer;
const app = (layers: Layer | Layer[], routes: Setup["routes"] = { "/": {} }, rest: Partial<Setup> = {}): Setup => {
  return { layers: [layers].flat(), routes, ...rest };
};
const answering = (reply: Reply): Setup["routes"] => ({ "/": { handle: () => reply } });
const failing: Setup["routes"] = {
  "/": {
    handle: () => {
      throw new Error("broken");
    },
  },
};

/** Calls one after the other. */
const times =
  (count: number, asked: Asked = {}) =>
  async ({ call }: Site): Promise<Answer[]> => {
    const answers: Answer[] = [];
    for (let made = 0; made < count; made++) answers.push(await call(asked));
    return answers;
  };
/** One call, and what it has left. */
const once =
  (asked: Asked = {}, tier = "free") =>
  async ({ call, left }: Site) => ({ answer: await call(asked), left: await left(tier) });
const FAULT = { status: 500, body: JSON.stringify({ error: "The call can't be charged." }) };
/** What a fault is answered with by the framework, of which the fields are its own. */
const faulty =
  (asked: Asked) =>
  async ({ call, left }: Site) => {
    const { status, body } = await call(asked);
    return { status, body, left: await left() };
  };
const status = (status: number) => ({ status });
const problemOf = (status: number, code: string) => ({
  status,
  headers: { "cache-control": "no-store", "content-type": "application/problem+json" },
  code,
});
const fieldsOf = (answer: Answer) => answer.headers["ratelimit"];

const ORIGIN = { origin: "https://app.example" };
const PREFLIGHT: Asked = { method: "OPTIONS", headers: { ...ORIGIN, "access-control-request-method": "POST" } };
const json = (body: string): Asked => ({ method: "POST", body, headers: { "content-type": "application/json" } });
const priced: Setup["routes"] = {
  "/": { cost: { minute: 1 }, total: async (body) => ({ minute: 1, month: (body as unknown[]).length }) },
};
const batch: Setup["routes"] = { "/": { total: (body) => (body as unknown[]).length } };

export const SCENARIOS: Record<string, Scenario> = {
  "200 says what is left": {
    setup: app(free),
    run: times(1),
    seen: [
      {
        status: 200,
        body: "ok",
        headers: {
          "ratelimit-policy": '"minute";q=3;w=60, "month";q=100;w=2592000',
          ratelimit: '"minute";r=2;t=20, "month";r=99;t=1814400',
        },
      },
    ],
  },
  "all fields that there are": {
    setup: app({ ...free, ...all }),
    run: times(1),
    seen: [
      {
        headers: {
          "x-ratelimit-limit": "3",
          "x-ratelimit-remaining": "2",
          "x-ratelimit-reset": String(Date.UTC(2026, 10, 10) / 1000 + 20),
          "x-quota-tier": "free",
          "x-quota-monthly-remaining": "99",
          "x-request-cost": "1",
        },
      },
    ],
  },
  "the reset in seconds from now, without the draft's fields": {
    setup: app({ ...free, fields: { draft: false, x: "delta" } }),
    run: async ({ call }) => {
      const { headers } = await call();
      return [headers["x-ratelimit-reset"], headers["ratelimit"], headers["x-quota-tier"]];
    },
    seen: ["20", undefined, undefined],
  },
  "no fields at all": {
    setup: app({ ...free, fields: false }),
    run: async ({ call }) => Object.keys((await call()).headers),
    seen: ["content-type"],
  },
  "only failures count": {
    setup: app({ ...free, refundOn: "success" }, { "/": {}, "/denied": { handle: () => ({ status: 401 }) } }),
    run: async ({ call, left }) => [await call(), await left(), await call({ path: "/denied" }), await left()],
    seen: [status(200), [3, 100], status(401), [2, 99]],
  },
  "what is given back is for a function to say": {
    setup: app(
      { ...free, refundOn: ({ status, isHandled }) => status === 404 && isHandled && "quotas" },
      { "/": {}, "/none": { handle: () => ({ status: 404 }) } },
    ),
    run: async ({ call, left }) => [await call(), await left(), await call({ path: "/none" }), await left()],
    seen: [status(200), [2, 99], status(404), [1, 99]],
  },
  "an own answer to a denial": {
    setup: app({ ...free, onDenied: ({ deniedBy }) => ({ status: 420, body: `calm ${deniedBy}` }) }),
    run: times(4),
    seen: [
      status(200),
      status(200),
      status(200),
      { status: 420, body: "calm minute", headers: { "retry-after": "20" } },
    ],
  },
  "a tier without limits": { setup: app(of("unlimited")), run: times(1), seen: [status(200)] },
  "429 by the rate": {
    setup: app(free),
    run: times(4),
    seen: [status(200), status(200), status(200), problemOf(429, "rate_limit_exceeded")],
  },
  "429 by the quota, which is not worth trying again": {
    setup: app(of("monthly")),
    run: times(3),
    seen: [
      status(200),
      status(200),
      { ...problemOf(429, "monthly_quota_exceeded"), headers: { "x-should-retry": "false", "retry-after": "1814400" } },
    ],
  },
  "503 where the store is away, and nobody is let in": {
    setup: app(free),
    away: true,
    run: times(1),
    seen: [{ ...problemOf(503, "limiter_unavailable"), headers: { "retry-after": "1" } }],
  },
  "422 where the call costs more than the tier ever holds": {
    setup: app(free, { "/": { cost: 4 } }),
    run: once(),
    seen: { answer: problemOf(422, "cost_exceeds_capacity"), left: [3, 100] },
  },
  "a cost by route": {
    setup: app(free, { "/": {}, "/two": { cost: 2 }, "/nothing": { cost: 0 } }),
    run: async ({ call, left }) => [
      await call({ path: "/nothing" }),
      await left(),
      await call({ path: "/two" }),
      await call(),
      await call(),
    ],
    seen: [status(200), [3, 100], status(200), status(200), status(429)],
  },
  "a cost of the request": {
    setup: app(free, { "/": { cost: (field) => Number(field("x-weight") ?? 1) } }),
    run: async ({ call }) => [await call({ headers: { "x-weight": "3" } }), await call()],
    seen: [status(200), status(429)],
  },
  HEAD: {
    setup: app(free),
    run: times(4, { method: "HEAD" }),
    seen: [status(200), status(200), status(200), { status: 429, body: "" }],
  },
  "OPTIONS that is no preflight is a call": {
    setup: app(free, undefined, { cors: true }),
    run: once({ method: "OPTIONS", headers: ORIGIN }),
    seen: { answer: status(200), left: [2, 99] },
  },
  "a preflight that CORS answers is free": {
    setup: app(free, undefined, { cors: true }),
    run: async ({ call, left }) => ({ status: (await call(PREFLIGHT)).status, left: await left() }),
    seen: { status: 204, left: [3, 100] },
  },
  "a preflight without CORS is a call": {
    setup: app(free),
    run: once(PREFLIGHT),
    seen: { answer: status(200), left: [2, 99] },
  },
  "the quota is given back where the handler says 503": {
    setup: app(free, answering({ status: 503, body: "no" })),
    run: once(),
    seen: { answer: status(503), left: [2, 100] },
  },
  "and where it throws": {
    setup: app(free, failing),
    run: once(),
    seen: { answer: { status: 500, body: '{"error":"broken"}' }, left: [2, 100] },
  },
  "but not where it says 404": {
    setup: app(free, answering({ status: 404, body: "none" })),
    run: once(),
    seen: { answer: status(404), left: [2, 99] },
  },
  "the whole cost is known once the body is": {
    setup: app({ ...free, ...all }, batch),
    run: once(json("[1,2,3]")),
    seen: { answer: { status: 200, headers: { "x-request-cost": "3" } }, left: [0, 97] },
  },
  "each limit may have a cost of its own": {
    setup: app({ ...free, ...all }, { "/": { cost: { minute: 1 } } }),
    run: once(),
    seen: { answer: { status: 200, headers: { "x-request-cost": "minute=1, month=0" } }, left: [2, 100] },
  },
  "also of the request": {
    setup: app({ ...free, ...all }, { "/": { cost: (field) => ({ month: Number(field("x-cost")) }) } }),
    run: once({ headers: { "x-cost": "7.5" } }),
    seen: { answer: { status: 200, headers: { "x-request-cost": "minute=0, month=7.5" } }, left: [3, 92.5] },
  },
  "the body may say it of each limit, and take its time": {
    setup: app({ ...free, ...all }, priced),
    run: async (site) => [await once(json("[1,2,3]"))(site), await once(json("[]"))(site)],
    seen: [
      { answer: { status: 200, headers: { "x-request-cost": "minute=1, month=3" } }, left: [2, 97] },
      { answer: { status: 200, headers: { "x-request-cost": "minute=1, month=0" } }, left: [1, 97] },
    ],
  },
  "a body that costs one limit more than is left of it": {
    setup: app({ ...free, ...all }, priced),
    run: async (site) => [
      await once(json(`[${Array(60).fill(1)}]`))(site),
      await once(json(`[${Array(60).fill(1)}]`))(site),
    ],
    seen: [
      { answer: status(200), left: [2, 40] },
      {
        answer: { ...problemOf(429, "monthly_quota_exceeded"), headers: { "x-request-cost": "minute=1, month=60" } },
        left: [1, 40],
      },
    ],
  },
  "a body that costs one limit more than it ever holds": {
    setup: app(free, priced),
    run: once(json(`[${Array(101).fill(1)}]`)),
    seen: {
      answer: { status: 422, body: expect.stringContaining('"cost":{"minute":1,"month":101},"maximum":{"month":100}') },
      left: [2, 100],
    },
  },
  "a whole cost below the first is a fault of the app's, and half of it is not spent": {
    setup: app(free, { "/": { cost: 2, total: (body) => (body as unknown[]).length } }),
    run: faulty(json("[1]")),
    seen: { ...FAULT, left: [1, 100] },
  },
  "also of one limit": {
    setup: app(free, {
      "/": { cost: { minute: 1, month: 2 }, total: (body) => ({ minute: 2, month: (body as unknown[]).length }) },
    }),
    run: faulty(json("[1]")),
    seen: { ...FAULT, left: [2, 100] },
  },
  "and one of which a limit is no number, or is of none": {
    setup: app(free, {
      "/": { cost: { minute: 1 }, total: async (body) => ({ minute: 1, ...(body as Record<string, number>) }) },
    }),
    run: async (site) => [
      await faulty(json('{"month":-1}'))(site),
      await faulty(json('{"month":"1"}'))(site),
      await faulty(json('{"mont":1}'))(site),
    ],
    seen: [
      { ...FAULT, left: [2, 100] },
      { ...FAULT, left: [1, 100] },
      { ...FAULT, left: [0, 100] },
    ],
  },
  "a limit that the caller's tier lacks costs nothing": {
    setup: app({ ...free, ...all }, { "/": { cost: { minute: 2, strict: 9 } } }),
    run: once(),
    seen: { answer: { status: 200, headers: { "x-request-cost": "minute=2, month=0" } }, left: [1, 100] },
  },
  "one that no tier has lets nobody in": {
    setup: app(free, { "/": { cost: { minute: 2, mont: 9 } } }),
    run: once(),
    seen: { answer: status(500), left: [3, 100] },
  },
  "a body that costs more than is left has paid its first token of the rate": {
    setup: app({ ...free, ...all }, batch),
    run: async (site) => [await once(json("[1,2]"))(site), await once(json("[1,2]"))(site)],
    seen: [
      { answer: status(200), left: [1, 98] },
      { answer: { ...problemOf(429, "rate_limit_exceeded"), headers: { "x-request-cost": "2" } }, left: [0, 98] },
    ],
  },
  "a body that costs more than the tier ever holds": {
    setup: app(free, batch),
    run: once(json("[1,2,3,4]")),
    seen: { answer: problemOf(422, "cost_exceeds_capacity"), left: [2, 100] },
  },
  "the quota is given back for a body that is rejected before it is handled": {
    setup: app(free, batch),
    run: once(json("[1,")),
    seen: { answer: { status: 400, body: '{"error":"no JSON"}' }, left: [2, 100] },
  },
  "all of the quota is given back where the body decided the cost": {
    setup: app(free, { "/": { ...batch["/"], ...failing["/"] } }),
    run: once(json("[1,2]")),
    seen: { answer: status(500), left: [1, 100] },
  },
  "nothing is given back where the caller goes away": {
    setup: app(free, {
      "/": {
        handle: async ({ gone }) => {
          arrived.resolve();
          await gone;
          setImmediate(() => left.resolve());
          throw new Error("nobody is there any more");
        },
      },
      "/nothing": { cost: 0 },
    }),
    run: async (site) => {
      arrived = promised();
      left = promised();
      await hangUp(site.port, arrived.promise);
      await left.promise;
      await site.call({ path: "/nothing" });
      return site.left();
    },
    seen: [2, 99],
  },
  "the handler gives all back": {
    setup: app(free, { "/": { handle: ({ toll }) => ({ status: toll?.refund() ? 200 : 500 }) } }),
    run: once(),
    seen: { answer: status(200), left: [3, 100] },
  },
  "the handler settles": {
    setup: app(free, { "/": { handle: ({ toll }) => ({ status: toll?.settle(2.5) ? 200 : 500 }) } }),
    run: once(),
    seen: { answer: status(200), left: [0.5, 97.5] },
  },
  "what the handler has settled is not given back as well": {
    setup: app(free, { "/": { handle: ({ toll }) => ({ status: toll?.settle(2) ? 500 : 200 }) } }),
    run: once(),
    seen: { answer: status(500), left: [1, 98] },
  },
  "shadow mode denies nobody": {
    setup: app({ ...free, shadow: true }, { "/": {}, "/four": { cost: 4 } }),
    run: async (site) => [
      ...(await times(4)(site)),
      await site.call({ path: "/four" }),
      (await site.limiter.stats()).shadow,
    ],
    seen: [
      status(200),
      status(200),
      status(200),
      status(200),
      status(200),
      [
        { tier: "free", limit: "minute", denials: 1 },
        { tier: "free", limit: "", denials: 1 },
      ],
    ],
  },
  "several subjects: all pay, and the tightest is told": {
    setup: app(several({ key: "acct:2", tier: "two" }), {
      "/": { handle: ({ toll, tolls }) => ({ status: 200, body: `${toll?.tier} ${tolls.map(({ tier }) => tier)}` }) },
    }),
    run: async ({ call, left, limiter }) => [
      await call(),
      await left(),
      (await limiter.peek("acct:2", "two", 0)).limits,
    ],
    seen: [
      { status: 200, body: "two free,two", headers: { ratelimit: '"two";r=1;t=30' } },
      [2, 99],
      [{ remaining: 1 }],
    ],
  },
  "several subjects: what one denies nobody has paid": {
    setup: app(several({ key: "acct:2", tier: "two" })),
    run: async (site) => [...(await times(3)(site)), await site.left()],
    seen: [
      status(200),
      status(200),
      {
        ...problemOf(429, "rate_limit_exceeded"),
        headers: { "retry-after": "30", ratelimit: '"two";r=0;t=60' },
        body: expect.stringContaining('"violated-policies":["two"]'),
      },
      [1, 98],
    ],
  },
  "several subjects: one at a cost of its own, the others at the whole one": {
    setup: app(several({ key: "acct:2", tier: "trusted", cost: 7 }), batch),
    run: async ({ call, left, limiter }) => [
      await call(json("[1,2]")),
      await left(),
      (await limiter.peek("acct:2", "trusted", 0)).limits,
      await call(json("[1,2,3,4]")),
    ],
    seen: [status(200), [1, 98], [{ remaining: 23 }], problemOf(422, "cost_exceeds_capacity")],
  },
  "several subjects: a body that one denies has paid the rate of all": {
    setup: app(several({ key: "acct:2", tier: "two" }), batch),
    run: async ({ call, left }) => [await call(json("[1,2]")), await left(), await call(json("[1]")), await left()],
    seen: [status(200), [1, 98], problemOf(429, "rate_limit_exceeded"), [1, 98]],
  },
  "several subjects: what can never pass": {
    setup: app(several({ key: "acct:2", tier: "strict", cost: 2 })),
    run: once(),
    seen: { answer: problemOf(422, "cost_exceeds_capacity"), left: [3, 100] },
  },
  "several subjects: each gets its quota back where the handler says 503": {
    setup: app(several({ key: "acct:2", tier: "monthly" }), answering({ status: 503, body: "no" })),
    run: async ({ call, left, limiter }) => [
      await call(),
      await left(),
      (await limiter.peek("acct:2", "monthly", 0)).limits.map(({ remaining }) => remaining),
    ],
    seen: [status(503), [2, 100], [49, 2]],
  },
  "several subjects: each limit may have a cost of its own": {
    setup: app(
      several({ key: "acct:2", tier: "monthly" }, { key: "acct:3", tier: "trusted", cost: { minute: 7 } }),
      priced,
    ),
    run: async ({ call, left, limiter }) => {
      const standing = async (key: string, tier: string) =>
        (await limiter.peek(key, tier, 0)).limits.map(({ remaining }) => Math.floor(remaining));
      const seen: unknown[] = [];
      for (const body of ["[1,2]", "[1]", "[1,2,3]"]) {
        seen.push(await call(json(body)), await left(), await standing("acct:2", "monthly"));
      }
      return [...seen, await standing("acct:3", "trusted")];
    },
    seen: [
      status(200),
      [2, 98],
      [49, 0],
      // A body that one denies has paid the rate of all.
      problemOf(429, "monthly_quota_exceeded"),
      [1, 98],
      [48, 0],
      { status: 422, body: expect.stringContaining('"cost":{"minute":1,"month":3},"maximum":{"month":2}') },
      [0, 98],
      [47, 0],
      [9],
    ],
  },
  "several subjects: a cost that is none lets nobody in": {
    setup: app(several({ key: "acct:2", tier: "two", cost: { two: -1 } })),
    run: once(),
    seen: { answer: status(500), left: [3, 100] },
  },
  "several subjects: none of a look-up that came back empty": {
    setup: app({ identify: () => [] }),
    run: once(),
    seen: { answer: status(500), left: [3, 100] },
  },
  "several layers: a denial gives back what all subjects of another took": {
    setup: app([several({ key: "acct:2", tier: "trusted" }), { identify: () => ({ key: "acct:3", tier: "strict" }) }]),
    run: async ({ call, left, limiter }) => [
      await call(),
      await call(),
      await left(),
      (await limiter.peek("acct:2", "trusted", 0)).limits,
    ],
    seen: [status(200), problemOf(429, "rate_limit_exceeded"), [2, 99], [{ remaining: 29 }]],
  },
  "several layers: each denies": {
    setup: app([of("strict"), { identify: () => ({ key: "acct:2", tier: "free" }) }]),
    run: async ({ call, limiter }) => [await call(), await call(), (await limiter.peek("acct:2", "free", 0)).limits],
    seen: [
      status(200),
      { ...problemOf(429, "rate_limit_exceeded"), headers: { ratelimit: expect.stringMatching(/^"strict";r=0/) } },
      [{ remaining: 2 }, { remaining: 99 }],
    ],
  },
  "several layers: a denial gives back what the others took": {
    setup: app([free, { identify: () => ({ key: "acct:2", tier: "strict" }) }]),
    run: async ({ call, left }) => [await call(), await left(), await call(), await left()],
    seen: [status(200), [2, 99], { ...problemOf(429, "rate_limit_exceeded") }, [2, 99]],
  },
  "several layers: a body that one denies has paid its rate at the others": {
    setup: app([free, { identify: () => ({ key: "acct:2", tier: "two" }) }], batch),
    run: async ({ call, left }) => [await call(json("[1,2,3]")), await left()],
    seen: [problemOf(422, "cost_exceeds_capacity"), [0, 100]],
  },
  "several layers: the tightest is told": {
    setup: app([{ identify: () => ({ key: "acct:2", tier: "trusted" }) }, free], {
      "/": { handle: ({ toll, tolls }) => ({ status: 200, body: `${toll?.tier} ${tolls.map(({ tier }) => tier)}` }) },
    }),
    run: times(1),
    seen: [{ body: "free trusted,free" }],
  },
  "several layers: each quota is given back": {
    setup: app([{ identify: () => ({ key: "acct:2", tier: "monthly" }) }, free], failing),
    run: async ({ call, left, limiter }) => [
      await call(),
      await left(),
      (await limiter.peek("acct:2", "monthly", 0)).limits.map(({ remaining }) => remaining),
    ],
    seen: [status(500), [2, 100], [49, 2]],
  },
  "identify may be async": {
    setup: app({ identify: async (field) => ({ key: String(field("x-account")), tier: "free" }) }),
    run: async ({ call }) => {
      const as = (account: string) => call({ headers: { "x-account": account } });
      return [await as("a"), await as("a"), await as("a"), await as("a"), await as("b")];
    },
    seen: [status(200), status(200), status(200), status(429), status(200)],
  },
  "identify may refuse, and charge": {
    setup: app({
      identify: () => ({
        key: "acct:1",
        tier: "free",
        refusal: problem(401, "api_key_invalid", "The key is not known."),
        headers: { "www-authenticate": "Bearer" },
      }),
    }),
    run: async (site) => [await times(4)(site), await site.left()],
    seen: [
      [
        {
          ...problemOf(401, "api_key_invalid"),
          headers: { "www-authenticate": "Bearer", ratelimit: expect.stringMatching(/r=2/) },
        },
        status(401),
        status(401),
        problemOf(429, "rate_limit_exceeded"),
      ],
      [0, 97],
    ],
  },
  "identify may refuse without a key": {
    setup: app({ identify: async () => ({ refusal: problem(403, "address_unknown", "Nobody.") }) }),
    run: once(),
    seen: { answer: problemOf(403, "address_unknown"), left: [3, 100] },
  },
  "identify that throws is a 500 of the app": {
    setup: app({
      identify: () => {
        throw new Error("the directory is away");
      },
    }),
    run: once(),
    seen: { answer: { status: 500, body: '{"error":"the directory is away"}' }, left: [3, 100] },
  },
  "a tier that there is not is a 500 that names none": {
    setup: app(of("secret")),
    run: times(1),
    seen: [{ status: 500, body: '{"error":"The call can\'t be charged."}' }],
  },
  "a reload that takes the tier away": {
    setup: app({ identify: () => ({ key: "acct:1", tier: "free" }) }),
    run: async ({ call, limiter }) => {
      const before = await call();
      const { free: _, ...others } = TIERS;
      limiter.reload(others);
      const without = await call();
      limiter.reload(TIERS);
      return [before, without, await call()];
    },
    seen: [status(200), { status: 500, body: '{"error":"The call can\'t be charged."}' }, status(200)],
  },
  "a reload that takes the tier away before the body is there": {
    setup: app(
      {
        identify: () => {
          arrived.resolve();
          return { key: "acct:1", tier };
        },
      },
      batch,
    ),
    run: async ({ port, limiter, left }) => {
      arrived = promised();
      tier = "free";
      const reloaded = arrived.promise.then(() => {
        const { free, ...others } = TIERS;
        tier = "monthly";
        limiter.reload({ ...others, monthly: free as TierSpec });
      });
      return [await inHalves(port, "[1,2]", reloaded), await left("monthly")];
    },
    seen: [200, [1, 98]],
  },
  "callers are told apart by address": {
    setup: app({ trusted: ["127.0.0.9/32"] }),
    run: async ({ call }) => [
      fieldsOf(await call()),
      fieldsOf(await call()),
      fieldsOf(await call({ from: "127.0.0.2" })),
      fieldsOf(await call({ from: "127.0.0.9" })),
    ],
    seen: ['"minute";r=2;t=20', '"minute";r=1;t=40', '"minute";r=2;t=20', '"minute";r=29;t=2'],
  },
  "and by what a trusted proxy says, of IPv6 by the network": {
    setup: app({ trustProxy: ["127.0.0.1/32"] }),
    run: async ({ call }) => {
      const via = async (forwarded: string) => fieldsOf(await call({ headers: { "x-forwarded-for": forwarded } }));
      return [
        await via("203.0.113.1"),
        await via("9.9.9.9, 203.0.113.1:4711"),
        await via("203.0.113.2"),
        await via("2001:db8:1:2::1"),
        await via("2001:db8:1:2:ffff::2"),
        await via("2001:db8:1:3::1"),
        await via("::ffff:203.0.113.2"),
      ];
    },
    seen: [2, 1, 2, 2, 1, 2, 1].map((left) => `"minute";r=${left};t=${60 - 20 * left}`),
  },
  "of IPv6 by the network that the option says": {
    setup: app({ trustProxy: ["127.0.0.1/32"], ipv6Prefix: 48 }),
    run: async ({ call }) => {
      const via = async (forwarded: string) => fieldsOf(await call({ headers: { "x-forwarded-for": forwarded } }));
      return [await via("2001:db8:1:2::1"), await via("2001:db8:1:3::1"), await via("2001:db8:2::1")];
    },
    seen: [2, 1, 2].map((left) => `"minute";r=${left};t=${60 - 20 * left}`),
  },
  "a trusted proxy that says nothing is nobody": {
    setup: app({ trustProxy: ["127.0.0.1/32"] }),
    run: times(1),
    seen: [problemOf(403, "address_unknown")],
  },
  "what others say is not believed": {
    setup: app({ trustProxy: ["10.0.0.0/8"] }),
    run: async ({ call }) => [
      fieldsOf(await call({ headers: { "x-forwarded-for": "203.0.113.1" } })),
      fieldsOf(await call({ headers: { "x-forwarded-for": "203.0.113.2" } })),
    ],
    seen: ['"minute";r=2;t=20', '"minute";r=1;t=40'],
  },
  "calls sent at once on one connection": {
    setup: app({ identify: async () => ({ key: "acct:1", tier: "free" }) }),
    run: ({ port }) => pipelined(port, 5),
    seen: [200, 200, 200, 429, 429],
  },
  "calls at the same time": {
    setup: app({ identify: async () => ({ key: "acct:1", tier: "free" }) }),
    run: async ({ call }) => (await Promise.all([1, 2, 3, 4].map(() => call()))).map(({ status }) => status).sort(),
    seen: [200, 200, 200, 429],
  },
};

interface Promised {
  promise: Promise<void>;
  resolve: () => void;
}
function promised(): Promised {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((fulfil) => {
    resolve = fulfil;
  });
  return { promise, resolve };
}
let tier = "free";
let arrived = promised();
let left = promised();
