import { describe, expect, it } from "vitest";
import { parseAddress, withoutPassword } from "../../../src/store/address.js";

const parse = (text: unknown) => parseAddress(text, "storage.url");
const none = { username: undefined, password: undefined };

describe("the address of a Redis", () => {
  it("is one server, with what is left out filled in", () => {
    expect(parse("redis://localhost")).toEqual({
      kind: "server",
      ...none,
      tls: false,
      node: { host: "localhost", port: 6379 },
      db: 0,
    });
    expect(parse("rediss://me:p%40ss@[::1]:7000/3")).toEqual({
      kind: "server",
      username: "me",
      password: "p@ss",
      tls: true,
      node: { host: "::1", port: 7000 },
      db: 3,
    });
  });

  it("is a master that Sentinels know by name", () => {
    expect(parse("redis-sentinel://:secret@a:1,b/the%20master/2?sentinelPassword=other")).toEqual({
      kind: "sentinel",
      username: undefined,
      password: "secret",
      tls: false,
      nodes: [
        { host: "a", port: 1 },
        { host: "b", port: 26379 },
      ],
      master: "the master",
      db: 2,
      sentinelPassword: "other",
    });
    expect(parse("rediss-sentinel://a/m")).toMatchObject({ tls: true, db: 0, sentinelPassword: undefined });
  });

  it("is some nodes of a Cluster, of which one tells the password", () => {
    expect(parse("redis://a:1,redis://u:p@b:2")).toEqual({
      kind: "cluster",
      username: "u",
      password: "p",
      tls: false,
      nodes: [
        { host: "a", port: 1 },
        { host: "b", port: 2 },
      ],
    });
  });

  it.each([
    [undefined, "it is undefined"],
    ["", "it is empty"],
    ["localhost:6379", "its scheme is localhost:"],
    ["127.0.0.1", "it has no scheme"],
    ["http://localhost", "its scheme is http:"],
    ["redis://", "it names no host"],
    ["redis://a:99999", "it is not a URL"],
    ["redis://a/x", "its database is x"],
    ["redis://a?x=1", "it has the parameters ?x=1"],
    ["redis://a,rediss://b", "some nodes are rediss:// and some redis://"],
    ["redis://a/1,redis://b/1", "a Cluster has no databases but 0"],
    ["redis-sentinel://", "it names no Sentinel"],
    ["redis-sentinel://a", "it does not name the master"],
    ["redis-sentinel://a:0/m", "its Sentinels are a:0"],
  ])("can't be %s", (text, reason) => {
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: "ERR_OPTION_INVALID" }));
    expect(() => parse(text)).toThrow(`storage.url can't be used: ${reason}`);
  });

  it("is never told with its passwords", () => {
    expect(() => parse("redis://me:hidden@a/x")).toThrow(expect.not.stringContaining("hidden"));
    expect(withoutPassword("redis://me:hidden@a:1,redis://b")).toBe("redis://***@a:1,redis://b");
    expect(withoutPassword("redis-sentinel://:hidden@a/m?sentinelPassword=hidden")).toBe(
      "redis-sentinel://***@a/m?sentinelPassword=***",
    );
  });
});
