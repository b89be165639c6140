import { spawn } from "node:child_process";
import { constants } from "node:os";
import { fileURLToPath } from "node:url";

/** The folder of the repository. */
export const ROOT = fileURLToPath(new URL("..", import.meta.url));

/**
 * Runs a command in the repository, its output on ours; a stop signal reaches it.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ env?: NodeJS.ProcessEnv, output?: "stdout" | "stderr", tee?: (chunk: Buffer) => void }} [options]
 * `tee` also gets what the command prints to its standard output.
 * @returns {Promise<void>}
 */
export function run(command, args, { env = {}, output = "stdout", tee } = {}) {
  const to = output === "stderr" ? process.stderr : process.stdout;
  const windows = process.platform === "win32";
  const child = spawn(command, args, {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ["ignore", tee ? "pipe" : to, process.stderr],
    shell: windows, // npm and what it installs are .cmd files there
    detached: !windows, // in a group of its own, so that a stop signal reaches what it has started as well
  });
  child.stdout?.on("data", (chunk) => {
    to.write(chunk);
    tee?.(chunk);
  });
  /** @type {NodeJS.Signals | undefined} */
  let stopped;
  /** @param {NodeJS.Signals} signal */
  const stop = (signal) => {
    stopped = signal;
    if (windows || child.pid === undefined) child.kill(signal);
    else process.kill(-child.pid, signal);
  };
  process.once("SIGINT", stop).once("SIGTERM", stop);
  return new Promise((resolve, reject) => {
    child.once("error", (error) => reject(new Error(`${command} can't be run: ${error.message}`)));
    child.once("close", (code, signal) => {
      process.off("SIGINT", stop).off("SIGTERM", stop);
      if (stopped !== undefined) process.exit(128 + constants.signals[stopped]);
      if (code === 0) resolve();
      else reject(new Error(`${command} ${args.join(" ")} failed with ${signal ?? `exit code ${code}`}`));
    });
  });
}

/**
 * Runs a tool that npm installed; see {@link run}.
 *
 * @param {string} tool
 * @param {readonly string[]} args
 * @param {Parameters<typeof run>[2]} [options]
 */
export function runTool(tool, args, options) {
  return run(`${ROOT}node_modules/.bin/${tool}`, args, options);
}

/**
 * Ends the process with a plain message if a script fails, where Node would print a stack.
 *
 * @param {Promise<void>} script
 */
export function orFail(script) {
  return script.catch((error) => {
    console.error(error.message);
    process.exit(1);
  });
}
