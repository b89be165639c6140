// The parts of Kong 3.9's and decK's schemas that the file uses. Where Kong's default is a trap, the field must be there and
// be right; every object refuses fields that Kong does not have.
import { z } from "zod";

const METHOD = z.enum(["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"]);
const HEADER = z.string().regex(/^[A-Za-z0-9-]+$/, "it may be the name of a header field");
const STATUSES = z.array(z.int().min(100).max(999));
const MILLISECONDS = z
  .int()
  .min(1)
  .max(2 ** 31 - 2);
const PORT = z.int().min(0).max(65535);
const COUNT = z.int().min(0).max(255);
const SECONDS = z.number().min(0).max(65535);
const POSITIVE = z.number().positive();
/** A secret comes from decK's environment, never from the file. */
const SECRET = z
  .string()
  .regex(/^\$\{\{ env "DECK_[A-Z_]+" \}\}$/, `it may be \${{ env "DECK_…" }} only: no secret in the file`);

/** @param {boolean} value @param {string} why */
const must = (value, why) => z.literal(value, { error: `it must be there and be ${value}: ${why}` });

const rateLimiting = z
  .strictObject({
    second: POSITIVE.optional(),
    minute: POSITIVE.optional(),
    hour: POSITIVE.optional(),
    day: POSITIVE.optional(),
    month: POSITIVE.optional(),
    year: POSITIVE.optional(),
    limit_by: z.enum(["consumer", "credential", "ip", "service", "header", "path", "consumer-group"]),
    header_name: HEADER.optional(),
    path: z.string().optional(),
    policy: z.enum(["local", "cluster", "redis"]),
    fault_tolerant: must(true, "the guard must not take the API down with its Redis"),
    hide_client_headers: must(true, "Kong's RateLimit fields would overwrite the app's"),
    error_code: z.int().optional(),
    error_message: z.string().optional(),
    sync_rate: z.number().optional(),
    redis: z
      .strictObject({
        host: z.string(),
        port: PORT,
        timeout: z.int().min(0).optional(),
        username: z.string().optional(),
        password: SECRET.optional(),
        database: z.int().optional(),
        ssl: z.boolean().optional(),
        ssl_verify: z.boolean().optional(),
        server_name: z.string().optional(),
      })
      .optional(),
  })
  .refine(({ policy, redis }) => policy !== "redis" || redis !== undefined, "policy redis needs redis.host")
  .refine(({ second, minute, hour, day, month, year }) => {
    const limits = [second, minute, hour, day, month, year].filter((limit) => limit !== undefined);
    return limits.length > 0 && limits.every((limit, index) => index === 0 || limit >= Number(limits[index - 1]));
  }, "it needs a limit, and that of a longer time can't be lower");

const transformation = z.strictObject({
  headers: z.array(z.string()).default([]),
  querystring: z.array(z.string()).default([]),
  body: z.array(z.string()).default([]),
});

/** By name, the configuration of each plugin. */
const CONFIGS = {
  "pre-function": z.strictObject({
    access: z.array(z.string()),
    header_filter: z.array(z.string()).optional(),
    rewrite: z.array(z.string()).optional(),
  }),
  cors: z
    .strictObject({
      origins: z.array(z.string()),
      methods: z.array(METHOD),
      headers: z.array(HEADER).optional(),
      exposed_headers: z.array(HEADER),
      credentials: z.boolean(),
      max_age: z.number().optional(),
      preflight_continue: z.boolean().optional(),
      private_network: z.boolean().optional(),
    })
    .refine(({ origins, credentials }) => !(credentials && origins.includes("*")), "credentials with any origin"),
  jwt: z.strictObject({
    uri_param_names: z.array(z.string()).max(0, "a token in an address ends up in logs"),
    cookie_names: z.array(z.string()).optional(),
    header_names: z.array(HEADER),
    key_claim_name: z.string(),
    secret_is_base64: z.boolean().optional(),
    claims_to_verify: z
      .array(z.enum(["exp", "nbf"]))
      .refine((claims) => claims.includes("exp"), "without exp a token is good for ever"),
    maximum_expiration: z.int().min(0).max(31_536_000).optional(),
    anonymous: z.string(),
    run_on_preflight: must(false, "a preflight carries no credentials"),
    realm: z.string().optional(),
  }),
  "key-auth": z.strictObject({
    key_names: z.array(z.string()),
    key_in_header: z.boolean(),
    key_in_query: must(false, "a key in an address ends up in logs"),
    key_in_body: z.boolean(),
    hide_credentials: must(true, "the key would go on to the app"),
    anonymous: z.string(),
    run_on_preflight: must(false, "a preflight carries no credentials"),
    realm: z.string().optional(),
  }),
  acl: z
    .strictObject({
      allow: z.array(z.string()).optional(),
      deny: z.array(z.string()).optional(),
      hide_groups_header: must(false, "the app reads the tier from it"),
    })
    .refine(({ allow, deny }) => (allow === undefined) !== (deny === undefined), "either allow or deny"),
  "ip-restriction": z.strictObject({
    allow: z.array(z.string()).optional(),
    deny: z.array(z.string()).optional(),
    status: z.number().optional(),
    message: z.string().optional(),
  }),
  "rate-limiting": rateLimiting,
  "request-transformer": z.strictObject({
    http_method: METHOD.optional(),
    remove: transformation,
    rename: transformation.optional(),
    replace: transformation.optional(),
    add: transformation,
    append: transformation.optional(),
  }),
  "request-termination": z.strictObject({
    status_code: z.int().min(100).max(599),
    message: z.string().optional(),
    content_type: z.string().optional(),
    body: z.string().optional(),
    echo: z.boolean().optional(),
    trigger: z.string().optional(),
  }),
  prometheus: z.strictObject({
    per_consumer: must(false, "there would be a label per caller"),
    status_code_metrics: must(true, "alerts and dashboards read it"),
    latency_metrics: must(true, "alerts and dashboards read it"),
    bandwidth_metrics: must(true, "dashboards read it"),
    upstream_health_metrics: must(true, "alerts and dashboards read it"),
  }),
};

/** @template {keyof typeof CONFIGS} Name @param {Name} name */
const pluginOf = (name) =>
  z.strictObject({
    name: z.literal(name),
    enabled: z.boolean().optional(),
    protocols: z.array(z.enum(["http", "https"])).optional(),
    config: CONFIGS[name],
  });

const plugin = z.discriminatedUnion(
  "name",
  [
    pluginOf("pre-function"),
    pluginOf("cors"),
    pluginOf("jwt"),
    pluginOf("key-auth"),
    pluginOf("acl"),
    pluginOf("ip-restriction"),
    pluginOf("rate-limiting"),
    pluginOf("request-transformer"),
    pluginOf("request-termination"),
    pluginOf("prometheus"),
  ],
  { error: "it is none of the plugins known here: scripts/operations/kong-schema.mjs" },
);

const healthy = z.strictObject({ http_statuses: STATUSES, successes: COUNT });
const unhealthy = z.strictObject({
  http_statuses: STATUSES.optional(),
  http_failures: COUNT,
  tcp_failures: COUNT,
  timeouts: COUNT,
});
const kind = z.enum(["tcp", "http", "https", "grpc", "grpcs"]);

const upstream = z.strictObject({
  name: z.string(),
  algorithm: z.enum(["consistent-hashing", "least-connections", "round-robin", "latency", "sticky-sessions"]),
  targets: z.array(z.strictObject({ target: z.string(), weight: z.int().min(0).max(65535) })).min(1),
  healthchecks: z.strictObject({
    threshold: z.number().min(0).max(100).optional(),
    active: z.strictObject({
      type: kind,
      http_path: z.string().startsWith("/"),
      timeout: SECONDS,
      concurrency: z.int().min(1).optional(),
      healthy: healthy.extend({ interval: SECONDS }),
      unhealthy: unhealthy.extend({ interval: SECONDS }),
    }),
    passive: z.strictObject({ type: kind, healthy, unhealthy }),
  }),
});

const route = z.strictObject({
  name: z.string(),
  paths: z.array(z.string().regex(/^[/~]/, "it may begin with / or, as an expression, with ~")).min(1),
  methods: z.array(METHOD).min(1),
  hosts: z.array(z.string()).optional(),
  protocols: z.array(z.enum(["http", "https"])).optional(),
  strip_path: must(false, "the app has the whole path"),
  preserve_host: z.boolean().optional(),
});

const service = z.strictObject({
  name: z.string(),
  protocol: z.enum(["http", "https"]),
  host: z.string(),
  port: PORT,
  path: z.string().optional(),
  connect_timeout: MILLISECONDS.optional(),
  read_timeout: MILLISECONDS.optional(),
  write_timeout: MILLISECONDS.optional(),
  retries: z.int().min(0).max(32767).optional(),
  routes: z.array(route),
  plugins: z.array(plugin),
});

const consumer = z.strictObject({
  username: z.string(),
  custom_id: z.string().optional(),
  acls: z.array(z.strictObject({ group: z.string() })),
  keyauth_credentials: z.array(z.strictObject({ key: SECRET })).optional(),
  plugins: z.array(plugin).optional(),
});

/** A file that `deck gateway sync` takes. */
export const kongFileSchema = z.strictObject({
  _format_version: z.literal("3.0"),
  _info: z.strictObject({ select_tags: z.tuple([z.literal("tollkeeper")]) }),
  upstreams: z.array(upstream),
  services: z.array(service),
  consumers: z.array(consumer),
  plugins: z.array(plugin),
});
