/** Every call is counted once, by what has become of it in the end, whatever the framework. */
import { setImmediate } from "node:timers/promises";
import { describe, expect, it, onTestFinished } from "vitest";
import type { CallUsage, Identified } from "../../src/http/index.js";
import { problem } from "../../src/http/index.js";
import { createLimiter, type Limiter, overriddenTier, type Tiers } from "../../src/index.js";
import { type Asked, call, hangUp, hangUpInBody, pipelined } from "./client.js";
import { FRAMEWORKS } from "./frameworks.js";
import type { Layer, Route, Serve } from "./site.js";

const minute = (limit: number, name = "minute") =>
  ({ name, type: "bucket", limit, windowSeconds: 60, burst: 1 }) as const;
const month = { name: "month", type: "quota", limit: 100, period: "month" } as const;
const TIERS: Tiers = {
  free: { limits: [minute(3), month] },
  two: { limits: [minute(2)] },
  strict: { limits: [minute(1)] },
  tokens: { limits: [minute(60), minute(1000, "tokens")] },
  unlimited: { limits: [] },
  anonymous: { limits: [minute(3)] },
};

/** A site whose calls are counted. */
interface Site {
  port: number;
  limiter: Limiter;
  call: (asked?: Asked) => Promise<number>;
  /** Resolves once a call has reached the handler of `/waits`, or the first part of an answer was sent. */
  reached: Promise<void>;
}

/** A layer that has the ledger, unless it says otherwise. */
type CountedLayer = Layer & { isCounted?: boolean };

interface Case {
  /** Layers in place of the one of `acct:1`, whose tier is `free`. */
  layers?: CountedLayer[];
  routes?: Record<string, Route>;
  run?: (site: Site) => Promise<unknown>;
  /** What is counted, of `acct:1`, the tier `free` and the meter `calls` where it says nothing else. */
  counted: Partial<CallUsage>[];
}

const served = (units = 1, refunded = 0) => ({ units, refunded });
const refunded = (tokens = 1) => ({ units: 0, refunded: tokens });
const denied = { denied: true };

const as = (identified: Identified, more: Partial<Layer> = {}): Layer => ({ identify: () => identified, ...more });
const of = (tier: string, more: Partial<Layer> = {}) => as({ key: "acct:1", tier }, more);
const answering = (handle: Route["handle"], more: Partial<Route> = {}): Record<string, Route> => {
  return { "/": { ...(handle && { handle }), ...more } };
};
const failing = answering(() => ({ status: 503 }));
const json = (body: string): Asked => ({ method: "POST", body, headers: { "content-type": "application/json" } });
const batch: Route = { total: (body) => (body as unknown[]).length };
const calling =
  (...asked: Asked[]) =>
  async ({ call }: Site) => {
    for (const one of asked) await call(one);
  };
const times = (count: number) => calling(...Array<Asked>(count).fill({}));

const CASES: Record<string, Case> = {
  "a call": { counted: [served()] },
  "HEAD, and an answer without a body": {
    routes: answering(() => ({ status: 204 })),
    run: calling({ method: "HEAD" }, {}),
    counted: [served(), served()],
  },
  "what it costs": { routes: { "/": { cost: 2.5 } }, counted: [served(2.5)] },
  "nothing where it costs nothing": { routes: { "/": { cost: 0 } }, counted: [] },
  "a denial": { run: times(5), counted: [served(), served(), served(), denied, denied] },
  "a call that can never pass": { routes: { "/": { cost: 4 } }, counted: [denied] },
  "a call that failed": { routes: failing, counted: [refunded()] },
  "a call whose handler throws": {
    routes: answering(() => {
      throw new Error("broken");
    }),
    counted: [refunded()],
  },
  "one that the handler refuses": { routes: answering(() => ({ status: 404 })), counted: [served()] },
  "a body": { routes: { "/": batch }, run: calling(json("[1,2,3]")), counted: [served(3)] },
  "a body that is none": { routes: { "/": batch }, run: calling(json("[1,")), counted: [refunded()] },
  "a body that costs more than is left": {
    routes: { "/": batch },
    run: calling(json("[1,2]"), json("[1,2]")),
    counted: [served(2), denied],
  },
  "a body that can never pass": { routes: { "/": batch }, run: calling(json("[1,2,3,4]")), counted: [denied] },
  "a body whose call failed": {
    routes: { "/": { ...batch, handle: () => ({ status: 500 }) } },
    run: calling(json("[1,2,3]")),
    counted: [refunded(3)],
  },
  "what is settled below": {
    routes: answering(({ toll }) => ({ status: toll?.settle(0.5) ? 200 : 500 }), { cost: 3 }),
    counted: [served(0.5, 2.5)],
  },
  "what is settled above": {
    routes: answering(({ toll }) => ({ status: toll?.settle(7) ? 200 : 500 })),
    counted: [served(7)],
  },
  "what is settled as nothing": {
    routes: answering(({ toll }) => ({ status: toll?.settle(0) ? 200 : 500 })),
    counted: [refunded()],
  },
  "what was settled, though the call failed then": {
    routes: answering(({ toll }) => ({ status: toll?.settle(2) ? 500 : 200 })),
    counted: [served(2)],
  },
  "what was charged": {
    routes: answering(({ toll }) => ({ status: toll?.charge(2) && toll.charge(0.25) ? 200 : 500 })),
    counted: [served(3.25)],
  },
  "what was charged, of a call that failed": {
    routes: answering(({ toll }) => ({ status: toll?.charge(2) ? 500 : 200 })),
    counted: [refunded(3)],
  },
  "what the handler gives back": {
    routes: answering(({ toll }) => ({ status: toll?.refund() ? 200 : 500 })),
    counted: [refunded()],
  },
  "what is charged while the answer is sent": {
    routes: answering(({ toll }) => ({
      status: 200,
      headers: { "content-type": "text/plain" },
      chunks: (async function* () {
        for (const part of ["once", "upon"]) {
          toll?.charge(part.length);
          yield part;
        }
      })(),
    })),
    counted: [served(9)],
  },
  "a caller who goes while the handler runs": {
    routes: { "/waits": {} },
    run: ({ port, reached }) => hangUp(port, reached, "/waits"),
    counted: [served()],
  },
  "what is settled when the caller has gone": {
    routes: { "/settles": {} },
    run: ({ port, reached }) => hangUp(port, reached, "/settles"),
    counted: [served(0.25, 0.75)],
  },
  "a caller who goes in the middle of the answer": {
    routes: { "/streams": {} },
    run: ({ port, reached }) => hangUp(port, reached, "/streams"),
    counted: [served(1)],
  },
  "a caller who goes in the middle of the body": {
    routes: { "/": batch },
    run: ({ port, limiter }) =>
      hangUpInBody(port, "/", () => expect.poll(() => limiter.peek("acct:1", "free").limits[1]?.remaining).toBe(99)),
    counted: [served()],
  },
  "what shadow mode lets through": {
    layers: [of("strict", { shadow: true })],
    run: times(3),
    counted: [served(), served(), served()],
  },
  "what shadow mode lets through that can never pass": {
    layers: [of("strict", { shadow: true })],
    routes: { "/": { cost: 2 } },
    counted: [served(2)],
  },
  "a whole body that shadow mode lets through": {
    layers: [of("two", { shadow: true })],
    routes: { "/": batch },
    run: calling(json("[1]"), json("[1,2]"), json("[1,2,3]"), json("[1,2,3]")),
    // Denied by the rest, never possible, and denied from the start.
    counted: [served(1), served(2), served(3), served(3)],
  },
  "a call that failed in shadow mode": {
    layers: [of("strict", { shadow: true })],
    routes: failing,
    run: times(2),
    counted: [refunded(), refunded()],
  },
  "what is settled and charged in shadow mode": {
    layers: [of("strict", { shadow: true })],
    routes: answering(({ toll }) => {
      toll?.charge(2);
      toll?.settle(0.5);
      return { status: 200 };
    }),
    run: times(2),
    counted: [served(0.5, 2.5), served(0.5, 0.5)],
  },
  "an unlimited tier": { layers: [of("unlimited")], routes: { "/": { cost: 2 } }, counted: [served(2)] },
  "an unlimited tier whose call failed": { layers: [of("unlimited")], routes: failing, counted: [refunded()] },
  "an unlimited tier that is charged more": {
    layers: [of("unlimited")],
    routes: answering(({ toll }) => ({ status: toll?.charge(2) ? 200 : 500 })),
    counted: [served(3)],
  },
  "once, of two layers: for the first": {
    layers: [of("two"), as({ key: "acct:2", tier: "free" })],
    run: times(3),
    counted: [served(), served(), denied],
  },
  "for the one layer that counts": {
    layers: [{ ...as({ key: "acct:2", tier: "free" }), isCounted: false }, of("two")],
    run: times(3),
    counted: [served(), served(), denied],
  },
  "what another layer denies": {
    layers: [of("free"), { ...as({ key: "all", tier: "strict" }), isCounted: false }],
    run: times(2),
    counted: [served(), denied],
  },
  "what another layer denies once the body is known": {
    layers: [of("free"), { ...as({ key: "all", tier: "two" }), isCounted: false }],
    routes: { "/": batch },
    run: calling(json("[1,2,3]")),
    counted: [denied],
  },
  "nobody whom an earlier layer denies": {
    layers: [{ ...as({ key: "all", tier: "strict" }), isCounted: false }, of("free")],
    run: times(2),
    counted: [served()],
  },
  "what failed, of two layers": {
    layers: [of("free"), as({ key: "acct:2", tier: "free" })],
    routes: failing,
    counted: [refunded()],
  },
  "the first of several subjects": {
    layers: [
      as([
        { key: "acct:1", tier: "two" },
        { key: "org:1", tier: "free" },
      ]),
    ],
    run: times(3),
    counted: [served(), served(), denied],
  },
  "the one of several subjects that is named, at its own cost": {
    layers: [
      as([
        { key: "user:1", tier: "free" },
        { key: "org:1", tier: "two", cost: 2, account: "acct:1" },
        { key: "all", tier: "free", account: "acct:2" },
      ]),
    ],
    run: times(2),
    counted: [served(2), denied],
  },
  "several subjects whose call failed": {
    layers: [
      as([
        { key: "acct:1", tier: "two" },
        { key: "org:1", tier: "free" },
      ]),
    ],
    routes: failing,
    counted: [refunded()],
  },
  "several subjects in shadow mode": {
    layers: [
      as(
        [
          { key: "acct:1", tier: "two" },
          { key: "org:1", tier: "strict" },
        ],
        { shadow: true },
      ),
    ],
    routes: { "/": batch },
    run: calling(json("[1]"), json("[1,2]")),
    counted: [served(), served(2)],
  },
  "the account that the identity names": {
    layers: [as({ key: "key:abc", tier: "free", account: "acct:1" })],
    counted: [served()],
  },
  "callers told apart by address, together": {
    layers: [{}],
    run: async ({ port }) => [await call(port), await call(port, { from: "127.0.0.2" })],
    counted: [
      { account: "no account", plan: "anonymous", ...served() },
      { account: "no account", plan: "anonymous", ...served() },
    ],
  },
  "a tier with overrides under its own name": {
    layers: [of(overriddenTier("free", { minute: { limit: 1 } }))],
    run: times(2),
    counted: [served(), denied],
  },
  "nobody who was refused, though charged": {
    layers: [as({ key: "ip:1", tier: "strict", refusal: problem(401, "api_key_invalid", "It is not known.") })],
    run: times(2),
    counted: [],
  },
  "nothing of a layer without a meter": { layers: [of("free", { meter: false })], counted: [] },
  "what is answered well, where only failures count": {
    layers: [of("free", { refundOn: "success" })],
    routes: { "/": {}, "/wrong": { handle: () => ({ status: 401 }) } },
    run: calling({}, { path: "/wrong" }),
    counted: [refunded(), served()],
  },
  "the limit of which it costs most": {
    layers: [of("tokens")],
    routes: { "/": { cost: { minute: 1, tokens: 20 } } },
    counted: [served(20)],
  },
  "the limit that the meter names": {
    layers: [of("tokens", { meter: { name: "calls", limit: "minute" } })],
    routes: answering(({ toll }) => ({ status: toll?.charge({ tokens: 5 }) ? 200 : 500 }), {
      cost: { minute: 1, tokens: 20 },
    }),
    counted: [served(1)],
  },
  "the limit that the meter names, settled": {
    layers: [of("tokens", { meter: { name: "calls", limit: "tokens" } })],
    routes: answering(({ toll }) => ({ status: toll?.settle({ minute: 1, tokens: 5 }) ? 200 : 500 }), {
      cost: { minute: 1, tokens: 20 },
    }),
    counted: [served(5, 15)],
  },
  "a limit that the caller's tier lacks": {
    layers: [of("two", { meter: { name: "calls", limit: "tokens" } })],
    routes: { "/": { cost: { minute: 1, tokens: 20 } } },
    run: times(3),
    counted: [served(20), served(20), denied],
  },
  "a limit that the caller's tier lacks, of a body": {
    layers: [of("two", { meter: { name: "calls", limit: "tokens" } })],
    routes: {
      "/": { cost: { minute: 1 }, total: (body) => ({ minute: 1, tokens: (body as unknown[]).length }) },
    },
    run: calling(json("[1,2,3]")),
    counted: [served(3)],
  },
  "a limit that the caller's tier lacks, of a call that failed": {
    layers: [of("two", { meter: { name: "calls", limit: "tokens" } })],
    routes: answering(() => ({ status: 500 }), { cost: { minute: 1, tokens: 20 } }),
    counted: [refunded(20)],
  },
  "a call during which the limiter is closed": {
    routes: { "/closes": {} },
    run: calling({ path: "/closes" }),
    counted: [served()],
  },
  "no call that can't be decided": {
    routes: { "/closes": {}, "/": {} },
    run: calling({ path: "/closes" }, {}, {}),
    counted: [served()],
  },
  "calls sent at once on one connection": {
    run: ({ port }) => pipelined(port, 5),
    counted: [served(), served(), served(), denied, denied],
  },
};

/** What a test opens, once. */
function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened, open };
}

/** Handlers that need more than the call. */
function special(limiter: Limiter, reached: () => void, go: Promise<void>): Record<string, Route> {
  async function* chunks() {
    yield "first";
    reached();
    await go;
    yield "last";
  }
  return {
    "/waits": {
      handle: async () => {
        reached();
        await go;
        return { status: 200 };
      },
    },
    "/settles": {
      handle: async ({ toll, gone }) => {
        reached();
        await gone;
        toll?.settle(0.25);
        return { status: 200 };
      },
    },
    "/streams": { handle: () => ({ status: 200, headers: { "content-type": "text/plain" }, chunks: chunks() }) },
    "/closes": {
      handle: async () => {
        await limiter.close();
        return { status: 200 };
      },
    },
  };
}

async function play(serve: Serve, isLater: boolean, { layers, routes = { "/": {} }, run = times(1) }: Case) {
  const limiter = createLimiter({ tiers: TIERS, engine: "js", clock: () => Date.UTC(2026, 10, 10) });
  const [reached, go] = [gate(), gate()];
  const counted: CallUsage[] = [];
  const ledger = { meters: ["calls"], record: (usage: CallUsage) => void counted.push(usage) };
  const own = special(limiter, reached.open, go.opened);
  const setup = {
    layers: (layers ?? [of("free")]).map(({ isCounted = true, identify, ...layer }: CountedLayer): Layer => {
      const later: Layer["identify"] = identify && isLater ? async (field) => identify(field) : identify;
      return {
        ...layer,
        ...(isCounted && { ledger, meter: layer.meter ?? "calls" }),
        ...(later && { identify: later }),
      };
    }),
    routes: Object.fromEntries(Object.entries(routes).map(([path, route]) => [path, own[path] ?? route])),
  };
  const { port, close } = await serve(setup, limiter);
  onTestFinished(async () => {
    go.open();
    await close();
    await limiter.close();
  });
  await run({ port, limiter, call: async (asked) => (await call(port, asked)).status, reached: reached.opened });
  return { counted, go: go.open, close };
}

describe.each(Object.entries(FRAMEWORKS))("%s counts", (_name, serve) => {
  describe.each([
    ["at once", false],
    ["later", true],
  ])("where it is known %s who calls", (_when, isLater) => {
    it.each(Object.entries(CASES))("%s", async (_what, scenario) => {
      const { counted, go, close } = await play(serve, isLater, scenario);
      const expected = scenario.counted.map((one) => ({
        account: "acct:1",
        meter: "calls",
        plan: expect.any(String),
        ...one,
      }));
      // A caller who is gone may have left a handler that still runs: at its end, at the latest, all is counted.
      await setImmediate();
      go();
      await expect.poll(() => counted.length).toBeGreaterThanOrEqual(expected.length);
      await close();
      for (let turns = 0; turns < 10; turns++) await setImmediate();
      expect(counted).toEqual(expected);
    });
  });

  it("a plan by the caller's tier, whatever tier the route names", async () => {
    const { counted } = await play(serve, false, { layers: [of("two")], run: times(3), counted: [] });
    await expect.poll(() => counted.map(({ plan }) => plan)).toEqual(["two", "two", "two"]);
  });
});
