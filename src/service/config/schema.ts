import { maxKeysOf } from "tollkeeper";
import type { Prices } from "tollkeeper/ledger";
import { z } from "zod";
import {
  choice,
  decimal,
  fieldSecret,
  flag,
  integer,
  networks,
  optional,
  origins,
  percentages,
  type Setting,
  secret,
  text,
  word,
} from "./setting.js";
import { type ConfiguredTiers, tiersSchema } from "./tiers-schema.js";

/** Above these, limits of some windows could no longer be counted exactly. */
const RATE = [1, 100_000_000] as const;
const QUOTA = [1, 1_000_000_000_000] as const;
const COST = [0, 1_000_000] as const;

/** Every setting of the service, in the order in which they are documented. */
export const SETTINGS = {
  config: optional(
    text(
      "RATE_LIMIT_CONFIG",
      "",
      "the path of a file",
      "The configuration file, YAML or JSON; it is read anew when it changes.",
    ),
  ),
  preset: choice(
    "RATE_LIMIT_PRESET",
    ["development", "staging", "production"],
    "development",
    "Defaults for a kind of place; what differs is listed below.",
  ),
  host: text(
    "HOST",
    "127.0.0.1",
    "an address or name of this host",
    "Address to listen on; `0.0.0.0` or `::` for all.",
  ),
  port: integer("PORT", 8080, [0, 65535], "Port to listen on; 0 for any that is free."),
  metricsPort: optional(
    integer(
      "RATE_LIMIT_METRICS_PORT",
      0,
      [0, 65535],
      "A port of its own for `GET /metrics`, which is then not at `PORT`; 0 for any that is free.",
    ),
  ),
  metricsHost: optional(
    text("RATE_LIMIT_METRICS_HOST", "", "an address or name of this host", "Address of that port; `HOST` if not set."),
  ),
  maxConnections: integer(
    "RATE_LIMIT_MAX_CONNECTIONS",
    10_000,
    [1, 1_000_000],
    "Connections open at once; those beyond it are closed at once.",
  ),
  drainDelayMs: integer(
    "RATE_LIMIT_DRAIN_DELAY_MS",
    0,
    [0, 60_000],
    "How long, in ms, calls are still taken after SIGTERM, with `GET /ready` saying no, so that whoever sends them can stop.",
  ),
  storage: choice(
    "RATE_LIMIT_STORAGE",
    ["file", "memory"],
    "file",
    "Where usage and API keys are kept. `memory` lasts as long as the process.",
  ),
  file: text("RATE_LIMIT_FILE", "./tollkeeper.redb", "the path of a file", "The storage file."),
  flushMs: integer("RATE_LIMIT_FLUSH_MS", 1000, [10, 60_000], "Usage, in ms, that a crash may forget."),
  usage: choice(
    "RATE_LIMIT_USAGE",
    ["on", "off"],
    "on",
    "Whether what is served is counted, and kept where the usage of limits is.",
  ),
  redisUrl: secret(
    "RATE_LIMIT_REDIS_URL",
    1,
    "Redis shared by all replicas: `redis://`, `rediss://`, `valkey://`, `valkeys://`, `unix:///path?db=0`, " +
      "`redis-sentinel://host,host/master`, or nodes of a Cluster as `redis-cluster://host,host`. Usage, API keys and " +
      "accounts are then kept there, and in no file.",
  ),
  redisPasswordFile: optional(
    text(
      "RATE_LIMIT_REDIS_PASSWORD_FILE",
      "",
      "the path of a file",
      "The password for Redis, in place of that in the URL; read anew for each connection, so that it can be changed.",
    ),
  ),
  redisPrefix: word(
    "RATE_LIMIT_REDIS_PREFIX",
    "tollkeeper",
    "What the names of all keys in Redis begin with; replicas share what they count under one prefix.",
  ),
  redisTimeoutMs: integer("RATE_LIMIT_REDIS_TIMEOUT_MS", 50, [1, 10_000], "How long, in ms, a call waits for Redis."),
  redisAllowEviction: flag(
    "RATE_LIMIT_REDIS_ALLOW_EVICTION",
    false,
    "Use a Redis whose `maxmemory-policy` lets it throw keys away, and with them what callers have used; refused otherwise.",
  ),
  mode: choice(
    "RATE_LIMIT_MODE",
    ["leased", "exact"],
    "leased",
    "With Redis: whether tokens are taken ahead, or every call asks.",
  ),
  leaseMs: integer(
    "RATE_LIMIT_LEASE_MS",
    1000,
    [10, 5000],
    "How long, in ms, tokens taken ahead may be handed out; bounds what may pass beyond a limit.",
  ),
  onOutage: choice(
    "RATE_LIMIT_ON_OUTAGE",
    ["share", "open", "closed"],
    "share",
    "What decides while Redis is away: this replica's part of each limit, nothing, or no call is let in (503).",
  ),
  maxKeys: integer(
    "RATE_LIMIT_MAX_KEYS",
    1_000_000,
    [1, maxKeysOf("native")],
    "Accounts and addresses held at once (JavaScript engine: 16,000,000).",
  ),
  engine: choice(
    "RATE_LIMIT_ENGINE",
    ["auto", "native", "js"],
    "auto",
    "What decides. `auto` is native if its binary is there, and JavaScript otherwise.",
  ),
  freeMinuteLimit: integer("RATE_LIMIT_FREE_MINUTE_LIMIT", 100, RATE, "Tokens a minute of the tier free."),
  freeMonthlyQuota: integer("RATE_LIMIT_FREE_MONTHLY_QUOTA", 50_000, QUOTA, "Tokens a month of the tier free."),
  proMinuteLimit: integer("RATE_LIMIT_PRO_MINUTE_LIMIT", 1000, RATE, "Tokens a minute of the tier pro."),
  proMonthlyQuota: integer("RATE_LIMIT_PRO_MONTHLY_QUOTA", 1_000_000, QUOTA, "Tokens a month of the tier pro."),
  burstMultiplier: decimal(
    "RATE_LIMIT_BURST_MULTIPLIER",
    1.5,
    [1, 100],
    "What a minute's limit may save up to, as a multiple of it.",
  ),
  identifyCost: decimal("RATE_LIMIT_IDENTIFY_COST", 1, COST, "Tokens that `POST /v1/identify` costs."),
  compareCost: decimal("RATE_LIMIT_COMPARE_COST", 2, COST, "Tokens that `POST /v1/compare` costs."),
  batchBaseCost: decimal("RATE_LIMIT_BATCH_BASE_COST", 0, COST, "Tokens that `POST /v1/batch` costs beside its items."),
  batchItemCost: decimal("RATE_LIMIT_BATCH_ITEM_COST", 1, COST, "Tokens that each item of a batch costs."),
  batchFailedItems: choice(
    "RATE_LIMIT_BATCH_FAILED_ITEMS",
    ["free", "charged"],
    "free",
    "Whether items of a batch that can't be read get their tokens back; one item of each batch is always paid for.",
  ),
  shadow: flag(
    "RATE_LIMIT_SHADOW",
    false,
    "Shadow mode: decide and count, and deny nobody. `tollkeeper_shadow_denials_total` says who would have been.",
  ),
  ipFallbackLimit: integer("RATE_LIMIT_IP_FALLBACK_LIMIT", 30, RATE, "Tokens a minute of an address without a key."),
  ipWhitelist: networks("RATE_LIMIT_IP_WHITELIST", "Networks whose addresses are of the tier trusted."),
  ipWhitelistLimit: integer("RATE_LIMIT_IP_WHITELIST_LIMIT", 1000, RATE, "Tokens a minute of a trusted address."),
  ipv6Prefix: integer("RATE_LIMIT_IPV6_PREFIX", 64, [48, 64], "Bits of an IPv6 address that make one caller."),
  trustProxy: networks(
    "RATE_LIMIT_TRUST_PROXY",
    "Networks of the proxies in front, whose `X-Forwarded-For` is believed.",
    "; not true or a number of hops, with which a client that reaches this server past the proxy chooses its own address",
  ),
  gatewaySecret: fieldSecret(
    "RATE_LIMIT_GATEWAY_SECRET",
    "What the gateway sends as `X-Gateway-Auth`; only then its `X-Consumer-` fields and `X-Real-IP` are believed.",
  ),
  gatewaySecretPrevious: fieldSecret(
    "RATE_LIMIT_GATEWAY_SECRET_PREVIOUS",
    "Also accepted, while the gateway changes from this secret to the other.",
  ),
  gatewayAccount: choice(
    "RATE_LIMIT_GATEWAY_ACCOUNT",
    ["either", "custom-id", "username"],
    "either",
    "Which of a consumer's names is its account's: `X-Consumer-Custom-ID`, `X-Consumer-Username`, or `either`, the first " +
      "if it has one. A call that lacks the name is refused; under `either` only once the consumer was seen with an id.",
  ),
  requireGateway: flag(
    "RATE_LIMIT_REQUIRE_GATEWAY",
    false,
    "Refuse calls that show neither the gateway's secret nor a good API key; otherwise they count for their address.",
  ),
  requireAuthentication: flag("RATE_LIMIT_REQUIRE_AUTHENTICATION", false, "Refuse calls without an API key."),
  corsOrigins: origins(
    "RATE_LIMIT_CORS_ORIGINS",
    ["*"],
    "Origins whose pages may call; credentials of the browser are never accepted.",
  ),
  keyPepper: secret(
    "RATE_LIMIT_KEY_PEPPER",
    16,
    "Under which API keys are hashed; made at the first start if not set. Another pepper makes all keys unknown.",
  ),
  demoKeys: choice(
    "RATE_LIMIT_DEMO_KEYS",
    ["once", "new", "never"],
    "once",
    "Demo keys: made when there are no keys yet, made anew at this start (the old ones are revoked), or not at all; then those of earlier starts are refused too.",
  ),
  alertThresholds: percentages(
    "RATE_LIMIT_ALERT_THRESHOLDS",
    [80, 100],
    1000,
    "Percentages of a quota at which webhooks and the log are told that an account has used them.",
  ),
  alertTrialDays: integer(
    "RATE_LIMIT_ALERT_TRIAL_DAYS",
    3,
    [1, 90],
    "How many days before a scheduled change of an account's plan webhooks and the log are told of it.",
  ),
  webhookNetworks: networks(
    "RATE_LIMIT_WEBHOOK_NETWORKS",
    "Networks of one's own that webhooks may go to, also by `http://`; else only addresses of the internet, by `https://`.",
  ),
  logLevel: choice(
    "RATE_LIMIT_LOG_LEVEL",
    ["trace", "debug", "info", "warn", "error", "fatal", "silent"],
    "info",
    "The least that is logged.",
  ),
  headers: flag(
    "RATE_LIMIT_HEADERS",
    true,
    "Whether the `X-` header fields are sent beside `RateLimit` and `RateLimit-Policy`.",
  ),
} as const satisfies Record<string, Setting<never> | Setting<unknown>>;

type Settings = typeof SETTINGS;

/** The effective configuration. */
export type Config = { -readonly [Name in keyof Settings]: Settings[Name] extends Setting<infer T> ? T : never } & {
  /** As configured by name, beside or instead of the built-in ones; see `tiersOf`. */
  tiers: ConfiguredTiers;
  /** What plans cost, by name. */
  prices: Prices;
};

/** A setting that has a variable; `tiers` and `prices` have none. */
export type SettingName = keyof Settings;

/** Where a setting's value may come from: the environment alone, since the file is found by it. */
export const NOT_IN_FILE: readonly SettingName[] = ["config"];

/** What a new version of the file changes while the service runs; all else waits for the next start. */
export const LIVE: ReadonlySet<keyof Config> = new Set<keyof Config>([
  "tiers",
  "prices",
  "freeMinuteLimit",
  "freeMonthlyQuota",
  "proMinuteLimit",
  "proMonthlyQuota",
  "burstMultiplier",
  "ipFallbackLimit",
  "ipWhitelistLimit",
  "ipWhitelist",
  "requireAuthentication",
  "identifyCost",
  "compareCost",
  "batchBaseCost",
  "batchItemCost",
  "batchFailedItems",
  "shadow",
  "alertThresholds",
  "logLevel",
]);

/** Checks what one place says, be it the file or the environment: every setting may be left out, and none is unknown. */
export const layerSchema = z.strictObject({
  ...(Object.fromEntries(Object.entries(SETTINGS).map(([name, { schema }]) => [name, schema.optional()])) as {
    [Name in SettingName]: z.ZodOptional<z.ZodType<Config[Name]>>;
  }),
  tiers: tiersSchema.optional(),
  // What may be in it the library says.
  prices: z.record(z.string(), z.unknown(), { error: "a mapping of prices by plan" }).optional(),
});
