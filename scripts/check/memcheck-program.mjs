// What memcheck.mjs runs under valgrind: every call that crosses into Rust, some thousand times; the storage file, reloads,
// a worker that exits while its table stays, and functions that are collected.
import { once } from "node:events";
import { isMainThread, Worker } from "node:worker_threads";
import { createLimiter } from "tollkeeper";
import { loadFingerprint } from "tollkeeper/fingerprint";

const WRONG = [
  ["", "free"],
  ["x".repeat(600), "free"],
  ["k", "none"],
  ["k", "free", -1],
  ["k", "free", 1e9],
];

if (isMainThread) {
  const path = String(process.argv[2]);
  await use({ storage: { type: "memory" } });
  for (let opening = 0; opening < 2; opening++) await use({ storage: { type: "file", path } });
  await use({ name: "shared" });
  await once(new Worker(new URL(import.meta.url)), "exit");
  await useFingerprints();
  globalThis.gc?.();
  process.stdout.write("done\n");
} else {
  await use({ name: "shared" });
  createLimiter({ name: "left open", tiers: tiers(100) }).consume("k", "free");
}

/** @param {Omit<import("tollkeeper").LimiterOptions, "tiers">} options */
async function use(options) {
  let now = 1_790_000_000_000;
  const limiter = createLimiter({ tiers: tiers(100), maxKeys: 500, clock: () => now, ...options });
  for (let call = 0; call < 3000; call++) {
    const key = `key é ${call % 1000}`;
    const decision = limiter.consume(key, call % 3 ? "free" : "pro", 1 + (call % 5) / 4);
    if (call % 7 === 0) decision.refund();
    if (call % 11 === 0) limiter.peek(key, "pro");
    if (call % 101 === 0) limiter.consumeMany([key, "hot", "hot"], "free");
    if (call % 103 === 0) limiter.consumeAll([key, "hot"].map((key) => ({ key, tier: "free" })));
    if (call % 501 === 0) limiter.reset(key);
    if (call % 1000 === 0) limiter.reload(tiers(100 + call));
    if (call % 100 === 0) now += 10_000;
  }
  for (const [key, tier, cost] of WRONG) throws(() => limiter.consume(String(key), String(tier), Number(cost ?? 1)));
  limiter.stats();
  await limiter.flush();
  await limiter.close();
  throws(() => limiter.consume("k", "free"));
}

async function useFingerprints() {
  const { identify, compare, batch } = loadFingerprint();
  const sound = { http2: { akamai: "1:65536;2:0;4:6291456;6:262144|15663105|0|m,a,s,p" } };
  identify(sound);
  compare(sound, sound);
  await batch([{ id: "é", fingerprint: sound }, { fingerprint: {} }]);
  for (const hello of ["", "é", "FgMB"]) throws(() => identify({ tls: { client_hello: hello } }));
}

/** @param {number} limit */
function tiers(limit) {
  /** @param {number} limit @returns {import("tollkeeper").LimitSpec[]} */
  const limits = (limit) => [
    { name: "minute", type: "bucket", limit, windowSeconds: 60, burst: 1.5 },
    { name: "month", type: "quota", limit: 5000, period: "month" },
  ];
  return { free: { limits: limits(limit) }, pro: { limits: limits(10 * limit) } };
}

/** @param {() => void} misuse */
function throws(misuse) {
  try {
    misuse();
  } catch {
    return;
  }
  throw new Error(`${misuse} did not throw`);
}
