import { describe, expect, it } from "vitest";
import { TollkeeperError } from "../../../src/index.js";
import { parseAddress, redactedUrl } from "../../../src/store/redis-url.js";

describe("address", () => {
  it.each([
    ["redis://h", { kind: "server", node: { host: "h", port: 6379 }, db: 0, tls: false }],
    ["rediss://u:p%40@h:1/2", { username: "u", password: "p@", node: { host: "h", port: 1 }, db: 2, tls: true }],
    ["valkey://u:p@h/1", { kind: "server", username: "u", node: { host: "h", port: 6379 }, db: 1, tls: false }],
    ["valkeys://h:1", { kind: "server", node: { host: "h", port: 1 }, tls: true }],
    ["valkeys://a:1,valkeys://b:2", { kind: "cluster", tls: true, nodes: [{ host: "a" }, { host: "b" }] }],
    ["unix:///run/redis.sock", { kind: "server", node: { path: "/run/redis.sock" }, db: 0, tls: false }],
    [
      "redis+unix://u:p%40@/run/a%20b.sock?db=3",
      { kind: "server", username: "u", password: "p@", node: { path: "/run/a b.sock" }, db: 3 },
    ],
    ["unix://:p@ss@/run/redis.sock", { username: undefined, password: "p@ss", node: { path: "/run/redis.sock" } }],
    ["redis://[::1]:7", { node: { host: "::1", port: 7 } }],
    [
      "redis-sentinel://:p@a,b:1,[::1]:2/m/3?sentinelPassword=s",
      {
        kind: "sentinel",
        nodes: [
          { host: "a", port: 26379 },
          { host: "b", port: 1 },
          { host: "::1", port: 2 },
        ],
        master: "m",
        db: 3,
        password: "p",
        sentinelPassword: "s",
      },
    ],
    ["rediss-sentinel://a/m", { kind: "sentinel", tls: true }],
    [
      "rediss://:p@a:1, rediss://b:2",
      {
        kind: "cluster",
        tls: true,
        password: "p",
        nodes: [
          { host: "a", port: 1 },
          { host: "b", port: 2 },
        ],
      },
    ],
  ])("reads %s", (text, address) => {
    expect(parseAddress(text, "url")).toMatchObject(address);
  });

  it.each([
    [undefined, "it is undefined"],
    ["", "it is empty"],
    ["h:6379", "its scheme is h:"],
    ["h", "it has no scheme"],
    ["http://h", "its scheme is http:"],
    ["redis://", "it"],
    ["redis://h:99999", "it is not a URL"],
    ["redis://h/x", "its database is x"],
    ["redis://h?password=secret", "it has parameters after a ?"],
    ["redis://:100%@h", "it has a % that begins no code, as %25 does"],
    ["redis-sentinel://:a?secret@a/m", "it is not a URL"],
    ["unix://run/redis.sock", "it names no socket by its whole path, as unix:///run/redis.sock does"],
    ["unix:/run/redis.sock", "it names no socket by its whole path"],
    ["unix://", "it names no socket by its whole path"],
    ["redis+unix:///run/", "it names no socket by its whole path"],
    ["unix:///run/redis.sock?password=secret", "it has the parameter password after the ?, where only db may be"],
    ["unix:///run/redis.sock?db=x", "its database is x"],
    ["unix:///a.sock,unix:///b.sock", "a node of a Cluster has no Unix socket"],
    ["/run/redis.sock", "it has no scheme"],
    ["redis+socket:///run/redis.sock", "its scheme is redis+socket:"],
    ["redis://a,rediss://b", "some nodes are rediss:// and some redis://"],
    ["redis://a/1,redis://b/1", "a Cluster has no databases but 0"],
    ["redis-sentinel://a", "it does not name the master that the Sentinels watch"],
    ["redis-sentinel:///m", "it names no Sentinel"],
    ["redis-sentinel://a:0/m", "its Sentinels are a:0"],
  ])("refuses %s", (text, reason) => {
    const parse = () => parseAddress(text, "storage.url");
    expect(parse).toThrow(TollkeeperError);
    expect(parse).toThrow(`storage.url can't be used: ${reason}`);
    expect(parse).not.toThrow("secret");
  });

  it.each([
    ["redis://u:p@a:1,redis://:q@b", "redis://***@a:1,redis://***@b"],
    ["redis-sentinel://:p@a/m?sentinelPassword=s", "redis-sentinel://***@a/m?sentinelPassword=***"],
    ["redis-cluster://:p@a:1,b:2", "redis-cluster://***@a:1,b:2"],
    ["valkeys://u:p@a/1", "valkeys://***@a/1"],
    ["redis+unix://u:p@/run/redis.sock?db=1", "redis+unix://***@/run/redis.sock?db=1"],
    ["unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"],
    ["unix:///run/redis.sock?password=p&db=1", "unix:///run/redis.sock?password=***&db=1"],
    // None of these can be used, but they are shown all the same.
    ["redis://:p@ss@a", "redis://***@a"],
    ["redis://:p/q@a/1", "redis://***@a/1"],
    ["redis://:p,q@a,redis://:r@b", "redis://***@a,redis://***@b"],
  ])("%s is shown without its passwords", (text, shown) => {
    expect(redactedUrl(text)).toBe(shown);
  });
});
