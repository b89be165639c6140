import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { serve } from "../../src/service/serve.js";
import { forFile, RedisServer } from "../redis/server.js";
import { command } from "./command.js";

const redis = await forFile(RedisServer.start());
let prefixes = 0;

type Ask = (...args: string[]) => ReturnType<typeof command>;

function fileEnvironment(): Record<string, string> {
  const folder = mkdtempSync(join(tmpdir(), "tollkeeper-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return { RATE_LIMIT_STORAGE: "file", RATE_LIMIT_FILE: join(folder, "usage.redb"), RATE_LIMIT_DEMO_KEYS: "never" };
}

function redisEnvironment(): Record<string, string> {
  return {
    RATE_LIMIT_REDIS_URL: redis.url,
    RATE_LIMIT_REDIS_PREFIX: `accounts-command-${prefixes++}`,
    RATE_LIMIT_REDIS_TIMEOUT_MS: "2000",
    RATE_LIMIT_DEMO_KEYS: "never",
  };
}

async function startedWith(environment: Record<string, string>) {
  const options = { environment: { PORT: "0", RATE_LIMIT_LOG_LEVEL: "silent", ...environment } };
  const service = await serve({ ...options, print: () => undefined, logStream: { write: () => undefined } });
  onTestFinished(() => service.stop());
  return service;
}

/** Where the accounts are that a command line works on. */
const PLACES: [where: string, open: () => Promise<Ask>][] = [
  [
    "in the file of a service that is stopped",
    async () => {
      const environment = fileEnvironment();
      return (...args) => command(args, environment);
    },
  ],
  [
    "in Redis",
    async () => {
      const environment = redisEnvironment();
      return (...args) => command(args, environment);
    },
  ],
  [
    "at a running service",
    async () => {
      const environment = fileEnvironment();
      const create = ["keys", "create", "--account", "ops", "--tier", "enterprise", "--scope", "admin", "quota:read"];
      const { stdout } = await command(create, environment);
      const { url } = await startedWith(environment);
      return (...args) => command(args, { TOLLKEEPER_URL: url, TOLLKEEPER_API_KEY: stdout.trim() });
    },
  ],
];

describe.each(PLACES)("tollkeeper accounts, %s", (_, open) => {
  it("makes, shows, finds, changes and ends accounts", async () => {
    const ask = await open();
    const json = async (...args: string[]) => {
      const { code, stdout, stderr } = await ask(...args, "--json");
      expect([code, stderr]).toEqual([0, ""]);
      return JSON.parse(stdout);
    };
    const fields = ["--display-name", "ACME Ltd", "--external-id", "crm-1", "--metadata", "region=eu", "note=a=b"];
    const then = ["--then", "free", "--at", "2199-01-31T01:00:00+01:00", "--anchor-day", "15"];
    const made = await json("accounts", "create", "acme", "--plan", "pro", ...fields, ...then);
    expect(made).toMatchObject({
      account: "acme",
      plan: "pro",
      then: { plan: "free", at: "2199-01-31T00:00:00.000Z" },
      displayName: "ACME Ltd",
      externalId: "crm-1",
      metadata: { region: "eu", note: "a=b" },
      anchorDay: 15,
      state: "active",
    });
    expect(await json("accounts", "show", "acme")).toEqual(made);
    for (const filter of [
      ["--search", "ACME l"],
      ["--external-id", "crm-1"],
      ["--plan", "pro"],
    ]) {
      expect(await json("accounts", "list", ...filter)).toEqual([made]);
    }
    const listed = (await ask("accounts", "list", "--search", "acme")).stdout;
    expect(listed).toBe(
      "ACCOUNT  PLAN  STATE   SOURCE      EXTERNAL ID  DISPLAY NAME\n" +
        "acme     pro   active  management  crm-1        ACME Ltd\n",
    );
    const change = ["--display-name", "", "--then", "", "--metadata", "note=", "kind=test", "--external-id", "crm-2"];
    expect(await json("accounts", "set", "acme", ...change)).toEqual({
      ...made,
      displayName: null,
      then: null,
      metadata: { region: "eu", kind: "test" },
      externalId: "crm-2",
    });
    expect(await json("accounts", "suspend", "acme")).toMatchObject({ state: "suspended" });
    expect(await json("accounts", "list", "--state", "suspended")).toMatchObject([{ account: "acme" }]);
    expect(await json("accounts", "resume", "acme")).toMatchObject({ state: "active" });
    expect(await json("keys", "create", "--account", "acme")).toMatchObject({ account: "acme" });
    expect(await ask("accounts", "delete", "acme")).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(
        /(ERR_ACCOUNT_STATE|account_state_contradicts): .*account acme is active: archive it/,
      ),
    });
    const archived = await ask("accounts", "archive", "acme");
    expect(archived.stdout).toMatch(/^account +acme\nplan +pro since \S+\nstate +archived since \S+\n/);
    const [key] = await json("keys", "list", "--account", "acme");
    expect(key.revoked).toEqual(expect.any(String));
    expect(await ask("accounts", "delete", "acme")).toMatchObject({
      code: 0,
      stdout: "deleted acme with its keys (1); its limits begin anew, its usage is kept until its retention ends\n",
    });
    expect(await ask("accounts", "show", "acme")).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/(ERR_ACCOUNT_UNKNOWN|account_unknown): .*there is no account acme/),
    });
    await json("accounts", "create", "acme", "--plan", "free", "--external-id", "crm-2");
    expect(await json("accounts", "delete", "acme", "--force")).toEqual({
      account: "acme",
      keys: 0,
      quota: "reset",
      usage: "kept",
    });
  });

  it.each([
    [["create", "a b", "--plan", "free"], "body_invalid"],
    [["create", "..", "--plan", "free"], "body_invalid"],
    [["create", "new", "--plan", "gold"], "(ERR_TIER_UNKNOWN|tier_unknown)"],
    [["create", "there", "--plan", "free"], "(ERR_ACCOUNT_EXISTS|account_exists)"],
    [["create", "new", "--plan", "free", "--external-id", "e1"], "(ERR_EXTERNAL_ID_TAKEN|external_id_taken)"],
    [["create", "new", "--plan", "free", "--external-id", "a b"], "body_invalid"],
    [["create", "new", "--plan", "free", "--display-name", "a\nb"], "body_invalid"],
    [["create", "new", "--plan", "free", "--anchor-day", "32"], "body_invalid"],
    [["create", "new", "--plan", "free", "--anchor-day", "0"], "body_invalid"],
    [["create", "new", "--plan", "free", "--metadata", "1=x"], "body_invalid"],
    [["create", "new", "--plan", "free", "--then", "pro", "--at", "2199-01-01"], "body_invalid"],
    [
      ["create", "new", "--plan", "free", "--then", "pro", "--at", "2020-01-01T00:00:00Z"],
      "(ERR_ACCOUNT_INVALID|account_invalid)",
    ],
    [["set", "there", "--plan", ""], "body_invalid"],
    [["set", "nobody", "--plan", "free"], "(ERR_ACCOUNT_UNKNOWN|account_unknown)"],
    [["suspend", "nobody"], "(ERR_ACCOUNT_UNKNOWN|account_unknown)"],
  ])("refuses %j with exit code 1", async (args, code) => {
    const ask = await open();
    await ask("accounts", "create", "there", "--plan", "free", "--external-id", "e1");
    const refused = await ask("accounts", ...args);
    expect(refused).toMatchObject({ code: 1, stdout: "" });
    expect(refused.stderr).toMatch(new RegExp(`^tollkeeper: ${code}: `));
    expect(await ask("accounts", "show", "new")).toMatchObject({ code: 1 });
  });
});

it.each([
  [["create", "acme"], "required option '--plan <tier>' not specified"],
  [["create", "--plan", "free"], "missing required argument 'account'"],
  [["create", "a", "--plan", "free", "--anchor-day", "1.5"], "It may be a day, 1 to 31."],
  [["create", "a", "--plan", "free", "--anchor-day", "first"], "It may be a day, 1 to 31."],
  [["create", "a", "--plan", "free", "--then", "pro"], "--then and --at go together"],
  [["create", "a", "--plan", "free", "--at", "2199-01-01T00:00:00Z"], "--then and --at go together"],
  [["set", "a", "--metadata", "region"], 'an entry is "region"'],
  [["set", "a", "--metadata", "=eu"], 'an entry is "=eu"'],
  [["list", "--state", "gone"], "Allowed choices are active, suspended, archived"],
])("tollkeeper accounts does not understand %j, and ends with exit code 2", async (args, message) => {
  const { code, stderr } = await command(["accounts", ...args], fileEnvironment());
  expect(code).toBe(2);
  expect(stderr).toContain(message);
});

it("an account that is deleted in Redis begins anew on the replicas that run, and what is suspended there is refused by them", async () => {
  const environment = redisEnvironment();
  const { stdout } = await command(["keys", "create", "--account", "acme", "--tier", "free"], environment);
  const { url } = await startedWith(environment);
  const call = async (key: string) => {
    const answer = await fetch(`${url}/nowhere`, { headers: { "x-api-key": key.trim() } });
    return { status: answer.status, left: answer.headers.get("x-ratelimit-remaining") };
  };
  const until = async (key: string, wanted: { status: number; left: string | null }) => {
    await vi.waitFor(async () => expect(await call(key)).toMatchObject(wanted), { timeout: 5000, interval: 20 });
  };
  for (let calls = 1; calls <= 5; calls++) expect(await call(stdout)).toEqual({ status: 404, left: `${100 - calls}` });
  await command(["accounts", "suspend", "acme"], environment);
  await until(stdout, { status: 403, left: null });
  await command(["accounts", "delete", "acme", "--force"], environment);
  const again = await command(["keys", "create", "--account", "acme", "--tier", "free"], environment);
  await until(again.stdout, { status: 404, left: "99" });
});
