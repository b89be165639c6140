// Joins what decides from leases into one module, as the library's own ESM build is, so that a benchmark of the two compares
// decisions and not kinds of modules. It is no entry of the package: a limiter over a store of one's own is not public.
import { existsSync } from "node:fs";
import { join } from "node:path";

/** Where it is, from the root of a build, and what it is made of in src/. */
export const JOINED = "dist/bench/leases.js";
export const MODULES = ["shared/shared-limiter", "shared/runtime", "engine/native-leases"];
const ENTRY = "\0leases";

/**
 * @param {string} root Of the build that is measured.
 */
export async function joinLeases(root) {
  const { rolldown } = await import("rolldown"); // Not before set-up has installed it.
  const bundle = await rolldown({
    input: ENTRY,
    external: /^[^./\0]/,
    platform: "node",
    resolve: { extensionAlias: { ".js": [".ts"] } },
    plugins: [
      {
        name: "leases",
        resolveId: (/** @type {string} */ id) => (id === ENTRY ? id : undefined),
        load: (/** @type {string} */ id) => (id === ENTRY ? entryOf(root) : undefined),
      },
    ],
  });
  await bundle.write({ file: join(root, JOINED) });
}

/** @param {string} root */
function entryOf(root) {
  // A build from before leases were kept in Rust, which may stand beside this one, lacks the last.
  const modules = MODULES.map((name) => join(root, "src", `${name}.ts`)).filter((path) => existsSync(path));
  return modules.map((path) => `export * from ${JSON.stringify(path)};`).join("\n");
}
