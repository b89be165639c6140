import { describe, expect, it } from "vitest";
import { createLimiter, type TollkeeperError } from "../../../../src/index.js";
import { readConfiguration } from "../../../../src/service/config/read.js";
import { tiersOf } from "../../../../src/service/config/tiers.js";

function readEnvironment(environment: Record<string, string>) {
  return readConfiguration(environment).config;
}

function refusal(environment: Record<string, string>): TollkeeperError {
  try {
    readEnvironment(environment);
  } catch (error) {
    return error as TollkeeperError;
  }
  throw new Error("the environment was accepted");
}

describe("the environment", () => {
  it("gives the defaults of the product where nothing is set, and minds no other variable", () => {
    const config = readEnvironment({ HOME: "/root", RATE_LIMITER: "x", PATH: "" });
    expect(config).toMatchObject({ host: "127.0.0.1", port: 8080, storage: "file", file: "./tollkeeper.redb" });
    const bucket = (limit: number) => ({ name: "minute", type: "bucket", limit, windowSeconds: 60, burst: 1.5 });
    const quota = (limit: number) => ({ name: "month", type: "quota", limit, period: "month" });
    expect(tiersOf(config)).toEqual({
      free: { limits: [bucket(100), quota(50_000)] },
      pro: { limits: [bucket(1000), quota(1_000_000)] },
      enterprise: { limits: [] },
      partner: { limits: [] },
      anonymous: { limits: [bucket(30)] },
      trusted: { limits: [bucket(1000)] },
    });
  });

  it("reads every kind of value", () => {
    const config = readEnvironment({
      HOST: "::",
      PORT: "0",
      RATE_LIMIT_STORAGE: "memory",
      RATE_LIMIT_BURST_MULTIPLIER: "2.25",
      RATE_LIMIT_IP_WHITELIST: "10.0.0.0/8, 2001:db8::/32,192.0.2.1",
      RATE_LIMIT_REQUIRE_AUTHENTICATION: "true",
      RATE_LIMIT_CORS_ORIGINS: "",
      RATE_LIMIT_KEY_PEPPER: "sixteen or more characters",
    });
    expect(config).toMatchObject({
      host: "::",
      port: 0,
      storage: "memory",
      burstMultiplier: 2.25,
      ipWhitelist: ["10.0.0.0/8", "2001:db8::/32", "192.0.2.1"],
      requireAuthentication: true,
      corsOrigins: [],
      keyPepper: "sixteen or more characters",
    });
  });

  it.each([
    ["PORT", "http", "a whole number, 0 to 65535"],
    ["PORT", "65536", "a whole number, 0 to 65535"],
    ["PORT", "", "a whole number, 0 to 65535"],
    ["PORT", "0x50", "a whole number, 0 to 65535"],
    ["HOST", "", "an address or name of this host"],
    ["RATE_LIMIT_STORAGE", "redis", "file or memory"],
    ["RATE_LIMIT_ENGINE", "rust", "auto, native or js"],
    ["RATE_LIMIT_FREE_MINUTE_LIMIT", "0", "a whole number, 1 to"],
    ["RATE_LIMIT_FREE_MINUTE_LIMIT", "Infinity", "a whole number, 1 to"],
    ["RATE_LIMIT_PRO_MONTHLY_QUOTA", "1e6", "a whole number, 1 to"],
    ["RATE_LIMIT_FLUSH_MS", "9", "a whole number, 10 to 60000"],
    ["RATE_LIMIT_BURST_MULTIPLIER", "0.5", "a number, 1 to 100, with at most three decimals"],
    ["RATE_LIMIT_BURST_MULTIPLIER", "1.0005", "with at most three decimals"],
    ["RATE_LIMIT_IPV6_PREFIX", "65", "a whole number, 48 to 64"],
    ["RATE_LIMIT_REQUIRE_AUTHENTICATION", "yes", "true or false"],
    ["RATE_LIMIT_TRUST_PROXY", "true", "networks in CIDR notation"],
    ["RATE_LIMIT_TRUST_PROXY", "1", "networks in CIDR notation"],
    ["RATE_LIMIT_TRUST_PROXY", "10.0.0.0/8,0.0.0.0/0", "trust everybody"],
    ["RATE_LIMIT_IP_WHITELIST", "::ffff:0:0/96", "trust everybody"],
    ["RATE_LIMIT_TRUST_PROXY", "0.0.0.0/1,128.0.0.0/1", "trust everybody"],
    ["RATE_LIMIT_TRUST_PROXY", "10.0.0.0/8,::/1,c000::/2,8000::/2,8000::/3", "trust everybody"],
    ["RATE_LIMIT_IP_WHITELIST", "10.0.0.0/8,", "an empty item"],
    ["RATE_LIMIT_CORS_ORIGINS", "example.com", "origins such as https://example.com"],
    ["RATE_LIMIT_CORS_ORIGINS", "https://example.com/", "origins such as https://example.com"],
    ["RATE_LIMIT_LOG_LEVEL", "loud", "trace, debug, info, warn, error, fatal or silent"],
    ["RATE_LIMIT_DEMO_KEYS", "always", "once, new or never"],
  ])("refuses %s=%j, saying what it was and what it may be", (variable, value, mayBe) => {
    const { code, message } = refusal({ [variable]: value });
    expect(code).toBe("ERR_CONFIG_INVALID");
    expect(message).toContain(`${variable} is ${JSON.stringify(value)}; it may be`);
    expect(message).toContain(mayBe);
  });

  it("takes networks that hold much, and some of it twice, but not everything", () => {
    const RATE_LIMIT_TRUST_PROXY = "0.0.0.0/1,0.0.0.0/1,10.0.0.0/8,128.0.0.0/2,::/1";
    expect(readEnvironment({ RATE_LIMIT_TRUST_PROXY }).trustProxy).toHaveLength(5);
  });

  it("refuses more keys than the JavaScript engine holds, where that is asked for", () => {
    const RATE_LIMIT_MAX_KEYS = "17000000";
    expect(refusal({ RATE_LIMIT_ENGINE: "js", RATE_LIMIT_MAX_KEYS })).toMatchObject({
      code: "ERR_CONFIG_INVALID",
      message: expect.stringContaining('RATE_LIMIT_MAX_KEYS is "17000000"; it may be a whole number, 1 to 16000000'),
    });
    expect(readEnvironment({ RATE_LIMIT_MAX_KEYS }).maxKeys).toBe(17_000_000);
    expect(readEnvironment({ RATE_LIMIT_ENGINE: "js", RATE_LIMIT_MAX_KEYS: "16000000" }).maxKeys).toBe(16_000_000);
  });

  it("names all problems at once", () => {
    const { message } = refusal({
      PORT: "x",
      RATE_LIMIT_STORAGE: "y",
      RATE_LIMIT_REDIS: "z",
      RATE_LIMIT_FLUSH_MS: "0",
    });
    expect(message).toContain("4 problems");
    for (const variable of ["PORT", "RATE_LIMIT_STORAGE", "RATE_LIMIT_REDIS", "RATE_LIMIT_FLUSH_MS"]) {
      expect(message).toContain(`\n  ${variable} is `);
    }
  });

  it("names an unknown variable, and the one that was meant", () => {
    const { message } = refusal({ RATE_LIMIT_FREE_MINUT_LIMIT: "5" });
    expect(message).toContain("RATE_LIMIT_FREE_MINUT_LIMIT is unknown; did you mean RATE_LIMIT_FREE_MINUTE_LIMIT?");
    expect(refusal({ RATE_LIMIT_COLOUR: "5" }).message).toContain("docs/configuration.md lists");
  });

  it("never shows a secret", () => {
    const { message } = refusal({ RATE_LIMIT_KEY_PEPPER: "too short" });
    expect(message).toContain("RATE_LIMIT_KEY_PEPPER is ******; it may be a text of at least 16 characters");
    expect(message).not.toContain("too short");
  });

  it.each(["0123456789abcdef\n", " 0123456789abcdef", "passwört-mit-umlaut", "0123456789\tabcdef", "0".repeat(1001)])(
    "refuses a gateway's secret that no header field can hold, since it would never match: %j",
    (secret) => {
      for (const variable of ["RATE_LIMIT_GATEWAY_SECRET", "RATE_LIMIT_GATEWAY_SECRET_PREVIOUS"]) {
        expect(refusal({ [variable]: secret }).message).toContain(
          `${variable} is ******; it may be a text of 16 to 1000`,
        );
      }
    },
  );

  it.each([
    { RATE_LIMIT_FREE_MINUTE_LIMIT: "100000000", RATE_LIMIT_BURST_MULTIPLIER: "100" },
    { RATE_LIMIT_PRO_MINUTE_LIMIT: "99999989", RATE_LIMIT_BURST_MULTIPLIER: "99.999" },
    { RATE_LIMIT_PRO_MONTHLY_QUOTA: "1000000000000" },
  ])("accepts no limit that a limiter refuses: %j", async (environment) => {
    const limiter = createLimiter({ tiers: tiersOf(readEnvironment(environment)), engine: "js" });
    await limiter.close();
  });
});
