import { mkdtempSync, rmSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, type MockInstance, onTestFinished, vi } from "vitest";
import { createLimiter, type Limiter, type SharedLimiter, type Tiers } from "../../../src/index.js";
import { redisForFile } from "../../redis/server.js";

const redis = await redisForFile();

const TIERS: Tiers = { free: { limits: [{ name: "minute", type: "bucket", limit: 5, windowSeconds: 60, burst: 1 }] } };

/** Functions of a user's that fail, each in its own way. */
const FAILING: Record<string, () => unknown> = {
  "throws an error": () => {
    throw new Error("secret of the observer");
  },
  "throws nothing": () => {
    // biome-ignore lint/style/useThrowOnlyError: as careless code may
    throw undefined;
  },
  "throws what can't be shown": () => {
    throw Object.create(null);
  },
  "rejects later": () => Promise.reject(new Error("later")),
  "gives a then that throws": () => ({
    then: () => {
      throw new Error("then");
    },
  }),
  "gives a then that can't be read": () =>
    Object.defineProperty({}, "then", {
      get: () => {
        throw new Error("get");
      },
    }),
};

let warnings: MockInstance<(...warning: unknown[]) => void>;
const unhandled: unknown[] = [];
const note = (error: unknown): void => void unhandled.push(error);
beforeEach(() => {
  unhandled.length = 0;
  warnings = vi.spyOn(process, "emitWarning").mockImplementation(() => undefined) as typeof warnings;
  process.on("unhandledRejection", note);
});
afterEach(async () => {
  await new Promise((resolve) => setImmediate(resolve));
  process.off("unhandledRejection", note);
  warnings.mockRestore();
  expect(unhandled).toEqual([]);
});
const warned = (name: string) => warnings.mock.calls.filter(([message]) => String(message).includes(name));

function closedLater<T extends Limiter | SharedLimiter>(limiter: T): T {
  onTestFinished(() => limiter.close());
  return limiter;
}

const shared = async (mode: "leased" | "exact") => {
  const prefix = `callbacks-${mode}-${Math.random()}`;
  const limiter = closedLater(
    createLimiter({ tiers: TIERS, storage: { type: "redis", url: redis.url, prefix, mode, timeoutMs: 5000 } }),
  );
  await limiter.ready();
  return limiter;
};

const LIMITERS: Record<string, () => Promise<Limiter | SharedLimiter>> = {
  native: async () => closedLater(createLimiter({ tiers: TIERS, engine: "native" })),
  js: async () => closedLater(createLimiter({ tiers: TIERS, engine: "js" })),
  "redis, leased": () => shared("leased"),
  "redis, exact": () => shared("exact"),
};

describe.each(Object.entries(LIMITERS))("observers with the limiter %s", (_kind, open) => {
  it.each(Object.entries(FAILING))("that fail are no fault of a decision: one %s", async (_what, fails) => {
    const limiter = await open();
    const told: number[] = [];
    limiter.onDecision(fails);
    limiter.onDecision((seconds) => told.push(seconds));
    const allowed: boolean[] = [];
    for (let call = 0; call < 600; call++) allowed.push((await limiter.consume("k", "free")).allowed);
    expect(allowed.filter(Boolean)).toHaveLength(5);
    expect(told).toHaveLength(3);
    expect(warned("onDecision")).toHaveLength(1);
  });

  it.each([undefined, null, 1, "observe", {}, [], Object.create(null), Symbol("observe")])(
    "may only be functions: %#",
    async (observe) => {
      const limiter = await open();
      const named = expect.objectContaining({
        code: "ERR_OPTION_INVALID",
        message: expect.stringMatching(/^observe of on(Decision|Answer) is .*; it may be a function$/),
      });
      expect(() => limiter.onDecision(observe as never)).toThrow(named);
      if (limiter.engine === "redis") expect(() => limiter.onAnswer(observe as never)).toThrow(named);
      expect((await limiter.consume("k", "free")).allowed).toBe(true);
    },
  );

  it("are told once for each time that they were added, until that one ends", async () => {
    const limiter = await open();
    const told: number[] = [];
    const observe = (seconds: number): void => void told.push(seconds);
    const [end] = [limiter.onDecision(observe), limiter.onDecision(observe)];
    await limiter.consume("k", "free");
    expect(told).toHaveLength(2);
    end();
    for (let call = 0; call < 256; call++) await limiter.consume("k", "free");
    expect(told).toHaveLength(3);
  });

  it("are told of calls of several subjects, each of which is one decision", async () => {
    const limiter = await open();
    const told: number[] = [];
    limiter.onDecision((seconds) => told.push(seconds));
    const subjects = ["k", "l"].map((key) => ({ key, tier: "free" }));
    for (let call = 0; call < 257; call++) await limiter.consumeAll(subjects);
    expect(told).toHaveLength(2);
    for (let call = 0; call < 256; call++) await limiter.consume("k", "free");
    expect(told).toHaveLength(3);
    await expect((async () => await limiter.consumeAll([]))()).rejects.toThrow("subjects");
    expect(told).toHaveLength(3);
  });
});

describe.each(Object.entries(FAILING))("a function that %s", (_what, fails) => {
  it("as onAnswer keeps Redis's answers from nobody", async () => {
    const limiter = await shared("exact");
    const told: number[] = [];
    limiter.onAnswer(fails);
    limiter.onAnswer((seconds) => told.push(seconds));
    for (let call = 0; call < 6; call++) expect((await limiter.consume("k", "free")).allowed).toBe(call < 5);
    expect(told.length).toBeGreaterThanOrEqual(6);
    expect(warned("onAnswer")).toHaveLength(1);
  });

  it("as onStorageError ends no process while Redis is away", async () => {
    const nobody = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => nobody.once("listening", resolve));
    const { port } = nobody.address() as AddressInfo;
    await new Promise((resolve) => nobody.close(resolve));
    const url = `redis://127.0.0.1:${port}`;
    const limiter = closedLater(
      createLimiter({ tiers: TIERS, storage: { type: "redis", url }, onStorageError: fails }),
    );
    await vi.waitFor(() => expect(warned("onStorageError")).toHaveLength(1));
    expect((await limiter.consume("k", "free")).allowed).toBe(true);
  });

  it("as onStorageError loses no usage when the storage file is taken away", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tollkeeper-callbacks-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, "usage");
    const storage = { type: "file", path, flushMs: 60_000 } as const;
    const limiter = createLimiter({ tiers: TIERS, storage, onStorageError: fails });
    limiter.consume("k", "free", 3);
    await limiter.flush();
    rmSync(path);
    limiter.consume("k", "free", 1);
    await limiter.flush();
    expect(warned("onStorageError")).toHaveLength(1);
    await limiter.close();
    const again = closedLater(createLimiter({ tiers: TIERS, storage }));
    expect(again.peek("k", "free", 0).limits[0]?.remaining).toBeLessThan(2);
  });
});
