// A real Kubernetes control plane on loopback without containers: etcd, the API server, the controllers and the scheduler,
// with kwok in the place of kubelets, which says of every pod that it runs.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stringify } from "yaml";
import { run } from "../run.mjs";
import { freePort, until } from "./scene.mjs";
import { cacheFolder, goModule, goTool, KUBERNETES, KWOK } from "./tools.mjs";

/** By name, the package of each: etcd is the version that this Kubernetes is tested with. Debian's is too old for kwok. */
const PROGRAMS = {
  etcd: "go.etcd.io/etcd/server/v3",
  "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
  "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
  "kube-scheduler": "k8s.io/kubernetes/cmd/kube-scheduler",
  kubectl: "k8s.io/kubernetes/cmd/kubectl",
};
/** Nodes are ready and stay so; pods run as soon as they have a node, those of Jobs end well, and all go when told to. */
const STAGES = [
  "node/fast/node-initialize.yaml",
  "node/heartbeat-with-lease/node-heartbeat-with-lease.yaml",
  "pod/fast/pod-ready.yaml",
  "pod/fast/pod-complete.yaml",
  "pod/fast/pod-delete.yaml",
];
const TOKEN = "only-for-this-test";
const START_PATIENCE_MS = 120_000;

/**
 * Builds Kubernetes' programs, once a version; some minutes.
 *
 * @returns {Promise<string>} Their folder.
 */
async function kubernetesPrograms() {
  const folder = cacheFolder(`kubernetes-${KUBERNETES}`);
  const missing = Object.entries(PROGRAMS).filter(([program]) => !existsSync(join(folder, program)));
  if (missing.length === 0) return folder;
  process.stderr.write(`tools: building Kubernetes ${KUBERNETES} (go build); this takes some minutes, once\n`);
  const source = mkdtempSync(join(tmpdir(), "tkk-"));
  try {
    writeWrapper(source);
    const version = ["component-base/version", "client-go/pkg/version"].map(
      (path) => `-X k8s.io/${path}.gitVersion=v${KUBERNETES}`,
    );
    for (const [program, path] of missing) {
      const build = ["build", "-C", source, "-mod=mod", "-trimpath", `-ldflags=-s -w ${version.join(" ")}`];
      await run("go", [...build, "-o", join(folder, program), path], { output: "stderr", env: { CGO_ENABLED: "0" } });
    }
    return folder;
  } finally {
    rmSync(source, { recursive: true, force: true });
  }
}

/**
 * Kubernetes finds its own modules beside its source, which a download has not; their releases have other numbers.
 *
 * @param {string} folder
 */
function writeWrapper(folder) {
  const module = readFileSync(goModule(`k8s.io/kubernetes@v${KUBERNETES}`).GoMod, "utf8");
  const beside = [...module.matchAll(/^\t(k8s\.io\/[a-z-]+) => \.\/staging/gm)].map(([, name]) => name);
  const own = `v0.${KUBERNETES.split(".").slice(1).join(".")}`;
  const lines = [
    "module cluster",
    ...(module.match(/^(go|godebug) .*$/gm) ?? []),
    `require k8s.io/kubernetes v${KUBERNETES}`,
    ...beside.map((name) => `replace ${name} => ${name} ${own}`),
  ];
  writeFileSync(join(folder, "go.mod"), `${lines.join("\n")}\n`);
  const imports = Object.values(PROGRAMS).map((path) => `import _ "${path}"`);
  writeFileSync(join(folder, "programs.go"), `//go:build programs\n\npackage cluster\n\n${imports.join("\n")}\n`);
  execFileSync("go", ["mod", "tidy", "-e"], { cwd: folder, stdio: "ignore" });
}

/** A running control plane; it ends with `stop()`. */
export class ControlPlane {
  /** @type {import("node:child_process").ChildProcess[]} */
  #children = [];
  #folder = mkdtempSync(join(tmpdir(), "tkc-"));
  #programs = "";
  kubeconfig = join(this.#folder, "kubeconfig");

  /** For those who call kubectl themselves: its folder is first in the path, and this cluster is the current one. */
  get environment() {
    return { ...process.env, PATH: `${this.#programs}:${process.env["PATH"]}`, KUBECONFIG: this.kubeconfig };
  }

  async start() {
    this.#programs = await kubernetesPrograms();
    const kwok = await goTool("kwok");
    const [etcd, peers, port] = [await freePort(), await freePort(), await freePort()];
    const at = (/** @type {number} */ number) => `http://127.0.0.1:${number}`;
    this.#spawn("etcd", [
      `--data-dir=${join(this.#folder, "etcd")}`,
      `--listen-client-urls=${at(etcd)}`,
      `--advertise-client-urls=${at(etcd)}`,
      `--listen-peer-urls=${at(peers)}`,
      `--initial-advertise-peer-urls=${at(peers)}`,
      `--initial-cluster=default=${at(peers)}`,
      "--unsafe-no-fsync",
    ]);
    const accounts = join(this.#folder, "accounts.key");
    execFileSync("openssl", ["genrsa", "-out", accounts, "2048"], { stdio: "ignore" });
    const tokens = join(this.#folder, "tokens.csv");
    writeFileSync(tokens, `${TOKEN},admin,admin,system:masters\n`, { mode: 0o600 });
    const certificates = join(this.#folder, "certificates");
    mkdirSync(certificates);
    this.#spawn("kube-apiserver", [
      `--etcd-servers=${at(etcd)}`,
      "--bind-address=127.0.0.1",
      `--secure-port=${port}`,
      `--cert-dir=${certificates}`,
      `--token-auth-file=${tokens}`,
      "--authorization-mode=RBAC",
      "--service-account-issuer=https://kubernetes.default.svc",
      `--service-account-signing-key-file=${accounts}`,
      `--service-account-key-file=${accounts}`,
      "--service-cluster-ip-range=10.96.0.0/16",
      "--endpoint-reconciler-type=none",
      "--allow-privileged",
    ]);
    const authority = join(certificates, "apiserver.crt");
    writeFileSync(this.kubeconfig, kubeconfig(port, authority), { mode: 0o600 });
    await until(
      "the API server is ready",
      async () => this.kubectl("get", "--raw", "/readyz") === "ok",
      START_PATIENCE_MS,
    );
    const common = [`--kubeconfig=${this.kubeconfig}`, "--leader-elect=false"];
    this.#spawn("kube-controller-manager", [
      ...common,
      `--service-account-private-key-file=${accounts}`,
      `--root-ca-file=${authority}`,
      `--secure-port=${await freePort()}`,
    ]);
    this.#spawn("kube-scheduler", [...common, `--secure-port=${await freePort()}`]);
    this.#spawn(kwok, [
      `--kubeconfig=${this.kubeconfig}`,
      "--manage-all-nodes=true",
      "--node-lease-duration-seconds=40",
      ...STAGES.map((stage) => `--config=${join(goModule(KWOK).Dir, "kustomize/stage", stage)}`),
      "--cidr=10.0.0.0/8",
      "--node-ip=127.0.0.1",
      "--node-port=0",
      "--server-address=",
    ]);
    await until(
      "pods can be made",
      async () => this.kubectl("get", "serviceaccount", "default") !== "",
      START_PATIENCE_MS,
    );
  }

  /**
   * Runs kubectl, and gives what it printed.
   *
   * @param {string[]} args
   */
  kubectl(...args) {
    return execFileSync(join(this.#programs, "kubectl"), args, {
      encoding: "utf8",
      env: this.environment,
      stdio: ["ignore", "pipe", "pipe"],
      maxBuffer: 2 ** 26,
    });
  }

  /**
   * Applies manifests.
   *
   * @param {object[]} manifests
   */
  apply(...manifests) {
    const file = join(this.#folder, "manifests.yaml");
    writeFileSync(file, manifests.map((manifest) => stringify(manifest)).join("---\n"));
    return this.kubectl("apply", "--server-side", "-f", file);
  }

  /** What a program has logged. @param {string} program */
  log(program) {
    return readFileSync(join(this.#folder, `${program}.log`), "utf8");
  }

  async stop() {
    for (const child of this.#children.reverse()) {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill("SIGKILL"); // Nothing of it is kept.
        await once(child, "exit");
      }
    }
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /**
   * @param {string} program
   * @param {string[]} args
   */
  #spawn(program, args) {
    const name = program.split("/").at(-1);
    const log = openSync(join(this.#folder, `${name}.log`), "a");
    const built = join(this.#programs, program);
    const child = spawn(existsSync(built) ? built : program, args, { stdio: ["ignore", log, log] });
    this.#children.push(child);
    const orphan = () => child.kill("SIGKILL");
    process.once("exit", orphan);
    child.once("exit", () => process.off("exit", orphan));
  }
}

/**
 * @param {number} port
 * @param {string} authority
 */
function kubeconfig(port, authority) {
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    clusters: [
      {
        name: "test",
        cluster: {
          server: `https://127.0.0.1:${port}`,
          "certificate-authority": authority,
          "tls-server-name": "kubernetes.default.svc",
        },
      },
    ],
    users: [{ name: "admin", user: { token: TOKEN } }],
    contexts: [{ name: "test", context: { cluster: "test", user: "admin" } }],
    "current-context": "test",
  });
}
