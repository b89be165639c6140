import { Cluster, Redis } from "ioredis";
import { describe, expect, it } from "vitest";
import { addressOfClient, checkClient } from "../../../src/store/given-client.js";
import { urlOf } from "../../../src/store/redis-url.js";

const lazyConnect = true;
const methods = (...names: string[]) => Object.fromEntries(names.map((name) => [name, () => undefined]));

class RedisMock {
  readonly status = "ready";
  readonly options = {};
  constructor() {
    Object.assign(this, methods("duplicate", "connect", "disconnect", "defineCommand", "on", "off"));
  }
}

describe("a client that an app gives", () => {
  it.each([
    ["nothing", null, "is null; it may be a Redis or Cluster of ioredis 5 or 6"],
    ["a URL", "redis://:secret@h", "is a string; it may be"],
    ["the class", Redis, "is a function; it may be"],
    [
      "a client of node-redis",
      { isOpen: false, ...methods("duplicate", "connect", "disconnect", "sendCommand", "on", "off") },
      "is a client of node-redis; it may be",
    ],
    ["a mock of commands", new RedisMock(), "is an object of the class RedisMock, without sendCommand(); it may be"],
    [
      "a mock of methods",
      Object.assign(new RedisMock(), methods("sendCommand")),
      "is an object of the class RedisMock, without the connections of ioredis; it may be",
    ],
    [
      "a pipeline",
      new Redis({ lazyConnect }).pipeline(),
      "is an object of the class Pipeline, without duplicate(); it",
    ],
    ["no object of a class", Object.create(null), "is an object of the class none, without duplicate(); it may be"],
  ])("is no other thing: %s", (_what, client, says) => {
    expect(() => checkClient(client, "storage.client")).toThrow(`storage.client ${says}`);
  });

  it.each([
    [new Redis({ lazyConnect }), "redis://localhost:6379"],
    [new Redis("rediss://u:secret@h:1/2", { lazyConnect }), "rediss://h:1/2"],
    [new Redis({ path: "/run/redis.sock", db: 1, lazyConnect }), "unix:///run/redis.sock?db=1"],
    [
      new Redis({ sentinels: [{ host: "a", port: 1 }, { host: "b" }], name: "m", lazyConnect }),
      "redis-sentinel://a:1,b:26379/m",
    ],
    [
      new Cluster([7, "redis://:secret@a:8", { host: "b", port: 9 }, { host: "c" }], { lazyConnect }),
      "redis-cluster://localhost:7,a:8,b:9,c:6379",
    ],
    [new Cluster([{ host: "a" }], { redisOptions: { tls: {} }, lazyConnect }), "rediss-cluster://a:6379"],
  ])("is told of by where it connects to", (client, url) => {
    checkClient(client, "storage.client");
    expect(urlOf(addressOfClient(client))).toBe(url);
  });
});
