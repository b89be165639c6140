import { describe, expect, it, onTestFinished } from "vitest";
import { createLimiter, type SharedLimiter } from "../../src/index.js";
import { Certificates } from "../redis/certificates.js";
import { RedisCluster } from "../redis/cluster.js";
import { SentinelGroup } from "../redis/sentinels.js";
import { forFile, RedisServer } from "../redis/server.js";

const PASSWORD = "p@ss,w:rd/1";
const encoded = encodeURIComponent(PASSWORD);
const LIMIT = 500;
const tiers = {
  t: { limits: [{ name: "day", type: "quota" as const, limit: LIMIT, period: "day" as const }] },
  b: { limits: [{ name: "window", type: "bucket" as const, limit: 10, windowSeconds: 86_400, burst: 10 }] },
};

const certificates = await forFile(Promise.resolve(new Certificates()));
const [plain, secret, secure, sentinels, cluster, secureSentinels, secureCluster] = await Promise.all([
  forFile(RedisServer.start()),
  forFile(RedisServer.start("--requirepass", PASSWORD)),
  forFile(RedisServer.startTls(certificates, "--requirepass", PASSWORD)),
  forFile(SentinelGroup.start({ password: "secret" })),
  forFile(RedisCluster.start("secret")),
  forFile(SentinelGroup.start({ password: "secret", sentinelPassword: "sentry", certificates })),
  forFile(RedisCluster.start("secret", certificates)),
]);

const tls = { ca: certificates.caText };
const topologies = [
  { name: "redis://host:port", storage: { url: plain.url } },
  { name: "redis://host:port/db", storage: { url: `${plain.url}/3` } },
  { name: "redis://:password@host:port", storage: { url: `redis://:${encoded}@127.0.0.1:${secret.port}` } },
  { name: "redis://user:password@host:port", storage: { url: `redis://default:${encoded}@127.0.0.1:${secret.port}` } },
  { name: "rediss://:password@host:port", storage: { url: `rediss://:${encoded}@127.0.0.1:${secure.port}`, tls } },
  { name: "redis-sentinel://:password@host,host,host/master", storage: { url: sentinels.url } },
  { name: "redis://:password@host:port,redis://:password@host:port of a Cluster", storage: { url: cluster.url } },
  { name: "rediss-sentinel://…?sentinelPassword=…", storage: { url: secureSentinels.url, tls } },
  { name: "rediss://…,rediss://… of a Cluster", storage: { url: secureCluster.url, tls } },
];

for (const mode of ["exact", "leased"] as const) {
  describe(mode, () => {
    it.each(topologies)(
      "admits a quota exactly over three replicas through $name",
      async ({ storage, name }) => {
        const told: unknown[] = [];
        const open = () =>
          createLimiter({
            tiers,
            storage: { ...storage, type: "redis", mode, timeoutMs: 5000, prefix: `${mode}${name.length}` },
            onStorageError: (error) => told.push(error),
          });
        const replicas: SharedLimiter[] = [open(), open(), open()];
        onTestFinished(() => Promise.all(replicas.map((replica) => replica.close())).then(() => undefined));
        await Promise.all(replicas.map((replica) => replica.ready()));

        const keys = ["ann", "bob", "cy", "日本", "{tag}", "dee"];
        const spent = await Promise.all(
          keys.map(async (key) => {
            let admitted = 0;
            await Promise.all(
              replicas.map(async (replica) => {
                for (let call = 0; call < LIMIT; call++) {
                  if ((await replica.consume(key, "t")).allowed) admitted++;
                  else break;
                }
              }),
            );
            return admitted;
          }),
        );
        // A replica may be denied while another still holds the last few.
        for (const admitted of spent) {
          expect(admitted).toBeLessThanOrEqual(LIMIT);
          expect(admitted).toBeGreaterThanOrEqual(mode === "exact" ? LIMIT : LIMIT * 0.97);
        }

        const [first, second] = replicas as [SharedLimiter, SharedLimiter];
        await first.reset("ann");
        await expect.poll(async () => (await second.consume("ann", "t")).allowed, { timeout: 5000 }).toBe(true);
        let burst = 0;
        for (let call = 0; call < 30; call++) if ((await first.consume("eve", "b")).allowed) burst++;
        expect(burst).toBeLessThanOrEqual(10);
        expect(burst).toBeGreaterThanOrEqual(mode === "exact" ? 10 : 9);
        expect(told).toEqual([]);
      },
      30_000,
    );
  });
}
