// Holds together what names another: Services and monitors their pods, budgets and autoscalers their workloads, pods their
// files and ports. A server takes a name that leads nowhere without a word.
import { parse } from "yaml";
import { selects } from "./network.mjs";
import { renderWithMonitoring } from "./render.mjs";

/** @typedef {import("./render.mjs").Manifest} Manifest */

/** Seconds that the app gives calls that have begun, once it is closing. */
const CLOSE_SECONDS = 10;

/**
 * @param {string} root
 * @returns {Promise<string[]>} What is wrong, one line each.
 */
export async function wrongInReferences(root) {
  const renderings = await renderWithMonitoring(root);
  return renderings.flatMap(({ name, manifests }) => {
    const of = (/** @type {string} */ kind) => manifests.filter((manifest) => manifest.kind === kind);
    const workloads = manifests.filter(({ spec }) => spec?.template?.spec !== undefined);
    const problems = [
      ...of("Service").flatMap((service) => wrongInService(service, workloads)),
      ...of("ServiceMonitor").flatMap((monitor) => wrongInMonitor(monitor, of("Service"))),
      ...of("PodDisruptionBudget").flatMap((budget) => wrongInBudget(budget, workloads, of("HorizontalPodAutoscaler"))),
      ...of("HorizontalPodAutoscaler").flatMap((autoscaler) => wrongInAutoscaler(autoscaler, workloads)),
      ...workloads.flatMap((workload) => wrongInWorkload(workload, of("ConfigMap"))),
    ];
    return problems.map((problem) => `${name}: ${problem}`);
  });
}

/**
 * @param {Manifest} service
 * @param {Manifest[]} workloads
 */
function wrongInService({ metadata, spec }, workloads) {
  const behind = workloads.filter(({ spec: { template } }) =>
    selects({ matchLabels: spec.selector }, template.metadata.labels),
  );
  if (behind.length === 0) return [`Service ${metadata.name}: it leads to no pod`];
  const ports = portsOf(behind).flatMap(({ name, containerPort }) => [name, containerPort]);
  return spec.ports
    .filter((/** @type {any} */ { targetPort }) => !ports.includes(targetPort))
    .map((/** @type {any} */ { targetPort }) => `Service ${metadata.name}: its pods have no port ${targetPort}`);
}

/**
 * @param {Manifest} monitor
 * @param {Manifest[]} services
 */
function wrongInMonitor({ metadata, spec }, services) {
  const chosen = services.filter((service) => selects(spec.selector, service.metadata.labels ?? {}));
  const [service] = chosen;
  if (service === undefined || chosen.length > 1) {
    return [`ServiceMonitor ${metadata.name}: it chooses ${chosen.length} Services, not one`];
  }
  const ports = service["spec"].ports.map((/** @type {any} */ { name }) => name);
  const problems = spec.endpoints
    .filter((/** @type {any} */ { port }) => !ports.includes(port))
    .map(
      (/** @type {any} */ { port }) => `ServiceMonitor ${metadata.name}: ${service.metadata.name} has no port ${port}`,
    );
  // Alerts and dashboards choose by job.
  const job = service.metadata.labels?.[spec.jobLabel];
  return job === metadata.name
    ? problems
    : [
        ...problems,
        `ServiceMonitor ${metadata.name}: its series get job="${job}", and alerts ask for "${metadata.name}"`,
      ];
}

/**
 * @param {Manifest} budget
 * @param {Manifest[]} workloads
 * @param {Manifest[]} autoscalers
 */
function wrongInBudget({ metadata, spec }, workloads, autoscalers) {
  const kept = workloads.find(({ spec: { template } }) => selects(spec.selector, template.metadata.labels));
  if (kept === undefined) return [`PodDisruptionBudget ${metadata.name}: it keeps no pod`];
  const autoscaler = autoscalers.find((one) => one["spec"].scaleTargetRef.name === kept.metadata.name);
  const least = autoscaler?.["spec"].minReplicas ?? kept["spec"].replicas ?? 1;
  const goes = spec.maxUnavailable ?? least - spec.minAvailable;
  return Number.isInteger(goes) && goes < 1
    ? [`PodDisruptionBudget ${metadata.name}: with ${least} pods no node can be drained`]
    : [];
}

/**
 * @param {Manifest} autoscaler
 * @param {Manifest[]} workloads
 */
function wrongInAutoscaler({ metadata, spec }, workloads) {
  const { kind, name } = spec.scaleTargetRef;
  const target = workloads.find((workload) => workload.kind === kind && workload.metadata.name === name);
  if (target === undefined) return [`HorizontalPodAutoscaler ${metadata.name}: there is no ${kind} ${name}`];
  return target["spec"].replicas === undefined
    ? []
    : [`${kind} ${name}: replicas is the autoscaler's to say; each deployment would set it back`];
}

/**
 * @param {Manifest} workload
 * @param {Manifest[]} configMaps
 */
function wrongInWorkload(workload, configMaps) {
  const { kind, metadata, spec } = workload;
  const pod = spec.template.spec;
  const problems = [];
  const files = configMaps.filter(({ metadata: { name } }) =>
    pod.volumes?.some((/** @type {any} */ { configMap }) => configMap?.name === name),
  );
  for (const { configMap } of pod.volumes ?? []) {
    if (configMap === undefined) continue;
    if (!files.some((file) => file.metadata.name === configMap.name)) {
      problems.push(`there is no ConfigMap ${configMap.name}`);
    } else if (!/-[a-z0-9]{10}$/.test(configMap.name)) {
      problems.push(`ConfigMap ${configMap.name} has no hash in its name, so that a change of it rolls no pod`);
    }
  }
  const ports = portsOf([workload]).flatMap(({ name, containerPort }) => [name, containerPort]);
  for (const container of pod.containers) {
    for (const probe of ["startupProbe", "livenessProbe", "readinessProbe"]) {
      const { httpGet, tcpSocket } = container[probe] ?? {};
      const port = httpGet?.port ?? tcpSocket?.port;
      if (port !== undefined && !ports.includes(port))
        problems.push(`its ${probe} asks port ${port}, which it has not`);
    }
    problems.push(...wrongInEnd(container, pod, files));
  }
  return problems.map((problem) => `${kind} ${metadata.name}: ${problem}`);
}

/**
 * A pod that is killed before it has ended loses the calls that have begun.
 *
 * @param {any} container
 * @param {any} pod
 * @param {Manifest[]} files
 */
function wrongInEnd({ lifecycle }, { terminationGracePeriodSeconds = 30 }, files) {
  const { sleep, exec } = lifecycle?.preStop ?? {};
  if (sleep === undefined && exec === undefined) return [];
  const settings = files.map((file) => file["data"]?.["tollkeeper.yaml"]).find((text) => text !== undefined);
  const drain = settings === undefined ? 0 : Number(parse(settings).drainDelayMs ?? 0) / 1000;
  const waits = sleep?.seconds ?? Number(/--wait=(\d+)/.exec(exec.command.join(" "))?.[1] ?? 0);
  const needs = waits + drain + CLOSE_SECONDS;
  return needs <= terminationGracePeriodSeconds
    ? []
    : [`terminationGracePeriodSeconds is ${terminationGracePeriodSeconds}, and it takes up to ${needs} s to end`];
}

/** @param {Manifest[]} workloads @returns {{ name?: string, containerPort: number }[]} */
function portsOf(workloads) {
  return workloads.flatMap(({ spec }) =>
    spec.template.spec.containers.flatMap((/** @type {any} */ { ports = [] }) => ports),
  );
}
