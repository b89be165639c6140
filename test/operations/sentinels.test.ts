import { execFile } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { until } from "../../scripts/operations/scene.mjs";
import { debianTools } from "../../scripts/operations/tools.mjs";
import { ROOT } from "./checkout.js";
import { Hosts } from "./hosts.js";

/** The scripts by which the pods of the overlay redis-sentinel start. */
const SCRIPTS = join(ROOT, "k8s/overlays/redis-sentinel");
const PASSWORD = "a-password-of-these-tests";
const SERVERS = [0, 1, 2];
const SENTINELS = [3, 4, 5];

const run = promisify(execFile);
const folder = mkdtempSync(join(tmpdir(), "tks-"));
let hosts: Hosts;

beforeAll(async () => {
  await debianTools("redis-server", "ip");
  writeFileSync(join(folder, "redis.conf"), `dir ${folder}\nsave ""\nprotected-mode no\n`);
  hosts = new Hosts(6);
  for (const host of SERVERS) start(host, "start-redis.sh");
  for (const host of SENTINELS) start(host, "start-sentinel.sh");
});
afterAll(async () => {
  await hosts.remove();
  rmSync(folder, { recursive: true, force: true });
});

function start(host: number, script: string): void {
  hosts.start(host, ["sh", join(SCRIPTS, script)], {
    SELF: hosts.address(host),
    FIRST: hosts.address(0),
    SENTINELS: SENTINELS.map((sentinel) => hosts.address(sentinel)).join(" "),
    REDIS_PASSWORD: PASSWORD,
    // As in the pods of Redis, whose redis-cli shows it to Sentinels too.
    ...(SERVERS.includes(host) ? { REDISCLI_AUTH: PASSWORD } : {}),
    REDIS_CONF: join(folder, "redis.conf"),
    SENTINEL_CONF: join(folder, `sentinel-${host}.conf`),
  });
}

async function redis(host: number, ...args: string[]): Promise<string> {
  const to = ["-h", hosts.address(host), "-a", PASSWORD, "--no-auth-warning"];
  return (await run("redis-cli", [...to, ...args])).stdout.trim();
}

async function sentinel(host: number, ...args: string[]): Promise<string> {
  return (await run("redis-cli", ["-h", hosts.address(host), "-p", "26379", "sentinel", ...args])).stdout;
}

/** The host that a Sentinel takes for the master. */
async function masterOf(host: number): Promise<string> {
  return String((await sentinel(host, "get-master-addr-by-name", "tollkeeper")).split("\n")[0]);
}

const role = async (host: number) => (await redis(host, "role")).split("\n")[0];

test("the first Redis is the master, and all Sentinels agree", async () => {
  await until("two replicas follow the first", async () => {
    return (await role(0)) === "master" && (await role(1)) === "slave" && (await role(2)) === "slave";
  });
  for (const host of SENTINELS) {
    await until("it knows two replicas and two other Sentinels", async () => {
      const state = await sentinel(host, "master", "tollkeeper");
      return /num-slaves\n2\n/.test(state) && /num-other-sentinels\n2\n/.test(state);
    });
    expect(await masterOf(host)).toBe(hosts.address(0));
  }
});

test("a lost master is replaced and keeps what was written; it comes back as a replica", async () => {
  // It refuses writes until a replica has caught up with it.
  await until("the master takes writes", async () => (await redis(0, "set", "used", "42")) === "OK");
  await until("a replica has it", async () => (await redis(1, "get", "used")) === "42");
  await hosts.kill(0);
  await until("another one is the master", async () => (await masterOf(3)) !== hosts.address(0));
  start(0, "start-redis.sh");
  await until("the first is a replica now", async () => (await role(0)) === "slave");
  await until("it has what was written", async () => (await redis(0, "get", "used")) === "42");
});

test("a Sentinel that has forgotten all learns of the present master from the others", async () => {
  const master = await masterOf(4);
  await hosts.kill(3);
  start(3, "start-sentinel.sh");
  await until("it names the same", async () => (await masterOf(3)) === master);
  expect(master).not.toBe(hosts.address(0));
});
