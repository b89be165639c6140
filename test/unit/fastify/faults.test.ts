import fastify, { type FastifyInstance } from "fastify";
import { describe, expect, it, onTestFinished } from "vitest";
import { type ErrorCode, TollkeeperError } from "../../../src/errors.js";
import tollkeeper, { type TollkeeperOptions } from "../../../src/fastify/index.js";
import { createLimiter, type Limiter, type Tiers } from "../../../src/index.js";

const bucket = { name: "per-minute-secret", type: "bucket", limit: 50, windowSeconds: 60, burst: 1 } as const;
const TIERS: Tiers = { "plan-secret-gold": { limits: [bucket] }, "plan-secret-lead": { limits: [bucket] } };

const GOLD = { key: "acct:1", tier: "plan-secret-gold" };

interface Fault {
  options?: Partial<TollkeeperOptions>;
  clock?: () => number;
  /** What `consume` throws. */
  thrown?: unknown;
  toll?: unknown;
  /** What the log says. */
  log: RegExp;
  status?: number;
}

const store = (code: ErrorCode) => new TollkeeperError(code, "secret of the store at redis://10.0.0.7");

/** What is wrong with the set-up of a server, in each place where it says so. */
const FAULTS: Record<string, Fault> = {
  "a tier that there is not": { options: { identify: () => ({ key: "a", tier: "secret" }) }, log: /plan-secret-gold/ },
  "a tier that there is not, later": {
    options: { identify: async () => ({ key: "a", tier: "secret" }) },
    log: /plan-secret-gold/,
  },
  "no key": { options: { identify: () => ({ ...GOLD, key: "" }) }, log: /key is a string of 0/ },
  "too long a key": { options: { identify: () => ({ ...GOLD, key: "a".repeat(513) }) }, log: /513/ },
  "neither a key nor a refusal": { options: { identify: () => ({}) as never }, log: /identify returned neither/ },
  "a clock that gives nothing": { clock: () => Number.NaN, log: /the clock gave NaN/ },
  "a total that is none": { toll: { total: () => Number.NaN }, log: /config\.toll\.total\(\) is NaN/ },
  "a toll that is none": { toll: () => ({ secret: 1 }), log: /config.toll.secret/ },
  "a store that is away": { thrown: store("ERR_STORE_UNAVAILABLE"), status: 503, log: /secret of the store/ },
  "a store that refuses": { thrown: store("ERR_STORE_REFUSED"), status: 503, log: /secret of the store/ },
  "a store that fails": { thrown: store("ERR_STORE_FAILED"), status: 503, log: /secret of the store/ },
  "a store with something else in it": { thrown: store("ERR_STORE_FOREIGN"), status: 503, log: /secret of the store/ },
  "an engine that fails": { thrown: store("ERR_ENGINE_FAILED"), status: 503, log: /secret of the store/ },
  "a storage that fails": { thrown: store("ERR_STORAGE_IO"), log: /secret of the store/ },
  "a limiter that is closed": { thrown: store("ERR_LIMITER_CLOSED"), status: 503, log: /secret of the store/ },
};

async function open({ options, clock, thrown, toll }: Fault): Promise<{ app: FastifyInstance; log: string[] }> {
  const limiter = createLimiter({ tiers: TIERS, engine: "js", clock: clock ?? (() => Date.UTC(2026, 10, 10)) });
  const log: string[] = [];
  const app = fastify({ logger: { stream: { write: (line: string) => void log.push(line) } } });
  onTestFinished(async () => {
    await app.close();
    await limiter.close();
  });
  const broken: Limiter = Object.create(limiter, {
    consume: {
      value: (...call: Parameters<Limiter["consume"]>) => {
        if (thrown !== undefined) throw thrown;
        return limiter.consume(...call);
      },
    },
    tiers: { get: () => limiter.tiers },
  });
  await app.register(tollkeeper, { limiter: broken, identify: () => GOLD, ...options });
  const config = { toll: toll as never };
  if (typeof toll === "function") {
    let calls = 0;
    config.toll = (() => (calls++ === 0 ? { cost: 1 } : toll())) as never;
  }
  app.get("/", { config, exposeHeadRoute: false }, async () => "let in");
  return { app, log };
}

describe("a fault of the set-up is told to the log and not to the client", () => {
  it.each(Object.entries(FAULTS))("%s", async (_what, fault) => {
    const { app, log } = await open(fault);
    const { statusCode, body, headers } = await app.inject("/");
    expect(statusCode).toBe(fault.status ?? 500);
    expect(headers["retry-after"]).toBe(fault.status === 503 ? "1" : undefined);
    expect(body).not.toMatch(/secret|identify|clock|config|toll|key|tier|ERR_/i);
    expect(log.join("")).toMatch(fault.log);
  });
});

it("an error of the app's own goes to its error handler as it is", async () => {
  const own = Object.assign(new Error("Log in first."), { statusCode: 401 });
  const { app } = await open({ options: { identify: () => Promise.reject(own) }, log: /./ });
  const told: unknown[] = [];
  app.setErrorHandler((error, _request, reply) => {
    told.push(error);
    return reply.code(401).send("own");
  });
  expect((await app.inject("/")).body).toBe("own");
  expect(told).toEqual([own]);
});
