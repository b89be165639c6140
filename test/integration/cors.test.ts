import { describe, expect, it } from "vitest";
import { identify, startService } from "./service.js";

const preflight = {
  method: "OPTIONS",
  url: "/v1/identify",
  headers: {
    origin: "https://app.example",
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type",
  },
  remoteAddress: "198.51.100.7",
} as const;

describe("a preflight", () => {
  it("costs nothing and needs no key: preflights limited", async () => {
    const { app } = await startService({ RATE_LIMIT_REQUIRE_AUTHENTICATION: "true" });
    for (let call = 0; call < 40; call++) {
      const { statusCode, headers } = await app.inject(preflight);
      expect(statusCode).toBe(204);
      expect(headers["access-control-allow-origin"]).toBe("*");
      expect(headers["access-control-allow-headers"]).toContain("authorization");
      expect(headers["ratelimit"]).toBeUndefined();
    }
    expect((await app.inject(identify())).headers["x-ratelimit-remaining"]).toBe("29");
  });

  it("passes when the address has nothing left", async () => {
    const { app } = await startService();
    for (let call = 0; call < 31; call++) await app.inject(identify());
    expect((await app.inject(preflight)).statusCode).toBe(204);
  });
});

describe("a page of another origin", () => {
  const origin = { origin: "https://app.example" };

  it("can read denials, with every field by name: 429 without CORS headers", async () => {
    const { app } = await startService();
    const call = { ...identify(), headers: origin };
    for (let n = 0; n < 30; n++) await app.inject(call);
    const { statusCode, headers } = await app.inject(call);
    expect(statusCode).toBe(429);
    expect(headers["access-control-allow-origin"]).toBe("*");
    const exposed = String(headers["access-control-expose-headers"]).toLowerCase().split(", ");
    const sent = Object.keys(headers).filter((name) => /^(x-|ratelimit|retry-after)/.test(name));
    expect(sent.length).toBeGreaterThan(6);
    expect(exposed).toEqual(expect.arrayContaining(sent));
  });

  it("can read refusals and errors", async () => {
    const { app } = await startService();
    for (const call of [
      { ...identify(), headers: { ...origin, "x-api-key": "made-up" } },
      { url: "/nowhere", headers: origin },
      { url: "/%zz", headers: origin },
    ]) {
      expect((await app.inject(call)).headers["access-control-allow-origin"]).toBe("*");
    }
  });

  it("never sends the browser's credentials: CORS * with credentials", async () => {
    const { app } = await startService();
    for (const call of [preflight, { ...identify(), headers: origin }]) {
      expect((await app.inject(call)).headers["access-control-allow-credentials"]).toBeUndefined();
    }
  });

  it("is let in by name where origins are listed", async () => {
    const { app } = await startService({ RATE_LIMIT_CORS_ORIGINS: "https://app.example,https://b.example" });
    const allowed = async (from: string) =>
      (await app.inject({ ...identify(), headers: { origin: from } })).headers["access-control-allow-origin"];
    expect(await allowed("https://app.example")).toBe("https://app.example");
    expect(await allowed("https://evil.example")).toBeUndefined();
  });

  it("is not let in where no origin is", async () => {
    const { app } = await startService({ RATE_LIMIT_CORS_ORIGINS: "" });
    const { statusCode, headers } = await app.inject(preflight);
    expect(statusCode).toBe(405);
    expect(headers["access-control-allow-origin"]).toBeUndefined();
    expect((await app.inject(identify())).headers["x-ratelimit-remaining"]).toBe("28");
  });
});
