// What a user's TypeScript may look like; compiled against the packed package, as ESM and as CommonJS, and then run.
import { createServer } from "node:http";
import Fastify from "fastify";
import type { Redis } from "ioredis";
import { Registry } from "prom-client";
import {
  createLimiter,
  type Decision,
  type ErrorCode,
  type Limiter,
  type RedisStorage,
  type Tiers,
  TollkeeperError,
} from "tollkeeper";
import { tollkeeper as middleware } from "tollkeeper/express";
import tollkeeper from "tollkeeper/fastify";
import { tollkeeper as layer } from "tollkeeper/fetch";
import { type Identification, loadFingerprint, type Signals } from "tollkeeper/fingerprint";
import { fieldsOf } from "tollkeeper/http";
import { type Ledger, openLedger, type UsageReport } from "tollkeeper/ledger";
import { registerLimiterMetrics } from "tollkeeper/prometheus";

const tiers: Tiers = {
  free: { limits: [{ name: "minute", type: "bucket", limit: 5, windowSeconds: 60, burst: 1 }] },
};
const limiter: Limiter = createLimiter({ tiers, engine: "auto", storage: { type: "memory" } });
const decision: Decision = limiter.consume("acct:42", "free", 2);
const remaining: number | undefined = decision.limits[0]?.remaining;
const fields: readonly (readonly [name: string, text: string])[] = fieldsOf(decision);

const app = Fastify();
app.register(tollkeeper, { limiter, identify: () => ({ key: "acct:42", tier: "free" }) });
app.post("/compare", { config: { toll: { cost: 2 } } }, async (request) => ({
  remaining,
  allowed: request.toll?.allowed,
}));
const identify = async () => ({ key: "acct:43", tier: "free" });
const limited = layer({ limiter, identify })((request) => new Response(request.url));
const before = middleware({ limiter, identify });
export const server = createServer((request, response) => before(request, response, () => response.end()));
const registry = new Registry();
registerLimiterMetrics(registry, limiter);

const ledger: Ledger = openLedger({ limiter, meters: ["compare"] });
export const usage = (): Promise<UsageReport> => ledger.report({ from: "2026-11-01", to: "2026-12-01", by: "day" });

export const storage = (client: Redis): RedisStorage => ({ type: "redis", client });

export function codeOf(error: unknown): ErrorCode | undefined {
  return error instanceof TollkeeperError ? error.code : undefined;
}

export const identified: (signals: Signals) => Identification = loadFingerprint().identify;

// @ts-expect-error A limit has a name.
const unnamed: Tiers = { free: { limits: [{ type: "quota", limit: 1, period: "day" }] } };
export const noLimiter = () => createLimiter({ tiers: unnamed });
// @ts-expect-error A tier is asked for by name.
export const numbered = () => limiter.consume("acct:42", 1);

async function main(): Promise<void> {
  const statuses: number[] = [];
  for (let calls = 0; calls < 2; calls++) {
    statuses.push((await app.inject({ method: "POST", url: "/compare" })).statusCode);
  }
  const { status, headers } = await limited(new Request("http://127.0.0.1/"));
  const isCounted = (await registry.metrics()).includes('outcome="allowed"');
  console.log(
    JSON.stringify([limiter.engine, fields.length > 0, statuses, status, headers.has("ratelimit"), isCounted]),
  );
  await app.close();
}
void main();
