import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ControlPlane } from "../../scripts/operations/control-plane.mjs";
import { type Gateway, startGateway } from "../../scripts/operations/gateway.mjs";
import { readKongFile } from "../../scripts/operations/kong-file.mjs";
import { until } from "../../scripts/operations/scene.mjs";
import { type AppProcess, startApp } from "../gateway/app.js";
import { Checkout } from "../operations/checkout.js";
import { deploy, type Run, startPreparedCluster } from "./prepared-cluster.js";

const SECRETS: Readonly<Record<string, string>> = {
  POSTGRES_PASSWORD: "postgres-password-of-these-tests-only",
  REDIS_PASSWORD: "redis-password-of-these-tests-only-ok",
  KONG_REDIS_PASSWORD: "kong-redis-password-of-these-tests-ok",
  KEY_PEPPER: "key-pepper-of-these-tests-and-no-other",
  GATEWAY_SECRET: "gateway-secret-of-these-tests-and-no-other",
  VERIFY_KEY: "verify-key-of-these-tests-and-of-no-other",
};
const KINDS =
  "deployments,statefulsets,jobs,services,configmaps,secrets,serviceaccounts,networkpolicies,poddisruptionbudgets," +
  "horizontalpodautoscalers,persistentvolumeclaims,servicemonitors,prometheusrules,probes";

/** What of a pod's variables matters here. */
interface EnvironmentVariable {
  valueFrom?: { secretKeyRef?: { name: string; key: string; optional?: boolean } };
}

let cluster: ControlPlane;
let app: AppProcess;
let gateway: Gateway;
let checkout: Checkout;

beforeAll(async () => {
  // No pod has a network there, so the script's calls are answered by the app itself, behind the stand-in for Kong.
  app = await startApp({ RATE_LIMIT_GATEWAY_SECRET: String(SECRETS["GATEWAY_SECRET"]) });
  const environment = {
    DECK_APP_TARGET: "app:8080",
    DECK_GATEWAY_SECRET: String(SECRETS["GATEWAY_SECRET"]),
    DECK_VERIFY_KEY: String(SECRETS["VERIFY_KEY"]),
    DECK_KONG_REDIS_PASSWORD: "none",
  };
  gateway = await startGateway(readKongFile(environment), [app.url]);
  checkout = new Checkout();
  writeSecrets({});
  cluster = await startPreparedCluster();
});

afterAll(async () => {
  await cluster?.stop();
  await gateway?.stop();
  await app?.stop();
  checkout?.remove();
});

function writeSecrets(changes: Record<string, string | undefined>): void {
  const lines = Object.entries({ ...SECRETS, ...changes }).filter(([, value]) => value !== undefined);
  writeFileSync(join(checkout.root, "k8s/secrets.env"), lines.map(([name, value]) => `${name}=${value}\n`).join(""));
}

/** Runs deploy.sh, and shows how long each step took. */
async function run(...args: string[]): Promise<Run> {
  const result = await deploy(cluster, checkout.root, args, gateway.url);
  console.log(`deploy.sh ${args.join(" ")}\n${result.output}`);
  return result;
}

/** What is in a namespace, with what changes when somebody writes to it. */
function contents(namespace = "tollkeeper"): Record<string, string> {
  const list = JSON.parse(cluster.kubectl("-n", namespace, "get", KINDS, "-o", "json")) as {
    items: { kind: string; metadata: { name: string; uid: string; generation?: number; resourceVersion: string } }[];
  };
  return Object.fromEntries(
    list.items.map(({ kind, metadata: { name, uid, generation, resourceVersion } }) => [
      `${kind}/${name}`,
      `${uid} ${generation ?? (kind === "PersistentVolumeClaim" ? 0 : resourceVersion)}`,
    ]),
  );
}

function pods(selector: string, namespace = "tollkeeper"): { name: string; phase: string; node: string }[] {
  const list = JSON.parse(
    cluster.kubectl("-n", namespace, "get", "pods", "-l", `app.kubernetes.io/name=${selector}`, "-o", "json"),
  ) as { items: { metadata: { name: string }; spec: { nodeName?: string }; status: { phase: string } }[] };
  return list.items.map(({ metadata, spec, status }) => ({
    name: metadata.name,
    phase: status.phase,
    node: spec.nodeName ?? "",
  }));
}

const names = (selector: string) =>
  pods(selector)
    .map(({ name }) => name)
    .sort();

describe("deploy.sh", () => {
  test("--dry-run on an empty cluster changes nothing", async () => {
    const before = cluster.kubectl("get", "namespaces,all,configmaps,secrets", "-A", "-o", "name");
    const { code, output } = await run("--dry-run");
    expect(output).toContain("dry run: nothing was changed");
    expect(code).toBe(0);
    expect(cluster.kubectl("get", "namespaces,all,configmaps,secrets", "-A", "-o", "name")).toBe(before);
  });

  test.each([
    ["missing", { REDIS_PASSWORD: undefined }, "lacks REDIS_PASSWORD"],
    ["empty", { GATEWAY_SECRET: "" }, "lacks GATEWAY_SECRET"],
    ["too short", { KEY_PEPPER: "short" }, "KEY_PEPPER"],
    ["no part of an address", { REDIS_PASSWORD: "p@ss/word-that-breaks-an-address-0123" }, "REDIS_PASSWORD"],
  ])("a secret that is %s stops it at step 1, which says so", async (_name, changes, problem) => {
    writeSecrets(changes);
    const { code, output } = await run();
    writeSecrets({});
    expect(code).toBe(1);
    expect(output).toContain("step 1 (preflight) failed");
    expect(output).toContain(problem);
    expect(output).toContain("openssl rand -hex 24");
    expect(output).not.toContain("p@ss");
    expect(cluster.kubectl("get", "namespaces", "-o", "name")).not.toContain("tollkeeper");
  });

  test.each([
    [["--timeout", "0"], "--timeout is 0; it may be"],
    [["--timeout", "soon"], "--timeout is soon; it may be"],
    [["--timeout"], "--timeout needs a value"],
    [["--overlay", "staging"], "--overlay is staging; it may be"],
    [["--namespace", "Toll_Keeper"], "--namespace is Toll_Keeper; it may be"],
    [["--namespace", "kube-system"], "--namespace is kube-system"],
    [["--force"], "there is no option --force"],
  ])("refuses %j", async (args, problem) => {
    const { code, output } = await run(...args);
    expect(code).toBe(2);
    expect(output).toContain(problem);
  });

  test("takes a namespace whose name YAML would take for a number", async () => {
    const { code, output } = await run("--dry-run", "--namespace", "123");
    expect(output).toContain("would make: namespace 123");
    expect(code).toBe(0);
  });

  test("rolls everything out", async () => {
    const { code, output } = await run();
    expect(output).not.toMatch(/warning/i);
    expect(output).toContain("all is up in namespace tollkeeper");
    expect(code).toBe(0);
    const claims = cluster.kubectl("-n", "tollkeeper", "get", "pvc", "-o", "jsonpath={.items[*].status.phase}");
    expect(claims.split(" ")).toEqual(["Bound", "Bound"]);
    expect(new Set(pods("kong").map(({ node }) => node)).size).toBe(3);
    await until("the autoscaler's six are there", async () => pods("fingerprint-api").length === 6);
  });

  test("gives every pod the secrets that it asks for", () => {
    const list = <T>(kind: string) =>
      (JSON.parse(cluster.kubectl("-n", "tollkeeper", "get", kind, "-o", "json")) as { items: T[] }).items;
    const secrets = list<{ metadata: { name: string }; data: Record<string, string> }>("secrets");
    const there = secrets.flatMap(({ metadata, data }) => Object.keys(data).map((key) => `${metadata.name}/${key}`));
    const references = list<{ spec: { containers: { env?: EnvironmentVariable[] }[] } }>("pods")
      .flatMap(({ spec }) => spec.containers.flatMap(({ env }) => env ?? []))
      .flatMap(({ valueFrom }) => valueFrom?.secretKeyRef ?? [])
      .filter(({ optional }) => optional !== true);
    expect(there).toEqual(expect.arrayContaining(references.map(({ name, key }) => `${name}/${key}`)));
    expect(new Set(references.map(({ key }) => key)).size).toBeGreaterThan(3);
  });

  test("changes nothing when it runs again", async () => {
    const before = { contents: contents(), kong: names("kong"), app: names("fingerprint-api"), redis: names("redis") };
    const { code, output } = await run();
    expect(code, output).toBe(0);
    const after = { contents: contents(), kong: names("kong"), app: names("fingerprint-api"), redis: names("redis") };
    expect(after).toEqual(before);
  });

  test("says in a dry run what would change", async () => {
    checkout.edit("k8s/base/config/tollkeeper.yaml", "freeMinuteLimit: 100", "freeMinuteLimit: 120");
    const before = contents();
    const { code, output } = await run("--dry-run");
    expect(code, output).toBe(0);
    expect(output).toMatch(/would change: .*Deployment\.tollkeeper\.fingerprint-api/s);
    expect(contents()).toEqual(before);
  });

  test("rolls the app when a tier has changed, and nothing else", async () => {
    const before = { kong: names("kong"), app: names("fingerprint-api"), redis: names("redis") };
    const { code, output } = await run();
    expect(code, output).toBe(0);
    await until("all are replaced", async () => {
      const now = names("fingerprint-api");
      return now.length === 6 && now.every((name) => !before.app.includes(name));
    });
    expect(names("kong")).toEqual(before.kong);
    expect(names("redis")).toEqual(before.redis);
  });

  test("comes through after a roll-out was undone by hand", async () => {
    cluster.kubectl("-n", "tollkeeper", "rollout", "undo", "deployment/fingerprint-api");
    const { code, output } = await run();
    expect(code, output).toBe(0);
  });

  test("refuses in a dry run what the server would refuse", async () => {
    const file = "k8s/base/kong/configuration.yaml";
    checkout.edit(file, "backoffLimit: 6", "backoffLimit: -6");
    const { code, output } = await run("--dry-run");
    checkout.edit(file, "backoffLimit: -6", "backoffLimit: 6");
    expect(output).toContain("spec.backoffLimit");
    expect(code).toBe(1);
  });

  test("replaces the Job that configures Kong when its file has changed", async () => {
    const before = contents();
    checkout.edit("k8s/base/kong/kong.yaml", "second: 200", "second: 250");
    expect((await run("--dry-run")).output).toContain("would change: job kong-configuration, made anew");
    const { code, output } = await run();
    expect(code, output).toBe(0);
    const after = contents();
    expect(after["Job/kong-configuration"]).not.toBe(before["Job/kong-configuration"]);
    expect(after["Job/kong-migrations-3-9-3"]).toBe(before["Job/kong-migrations-3-9-3"]);
  });

  test("makes a Job that has failed anew", async () => {
    const nodes = ["node-a", "node-b", "node-c"];
    cluster.kubectl("cordon", ...nodes);
    checkout.edit("k8s/base/kong/configuration.yaml", "activeDeadlineSeconds: 600", "activeDeadlineSeconds: 8");
    const failed = await run();
    cluster.kubectl("uncordon", ...nodes);
    expect(failed.code).toBe(1);
    expect(failed.output).toContain("step 5 (Kong and its configuration) failed");
    expect(failed.output).toContain("longer than specified deadline");
    const { code, output } = await run();
    expect(code, output).toBe(0);
  });

  test("says where it was when it is interrupted, and leaves no secret behind", async () => {
    const interrupted = deploy(cluster, checkout.root, [], gateway.url, "step 3");
    expect(await interrupted).toMatchObject({
      code: 130,
      output: expect.stringMatching(/step \d \(.*was interrupted/),
    });
    expect(readdirSync(join(checkout.root, "k8s")).filter((name) => name.startsWith(".deploy"))).toEqual([]);
  });

  test("rolls the app, and not Redis, when the gateway's secret has changed", async () => {
    const before = { app: names("fingerprint-api"), redis: names("redis"), kong: names("kong") };
    // The stand-in keeps the old one, which the app knows too.
    writeSecrets({
      GATEWAY_SECRET: "another-gateway-secret-of-these-tests",
      GATEWAY_SECRET_PREVIOUS: SECRETS["GATEWAY_SECRET"],
    });
    const { code, output } = await run();
    writeSecrets({});
    expect(code, output).toBe(0);
    await until("all are replaced", async () => names("fingerprint-api").every((name) => !before.app.includes(name)));
    expect(names("redis")).toEqual(before.redis);
    expect(names("kong")).toEqual(before.kong);
  });
});

describe("a node that is drained", () => {
  const running = () => pods("kong").filter(({ phase, node }) => phase === "Running" && node !== "").length;

  test("keeps two Kong pods, and a second one waits", async () => {
    expect(running()).toBe(3);
    const drain = (node: string, patience: string) =>
      cluster.kubectl("drain", node, "--ignore-daemonsets", "--delete-emptydir-data", `--timeout=${patience}`);
    drain("node-a", "60s");
    expect(running()).toBe(2);
    expect(() => drain("node-b", "8s")).toThrow(/disruption budget|timeout/);
    expect(running()).toBe(2);
    for (const node of ["node-a", "node-b"]) cluster.kubectl("uncordon", node);
    await until("the third is back", async () => running() === 3);
  });
});

describe("the other overlays", () => {
  test.each(["development", "redis-sentinel"])("%s rolls out in a namespace of its own", async (overlay) => {
    const namespace = `other-${overlay}`;
    const { code, output } = await run("--overlay", overlay, "--namespace", namespace);
    expect(code, output).toBe(0);
    const redis = pods("redis", namespace).length + pods("redis-sentinel", namespace).length;
    expect(redis).toBe(overlay === "redis-sentinel" ? 6 : 1);
    const probe = cluster.kubectl("-n", namespace, "get", "probe/kong-admin", "-o", "jsonpath={.spec}");
    expect(probe).toContain(`kong-admin.${namespace}.svc`);
  });
});

test("what is deployed says the same as the file here", () => {
  const rules = readFileSync(join(checkout.root, "monitoring/rules/gateway.yaml"), "utf8");
  const alerts = rules.match(/alert: \w+/g)?.length;
  const deployed = cluster.kubectl("-n", "tollkeeper", "get", "prometheusrule/tollkeeper-gateway", "-o", "json");
  expect(deployed.match(/"alert":/g)?.length).toBe(alerts);
});
