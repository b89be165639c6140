// Links the platform packages whose binary was built here to where npm would install them, so that the library finds them
// as it does at a user's. npm takes such links away when it installs or prunes. Run by set-up, the tests and the image.
import { existsSync, mkdirSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { ROOT } from "../run.mjs";

/** Makes the links that are missing. */
export function linkNative() {
  const scope = join(ROOT, "node_modules", "@tollkeeper");
  mkdirSync(scope, { recursive: true });
  for (const platform of readdirSync(join(ROOT, "npm")).filter((folder) => folder !== "service")) {
    const link = join(scope, `native-${platform}`);
    const isBuilt = existsSync(join(ROOT, "npm", platform, `tollkeeper.${platform}.node`));
    if (isBuilt === existsSync(link)) continue;
    rmSync(link, { force: true });
    // Relative, so that it holds where the whole folder is moved.
    if (isBuilt) symlinkSync(join("..", "..", "npm", platform), link, "junction");
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) linkNative();
