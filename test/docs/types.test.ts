/** What is stripped from the types as internal is missed by nothing that is left, also where no library is skipped. */
import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { ROOT } from "../../scripts/run.mjs";

const { exports } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { exports: object };
const entries = Object.keys(exports).filter((entry) => !entry.endsWith(".json"));

// Apart, since both builds give Fastify's request the same property.
it.each(["mts", "cts"])("the public types need no other than themselves, of a .%s", (kind) => {
  const folder = join(ROOT, "target", `types-${kind}`);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const lines = entries.map(
    (entry, index) => `export type * as e${index} from "${entry.replace(".", "tollkeeper")}";\n`,
  );
  writeFileSync(join(folder, `entries.${kind}`), lines.join(""));
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({
      extends: "../../tsconfig.json",
      include: ["*.mts", "*.cts"],
      compilerOptions: { skipLibCheck: false, paths: {} },
    }),
  );
  const { stdout } = spawnSync(join(ROOT, "node_modules", ".bin", "tsc"), ["-p", folder], { encoding: "utf8" });
  expect(stdout).toBe("");
});
