import { Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { checkRedis, policiesOf, type RedisStorage } from "../../../src/shared/storage-options.js";

const URL = "redis://127.0.0.1:1";

describe("storage in Redis", () => {
  it("takes every option", () => {
    const all: RedisStorage = {
      type: "redis",
      url: URL,
      mode: "exact",
      leaseMs: 10,
      timeoutMs: 10_000,
      onOutage: { bucket: "open", quota: "closed" },
      prefix: "a_b-c.1",
      tls: {},
    };
    expect(() => checkRedis(all)).not.toThrow();
  });

  it.each([
    [{ mode: "fast" }, 'storage.mode is fast; it may be "leased" or "exact"'],
    [{ leaseMs: 9 }, "storage.leaseMs is 9; it may be whole milliseconds, 10 to 5000"],
    [{ timeoutMs: 0.5 }, "storage.timeoutMs is 0.5; it may be whole milliseconds, 1 to 10000"],
    [{ prefix: "a b" }, "storage.prefix is a b; it may be 1 to 64 letters, digits, _, - and ."],
    [{ tls: null }, "storage.tls is null; it may be an object"],
    [{ onOutage: "panic" }, 'storage.onOutage is panic; it may be "share", "open" or "closed"'],
    [{ onOutage: { minute: "open" } }, "storage.onOutage.minute is unknown; it may be bucket, quota or concurrency"],
    [{ onOutage: { quota: "maybe" } }, 'storage.onOutage.quota is maybe; it may be "share", "open" or "closed"'],
    [{ lease: 1 }, "storage.lease is unknown; it may be one of"],
    [
      { url: undefined },
      "storage.url is undefined; it may be the URL of a Redis, or storage.client be an ioredis client",
    ],
    [{ client: new Redis({ lazyConnect: true }) }, "storage.url and storage.client are both given; it may be either"],
    [
      { url: undefined, client: new Redis({ lazyConnect: true }), tls: {} },
      "storage.tls and storage.client are both given; it may be either: a client has its own tls",
    ],
    [{ url: undefined, client: {} }, "storage.client is an object of the class Object, without duplicate(); it may be"],
    [{ url: "nowhere" }, "storage.url can't be used: it has no scheme"],
  ])("refuses %o", (wrong, message) => {
    expect(() => checkRedis({ type: "redis", url: URL, ...wrong } as RedisStorage)).toThrow(message);
  });

  it("shares where nothing else is said", () => {
    expect(policiesOf(undefined)).toEqual({ bucket: "share", quota: "share", concurrency: "share" });
    expect(policiesOf("closed")).toEqual({ bucket: "closed", quota: "closed", concurrency: "closed" });
    expect(policiesOf({ quota: "closed" })).toEqual({ bucket: "share", quota: "closed", concurrency: "share" });
  });
});
