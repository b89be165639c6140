// Checks what is deployed, without a cluster: manifests, Kong's configuration, rules, dashboards, Dockerfile, deploy.sh.
// `npm run check:k8s`
import { pathToFileURL } from "node:url";
import { staleDashboards } from "../dashboards.mjs";
import { wrongInDashboards } from "../operations/dashboards.mjs";
import { wrongInDockerfile } from "../operations/dockerfile.mjs";
import { wrongInKong } from "../operations/kong.mjs";
import { wrongInManifests } from "../operations/manifests.mjs";
import { wrongInNetwork } from "../operations/network.mjs";
import { wrongInReferences } from "../operations/references.mjs";
import { alertsOnNothing, ruleGroups, wrongInRules } from "../operations/rules.mjs";
import { startScene } from "../operations/scene.mjs";
import { wrongInSettings } from "../operations/settings.mjs";
import { wrongInStores } from "../operations/stores.mjs";
import { ROOT, run } from "../run.mjs";
import { setUp } from "../setup.mjs";
import { runSteps } from "../steps.mjs";

/** @type {import("../steps.mjs").Step[]} */
export const checkSteps = [
  { name: "manifests: schemas, kube-score, pods", run: async () => refuse(await wrongInManifests(ROOT)) },
  { name: "names that lead somewhere, budgets, ends", run: async () => refuse(await wrongInReferences(ROOT)) },
  { name: "policies: who reaches whom", run: async () => refuse(await wrongInNetwork(ROOT)) },
  { name: "Redis, PostgreSQL: what is kept", run: async () => refuse(await wrongInStores(ROOT)) },
  { name: "the app's settings", run: async () => refuse(await wrongInSettings(ROOT)) },
  { name: "Kong's configuration", run: async () => refuse(await wrongInKong(ROOT)) },
  { name: "alerts: promtool, runbooks", run: async () => refuse(await wrongInRules(ROOT)) },
  { name: "dashboards are as generated", run: async () => refuse(await staleDashboards()) },
  { name: "Dockerfile: hadolint", run: async () => refuse(await wrongInDockerfile(ROOT)) },
  { name: "deploy.sh: shellcheck", run: () => run("shellcheck", ["k8s/deploy.sh"]) },
  { name: "a real Prometheus has what alerts and dashboards ask for", run: askPrometheus },
];

async function askPrometheus() {
  const scene = await startScene(Object.values(ruleGroups(ROOT)).flat());
  try {
    refuse([...(await alertsOnNothing(ROOT, scene)), ...(await wrongInDashboards(ROOT, scene))]);
  } finally {
    await scene.stop();
  }
}

/** @param {readonly string[]} problems */
function refuse(problems) {
  if (problems.length > 0) throw new Error(problems.join("\n"));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await setUp();
  process.exitCode = (await runSteps(checkSteps)) ? 0 : 1;
}
