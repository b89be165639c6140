import { Redis } from "ioredis";
import { expect, it, onTestFinished, vi } from "vitest";
import { MemoryRecords } from "../../src/engine/records.js";
import { outputOf } from "../../src/service/cli/output.js";
import { run } from "../../src/service/cli/program.js";
import { ApiKeys } from "../../src/service/management/api-keys.js";
import { type Service, serve } from "../../src/service/serve.js";
import { forFile, RedisServer } from "../redis/server.js";

const SEEN = { timeout: 8000, interval: 20 };

const redis = await forFile(RedisServer.start());
const client = new Redis(redis.port);
await forFile(Promise.resolve({ stop: async () => client.disconnect() }));
let prefixes = 0;

function environmentOf(prefix: string): Record<string, string> {
  return {
    PORT: "0",
    RATE_LIMIT_REDIS_URL: redis.url,
    RATE_LIMIT_REDIS_PREFIX: prefix,
    RATE_LIMIT_REDIS_TIMEOUT_MS: "2000",
    RATE_LIMIT_LOG_LEVEL: "silent",
    RATE_LIMIT_DEMO_KEYS: "once",
  };
}

async function start(prefix: string): Promise<Service & { lines: string[] }> {
  const lines: string[] = [];
  const print = (line: string) => void lines.push(line);
  const service = await serve({ environment: environmentOf(prefix), print, logStream: { write: () => undefined } });
  onTestFinished(() => service.stop());
  return { ...service, lines };
}

/** `keys create`, as on a command line. */
async function createKey(prefix: string, account: string) {
  const written = { stdout: "", stderr: "" };
  const stream = (name: keyof typeof written) => {
    const write = (text: string) => {
      written[name] += text;
      return true;
    };
    return { isTTY: false, write } as unknown as NodeJS.WriteStream & { fd: 1 & 2 };
  };
  const environment = environmentOf(prefix);
  const output = outputOf({ stdout: stream("stdout"), stderr: stream("stderr"), env: environment });
  const code = await run(["keys", "create", "--account", account, "--tier", "free"], environment, output);
  return { code, key: written.stdout.trim(), stderr: written.stderr };
}

const ready = async ({ url }: Service) => {
  const response = await fetch(`${url}/ready`);
  return { status: response.status, body: (await response.json()) as { code?: string } };
};
const statusOf = async ({ url }: Service, key: string) =>
  (await fetch(`${url}/v1/quota`, { headers: { authorization: `Bearer ${key}` } })).status;

/** What is lost, and whether it is gone for good where nobody runs who knows it. */
const losses = [
  { name: "the hash", keys: ["records"], isLost: true },
  { name: "the log", keys: ["records-log"], isLost: false },
  { name: "hash and log", keys: ["records", "records-log"], isLost: true },
  { name: "the registry", keys: ["replicas"], isLost: false },
  { name: "hash and registry", keys: ["records", "replicas"], isLost: true },
  { name: "log and registry", keys: ["records-log", "replicas"], isLost: false },
  { name: "the pepper alone", keys: [], isLost: true },
];

async function lose(prefix: string, keys: readonly string[]): Promise<void> {
  if (keys.length > 0) await client.del(...keys.map((key) => `{${prefix}}:${key}`));
  else await client.hdel(`{${prefix}}:records`, "key-pepper");
}

it.each(losses)(
  "while replicas run, $name comes back: for them, for one that starts, and for keys create",
  async ({ keys }) => {
    const prefix = `running-${prefixes++}`;
    const first = await start(prefix);
    const { key } = await createKey(prefix, "acme");
    await vi.waitFor(async () => expect(await statusOf(first, key)).toBe(200), SEEN);
    const pepper = (await client.hget(`{${prefix}}:records`, "key-pepper"))?.split(" ")[1];
    await lose(prefix, keys);
    const made = await createKey(prefix, "other");
    expect(made).toMatchObject({ code: 0 });
    await lose(prefix, keys);
    const second = await start(prefix);
    expect(second.lines.join("\n")).not.toContain("shown only now");
    for (const service of [first, second]) {
      for (const each of [key, made.key])
        await vi.waitFor(async () => expect(await statusOf(service, each)).toBe(200), SEEN);
      expect(await ready(service)).toMatchObject({ status: 200 });
    }
    expect((await client.hget(`{${prefix}}:records`, "key-pepper"))?.split(" ")[1]).toBe(pepper);
  },
  30_000,
);

it("everything comes back while replicas run, before one that starts can make anything anew", async () => {
  const prefix = `running-${prefixes++}`;
  const first = await start(prefix);
  const { key } = await createKey(prefix, "acme");
  await vi.waitFor(async () => expect(await statusOf(first, key)).toBe(200), SEEN);
  await client.flushall();
  expect(await createKey(prefix, "other")).toMatchObject({ code: 0 });
  await client.flushall();
  const second = await start(prefix);
  for (const service of [first, second]) {
    await vi.waitFor(async () => expect(await statusOf(service, key)).toBe(200), SEEN);
  }
}, 30_000);

it.each(losses)(
  "while none runs, $name is told lost, or is made from what is left",
  async ({ keys, isLost }) => {
    const prefix = `stopped-${prefixes++}`;
    const before = await start(prefix);
    const { key } = await createKey(prefix, "acme");
    await before.stop();
    await lose(prefix, keys);
    const made = await createKey(prefix, "other");
    const after = await start(prefix);
    if (isLost) {
      expect(made).toMatchObject({
        code: 1,
        key: "",
        stderr: expect.stringMatching(/lost .* of .* records .*restore .*HDEL/s),
      });
      expect(await ready(after)).toMatchObject({ status: 503, body: { code: "records_lost" } });
      expect(await statusOf(after, key)).toBe(503);
      expect(await client.hexists(`{${prefix}}:records`, "key-pepper")).toBe(0);
    } else {
      expect(made).toMatchObject({ code: 0 });
      expect(await ready(after)).toMatchObject({ status: 200 });
      for (const each of [key, made.key]) expect(await statusOf(after, each)).toBe(200);
    }
  },
  30_000,
);

it("what is lost is good again as soon as it is restored, and can be given up", async () => {
  const prefix = `stopped-${prefixes++}`;
  const { stop } = await start(prefix);
  const { key } = await createKey(prefix, "acme");
  await stop();
  const backup = await client.dumpBuffer(`{${prefix}}:records`);
  await client.del(`{${prefix}}:records`);
  const after = await start(prefix);
  expect(await ready(after)).toMatchObject({ status: 503 });
  await client.restore(`{${prefix}}:records`, 0, backup);
  await vi.waitFor(async () => expect(await ready(after)).toMatchObject({ status: 200 }), SEEN);
  expect(await statusOf(after, key)).toBe(200);
  await after.stop();
  await client.del(`{${prefix}}:records`, `{${prefix}}:records-log`);
  expect(await createKey(prefix, "acme")).toMatchObject({ code: 1 });
  await client.hdel(`{${prefix}}:replicas`, "records");
  expect(await createKey(prefix, "acme")).toMatchObject({ code: 0 });
}, 30_000);

it("keys without their pepper get no second one, wherever they are kept", async () => {
  const records = new MemoryRecords();
  const configured = new ApiKeys({ records, pepper: "configured and lost" });
  await configured.accounts.setTier("acme", "free");
  const { key } = await configured.create("test", { account: "acme", scopes: ["fingerprint"] });
  const keys = new ApiKeys({ records });
  expect(keys.isFresh).toBe(false);
  const lost = expect.objectContaining({
    code: "ERR_RECORDS_LOST",
    message: expect.stringContaining("RATE_LIMIT_KEY_PEPPER"),
  });
  await expect(keys.create("test", { account: "acme", scopes: ["fingerprint"] })).rejects.toEqual(lost);
  expect(new ApiKeys({ records, pepper: "configured and lost" }).verify(key)?.account.name).toBe("acme");
});
