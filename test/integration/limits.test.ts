import { parseList } from "structured-headers";
import { describe, expect, it } from "vitest";
import { batch, compare, identify, startService } from "./service.js";

const QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded";

/** A field of draft-ietf-httpapi-ratelimit-headers-11 as `{ name: { parameter: value } }`. */
function parsed(field: unknown): Record<string, Record<string, unknown>> {
  return Object.fromEntries(
    parseList(String(field)).map(([name, parameters]) => [String(name), Object.fromEntries(parameters)]),
  );
}

describe.each(["native", "js"])("a key of the tier free, with the %s engine", (RATE_LIMIT_ENGINE) => {
  it("passes 100 of 150 calls at once, and the rest are 429 with everything a client needs", async () => {
    const { app, free, clock } = await startService({ RATE_LIMIT_ENGINE });
    const answers = await Promise.all(Array.from({ length: 150 }, () => app.inject(identify(free))));
    expect(answers.filter(({ statusCode }) => statusCode === 200)).toHaveLength(100);
    const denied = answers.filter(({ statusCode }) => statusCode === 429);
    expect(denied).toHaveLength(50);
    for (const { headers, body } of denied) {
      expect(headers["retry-after"]).toBe("1");
      expect(headers["content-type"]).toBe("application/problem+json");
      expect(headers["cache-control"]).toBe("no-store");
      expect(headers["x-should-retry"]).toBeUndefined();
      expect(JSON.parse(body)).toEqual({
        type: QUOTA_EXCEEDED,
        title: expect.any(String),
        status: 429,
        detail: expect.any(String),
        "violated-policies": ["minute"],
        code: "rate_limit_exceeded",
        retry_after: 1,
      });
      expect(parsed(headers["ratelimit-policy"])).toEqual({
        minute: { q: 150, w: 90 },
        month: { q: 50_000, w: 30 * 86_400 },
      });
      expect(parsed(headers["ratelimit"])).toEqual({
        minute: { r: 0, t: 90 },
        month: { r: 49_900, t: 20 * 86_400 + 12 * 3600 },
      });
      expect(headers).toMatchObject({
        "x-ratelimit-limit": "100",
        "x-ratelimit-remaining": "0",
        "x-ratelimit-reset": String(clock.nowMs / 1000 + 90),
        "x-quota-tier": "free",
        "x-quota-monthly-remaining": "49900",
        "x-request-cost": "1",
      });
    }
  });

  it("passes again after the wait that Retry-After names", async () => {
    const { app, free, clock } = await startService({ RATE_LIMIT_ENGINE });
    for (let call = 0; call < 100; call++) await app.inject(identify(free));
    const denied = await app.inject(identify(free));
    clock.nowMs += Number(denied.headers["retry-after"]) * 1000;
    expect((await app.inject(identify(free))).statusCode).toBe(200);
  });

  it("never says more is left than the policy allows", async () => {
    const { app, free, clock } = await startService({ RATE_LIMIT_ENGINE });
    await app.inject(identify(free));
    clock.nowMs += 3_600_000;
    const { headers } = await app.inject(identify(free));
    expect(parsed(headers["ratelimit"])["minute"]).toEqual({ r: 149, t: 1 });
    expect(parsed(headers["ratelimit-policy"])["minute"]).toEqual({ q: 150, w: 90 });
  });

  it("is told of the month's own length in each month", async () => {
    const { app, free, clock } = await startService({ RATE_LIMIT_ENGINE });
    const window = async () => parsed((await app.inject(identify(free))).headers["ratelimit-policy"])["month"]?.["w"];
    expect(await window()).toBe(30 * 86_400);
    clock.nowMs = Date.UTC(2026, 11, 1);
    expect(await window()).toBe(31 * 86_400);
    clock.nowMs = Date.UTC(2027, 1, 1);
    expect(await window()).toBe(28 * 86_400);
  });

  it("is denied by the month with monthly_quota_exceeded, the month's end, and the advice not to retry", async () => {
    const { app, free } = await startService({ RATE_LIMIT_ENGINE, RATE_LIMIT_FREE_MONTHLY_QUOTA: "3" });
    for (let call = 0; call < 3; call++) expect((await app.inject(identify(free))).statusCode).toBe(200);
    const { statusCode, headers, body } = await app.inject(identify(free));
    const untilDecember = 20 * 86_400 + 12 * 3600;
    expect(statusCode).toBe(429);
    expect(headers["x-should-retry"]).toBe("false");
    expect(headers["retry-after"]).toBe(String(untilDecember));
    expect(headers["x-ratelimit-limit"]).toBe("3");
    expect(headers["x-quota-monthly-remaining"]).toBe("0");
    expect(JSON.parse(body)).toMatchObject({
      code: "monthly_quota_exceeded",
      "violated-policies": ["month"],
      retry_after: untilDecember,
    });
  });

  it("is not denied a month for want of a minute: minute exhaustion reported as monthly", async () => {
    const { app, free } = await startService({ RATE_LIMIT_ENGINE });
    for (let call = 0; call < 100; call++) await app.inject(identify(free));
    const { headers, body } = await app.inject(identify(free));
    expect(JSON.parse(body).code).toBe("rate_limit_exceeded");
    expect(Number(headers["x-quota-monthly-remaining"])).toBe(49_900);
  });
});

describe("costs", () => {
  it("are 1 for identify, 2 for compare, and 1 per item of a batch", async () => {
    const { app, free } = await startService();
    const left = async (call: ReturnType<typeof identify>) => {
      const { statusCode, headers } = await app.inject(call);
      expect(statusCode).toBe(200);
      return [headers["x-request-cost"], headers["x-ratelimit-remaining"], headers["x-quota-monthly-remaining"]];
    };
    expect(await left(identify(free))).toEqual(["1", "99", "49999"]);
    expect(await left(compare(free))).toEqual(["2", "97", "49997"]);
    expect(await left(batch(10, free))).toEqual(["10", "87", "49987"]);
    expect(await left(batch(1, free))).toEqual(["1", "86", "49986"]);
  });

  it("are the same with and without /v1, and count together", async () => {
    const { app, free } = await startService();
    await app.inject({ ...compare(free), url: "/compare" });
    expect((await app.inject(identify(free))).headers["x-ratelimit-remaining"]).toBe("97");
  });

  it("are in the answer", async () => {
    const { app, free } = await startService();
    expect((await app.inject(compare(free))).json()).toMatchObject({ cost: 2, request_id: expect.any(String) });
    expect((await app.inject(batch(7, free))).json()).toMatchObject({ cost: 7 });
  });

  it("do not exist for health, readiness, metrics", async () => {
    const { app } = await startService();
    for (let call = 0; call < 50; call++) {
      for (const url of ["/health", "/ready", "/metrics"]) {
        const { statusCode, headers } = await app.inject({ url, remoteAddress: "198.51.100.7" });
        expect(statusCode).toBe(200);
        expect(headers["ratelimit"]).toBeUndefined();
      }
    }
    expect((await app.inject(identify())).headers["x-ratelimit-remaining"]).toBe("29");
  });
});

describe("a batch", () => {
  it("of 100 is not had for the price of one: batch of 100 for the price of one", async () => {
    const { app, free } = await startService();
    expect((await app.inject(batch(100, free))).headers["x-ratelimit-remaining"]).toBe("0");
    expect((await app.inject(batch(1, free))).statusCode).toBe(429);
  });

  it("that does not fit is denied whole: no quota, and of the rate what its body was read for", async () => {
    const { app, free, clock } = await startService();
    for (let call = 0; call < 95; call++) await app.inject(identify(free));
    const { statusCode, headers, body } = await app.inject(batch(10, free));
    expect(statusCode).toBe(429);
    expect(headers["retry-after"]).toBe("4");
    expect(headers["x-request-cost"]).toBe("10");
    expect(headers["x-ratelimit-remaining"]).toBe("4");
    expect(headers["x-quota-monthly-remaining"]).toBe("49905");
    expect(JSON.parse(body).retry_after).toBe(4);
    clock.nowMs += 4000;
    expect((await app.inject(batch(10, free))).statusCode).toBe(200);
  });

  it("that is denied again and again is denied before its body is read: big bodies for nothing", async () => {
    const { app, free } = await startService();
    for (let call = 0; call < 95; call++) await app.inject(identify(free));
    for (let call = 0; call < 5; call++) await app.inject(batch(10, free));
    const { statusCode, headers } = await app.inject({ ...batch(10, free), payload: "{" });
    expect(statusCode).toBe(429);
    expect(headers["x-quota-monthly-remaining"]).toBe("49905");
  });

  it("that could never pass is 422 with the maximum, not a 429 that can't be satisfied", async () => {
    const { app } = await startService();
    const { statusCode, body, headers } = await app.inject(batch(46));
    expect(statusCode).toBe(422);
    expect(JSON.parse(body)).toMatchObject({ status: 422, code: "cost_exceeds_capacity", cost: 46, maximum: 45 });
    expect(headers["retry-after"]).toBeUndefined();
    expect(headers["ratelimit"]).toBeDefined();
    expect(headers["x-request-cost"]).toBe("46");
  });

  it("that could never pass costs nothing of the month, which the next answer says", async () => {
    const { app, free } = await startService({ RATE_LIMIT_FREE_MINUTE_LIMIT: "10" });
    const { statusCode, headers } = await app.inject(batch(46, free));
    expect(statusCode).toBe(422);
    expect(headers).toMatchObject({ "x-request-cost": "46", "x-ratelimit-remaining": "9" });
    expect((await app.inject(identify(free))).headers["x-quota-monthly-remaining"]).toBe("49999");
  });

  it("of more items than a batch takes pays for one call, and none of the quota's other 100", async () => {
    const { app, free } = await startService();
    expect((await app.inject(batch(101, free))).statusCode).toBe(400);
    expect((await app.inject(identify(free))).headers["x-ratelimit-remaining"]).toBe("98");
  });
});

describe("other tiers", () => {
  it("pass 30 calls of an address without a key, then deny", async () => {
    const { app } = await startService();
    const answers = await Promise.all(Array.from({ length: 31 }, () => app.inject(identify())));
    expect(answers.map(({ statusCode }) => statusCode)).toEqual([...Array(30).fill(200), 429]);
    expect(answers[30]?.headers).toMatchObject({ "retry-after": "2", "x-quota-tier": "anonymous" });
    expect(answers[30]?.headers["x-quota-monthly-remaining"]).toBeUndefined();
    expect((await app.inject(identify(undefined, "198.51.100.8"))).statusCode).toBe(200);
  });

  it("give listed addresses a limit of their own", async () => {
    const { app } = await startService({
      RATE_LIMIT_IP_WHITELIST: "198.51.100.0/24",
      RATE_LIMIT_IP_WHITELIST_LIMIT: "500",
    });
    const { headers } = await app.inject(identify());
    expect(headers).toMatchObject({ "x-quota-tier": "trusted", "x-ratelimit-limit": "500" });
    expect((await app.inject(identify(undefined, "203.0.113.1"))).headers["x-quota-tier"]).toBe("anonymous");
  });

  it("unlimited, have no RateLimit fields, yet say the tier and the cost", async () => {
    const { app, enterprise } = await startService();
    const { statusCode, headers } = await app.inject(compare(enterprise));
    expect(statusCode).toBe(200);
    expect(headers).toMatchObject({ "x-quota-tier": "enterprise", "x-request-cost": "2" });
    for (const field of ["ratelimit", "ratelimit-policy", "x-ratelimit-limit", "x-quota-monthly-remaining"]) {
      expect(headers[field]).toBeUndefined();
    }
  });

  it("are told without the X- fields when these are turned off", async () => {
    const { app, free } = await startService({ RATE_LIMIT_HEADERS: "false" });
    const { headers } = await app.inject(identify(free));
    expect(headers["ratelimit"]).toBeDefined();
    expect(Object.keys(headers).filter((name) => name.startsWith("x-"))).toEqual([]);
  });
});

describe("limits counted after the handler", () => {
  it("would let bodies through first: here a denied call's body is not even read", async () => {
    const { app } = await startService();
    for (let call = 0; call < 30; call++) await app.inject(identify());
    const { statusCode } = await app.inject({
      ...identify(),
      payload: "{not json",
      headers: { "content-type": "application/json" },
    });
    expect(statusCode).toBe(429);
  });

  it("would leave errors free: malformed bodies, unknown routes and wrong methods are charged, and say so", async () => {
    const { app, free } = await startService();
    const headers = { authorization: `Bearer ${free}`, "content-type": "application/json" };
    const malformed = await app.inject({ method: "POST", url: "/v1/identify", headers, payload: "{" });
    const unknown = await app.inject({ url: "/v1/secrets", headers: { authorization: `Bearer ${free}` } });
    const wrong = await app.inject({ url: "/v1/identify", headers: { authorization: `Bearer ${free}` } });
    const head = await app.inject({
      method: "HEAD",
      url: "/v1/identify",
      headers: { authorization: `Bearer ${free}` },
    });
    expect([malformed, unknown, wrong, head].map(({ statusCode }) => statusCode)).toEqual([400, 404, 405, 405]);
    const left = [malformed, unknown, wrong, head].map((answer) => answer.headers["x-ratelimit-remaining"]);
    expect(left).toEqual(["99", "98", "97", "96"]);
    const month = [malformed, unknown, wrong, head].map((answer) => answer.headers["x-quota-monthly-remaining"]);
    // The first is given back once it is answered.
    expect(month).toEqual(["49999", "49999", "49998", "49997"]);
    expect(head.body).toBe("");
  });

  it("say so on answers that failed in the handler, too", async () => {
    const { app, free } = await startService({}, () => {
      throw new Error("broken");
    });
    const { statusCode, headers, body } = await app.inject(identify(free));
    expect(statusCode).toBe(500);
    expect(headers["x-ratelimit-remaining"]).toBe("99");
    expect(headers["x-quota-monthly-remaining"]).toBe("49999");
    expect(body).not.toContain("broken");
    expect((await app.inject({ url: "/v1/quota", headers: { "x-api-key": free } })).headers).toMatchObject({
      "x-quota-monthly-remaining": "50000",
    });
  });
});

describe("a fault of the engine", () => {
  it("is 503 temporary-reduced-capacity and never a 429: store error answered as 429", async () => {
    const { app, limiter, free } = await startService();
    await limiter.close();
    const { statusCode, headers, body } = await app.inject(identify(free));
    expect(statusCode).toBe(503);
    expect(headers["content-type"]).toBe("application/problem+json");
    expect(JSON.parse(body).type).toBe("https://iana.org/assignments/http-problem-types#temporary-reduced-capacity");
    expect((await app.inject("/health")).statusCode).toBe(200);
  });
});
