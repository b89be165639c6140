import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { BUILD_VARIABLE } from "./beside.js";

const ROOT = process.env[BUILD_VARIABLE] ?? fileURLToPath(new URL("../../", import.meta.url));

/** A module, public or not, of the build that is measured: this one, or in a child process the one that it was told. */
export function load<Module>(path: `dist/${string}.js`): Promise<Module> {
  return import(pathToFileURL(join(ROOT, path)).href);
}

/** Of the build that is measured. */
export const { createLimiter } = await load<typeof import("tollkeeper")>("dist/esm/index.js");
