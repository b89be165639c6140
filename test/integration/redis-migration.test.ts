import { Redis } from "ioredis";
import { expect, it, onTestFinished } from "vitest";
import { createLimiter } from "../../src/index.js";
import { nameOf } from "../../src/store/wire.js";
import { RedisCluster } from "../redis/cluster.js";
import { forFile } from "../redis/server.js";

const LIMIT = 3000;
const tiers = { t: { limits: [{ name: "day", type: "quota" as const, limit: LIMIT, period: "day" as const }] } };
const cluster = await forFile(RedisCluster.start());

it.each(["exact", "leased"] as const)(
  "a key whose slot moves to another node of a Cluster under load loses nothing, in %s mode",
  async (mode) => {
    const told: unknown[] = [];
    const open = () =>
      createLimiter({
        tiers,
        storage: { type: "redis", url: cluster.url, mode, leaseMs: 50, timeoutMs: 2000, prefix: mode },
        onStorageError: (error) => told.push(error),
      });
    const replicas = [open(), open()];
    await Promise.all(replicas.map((replica) => replica.ready()));

    let admitted = 0;
    /** How many may have been admitted by now; in the end callers go on until they are denied. */
    let budget = 0;
    const call = async (replica: (typeof replicas)[number]): Promise<void> => {
      for (;;) {
        if (admitted < budget) {
          if ((await replica.consume("moved", "t")).allowed) admitted++;
          else return;
        }
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const pass = async (more: number) => {
      budget += more;
      await expect.poll(() => admitted, { timeout: 10_000, interval: 5 }).toBeGreaterThanOrEqual(budget);
    };
    const calling = Promise.all(replicas.map(call));
    await pass(300);
    await cluster.migrate(nameOf(mode, "moved"), () => pass(300));
    await pass(300);
    budget = Number.POSITIVE_INFINITY;
    await calling;

    expect(admitted).toBeLessThanOrEqual(LIMIT);
    expect(admitted).toBeGreaterThanOrEqual(mode === "exact" ? LIMIT : LIMIT * 0.97);
    await Promise.all(replicas.map((replica) => replica.close()));
    expect(told).toEqual([]);
    const client = new Redis.Cluster(cluster.servers.slice(0, 3).map(({ port }) => ({ host: "127.0.0.1", port })));
    onTestFinished(() => client.disconnect());
    expect(Number(await client.hget(nameOf(mode, "moved"), "day"))).toBe(admitted * 1000);
  },
  60_000,
);
