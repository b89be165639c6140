import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { wrongInDashboards } from "../../scripts/operations/dashboards.mjs";
import { wrongInDockerfile } from "../../scripts/operations/dockerfile.mjs";
import { wrongInKong } from "../../scripts/operations/kong.mjs";
import { wrongInManifests } from "../../scripts/operations/manifests.mjs";
import { alertsOnNothing, wrongInRules } from "../../scripts/operations/rules.mjs";
import { type Scene, startScene } from "../../scripts/operations/scene.mjs";
import { wrongInSettings } from "../../scripts/operations/settings.mjs";
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
    ["groups that a client sends", '"X-Consumer-Groups",', "", "X-Consumer-Groups"],
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
  ])("%s", (_name, text, by, problem) => {
    checkout.edit(KONG, text, by);
    if (problem === undefined) checkout.edit(KONG, "credentials: false", "credentials: true");
    expect(wrongInKong(checkout.root).join("\n")).toContain(problem ?? "credentials with any origin");
  });

  test("as it is, it is sound", () => {
    expect(wrongInKong(checkout.root)).toEqual([]);
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

  test("a threshold that moved fails its tests", async () => {
    checkout.edit(RULES, "> 0.85", "> 0.5");
    expect((await wrongInRules(checkout.root)).join("\n")).toContain("FAILED");
  });

  test("an alert without a test is refused", async () => {
    const tests = "monitoring/rules/limiter.test.yaml";
    for (let case_ = 0; case_ < 4; case_++) {
      checkout.edit(tests, "alertname: TollkeeperOverflowInUse", "alertname: RedisNearMaxmemory");
    }
    expect(await wrongInRules(checkout.root)).toContain("alert TollkeeperOverflowInUse: no test names it");
  });

  test("as they are, they are sound", async () => {
    expect(await wrongInRules(checkout.root)).toEqual([]);
  });
});

describe("the Dockerfile", () => {
  test.each([
    ["root", "USER 10001:10001", "USER root", "USER may be numbers"],
    ["a shell between", 'ENTRYPOINT ["node", "dist/esm/cli.js"]', "ENTRYPOINT node dist/esm/cli.js", "exec form"],
    ["no version", "FROM node:24-bookworm-slim AS node", "FROM node:latest AS node", "DL3007"],
  ])("%s is refused", async (_name, text, by, problem) => {
    checkout.edit("Dockerfile", text, by);
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
