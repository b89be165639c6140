import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { serve } from "../../src/service/serve.js";
import { command } from "./command.js";

const COMMANDS = [
  "serve",
  "check-config",
  "keys",
  "keys create",
  "keys list",
  "keys revoke",
  "accounts",
  "accounts list",
  "accounts show",
  "accounts create",
  "accounts set",
  "accounts suspend",
  "accounts resume",
  "accounts archive",
  "accounts delete",
  "quota",
  "quota show",
  "quota check",
  "quota grant",
  "quota reset",
  "quota set-tier",
  "usage",
  "usage show",
  "usage top",
  "usage export",
  "tiers",
  "bench",
];

it.each(COMMANDS)("%s --help has examples, and exits with 0", async (name) => {
  const { code, stdout } = await command([...name.split(" "), "--help"]);
  expect(code).toBe(0);
  expect(stdout).toContain(`Usage: tollkeeper ${name}`);
  expect(stdout).toMatch(/Examples:\n {2}\$ tollkeeper /);
});

describe("tollkeeper check-config", () => {
  function fileOf(text: string): string {
    const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, "tollkeeper.yaml");
    writeFileSync(path, text);
    return path;
  }

  const secrets = {
    RATE_LIMIT_KEY_PEPPER: "a pepper that is secret",
    RATE_LIMIT_REDIS_URL: "redis://user:hunter2@redis.example:6379",
  };

  it("prints every value with its source, and no secret", async () => {
    const month = "{ name: month, type: quota, limit: 10, period: month, overage: { max: 5 } }";
    const path = fileOf(`preset: staging\nfreeMinuteLimit: 7\ntiers: { paid: { limits: [${month}] } }\n`);
    const { code, stdout, stderr } = await command(["check-config", "--config", path], secrets);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(new RegExp(`^freeMinuteLimit +7 +${path}:2$`, "m"));
    expect(stdout).toMatch(/^host +0\.0\.0\.0 +preset staging$/m);
    expect(stdout).toMatch(/^port +0 +PORT$/m);
    expect(stdout).toMatch(/^keyPepper +\*{6} +RATE_LIMIT_KEY_PEPPER$/m);
    expect(stdout).toMatch(/^ {2}free +minute 7 in 60 s, burst 1\.5; month 50000 a month$/m);
    expect(stdout).toMatch(/^ {2}paid +month 10 a month, then 5 of overage$/m);
    expect(stdout).not.toMatch(/hunter2|pepper that/);
  });

  it("has colour on a terminal only, and not where NO_COLOR is set", async () => {
    const colour = "\x1b[";
    expect((await command(["check-config"], {}, true)).stdout).toContain(colour);
    expect((await command(["check-config"], { NO_COLOR: "1" }, true)).stdout).not.toContain(colour);
    expect((await command(["check-config"])).stdout).not.toContain(colour);
  });

  it("prints the same as JSON", async () => {
    const { stdout } = await command(["check-config", "--json"], secrets);
    const { settings, tiers } = JSON.parse(stdout);
    expect(settings.redisUrl).toEqual({
      value: "redis://***@redis.example:6379",
      source: "RATE_LIMIT_REDIS_URL",
      variable: "RATE_LIMIT_REDIS_URL",
    });
    expect(settings.metricsPort.value).toBeNull();
    expect(tiers.partner).toEqual({ limits: [] });
  });

  it("ends with exit code 1 if it is not good, in JSON where that is asked for", async () => {
    const path = fileOf("port: many\n");
    const { code, stdout, stderr } = await command(["check-config", "--json", "--config", path]);
    expect([code, stdout]).toEqual([1, ""]);
    const { error } = JSON.parse(stderr);
    expect(error).toMatchObject({
      code: "ERR_CONFIG_INVALID",
      message: expect.stringContaining(`${path}:1: port is "many"`),
    });
  });
});

describe("tollkeeper keys", () => {
  function environmentWithFile(): Record<string, string> {
    const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    return { RATE_LIMIT_STORAGE: "file", RATE_LIMIT_FILE: join(folder, "usage.redb"), RATE_LIMIT_DEMO_KEYS: "never" };
  }

  it("makes the first key while the service is stopped, which then knows it; and not while it runs", async () => {
    const environment = environmentWithFile();
    const create = ["keys", "create", "--account", "ops", "--tier", "pro"];
    const { code, stdout, stderr } = await command(create, environment);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^fpk_live_\w{43}_\w{6}\n$/);
    expect(stderr).toMatch(/^key [0-9a-f]{16} of account ops, for fingerprint; shown only now:\n$/);
    const service = await serve({
      environment: { PORT: "0", ...environment },
      print: () => undefined,
      logStream: { write: () => undefined },
    });
    onTestFinished(() => service.stop());
    const { url } = service;
    const answer = await fetch(`${url}/nowhere`, { headers: { "x-api-key": stdout.trim() } });
    expect(answer.headers.get("x-quota-tier")).toBe("pro");
    const locked = await command(["keys", "list"], environment);
    expect(locked.code).toBe(1);
    expect(locked.stderr).toMatch(/ERR_STORAGE_LOCKED: .*--url and TOLLKEEPER_API_KEY/);
  });

  it("puts no account on another tier by making it a key", async () => {
    const environment = environmentWithFile();
    const create = (tier: string) => command(["keys", "create", "--account", "ops", "--tier", tier], environment);
    expect((await create("enterprise")).code).toBe(0);
    const { code, stdout, stderr } = await create("free");
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("tollkeeper: tier_contradicts: account ops is of tier enterprise; a key does not");
    expect((await create("enterprise")).code).toBe(0);
  });

  it("lists and revokes them", async () => {
    const environment = environmentWithFile();
    const create = ["keys", "create", "--account", "ops", "--tier", "pro", "--scope", "admin", "quota:read", "--json"];
    const made = JSON.parse((await command(create, environment)).stdout);
    expect(made).toMatchObject({ account: "ops", scopes: ["admin", "quota:read"], revoked: null });
    const listed = await command(["keys", "list"], environment);
    expect(listed.stdout).toMatch(new RegExp(`^${made.id} +ops +admin,quota:read +\\S+ +- +- +- +-$`, "m"));
    expect(listed.stdout).not.toContain(made.key);
    expect((await command(["keys", "revoke", made.id], environment)).stdout).toBe(
      `revoked ${made.id} of account ops\n`,
    );
    const [after] = JSON.parse((await command(["keys", "list", "--json", "--account", "ops"], environment)).stdout);
    expect(after).toMatchObject({ id: made.id, revoked: expect.any(String) });
    expect(await command(["keys", "revoke", "0000"], environment)).toMatchObject({ code: 1, stdout: "" });
  });

  it.each([
    [["--account", "a"], "ERR_ACCOUNT_UNKNOWN: there is no account a; with a tier it is made"],
    [["--account", "a", "--tier", "gold"], "ERR_TIER_UNKNOWN: tier is gold; it may be one of free,"],
    [["--account", "a", "--tier", "free", "--expires", "2020-01-01T00:00:00Z"], "ERR_EXPIRY_INVALID: expires is"],
    [["--account", "a", "--tier", "free", "--expires", "tomorrow"], "ERR_EXPIRY_INVALID: expires is"],
    [["--account", "a", "--tier", "free", "--name", "a\nb"], "body_invalid: name: it may be text on one line"],
  ])("refuses %j with exit code 1", async (options, message) => {
    const { code, stderr } = await command(["keys", "create", ...options], environmentWithFile());
    expect(code).toBe(1);
    expect(stderr).toContain(message);
  });

  it.each([
    [["create"], "required option '--account <name>' not specified"],
    [
      ["create", "--account", "a", "--scope", "all"],
      "Allowed choices are fingerprint, quota:read, usage:read, billing, admin",
    ],
    [["revoke"], "missing required argument 'id'"],
  ])("does not understand %j, and ends with exit code 2", async (args, message) => {
    const { code, stderr } = await command(["keys", ...args], environmentWithFile());
    expect(code).toBe(2);
    expect(stderr).toContain(message);
  });

  it("can't work on keys that are nowhere kept", async () => {
    const { code, stderr } = await command(["keys", "list"]);
    expect(code).toBe(1);
    expect(stderr).toContain("RATE_LIMIT_STORAGE is memory");
  });
});

describe("commands that ask a running service", () => {
  /** A service with a key of the scope admin, and an account of the tier free that has made a call. */
  async function running() {
    const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
    const environment = {
      PORT: "0",
      RATE_LIMIT_FILE: join(folder, "usage.redb"),
      RATE_LIMIT_DEMO_KEYS: "never",
      RATE_LIMIT_STORAGE: "file",
      RATE_LIMIT_CONFIG: join(folder, "config.json"),
    };
    const nothing = { name: "month", type: "quota", limit: 0, period: "month" };
    const beyond = { ...nothing, limit: 10, overage: { max: 5 } };
    const tiers = { stopped: { limits: [nothing] }, paid: { limits: [beyond] } };
    writeFileSync(environment.RATE_LIMIT_CONFIG, JSON.stringify({ tiers }));
    const create = ["keys", "create", "--account", "ops", "--tier", "enterprise", "--scope", "admin", "quota:read"];
    const key = (await command(create, environment)).stdout.trim();
    const service = await serve({ environment, print: () => undefined, logStream: { write: () => undefined } });
    onTestFinished(async () => {
      await service.stop();
      rmSync(folder, { recursive: true });
    });
    return (...args: string[]) => command(args, { TOLLKEEPER_URL: service.url, TOLLKEEPER_API_KEY: key });
  }

  it("make, list and revoke keys", async () => {
    const ask = await running();
    const lasting = ["--name", "CI of the shop", "--expires", "2199-01-31T00:00:00+01:00"];
    const made = await ask("keys", "create", "--account", "acme", "--tier", "free", ...lasting);
    expect(made).toMatchObject({ code: 0, stdout: expect.stringMatching(/^fpk_live_\w+\n$/) });
    const [key] = JSON.parse((await ask("keys", "list", "--account", "acme", "--json")).stdout);
    const expires = "2199-01-30T23:00:00.000Z";
    expect(key).toMatchObject({
      account: "acme",
      scopes: ["fingerprint"],
      revoked: null,
      name: "CI of the shop",
      expires,
    });
    expect((await ask("keys", "list")).stdout).toMatch(/ 2199-01-30T23:00:00.000Z +- +- +CI of the shop$/m);
    expect((await ask("keys", "revoke", key.id)).stdout).toBe(`revoked ${key.id} of account acme\n`);
    const unknown = await ask("keys", "revoke", "0123456789abcdef");
    expect(unknown).toMatchObject({ code: 1, stderr: expect.stringContaining("tollkeeper: key_unknown: DELETE") });
  });

  it("show, reset and change quotas", async () => {
    const ask = await running();
    expect((await ask("quota", "set-tier", "acme", "free")).stdout).toBe("acme is on tier free\n");
    const shown = await ask("quota", "show", "acme");
    expect(shown.stdout).toMatch(
      /^acct:acme, tier free\nLIMIT +TOKENS +LEFT +FULL AT\nminute +100 +100 +\S+\nmonth +50000 /,
    );
    expect(JSON.parse((await ask("quota", "show", "ops", "--json")).stdout)).toMatchObject({ tier: "enterprise" });
    const granted = await ask("quota", "grant", "acme", "1000.5", "--limit", "month", "--keep");
    expect(granted.stdout).toMatch(/^month +50000 +51000\.5 /m);
    for (const tokens of ["0.0001", "many", "-1"]) {
      expect((await ask("quota", "grant", "acme", "--", tokens)).code, tokens).toBe(2);
    }
    expect((await ask("quota", "reset", "ip:203.0.113.7")).stdout).toBe("ip:203.0.113.7 begins anew\n");
    const check = async (...cost: string[]) => (await ask("quota", "check", "acme", ...cost)).stdout.split("\n")[0];
    expect(await check()).toBe("passes");
    expect(await check("--cost", "minute=1,month=20.5")).toBe("passes");
    expect(await check("--cost", "minute=150")).toBe("denied by minute; it passes in 30 s");
    const told = JSON.parse((await ask("quota", "check", "acme", "--cost", "month=2", "--json")).stdout);
    expect(told).toMatchObject({ allowed: true, cost: { minute: 0, month: 2 } });
    for (const cost of ["minute=x", "minute", "1.0001", "-1", "minute=1,,", "=1", "minute=1,minute=2", "minute=1=2"]) {
      expect(await ask("quota", "check", "acme", `--cost=${cost}`), cost).toMatchObject({ code: 2 });
    }
    expect(await check("--tier", "stopped", "--cost", "1001")).toBe("denied by month; no wait helps");
    await ask("quota", "set-tier", "zenith", "paid");
    expect((await ask("quota", "show", "zenith")).stdout).toMatch(
      /^LIMIT +TOKENS +LEFT +FULL AT +OVERAGE\nmonth +10 +10 +\S+ +0\n/m,
    );
    expect((await ask("quota", "grant", "zenith", "5", "--keep")).stderr).toContain("grant_invalid");
    const refused = await ask("quota", "set-tier", "acme", "gold", "--json");
    expect(refused.code).toBe(1);
    expect(JSON.parse(refused.stderr).error.code).toBe("tier_unknown");
  });

  it("list the tiers in force, page by page", async () => {
    const ask = await running();
    const { stdout } = await ask("tiers");
    expect(stdout).toMatch(/^free +minute 100, at most 150; month 50000$/m);
    expect(stdout).toMatch(/^paid +month 10, at most 15$/m);
    expect(stdout).toMatch(/^partner +unlimited$/m);
    const names = JSON.parse((await ask("tiers", "--json")).stdout).map(({ name }: { name: string }) => name);
    expect(names.sort()).toEqual(["anonymous", "enterprise", "free", "paid", "partner", "pro", "stopped", "trusted"]);
  });

  it("want a key in the environment, and an address that is one", async () => {
    const { code, stderr } = await command(["quota", "show", "acme"]);
    expect([code, stderr]).toEqual([2, expect.stringContaining("TOLLKEEPER_API_KEY is not set")]);
    const withKey = { TOLLKEEPER_API_KEY: "k" };
    const ended = await command(["tiers", "--url", "example", "--json"], withKey);
    expect(ended.code).toBe(2);
    expect(JSON.parse(ended.stderr).error).toMatchObject({
      code: "usage",
      message: expect.stringContaining("example"),
    });
  });

  it.each(["k\n", "k\r\nx-other: 1", "k €"])("do not show a key that can't be sent, such as %j", async (key) => {
    const { code, stderr } = await command(["tiers"], { TOLLKEEPER_API_KEY: key });
    expect([code, stderr.trim()]).toEqual([
      2,
      expect.stringMatching(/^tollkeeper: TOLLKEEPER_API_KEY has a sign in it/),
    ]);
    expect(stderr).not.toContain(key);
  });

  it.each([
    [{ HOST: "0.0.0.0" }, "http://127.0.0.1:1"],
    [{ HOST: "::" }, "http://[::1]:1"],
    [{ HOST: "::1", TOLLKEEPER_URL: "" }, "http://[::1]:1"],
  ])("look with %j at %s", async (environment, url) => {
    const { code, stderr } = await command(["tiers"], { PORT: "1", TOLLKEEPER_API_KEY: "k", ...environment });
    expect([code, stderr]).toEqual([1, expect.stringContaining(`unreachable: ${url} can't be reached`)]);
  });

  it("say that it can't be reached", async () => {
    const server = createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const { port } = server.address() as AddressInfo;
    await new Promise((resolve) => server.close(resolve));
    const url = `http://127.0.0.1:${port}`;
    const { code, stderr } = await command(["quota", "show", "acme", "--url", url], { TOLLKEEPER_API_KEY: "k" });
    expect([code, stderr]).toEqual([1, `tollkeeper: unreachable: ${url} can't be reached: ECONNREFUSED\n`]);
  });
});

it("tollkeeper bench measures both engines, says what it is doing, and prints figures", async () => {
  const { code, stdout, stderr } = await command(["bench", "--keys", "100", "--rounds", "1", "--json"]);
  expect(code).toBe(0);
  expect(stderr).toContain("measuring engine native, 100 keys …");
  const { figures } = JSON.parse(stdout);
  expect(figures).toMatchObject([
    { engine: "native", keys: 100, nsPerDecision: expect.any(Number) },
    { engine: "js", keys: 100 },
  ]);
  expect((await command(["bench", "--keys", "0"])).code).toBe(2);
});
