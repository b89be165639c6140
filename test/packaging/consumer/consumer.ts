// What a user's TypeScript may look like; compiled against the packed package under nodenext (ESM and CommonJS) and bundler.
import Fastify from "fastify";
import { Registry } from "prom-client";
import { createLimiter, type Decision, type ErrorCode, type Limiter, type Tiers, TollkeeperError } from "tollkeeper";
import tollkeeper from "tollkeeper/fastify";
import { type Identification, loadFingerprint, type Signals } from "tollkeeper/fingerprint";
import { registerLimiterMetrics } from "tollkeeper/prometheus";

const tiers: Tiers = {
  free: { limits: [{ name: "minute", type: "bucket", limit: 100, windowSeconds: 60, burst: 1.5 }] },
};
const limiter: Limiter = createLimiter({ tiers, engine: "auto", storage: { type: "memory" } });
const decision: Decision = limiter.consume("acct:42", "free", 2);
const remaining: number | undefined = decision.limits[0]?.remaining;

const app = Fastify();
app.register(tollkeeper, { limiter, identify: () => ({ key: "acct:42", tier: "free" }) });
app.post("/compare", { config: { toll: { cost: 2 } } }, async () => ({ remaining }));
registerLimiterMetrics(new Registry(), limiter);

export function codeOf(error: unknown): ErrorCode | undefined {
  return error instanceof TollkeeperError ? error.code : undefined;
}

export const identify: (signals: Signals) => Identification = loadFingerprint().identify;

// @ts-expect-error A limit has a name.
createLimiter({ tiers: { free: { limits: [{ type: "quota", limit: 1, period: "day" }] } } });
// @ts-expect-error A tier is asked for by name.
limiter.consume("acct:42", 1);
