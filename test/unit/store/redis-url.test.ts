import { describe, expect, it } from "vitest";
import { TollkeeperError } from "../../../src/index.js";
import { parseAddress, redactedUrl } from "../../../src/store/redis-url.js";

describe("address", () => {
  it.each([
    ["redis://h", { kind: "server", node: { host: "h", port: 6379 }, db: 0, tls: false }],
    ["rediss://u:p%40@h:1/2", { username: "u", password: "p@", node: { host: "h", port: 1 }, db: 2, tls: true }],
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

  it("is shown without its passwords", () => {
    expect(redactedUrl("redis://u:p@a:1,redis://:q@b")).toBe("redis://***@a:1,redis://***@b");
    expect(redactedUrl("redis-sentinel://:p@a/m?sentinelPassword=s")).toBe(
      "redis-sentinel://***@a/m?sentinelPassword=***",
    );
  });
});
