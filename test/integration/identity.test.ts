import { request } from "node:http";
import { describe, expect, it } from "vitest";
import { compare, identify, startService } from "./service.js";

/** Tokens left to an address without a key, after one more call of it. */
async function leftToAddress({ app }: Awaited<ReturnType<typeof startService>>, address?: string): Promise<unknown> {
  return (await app.inject(identify(undefined, address))).headers["x-ratelimit-remaining"];
}

function withHeaders(headers: Record<string, string>, remoteAddress?: string) {
  return { ...identify(undefined, remoteAddress), headers };
}

describe("an API key", () => {
  it("is taken from Authorization: Bearer, in any case of the scheme, or from X-API-Key", async () => {
    const { app, free } = await startService();
    for (const headers of [
      { authorization: `Bearer ${free}` },
      { authorization: `bearer ${free}` },
      { "x-api-key": free },
      { authorization: `Bearer ${free}`, "x-api-key": free },
    ]) {
      const answer = await app.inject(withHeaders(headers));
      expect(answer.statusCode).toBe(200);
      expect(answer.headers["x-quota-tier"]).toBe("free");
    }
  });

  it("is not taken from the query: keys in query strings", async () => {
    const { app, pro } = await startService();
    const { headers } = await app.inject({ ...identify(), url: `/v1/identify?api_key=${pro}&key=${pro}` });
    expect(headers["x-quota-tier"]).toBe("anonymous");
  });

  it("spends its account's quota, which other keys of the account share", async () => {
    const { app, keys, free } = await startService();
    const second = await keys.create("test", { account: "test-free", scopes: ["fingerprint"] });
    await app.inject(identify(free));
    expect((await app.inject(identify(second.key))).headers["x-ratelimit-remaining"]).toBe("98");
  });

  it("counts the same from every address", async () => {
    const { app, free } = await startService();
    await app.inject(identify(free, "203.0.113.1"));
    expect((await app.inject(identify(free, "203.0.113.2"))).headers["x-ratelimit-remaining"]).toBe("98");
  });

  it("decides the tier; what the client says of its tier does not: the tier read from a header that the client sent", async () => {
    const { app, free } = await startService();
    const claims = { "x-quota-tier": "enterprise", "x-consumer-groups": "enterprise", "x-consumer-custom-id": "other" };
    const { headers } = await app.inject(withHeaders({ ...claims, authorization: `Bearer ${free}` }));
    expect(headers["x-quota-tier"]).toBe("free");
    expect((await app.inject(withHeaders(claims))).headers["x-quota-tier"]).toBe("anonymous");
  });

  it("that was revoked is refused from the next call on", async () => {
    const { app, keys, free } = await startService();
    expect((await app.inject(identify(free))).statusCode).toBe(200);
    await keys.revokeAccount("test-free");
    expect((await app.inject(identify(free))).statusCode).toBe(401);
  });
});

describe("a call without a good key", () => {
  const unknownKey = "fpk_test_0000000000000000000000000000000000000000000_000000";

  it.each([
    ["malformed", { "x-api-key": "hello" }],
    ["empty", { "x-api-key": "" }],
    ["of a wrong checksum", { authorization: `Bearer ${unknownKey}` }],
    ["of another scheme", { authorization: "Basic dXNlcjpwYXNz" }],
    ["without its scheme", { authorization: unknownKey }],
  ])("%s is 401, a problem document that says which scheme to use", async (_what, headers) => {
    const { app } = await startService();
    const answer = await app.inject(withHeaders(headers));
    expect(answer.statusCode).toBe(401);
    expect(answer.headers).toMatchObject({
      "www-authenticate": "Bearer",
      "content-type": "application/problem+json",
      "cache-control": "no-store",
    });
    expect(answer.json()).toMatchObject({ status: 401, code: "api_key_invalid" });
  });

  it("has no fresh bucket for each made-up key: any string is a valid key, each with a fresh bucket", async () => {
    const { app } = await startService();
    const statuses: number[] = [];
    for (let call = 0; call < 31; call++) {
      statuses.push((await app.inject(withHeaders({ "x-api-key": `made-up-${call}` }))).statusCode);
    }
    expect(statuses).toEqual([...Array(30).fill(401), 429]);
  });

  it("is remembered by address only: unknown keys in an unbounded map", async () => {
    const { app, limiter } = await startService();
    const before = limiter.stats().keys;
    for (let call = 0; call < 20; call++) await app.inject(withHeaders({ "x-api-key": `made-up-${call}` }));
    expect(limiter.stats().keys).toBe(before + 1);
  });

  it("spends its address's tokens and no account's: 401 that spends another user's tokens", async () => {
    const service = await startService();
    const { app, free, keys } = service;
    await keys.revokeAccount("test-pro");
    const answer = await app.inject({ ...compare(service.pro) });
    expect(answer.statusCode).toBe(401);
    expect(answer.headers).toMatchObject({ "x-quota-tier": "anonymous", "x-request-cost": "2" });
    expect(await leftToAddress(service)).toBe("27");
    expect((await app.inject(identify(free))).headers["x-ratelimit-remaining"]).toBe("99");
    expect(service.limiter.peek("acct:test-pro", "pro").limits[0]?.remaining).toBe(1000);
  });

  it("that shows two different keys is refused, whichever of them is good", async () => {
    const { app, free, pro } = await startService();
    for (const [bearer, other] of [
      [free, pro],
      [free, "made-up"],
    ]) {
      const answer = await app.inject(withHeaders({ authorization: `Bearer ${bearer}`, "x-api-key": `${other}` }));
      expect(answer.statusCode).toBe(401);
      expect(answer.json().code).toBe("credentials_contradict");
    }
  });

  it("that sends Authorization twice, with different keys, is refused", async () => {
    const { app, free, pro } = await startService();
    const url = await app.listen({ port: 0, host: "127.0.0.1" });
    const answerTo = (first: string, second: string) =>
      new Promise<{ status: number | undefined; body: string }>((resolve, reject) => {
        const headers = ["host", "x", "authorization", `Bearer ${first}`, "authorization", `Bearer ${second}`];
        const call = request(`${url}/nowhere`, { headers }, async (answer) => {
          resolve({ status: answer.statusCode, body: (await answer.toArray()).join("") });
        });
        call.on("error", reject).end();
      });
    const { status, body } = await answerTo(free, pro);
    expect(status).toBe(401);
    expect(JSON.parse(body).code).toBe("credentials_contradict");
    expect((await answerTo(free, free)).status).toBe(404);
  });

  it("is refused where authentication is required, and charged to the address", async () => {
    const { app, free } = await startService({ RATE_LIMIT_REQUIRE_AUTHENTICATION: "true" });
    const answer = await app.inject(identify());
    expect(answer.statusCode).toBe(401);
    expect(answer.headers["x-ratelimit-remaining"]).toBe("29");
    expect(answer.json().code).toBe("authentication_required");
    expect((await app.inject(identify(free))).statusCode).toBe(200);
    expect((await app.inject("/health")).statusCode).toBe(200);
  });
});

describe("the address of a caller", () => {
  const trustProxy = { RATE_LIMIT_TRUST_PROXY: "10.0.0.0/8,2001:db8:ffff::/48" };
  const forwarded = (header: string, remoteAddress: string) =>
    withHeaders({ "x-forwarded-for": header }, remoteAddress);

  it("is the peer's, whatever X-Forwarded-For says, where no proxy is trusted", async () => {
    const service = await startService();
    await service.app.inject(forwarded("203.0.113.1", "198.51.100.7"));
    await service.app.inject(forwarded("203.0.113.2", "198.51.100.7"));
    expect(await leftToAddress(service)).toBe("27");
  });

  it("is the nearest untrusted hop and not the leftmost: leftmost X-Forwarded-For believed", async () => {
    const { app } = await startService(trustProxy);
    const left = async (header: string) =>
      (await app.inject(forwarded(header, "10.0.0.1"))).headers["x-ratelimit-remaining"];
    expect(await left("203.0.113.1")).toBe("29");
    expect(await left("1.1.1.1, 203.0.113.1")).toBe("28");
    expect(await left("2.2.2.2,203.0.113.1, 10.9.9.9")).toBe("27");
    expect(await left("203.0.113.2")).toBe("29");
  });

  it("is the peer's if that is no trusted proxy, though it sends the header", async () => {
    const { app } = await startService(trustProxy);
    await app.inject(forwarded("203.0.113.1", "198.51.100.7"));
    const { headers } = await app.inject(forwarded("203.0.113.2", "198.51.100.7"));
    expect(headers["x-ratelimit-remaining"]).toBe("28");
  });

  it("is not the proxy's for every client: trustProxy: 1 in Fastify ≥ 5.12, where request.ip is then the proxy", async () => {
    const { app } = await startService(trustProxy);
    const left = async (header: string) =>
      (await app.inject(forwarded(header, "10.0.0.1"))).headers["x-ratelimit-remaining"];
    expect([await left("203.0.113.1"), await left("203.0.113.2")]).toEqual(["29", "29"]);
  });

  it("is a /64 in IPv6: IPv6 counted by single address", async () => {
    const { app } = await startService();
    const left = async (address: string) =>
      (await app.inject(identify(undefined, address))).headers["x-ratelimit-remaining"];
    expect(await left("2001:db8:1:2::1")).toBe("29");
    expect(await left("2001:db8:1:2:ffff:ffff:ffff:ffff")).toBe("28");
    expect(await left("2001:db8:1:3::1")).toBe("29");
  });

  it("is IPv4 if mapped into IPv6: IPv4-mapped IPv6 masked before unmapping, so that all IPv4 shares one bucket", async () => {
    const { app } = await startService();
    const left = async (address: string) =>
      (await app.inject(identify(undefined, address))).headers["x-ratelimit-remaining"];
    expect(await left("::ffff:203.0.113.1")).toBe("29");
    expect(await left("203.0.113.1")).toBe("28");
    expect(await left("::ffff:203.0.113.2")).toBe("29");
  });

  it("unknown, means refused: no address means unlimited, or one shared bucket", async () => {
    const { app, limiter, free } = await startService(trustProxy);
    const before = limiter.stats().keys;
    const answer = await app.inject(forwarded("unknown", "10.0.0.1"));
    expect(answer.statusCode).toBe(403);
    expect(answer.json().code).toBe("address_unknown");
    expect(limiter.stats().keys).toBe(before);
    const withKey = { "x-forwarded-for": "unknown", authorization: `Bearer ${free}` };
    expect((await app.inject(withHeaders(withKey, "10.0.0.1"))).statusCode).toBe(200);
    const withBadKey = { "x-forwarded-for": "unknown", authorization: "Bearer made-up" };
    expect((await app.inject(withHeaders(withBadKey, "10.0.0.1"))).statusCode).toBe(403);
  });
});

describe("keys in logs and metric labels", () => {
  it("are nowhere, nor accounts, nor addresses: metrics labelled by user", async () => {
    const { app, free, log } = await startService();
    await app.inject(identify(free, "203.0.113.77"));
    await app.inject({
      ...identify(undefined, "203.0.113.77"),
      url: `/v1/${free}?api_key=${free}`,
      headers: { "x-api-key": free },
    });
    await app.inject({ ...identify(undefined, "203.0.113.77"), headers: { "x-api-key": `${free}x` } });
    const metrics = (await app.inject("/metrics")).body;
    expect(log.join("")).toContain("answered");
    for (const text of [log.join(""), metrics]) {
      expect(text).not.toContain(free.slice(0, 20));
      expect(text).not.toContain("test-free");
      expect(text).not.toContain("203.0.113.77");
    }
    expect(metrics).toContain('tollkeeper_decisions_total{tier="free",outcome="allowed",limit=""} 2');
    expect(metrics).toContain('fingerprint_requests_total{route="/v1/identify",status="200"} 1');
    expect(metrics).toContain('fingerprint_requests_total{route="unknown",status="404"} 1');
  });

  it("are not in answers either", async () => {
    const { app, free } = await startService();
    const answer = await app.inject({ ...identify(free), url: `/v1/${free}` });
    expect(JSON.stringify(answer.headers) + answer.body).not.toContain(free.slice(0, 20));
  });
});

it("X-Forwarded-For of a peer that is not trusted is ignored, which the log says once", async () => {
  const { app, log } = await startService({ RATE_LIMIT_TRUST_PROXY: "10.0.0.0/8" });
  const headers = { "x-forwarded-for": "203.0.113.77" };
  await app.inject({ ...identify(undefined, "10.0.0.1"), headers });
  expect(log.join("")).not.toContain("RATE_LIMIT_TRUST_PROXY");
  for (let call = 0; call < 3; call++) await app.inject({ ...identify(undefined, "192.0.2.1"), headers });
  expect(log.filter((line) => line.includes("RATE_LIMIT_TRUST_PROXY"))).toHaveLength(1);
  for (const address of ["203.0.113.77", "192.0.2.1"]) expect(log.join("")).not.toContain(address);
});
