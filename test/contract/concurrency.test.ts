/** Calls that run at the same time: each gives its place back when it is answered or given up, whatever the framework. */
import { describe, expect, it, onTestFinished } from "vitest";
import { createLimiter, type Limiter, type SharedLimiter, type Tiers } from "../../src/index.js";
import { newPrefix } from "../redis/replicas.js";
import { redisForFile } from "../redis/server.js";
import { call, hangUp, hangUpInBody } from "./client.js";
import { FRAMEWORKS } from "./frameworks.js";
import type { Call, Serve, Setup } from "./site.js";

const parallel = { name: "parallel", type: "concurrency", limit: 1, timeoutSeconds: 600 } as const;
const calls = { name: "calls", type: "bucket", limit: 100, windowSeconds: 60, burst: 1 } as const;
const tiers: Tiers = { free: { limits: [parallel] }, plain: { limits: [calls] } };
const redis = await redisForFile();

const STORES: Record<string, () => Limiter | SharedLimiter> = {
  memory: () => createLimiter({ tiers }),
  Redis: () => {
    const storage = { type: "redis", url: redis.url, prefix: newPrefix(), timeoutMs: 5000 } as const;
    return createLimiter({ tiers, storage });
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

/** A site with the calls that have reached its handler at `/waits`, each of which waits. */
async function open(serve: Serve, store: string, layers: readonly string[][] = [["acct:1"]]) {
  const [reached, go] = [gate(), gate()];
  const seen: Call[] = [];
  async function* chunks() {
    yield "first";
    reached.open();
    await go.opened;
    yield "last";
  }
  const setup: Setup = {
    layers: layers.map((keys) => ({
      identify: () => keys.map((key) => ({ key, tier: key.startsWith("acct:") ? "free" : "plain" })),
    })),
    routes: {
      "/": {},
      "/empty": { handle: () => ({ status: 204 }) },
      "/failing": {
        handle: () => {
          throw new Error("broken");
        },
      },
      "/streams": { handle: () => ({ status: 200, chunks: chunks() }) },
      "/batch": { total: (body) => (body as unknown[]).length },
      "/late": { cost: { calls: 1 }, total: () => ({ calls: 1, parallel: 1 }) },
      "/waits": {
        handle: async (made) => {
          seen.push(made);
          reached.open();
          await go.opened;
          return { status: 200, body: "ok" };
        },
      },
    },
  };
  const limiter = (STORES[store] as () => Limiter | SharedLimiter)();
  await limiter.ready();
  const { port, close } = await serve(setup, limiter);
  onTestFinished(async () => {
    go.open();
    await close();
    await limiter.close();
  });
  const free = async (key = "acct:1") => (await limiter.peek(key, "free", 0)).limits[0]?.remaining;
  return { port, seen, free, reached: reached.opened, go: go.open };
}

describe.each(Object.entries(FRAMEWORKS))("%s", (_name, serve) => {
  describe.each(Object.keys(STORES))("%s", (store) => {
    it.each([
      ["of two layers", [["acct:1"], ["acct:2"]]],
      ["of two subjects", [["acct:1", "acct:2"]]],
    ])("has the places free again when the answer is sent, whatever it is, %s", async (_kind, layers) => {
      const { port, free } = await open(serve, store, layers);
      const batch = { path: "/batch", method: "POST", headers: { "content-type": "application/json" } };
      for (const [asked, status] of [
        [{ path: "/" }, 200],
        [{ path: "/", method: "HEAD" }, 200],
        [{ path: "/empty" }, 204],
        [{ path: "/failing" }, 500],
        [{ ...batch, body: "[1,2,3]" }, 200],
        [{ ...batch, body: "[" }, 400],
        [{ path: "/" }, 200],
      ] as const) {
        expect((await call(port, asked)).status, JSON.stringify(asked)).toBe(status);
        await expect.poll(() => free("acct:1")).toBe(1);
        await expect.poll(() => free("acct:2")).toBe(1);
      }
    });

    it("has a place free again that was taken once the body was known, beside a layer that has none", async () => {
      const { port, free } = await open(serve, store, [["acct:1"], ["plain:1"]]);
      const late = { path: "/late", method: "POST", headers: { "content-type": "application/json" }, body: "[]" };
      for (let calls = 0; calls < 2; calls++) {
        expect((await call(port, late)).status).toBe(200);
        await expect.poll(() => free()).toBe(1);
      }
    });

    it("denies while another runs, and says that a place may be free in a second", async () => {
      const { port, seen, free, reached, go } = await open(serve, store);
      const first = call(port, { path: "/waits" });
      await reached;
      const denied = await call(port);
      expect(denied).toMatchObject({
        status: 429,
        code: "concurrency_limit_exceeded",
        headers: { "retry-after": "1", "ratelimit-policy": '"parallel";q=1;qu="concurrent-requests"' },
      });
      expect(denied.headers["ratelimit"]).toMatch(/^"parallel";r=0;t=(600|599)$/);
      expect(seen[0]?.toll?.holdsPlace).toBe(true);
      go();
      expect((await first).status).toBe(200);
      await expect.poll(() => free()).toBe(1);
      expect((await call(port)).status).toBe(200);
    });

    it("holds the place while its answer is sent, up to the last byte", async () => {
      const { port, free, reached, go } = await open(serve, store);
      const first = call(port, { path: "/streams" });
      await reached;
      expect((await call(port)).code).toBe("concurrency_limit_exceeded");
      go();
      expect(await first).toMatchObject({ status: 200, body: "firstlast" });
      await expect.poll(() => free()).toBe(1);
    });

    it("has the place free again when the caller goes in the middle of the answer", async () => {
      const { port, free, reached } = await open(serve, store);
      await hangUp(port, reached, "/streams");
      await expect.poll(() => free()).toBe(1);
      expect((await call(port)).status).toBe(200);
    });

    it("has the place free again when the caller goes in the middle of the question", async () => {
      const { port, free } = await open(serve, store);
      await hangUpInBody(port, "/batch", () => expect.poll(() => free()).toBe(0));
      await expect.poll(() => free()).toBe(1);
    });

    it("has the place of a caller who has gone free, though its handler still runs", async () => {
      const { port, seen, free, reached } = await open(serve, store);
      await hangUp(port, reached, "/waits");
      await seen[0]?.gone;
      await expect.poll(() => free()).toBe(1);
      expect((await call(port)).status).toBe(200);
    });
  });
});
