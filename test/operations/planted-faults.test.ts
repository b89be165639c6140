import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { wrongInDashboards } from "../../scripts/operations/dashboards.mjs";
import { wrongInDockerfile } from "../../scripts/operations/dockerfile.mjs";
import { wrongInKong } from "../../scripts/operations/kong.mjs";
import { wrongInManifests } from "../../scripts/operations/manifests.mjs";
import { wrongInNetwork } from "../../scripts/operations/network.mjs";
import { wrongInReferences } from "../../scripts/operations/references.mjs";
import { alertsOnNothing, wrongInRules } from "../../scripts/operations/rules.mjs";
import { type Scene, startScene } from "../../scripts/operations/scene.mjs";
import { wrongInSettings } from "../../scripts/operations/settings.mjs";
import { wrongInStores } from "../../scripts/operations/stores.mjs";
import { Checkout } from "./checkout.js";

const KONG = "k8s/base/kong/kong.yaml";
const RULES = "monitoring/rules/limiter.yaml";

let checkout: Checkout;
beforeEach(() => {
  checkout = new Checkout();
});
afterEach(() => checkout.remove());

describe("manifests", () => {
  const APP = "k8s/base/app/deployment.yaml";

  test("an unknown field is refused", async () => {
    checkout.edit(APP, "revisionHistoryLimit: 5", "revisionHistoryLimits: 5");
    expect(await wrongInManifests(checkout.root)).toContainEqual(expect.stringContaining("revisionHistoryLimits"));
  });

  test("an unknown field of the operator's kinds is refused", async () => {
    checkout.edit("monitoring/service-monitors.yaml", "scrapeTimeout:", "scrapeTimeOut:");
    expect(await wrongInManifests(checkout.root)).toContainEqual(expect.stringContaining("scrapeTimeOut"));
  });

  test("required anti-affinity with the default strategy is refused", async () => {
    checkout.edit("k8s/base/kong/deployment.yaml", "maxSurge: 0", "maxSurge: 25%");
    expect(await wrongInManifests(checkout.root)).toContainEqual(expect.stringContaining("deadlocks"));
  });

  test("a container as root is refused", async () => {
    checkout.edit(APP, "runAsUser: 10001", "runAsUser: 0");
    expect(await wrongInManifests(checkout.root)).toContainEqual(expect.stringContaining("may run as root"));
  });

  test("a secret in plain sight is refused", async () => {
    checkout.edit(
      APP,
      "value: redis://:$(REDIS_PASSWORD)@redis:6379/0",
      "value: a\n            - name: ADMIN_TOKEN\n              value: b",
    );
    expect(await wrongInManifests(checkout.root)).toContainEqual(expect.stringContaining("ADMIN_TOKEN holds a secret"));
  });

  test("as they are, they are sound", async () => {
    expect(await wrongInManifests(checkout.root)).toEqual([]);
  });
});

const APP_POLICY = "k8s/base/policies/app.yaml";
const TO_REDIS =
  "  egress:\n    - to:\n        - podSelector:\n            matchLabels:\n              app.kubernetes.io/name: redis\n      ports:\n        - port: 6379\n";

describe("policies", () => {
  test.each([
    [
      "an app port that is open to all",
      APP_POLICY,
      "name: kong",
      "part-of: tollkeeper",
      "fingerprint-api:8080/TCP lets redis in",
    ],
    [
      "metrics that Kong may read",
      APP_POLICY,
      "- port: http",
      "- port: http\n        - port: metrics",
      "fingerprint-api:9464/TCP lets kong in",
    ],
    [
      "metrics that all may read",
      APP_POLICY,
      "metadata.name: monitoring",
      "metadata.name: elsewhere",
      "monitoring can't reach fingerprint-api:9464",
    ],
    ["an app that can't reach Redis", APP_POLICY, TO_REDIS, "", "fingerprint-api can't reach redis:6379"],
    ["no DNS", "k8s/base/policies/default.yaml", "k8s-app: kube-dns", "k8s-app: dns", "can't reach kube-dns:53/UDP"],
    [
      "no denial by default",
      "k8s/base/policies/default.yaml",
      'policyTypes: ["Ingress", "Egress"]',
      "policyTypes: []",
      "no policy denies by default",
    ],
    [
      "an admin port that is open",
      "k8s/base/policies/kong.yaml",
      "- port: proxy-tls",
      "- port: proxy-tls\n        - port: admin",
      "kong:8001/TCP lets elsewhere in",
    ],
    [
      "Kong without its database",
      "k8s/base/policies/postgres.yaml",
      '["kong", "kong-migrations"]',
      '["kong-migrations"]',
      "kong can't reach postgres:5432",
    ],
    [
      "an app that can't ask Sentinels",
      "k8s/overlays/redis-sentinel/policies.yaml",
      "name: redis-sentinel\n      ports",
      "name: sentinel\n      ports",
      "fingerprint-api can't reach redis-sentinel:26379",
    ],
  ])("%s", async (_name, file, text, by, problem) => {
    checkout.edit(file, text, by);
    expect((await wrongInNetwork(checkout.root)).join("\n")).toContain(problem);
  });

  test("as they are, who is meant to reaches whom, and nobody else", async () => {
    expect(await wrongInNetwork(checkout.root)).toEqual([]);
  });
});

describe("names, budgets, ends", () => {
  test.each([
    [
      "a Service's port",
      "k8s/base/app/service.yaml",
      "targetPort: metrics",
      "targetPort: prometheus",
      "have no port prometheus",
    ],
    [
      "a Service's pods",
      "k8s/base/redis/service.yaml",
      "selector:\n    app.kubernetes.io/name: redis",
      "selector:\n    app.kubernetes.io/name: rediss",
      "leads to no pod",
    ],
    ["what is scraped", "monitoring/service-monitors.yaml", "port: status", "port: state", "has no port state"],
    [
      "a job's name",
      "k8s/base/kong/service.yaml",
      "    app.kubernetes.io/name: kong\n    app.kubernetes.io/component",
      "    app.kubernetes.io/component",
      "chooses 0 Services",
    ],
    [
      "a budget that blocks drains",
      "k8s/base/kong/disruption-budget.yaml",
      "minAvailable: 2",
      "minAvailable: 3",
      "no node can be drained",
    ],
    [
      "replicas beside an autoscaler",
      "k8s/base/app/deployment.yaml",
      "revisionHistoryLimit",
      "replicas: 3\n  revisionHistoryLimit",
      "the autoscaler's to say",
    ],
    [
      "a probe's port",
      "k8s/base/app/deployment.yaml",
      "port: http\n            periodSeconds: 10",
      "port: web\n            periodSeconds: 10",
      "asks port web",
    ],
    [
      "a file without a hash",
      "k8s/base/config/kustomization.yaml",
      "configMapGenerator",
      "generatorOptions: {disableNameSuffixHash: true}\nconfigMapGenerator",
      "has no hash",
    ],
    [
      "too little time to end",
      "k8s/base/app/deployment.yaml",
      "PeriodSeconds: 40",
      "PeriodSeconds: 20",
      "takes up to 25 s to end",
    ],
    [
      "a longer drain",
      "k8s/base/config/tollkeeper.yaml",
      "drainDelayMs: 10000",
      "drainDelayMs: 30000",
      "takes up to 45 s to end",
    ],
  ])("%s", async (_name, file, text, by, problem) => {
    checkout.edit(file, text, by);
    expect((await wrongInReferences(checkout.root)).join("\n")).toContain(problem);
  });

  test("as they are, they are sound", async () => {
    expect(await wrongInReferences(checkout.root)).toEqual([]);
  });
});

describe("what Redis and PostgreSQL keep", () => {
  const CONF = "k8s/base/redis/redis.conf";

  test.each([
    ["keys that may be evicted", CONF, "noeviction", "allkeys-lru", "maxmemory-policy is allkeys-lru"],
    ["no append-only file", CONF, "appendonly yes", "appendonly no", "appendonly is no"],
    ["more memory than there is", CONF, "665mb", "1gb", "100 % of the container's limit"],
    ["a directive that Redis has not", CONF, "tcp-keepalive", "tcp-keepalives", "Redis refuses it"],
    [
      "files beside the volume",
      "k8s/base/redis/stateful-set.yaml",
      "mountPath: /data",
      "mountPath: /var/data",
      "/data is on no volume",
    ],
    ["PGDATA at the volume's root", "k8s/base/postgres/stateful-set.yaml", "/data/pgdata", "/data", "PGDATA is"],
    [
      "another PostgreSQL",
      "k8s/base/postgres/stateful-set.yaml",
      "postgres:15.14",
      "postgres:16.10",
      "is not PostgreSQL 15",
    ],
  ])("%s", async (_name, file, text, by, problem) => {
    checkout.edit(file, text, by);
    expect((await wrongInStores(checkout.root)).join("\n")).toContain(problem);
  });

  test("as they are, they are sound", async () => {
    expect(await wrongInStores(checkout.root)).toEqual([]);
  });
});

describe("the app's settings", () => {
  test.each([
    [
      "a field that the app has not",
      "k8s/base/config/tollkeeper.yaml",
      "freeMinuteLimit:",
      "freeMinuteLimits:",
      "freeMinuteLimits",
    ],
    [
      "a variable that it has not",
      "k8s/base/app/deployment.yaml",
      "RATE_LIMIT_KEY_PEPPER",
      "RATE_LIMIT_PEPPER",
      "RATE_LIMIT_PEPPER",
    ],
    [
      "a value that can't be",
      "k8s/base/config/tollkeeper.yaml",
      "proMinuteLimit: 1000",
      "proMinuteLimit: many",
      "proMinuteLimit",
    ],
  ])("%s is refused", async (_name, file, text, by, problem) => {
    checkout.edit(file, text, by);
    expect((await wrongInSettings(checkout.root)).join("\n")).toContain(problem);
  });

  test("as they are, they are sound", async () => {
    expect(await wrongInSettings(checkout.root)).toEqual([]);
  });
});

describe("Kong's configuration", () => {
  test.each([
    ["allow_origin_absent, which 3.9 has not", "max_age: 600", "allow_origin_absent: true", "allow_origin_absent"],
    ["429 as unhealthy", "http_statuses: [500, 502, 503, 504]", "http_statuses: [429, 500, 502, 503, 504]", "429"],
    ["Kong's defaults for unhealthy", "          http_statuses: [502, 504]\n", "", "429"],
    ["fields that overwrite the app's", "          hide_client_headers: true\n", "", "hide_client_headers"],
    [
      "fields of Kong's that are shown",
      "hide_client_headers: true",
      "hide_client_headers: false",
      "hide_client_headers",
    ],
    ["keys in the address", "key_in_query: false", "key_in_query: true", "key_in_query"],
    ["keys that go on to the app", "hide_credentials: true", "hide_credentials: false", "hide_credentials"],
    ["tokens that never end", "claims_to_verify: [exp]", "claims_to_verify: []", "claims_to_verify"],
    ["groups that a client sends", '"X-Consumer-Groups",', "", "does not clear x-consumer-groups"],
    [
      "any origin with credentials",
      'origins: ["https://app.example.com"]\n          methods: [POST, OPTIONS]',
      'origins: ["*"]\n          methods: [POST, OPTIONS]',
      undefined,
    ],
    ["a secret in the file", `key: \${{ env "DECK_VERIFY_KEY" }}`, "key: fpk_secret", "no secret in the file"],
    [
      "no acl",
      "      - name: acl\n        config:\n          allow: [free, pro, enterprise, partner, anonymous]\n          hide_groups_header: false\n",
      "",
      "plugin acl is missing",
    ],
    ["active checks that are off", "interval: 5", "interval: 0", "active checks are off"],
    ["fields that begin like Kong's", '"^x[-_]consumer[-_]"', '"^x-consumers-"', "does not clear x-consumer-tier"],
    [
      "a pre-function that only names them",
      "kong.service.request.clear_header(name)\n              end\n              for",
      "end\n              for",
      "does not clear x-consumer-groups",
    ],
    [
      "a Connection that may name anything",
      "if not options[option] then",
      "if false then",
      "lets Connection name X-Gateway-Auth, X-Consumer-ID,",
    ],
    [
      "a Connection that may name what does not begin with x",
      "if not options[option] then",
      'if option:find("^x[-_]") then',
      "lets Connection name Forwarded, Via, Authorization,",
    ],
    [
      "a Connection of which the first line is read",
      'connection = table.concat(connection, ",")',
      "connection = connection[1]",
      "Transfer-Encoding, Trailer, Expect, Accept, User-Agent, in a second line",
    ],
    [
      "a Connection that is read as it is written",
      "connection:lower()",
      "connection",
      "refuses a Connection that is harmless",
    ],
    ["a Connection that is cut at commas only", '"[^,%s]+"', '"[^,]+"', "refuses a Connection that is harmless"],
    [
      "a Connection that may name the body's length",
      "te = 1 }",
      'te = 1, ["content-length"] = 1 }',
      "name Content-Length, alone",
    ],
    ["keep-alive refused", '["keep-alive"] = 1, ', "", "refuses a Connection that is harmless, keep-alive"],
    ["more fields than Kong lists", "if lines > 100 then", "if false then", "more fields through than Kong lists"],
    ["a consumer without an account", "    custom_id: deployment-check\n", "", "deployment-check: it has no custom_id"],
    ["a consumer whose group acl keeps out", "- group: free", "- group: fre", "does not let the group fre in"],
    ["a policy that only Kong Enterprise has", "policy: redis", "policy: redis-cluster", "policy"],
    ["Sentinel, which the open-source plugin has not", "host: kong-redis", "sentinel_master: m", "sentinel_master"],
  ])("%s", async (_name, text, by, problem) => {
    checkout.edit(KONG, text, by);
    if (problem === undefined) checkout.edit(KONG, "credentials: false", "credentials: true");
    expect((await wrongInKong(checkout.root)).join("\n")).toContain(problem ?? "credentials with any origin");
  });

  test("as it is, it is sound", async () => {
    expect(await wrongInKong(checkout.root)).toEqual([]);
  });
});

describe("alerts", () => {
  test("a missing runbook is refused", async () => {
    checkout.delete("monitoring/runbooks/KongDown.md");
    expect(await wrongInRules(checkout.root)).toEqual([
      "alert KongDown: its runbook monitoring/runbooks/KongDown.md is missing",
    ]);
  });

  test("a missing severity is refused", async () => {
    checkout.edit(RULES, "severity: warning", "team: api");
    expect(await wrongInRules(checkout.root)).toContainEqual(expect.stringContaining("severity may be"));
  });

  test("a runbook that no alert names is refused", async () => {
    checkout.edit(RULES, "runbooks/RedisNearMaxmemory.md", "runbooks/KongDown.md");
    expect(await wrongInRules(checkout.root)).toContain("monitoring/runbooks/RedisNearMaxmemory.md: no alert names it");
  });

  test.each([0.9, 1.1])("a threshold that moved by a tenth, times %d, fails its tests", async (factor) => {
    const thresholds: [string, string, number][] = [
      ["HighErrorRate", "            > ", 0.05],
      ["HighRateLimitRejections", '{code="429"}[5m])) > ', 100],
      ["KongAdminLatencyHigh", "[10m]) > ", 1],
      ["KongProxyLatencyHigh", "[5m]))) > ", 500],
    ];
    for (const [, before, number] of thresholds) {
      checkout.edit("monitoring/rules/gateway.yaml", `${before}${number}`, `${before}${number * factor}`);
    }
    checkout.edit(RULES, "> 0.85", `> ${0.85 * factor}`);
    const failed = (await wrongInRules(checkout.root)).join("\n");
    for (const [alert] of thresholds) expect(failed).toContain(`name: ${alert}: `);
    expect(failed).toContain("name: RedisNearMaxmemory: ");
  });

  test.each([0.9, 1.1])("a floor of traffic that moved by a tenth, times %d, fails its tests", async (factor) => {
    checkout.edit("monitoring/rules/gateway.yaml", "[5m])) > 1\n", `[5m])) > ${factor}\n`);
    expect((await wrongInRules(checkout.root)).join("\n")).toContain("name: HighErrorRate: ");
  });

  test.each(["0m", "2m"])("an alert that waits %s in place of a minute fails its tests", async (wait) => {
    const files = { [RULES]: 1, "monitoring/rules/gateway.yaml": 4 };
    for (const [file, times] of Object.entries(files)) {
      for (let time = 0; time < times; time++) checkout.edit(file, "for: 1m", `for: ${wait}`);
    }
    const failed = (await wrongInRules(checkout.root)).join("\n");
    for (const alert of [
      "KongDown",
      "KongUpstreamUnavailable",
      "KongDatabaseDown",
      "RateLimitingRedisDown",
      "TollkeeperStoreCircuitOpen",
    ]) {
      expect(failed).toContain(`name: ${alert}: `);
    }
  });

  test.each([
    ["fires at the first", "that it fires"],
    ["does not while there is room", "that it does not fire"],
    ["does not once it is five minutes past, the edge", "the edge"],
    ["does not without any series", "what it does without its series"],
  ])("an alert without the test %j is refused", async (name, what) => {
    const file = "monitoring/rules/limiter.test.yaml";
    const tests = readFileSync(join(checkout.root, file), "utf8").split(/^(?= {2}- name: )/m);
    const left = tests.filter((test) => !test.includes(`"TollkeeperOverflowInUse: ${name}"`));
    expect(left).toHaveLength(tests.length - 1);
    writeFileSync(join(checkout.root, file), left.join(""));
    expect(await wrongInRules(checkout.root)).toEqual([`alert TollkeeperOverflowInUse: ${file} does not test ${what}`]);
  });

  test("as they are, they are sound", async () => {
    expect(await wrongInRules(checkout.root)).toEqual([]);
  });
});

describe("the Dockerfile", () => {
  test.each([
    ["root", "USER 10001:10001", "USER root", "USER may be numbers"],
    ["a shell between", 'ENTRYPOINT ["node", "dist/cli/main.js"]', "ENTRYPOINT node dist/cli/main.js", "exec form"],
    ["a shell in its health check", 'CMD ["node", "-e"', 'CMD node -e "', "HEALTHCHECK in exec form"],
    ["npm at run time", "/usr/local/lib/node_modules /usr/local/bin/npm ", "", "npm stays"],
    ["no label of its source", "org.opencontainers.image.source", "source", "no label source"],
    ["no version", "FROM node:24-bookworm-slim AS node", "FROM node:latest AS node", "DL3007"],
  ])("%s is refused", async (_name, text, by, problem) => {
    checkout.edit("Dockerfile", text, by);
    expect((await wrongInDockerfile(checkout.root)).join("\n")).toContain(problem);
  });

  test.each([
    ["all of the folder", "*\n!.npmrc", ".npmrc", "its first pattern may be * only"],
    ["modules of this machine", "!src", "!src\n!node_modules", "node_modules goes into the build"],
    ["secrets", "!src", "!src\n!k8s/secrets.env", "k8s/secrets.env goes into the build"],
  ])("%s in the build is refused", async (_name, text, by, problem) => {
    checkout.edit(".dockerignore", text, by);
    expect((await wrongInDockerfile(checkout.root)).join("\n")).toContain(problem);
  });

  test("as it is, it is sound", async () => {
    expect(await wrongInDockerfile(checkout.root)).toEqual([]);
  });
});

describe("beside a real Prometheus", () => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await startScene();
  });
  afterAll(() => scene.stop());

  test("an alert on a metric that nothing exports is refused", async () => {
    checkout.edit(
      RULES,
      "max by (namespace) (tollkeeper_store_circuit_open)",
      "max by (namespace) (tollkeeper_circuit)",
    );
    expect(await alertsOnNothing(checkout.root, scene)).toEqual([
      "alert TollkeeperStoreCircuitOpen: nothing exports tollkeeper_circuit",
    ]);
  });

  test("an alert on a label that nothing has is refused", async () => {
    checkout.edit("monitoring/rules/gateway.yaml", '{code="429"}', '{status="429"}');
    expect(await alertsOnNothing(checkout.root, scene)).toEqual([
      'alert HighRateLimitRejections: nothing exports kong_http_requests_total{status="429"}',
    ]);
  });

  test.each([
    ["a panel without a unit", '"unit": "short"', '"unitt": "short"', "has no unit"],
    [
      "a data source of its own",
      '      },\n      "datasource": {\n        "type": "prometheus",\n        "uid": "$datasource"',
      '      },\n      "datasource": {\n        "type": "prometheus",\n        "uid": "prometheus"',
      "its data source is prometheus",
    ],
    [
      "a namespace of its own",
      'tollkeeper_keys{namespace=\\"$namespace\\"',
      'tollkeeper_keys{namespace=\\"tollkeeper\\"',
      "asks for other namespaces",
    ],
    ["no choice of namespaces", '"name": "namespace"', '"name": "space"', "no variable namespace"],
  ])("in a dashboard, %s is refused", async (_name, text, by, problem) => {
    checkout.edit("monitoring/dashboards/generated/limiter.json", text, by);
    expect((await wrongInDashboards(checkout.root, scene)).join("\n")).toContain(problem);
  });

  test("a dashboard's query without data is refused", async () => {
    checkout.edit("monitoring/dashboards/generated/limiter.json", "sum(tollkeeper_keys{", "sum(tollkeeper_key{");
    expect(await wrongInDashboards(checkout.root, scene)).toEqual([
      'monitoring/dashboards/generated/limiter.json: panel Keys: no data for sum(tollkeeper_key{namespace="tollkeeper"})',
    ]);
  });

  test("as they are, both find what they ask for", async () => {
    expect(await alertsOnNothing(checkout.root, scene)).toEqual([]);
    expect(await wrongInDashboards(checkout.root, scene)).toEqual([]);
  });
});
