import type { FastifyInstance } from "fastify";
import { onTestFinished } from "vitest";
import { loadFingerprintText } from "../../src/fingerprint/index.js";
import { createLimiter, type Limiter } from "../../src/index.js";
import { createApp } from "../../src/service/app.js";
import { readConfiguration } from "../../src/service/config/read.js";
import { tiersOf } from "../../src/service/config/tiers.js";
import { ApiKeys, SCOPES, type Scope } from "../../src/service/management/api-keys.js";

/** The service under test, with a clock of its own and a key for each tier. */
export interface TestService {
  app: FastifyInstance;
  limiter: Limiter;
  keys: ApiKeys;
  free: string;
  pro: string;
  enterprise: string;
  /** Keys of the account `ops`: one that may do everything, one that may look. */
  admin: string;
  reader: string;
  clock: { nowMs: number };
  /** What was logged, as text. */
  log: string[];
}

/** A service that is closed when the test is over. */
export async function startService(
  environment: Record<string, string> = {},
  loadFingerprint = loadFingerprintText,
): Promise<TestService> {
  const clock = { nowMs: Date.UTC(2026, 10, 10, 12) };
  const { config } = readConfiguration(environment);
  const limiter = createLimiter({ tiers: tiersOf(config), engine: config.engine, clock: () => clock.nowMs });
  const keys = new ApiKeys({ records: limiter.records, clock: () => clock.nowMs });
  const log: string[] = [];
  const logger = { level: "trace", stream: { write: (text: string) => void log.push(text) } };
  const app = await createApp({ config, limiter, keys, records: limiter.records, loadFingerprint, logger });
  const key = async (tier: string) => {
    const account = `test-${tier}`;
    await keys.accounts.setTier(account, tier);
    return (await keys.create("test", { account, scopes: ["fingerprint"] })).key;
  };
  await keys.accounts.setTier("ops", "enterprise");
  const operator = async (scopes: Scope[]) => (await keys.create("test", { account: "ops", scopes })).key;
  onTestFinished(async () => {
    await app.close();
    await limiter.close();
  });
  return {
    app,
    limiter,
    keys,
    free: await key("free"),
    pro: await key("pro"),
    enterprise: await key("enterprise"),
    admin: await operator([...SCOPES]),
    reader: await operator(["quota:read"]),
    clock,
    log,
  };
}

const USER_AGENT = { http: { headers: [["user-agent", "curl/8.5.0"]] } };

/** A call of `POST /v1/identify`, for `inject`. */
export function identify(key?: string, remoteAddress = "198.51.100.7") {
  return call("/v1/identify", { fingerprint: USER_AGENT }, key, remoteAddress);
}

/** A call of `POST /v1/batch` with that many items. */
export function batch(items: number, key?: string, remoteAddress = "198.51.100.7") {
  const body = { items: Array.from({ length: items }, (_, id) => ({ id: `${id}`, fingerprint: USER_AGENT })) };
  return call("/v1/batch", body, key, remoteAddress);
}

/** A call of `POST /v1/compare`. */
export function compare(key?: string, remoteAddress = "198.51.100.7") {
  return call("/v1/compare", { a: USER_AGENT, b: USER_AGENT }, key, remoteAddress);
}

function call(url: string, payload: object, key: string | undefined, remoteAddress: string) {
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
  return { method: "POST", url, payload, headers, remoteAddress } as const;
}
