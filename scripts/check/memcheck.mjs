// Runs the native module in Node under valgrind and fails on errors with a frame of the module. `node scripts/check/memcheck.mjs`
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { orFail, ROOT, run } from "../run.mjs";

const MODULE = /tollkeeper\.[\w-]+\.node$/;

const KNOWN = join(ROOT, "scripts", "check", "memcheck.supp");
const PROGRAM = join(ROOT, "scripts", "check", "memcheck-program.mjs");

export async function memcheck() {
  if (spawnSync("valgrind", ["--version"], { stdio: "ignore" }).status !== 0) {
    throw new Error("valgrind is not installed");
  }
  const folder = mkdtempSync(join(tmpdir(), "tollkeeper-memcheck-"));
  const xml = join(folder, "errors.xml");
  try {
    // Node's own: it reads past ends on purpose where it can't hurt, and never frees what ends with it.
    const valgrind = ["--xml=yes", `--xml-file=${xml}`, "--child-silent-after-fork=yes", "--smc-check=all-non-file"];
    const tool = ["--leak-check=full", "--show-leak-kinds=definite", "--num-callers=40", "--error-limit=no"];
    tool.push(`--suppressions=${KNOWN}`);
    const node = [process.execPath, "--jitless", "--expose-gc", PROGRAM];
    await run("valgrind", [...valgrind, ...tool, ...node, join(folder, "limits.redb")], {
      env: { GLIBC_TUNABLES: "glibc.pthread.rseq=0" },
    });
    report(readFileSync(xml, "utf8"));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** @param {string} xml */
function report(xml) {
  const errors = [...xml.matchAll(/<error>[\s\S]*?<\/error>/g)].map(([error]) => error);
  const ours = errors.filter((error) => tags(error, "obj").some((object) => MODULE.test(object)));
  console.log(`memcheck: ${errors.length} errors in all, ${ours.length} with a frame of the native module`);
  for (const error of ours) {
    const frames = [...error.matchAll(/<frame>[\s\S]*?<\/frame>/g)].map(
      ([frame]) => `    ${tags(frame, "fn")[0] ?? "?"} (${tags(frame, "obj")[0] ?? "?"})`,
    );
    console.log([tags(error, "kind")[0], ...tags(error, "what"), ...tags(error, "text"), ...frames].join("\n"));
  }
  if (ours.length > 0) throw new Error("valgrind found errors in the native module");
}

/**
 * @param {string} xml
 * @param {string} tag
 */
function tags(xml, tag) {
  return [...xml.matchAll(new RegExp(`<${tag}>([^<]*)</${tag}>`, "g"))].map(([, text]) => String(text));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await orFail(memcheck());
