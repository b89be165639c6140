// Works out from the policies who reaches whom, and holds it to what is meant: a gap lets somebody in, a missing rule breaks
// what a control plane without a network never shows.
import { renderWithMonitoring } from "./render.mjs";

/** @typedef {import("./render.mjs").Manifest} Manifest */
/** @typedef {Record<string, string>} Labels */
/** @typedef {{ name: string, namespace: string, labels: Labels, ports: Port[] }} Peer A kind of pods. */
/** @typedef {{ name?: string, number: number, protocol: string }} Port */

const OWN = "own";
const OUTSIDE = [
  { name: "elsewhere", namespace: "elsewhere", labels: {}, ports: [] },
  { name: "monitoring", namespace: "monitoring", labels: {}, ports: [] },
  {
    name: "kube-dns",
    namespace: "kube-system",
    labels: { "k8s-app": "kube-dns" },
    ports: [
      { number: 53, protocol: "UDP" },
      { number: 53, protocol: "TCP" },
    ],
  },
];

/** Who is meant to reach whom, and on which ports; "*" is every pod here. Nobody else reaches anything. */
const FLOWS = [
  { from: "elsewhere", to: "kong", ports: [8000, 8443] },
  { from: "monitoring", to: "kong", ports: [8000, 8443, 8100] },
  { from: "kube-dns", to: "kong", ports: [8000, 8443] },
  { from: "monitoring", to: "fingerprint-api", ports: [9464] },
  { from: "monitoring", to: "redis", ports: [9121] },
  { from: "monitoring", to: "blackbox-exporter", ports: [9115] },
  { from: "kong", to: "postgres", ports: [5432] },
  { from: "kong", to: "fingerprint-api", ports: [8080] },
  { from: "kong", to: "kong-redis", ports: [6379] },
  { from: "kong-migrations", to: "postgres", ports: [5432] },
  { from: "kong-configuration", to: "kong", ports: [8001] },
  { from: "blackbox-exporter", to: "kong", ports: [8001] },
  { from: "fingerprint-api", to: "redis", ports: [6379] },
  { from: "*", to: "kube-dns", ports: [53] },
];
/** And where Sentinels watch over Redis. */
const SENTINEL_FLOWS = [
  { from: "fingerprint-api", to: "redis-sentinel", ports: [26379] },
  { from: "redis", to: "redis", ports: [6379] },
  { from: "redis", to: "redis-sentinel", ports: [26379] },
  { from: "redis-sentinel", to: "redis", ports: [6379] },
  { from: "redis-sentinel", to: "redis-sentinel", ports: [26379] },
];

/**
 * @param {string} root
 * @returns {Promise<string[]>} What is wrong, one line each.
 */
export async function wrongInNetwork(root) {
  const renderings = await renderWithMonitoring(root);
  return renderings.flatMap(({ name, manifests }) => wrongFlows(manifests).map((problem) => `${name}: ${problem}`));
}

/** @param {Manifest[]} manifests */
function wrongFlows(manifests) {
  const pods = podsOf(manifests);
  const policies = manifests.filter(({ kind }) => kind === "NetworkPolicy");
  const flows = pods.some(({ name }) => name === "redis-sentinel") ? [...FLOWS, ...SENTINEL_FLOWS] : FLOWS;
  const problems = [...pods, ...OUTSIDE].flatMap((to) =>
    [...pods, ...OUTSIDE.filter(() => to.namespace === OWN)].flatMap((from) =>
      to.ports.flatMap((port) => wrongFlow({ from, to, port, flows, policies })),
    ),
  );
  return policies.some(isDenial) ? problems : ["network: no policy denies by default", ...problems];
}

/** @param {{ from: Peer, to: Peer, port: Port, flows: typeof FLOWS, policies: Manifest[] }} flow */
function wrongFlow({ from, to, port, flows, policies }) {
  const meant = flows.filter((flow) => flow.to === to.name && flow.ports.includes(port.number));
  const isMeant = meant.some((flow) => flow.from === from.name || (flow.from === "*" && from.namespace === OWN));
  const isPublic = meant.some((flow) => flow.from === "elsewhere");
  const goes = admits(policies, "Egress", from, to, port);
  const comes = admits(policies, "Ingress", to, from, port);
  const at = `${to.name}:${port.number}/${port.protocol}`;
  if (isMeant) return goes && comes ? [] : [`network: ${from.name} can't reach ${at}`];
  // Each side keeps to it by itself, so that a slip on one lets nobody through.
  const problems = [];
  if (comes && !isPublic && to.namespace === OWN) problems.push(`network: ${at} lets ${from.name} in, for no reason`);
  if (goes && from.namespace === OWN) problems.push(`network: ${from.name} may call ${at}, for no reason`);
  return problems;
}

/** @param {Manifest} policy */
function isDenial({ spec }) {
  const { podSelector, policyTypes = [], ingress = [], egress = [] } = spec;
  const isForAll = Object.keys(podSelector).length === 0;
  return isForAll && policyTypes.length === 2 && ingress.length === 0 && egress.length === 0;
}

/** @param {Manifest[]} manifests @returns {Peer[]} */
function podsOf(manifests) {
  const templates = manifests.flatMap(({ spec }) => (spec?.template?.spec === undefined ? [] : [spec.template]));
  const pods = templates.map(({ metadata: { labels }, spec }) => ({
    name: labels["app.kubernetes.io/name"],
    namespace: OWN,
    labels,
    ports: spec.containers.flatMap((/** @type {any} */ { ports = [] }) =>
      ports.map((/** @type {any} */ port) => ({
        name: port.name,
        number: port.containerPort,
        protocol: port.protocol ?? "TCP",
      })),
    ),
  }));
  return [...new Map(pods.map((pod) => [pod.name, pod])).values()];
}

/**
 * Whether the policies of a pod let this through on its side. A pod that none selects admits all.
 *
 * @param {Manifest[]} policies
 * @param {"Ingress" | "Egress"} direction
 * @param {Peer} pod
 * @param {Peer} other
 * @param {Port} port Of whichever of the two is called.
 */
function admits(policies, direction, pod, other, port) {
  if (pod.namespace !== OWN) return true;
  const own = policies.filter(
    ({ spec }) => selects(spec.podSelector, pod.labels) && (spec.policyTypes ?? ["Ingress"]).includes(direction),
  );
  if (own.length === 0) return true;
  const [rules, peers] = direction === "Ingress" ? ["ingress", "from"] : ["egress", "to"];
  return own
    .flatMap(({ spec }) => spec[rules] ?? [])
    .some(
      (rule) =>
        (rule[peers] === undefined || rule[peers].some((/** @type {any} */ peer) => isPeer(peer, other))) &&
        (rule.ports === undefined || rule.ports.some((/** @type {any} */ allowed) => isPort(allowed, port))),
    );
}

/**
 * @param {any} peer
 * @param {Peer} pod
 */
function isPeer({ ipBlock, namespaceSelector, podSelector }, pod) {
  // Which addresses pods have is not known here: a block may be any.
  if (ipBlock !== undefined) return true;
  const namespace = namespaceSelector
    ? selects(namespaceSelector, { "kubernetes.io/metadata.name": pod.namespace })
    : pod.namespace === OWN;
  return namespace && (podSelector === undefined || selects(podSelector, pod.labels));
}

/**
 * @param {{ port?: string | number, endPort?: number, protocol?: string }} allowed
 * @param {Port} port
 */
function isPort({ port, endPort, protocol = "TCP" }, { name, number, protocol: own }) {
  if (protocol !== own) return false;
  if (port === undefined || typeof port === "string") return port === undefined || port === name;
  return number >= port && number <= (endPort ?? port);
}

/**
 * @param {any} selector
 * @param {Labels} labels
 */
export function selects({ matchLabels = {}, matchExpressions = [] }, labels) {
  const equal = Object.entries(matchLabels).every(([name, value]) => labels[name] === value);
  return (
    equal &&
    matchExpressions.every((/** @type {any} */ { key, operator, values = [] }) => {
      const isThere = key in labels;
      if (operator === "Exists") return isThere;
      if (operator === "DoesNotExist") return !isThere;
      return (isThere && values.includes(labels[key])) === (operator === "In");
    })
  );
}
