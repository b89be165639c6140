// What every pod here keeps to, beyond what schemas can say.

/** @typedef {import("./render.mjs").Manifest} Manifest */

/**
 * @param {Manifest} manifest
 * @returns {string[]} What is wrong, one line each.
 */
export function wrongInPods(manifest) {
  const { kind, metadata, spec } = manifest;
  const problems = [
    ...(kind === "Deployment" ? wrongInStrategy(spec) : []),
    ...(kind === "ServiceAccount" && manifest["automountServiceAccountToken"] !== false
      ? ["its token is mounted into pods, none of which needs one"]
      : []),
    ...(kind === "Secret" ? ["a Secret does not belong in a manifest"] : []),
    ...(spec?.template?.spec === undefined ? [] : wrongInPod(spec.template.spec)),
  ];
  return problems.map((problem) => `${kind} ${metadata.name}: ${problem}`);
}

/**
 * Pods that may not share a node and are replaced one more at a time wait for ever for a node more.
 *
 * @param {any} spec
 */
function wrongInStrategy({ template, strategy }) {
  const apart = template.spec.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
  if (apart.length === 0) return [];
  const { maxSurge, maxUnavailable } = strategy?.rollingUpdate ?? {};
  const sound = strategy?.type === "Recreate" || (maxSurge === 0 && maxUnavailable >= 1);
  return sound
    ? []
    : [
        "required anti-affinity with this strategy deadlocks where there are as many nodes as replicas: " +
          "set maxSurge 0 and maxUnavailable 1",
      ];
}

/** @param {any} pod */
function wrongInPod(pod) {
  const problems = [];
  if (pod.automountServiceAccountToken !== false) problems.push("the service account's token is mounted");
  if ((pod.serviceAccountName ?? "default") === "default") problems.push("it has no service account of its own");
  if (pod.hostNetwork || pod.hostPID || pod.hostIPC) problems.push("it shares a namespace of its node");
  const volumes = pod.volumes ?? [];
  for (const { name, hostPath, emptyDir } of volumes) {
    if (hostPath !== undefined) problems.push(`volume ${name} is a path of the node`);
    if (emptyDir !== undefined && emptyDir.sizeLimit === undefined) problems.push(`volume ${name} has no sizeLimit`);
  }
  const containers = [...(pod.initContainers ?? []), ...pod.containers];
  return [
    ...problems,
    ...containers.flatMap((container) =>
      wrongInContainer(container, pod).map((problem) => `container ${container.name}: ${problem}`),
    ),
  ];
}

/**
 * @param {any} container
 * @param {any} pod
 */
function wrongInContainer(container, pod) {
  const { image, resources = {}, env = [] } = container;
  const context = { ...pod.securityContext, ...container.securityContext };
  /** @type {[boolean, string][]} */
  const rules = [
    [context.runAsNonRoot === true, "it may run as root: set runAsNonRoot"],
    [
      Number.isInteger(context.runAsUser) && context.runAsUser > 0,
      "it may run as root: give runAsUser a number above 0",
    ],
    [context.privileged !== true, "it is privileged"],
    [context.allowPrivilegeEscalation === false, "it may gain privileges"],
    [context.readOnlyRootFilesystem === true, "its root can be written to"],
    [context.capabilities?.drop?.includes("ALL") === true, "it does not drop all capabilities"],
    [context.seccompProfile?.type === "RuntimeDefault", "it has no seccomp profile"],
    [/:[^:/]*\d[^:/]*$/.test(image) && !image.endsWith(":latest"), `image ${image} names no version`],
    [
      ["cpu", "memory", "ephemeral-storage"].every((name) => name in (resources.requests ?? {})),
      "it requests too little",
    ],
    [["memory", "ephemeral-storage"].every((name) => name in (resources.limits ?? {})), "it has no limit of memory"],
    [pod.restartPolicy !== undefined || container.livenessProbe !== undefined, "it has no livenessProbe"],
    [pod.restartPolicy !== undefined || container.readinessProbe !== undefined, "it has no readinessProbe"],
  ];
  const problems = rules.filter(([holds]) => !holds).map(([, problem]) => problem);
  for (const { name, value } of env) {
    const secret = /PASSWORD|SECRET|PEPPER|TOKEN|_KEY$/.test(name) && value !== undefined;
    if (secret && !/^\$\(\w+\)$/.test(value)) problems.push(`variable ${name} holds a secret in plain sight`);
  }
  return problems;
}
