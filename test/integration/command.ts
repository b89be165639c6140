import { outputOf } from "../../src/service/cli/output.js";
import { run } from "../../src/service/cli/program.js";

/** Runs a command line in this process, on streams of its own. */
export async function command(args: string[], environment: Record<string, string> = {}, isTTY = false) {
  const written = { stdout: "", stderr: "" };
  const stream = (name: keyof typeof written) =>
    ({
      isTTY,
      write: (text: string) => {
        written[name] += text;
        return true;
      },
    }) as unknown as NodeJS.WriteStream & { fd: 1 & 2 };
  const env = { PORT: "0", RATE_LIMIT_STORAGE: "memory", ...environment };
  const code = await run(args, env, outputOf({ stdout: stream("stdout"), stderr: stream("stderr"), env }));
  return { code, ...written };
}
