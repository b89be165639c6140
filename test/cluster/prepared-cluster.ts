import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { ControlPlane } from "../../scripts/operations/control-plane.mjs";
import { goModule, OPERATOR } from "../../scripts/operations/tools.mjs";

const ZONES = ["a", "b", "c"];
const VOLUMES = 12;
const CRDS = ["servicemonitors", "prometheusrules", "probes"];

/** What a run of deploy.sh came to. */
export interface Run {
  code: number | null;
  /** Both outputs. */
  output: string;
}

/** A control plane with three nodes, volumes that wait for claims, and the Prometheus operator's kinds. */
export async function startPreparedCluster(): Promise<ControlPlane> {
  const cluster = new ControlPlane();
  try {
    await cluster.start();
    cluster.apply(...ZONES.map(node), storageClass, ...Array.from({ length: VOLUMES }, (_, index) => volume(index)));
    cluster.kubectl("wait", "--for=condition=Ready", "node", "--all", "--timeout=60s");
    const crds = join(goModule(OPERATOR).Dir, "example/prometheus-operator-crd");
    for (const crd of CRDS) {
      cluster.kubectl("apply", "--server-side", "-f", join(crds, `monitoring.coreos.com_${crd}.yaml`));
    }
    return cluster;
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

/**
 * Runs a copy's deploy.sh against the cluster.
 *
 * @param interruptAt Once it has printed this, it and what it has started are interrupted, as ^C does.
 */
export async function deploy(
  cluster: ControlPlane,
  root: string,
  args: string[],
  proxyUrl: string,
  interruptAt?: string,
): Promise<Run> {
  const child = spawn(join(root, "k8s/deploy.sh"), args, {
    env: { ...cluster.environment, PROXY_URL: proxyUrl },
    detached: interruptAt !== undefined,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  let interrupted = false;
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (interruptAt !== undefined && output.includes(interruptAt) && child.pid !== undefined && !interrupted) {
        interrupted = process.kill(-child.pid, "SIGINT");
      }
    });
  }
  const [code] = (await once(child, "close")) as [number | null];
  return { code, output };
}

function node(zone: string): object {
  const resources = { cpu: "32", memory: "128Gi", "ephemeral-storage": "200Gi", pods: "110" };
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: `node-${zone}`,
      labels: {
        "kubernetes.io/hostname": `node-${zone}`,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/zone": `zone-${zone}`,
      },
    },
    status: { allocatable: resources, capacity: resources },
  };
}

const storageClass = {
  apiVersion: "storage.k8s.io/v1",
  kind: "StorageClass",
  metadata: { name: "prepared", annotations: { "storageclass.kubernetes.io/is-default-class": "true" } },
  provisioner: "kubernetes.io/no-provisioner",
};

function volume(index: number): object {
  return {
    apiVersion: "v1",
    kind: "PersistentVolume",
    metadata: { name: `prepared-${index}` },
    spec: {
      storageClassName: "prepared",
      accessModes: ["ReadWriteOnce"],
      capacity: { storage: "20Gi" },
      hostPath: { path: `/prepared/${index}` },
    },
  };
}
