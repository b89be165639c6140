#!/usr/bin/env node
import { parseArgs } from "node:util";
import { serve } from "./api/serve.js";
import { VERSION } from "./api/version.js";
import { TollkeeperError } from "./errors.js";

/** Ctrl-C under npm arrives twice, from the terminal and from npm; a person who insists takes longer than this, in ms. */
const SAME_SIGNAL_MS = 300;

const HELP = `tollkeeper ${VERSION}

usage: tollkeeper serve     start fingerprint-api; its settings are environment variables, see docs/configuration.md
       tollkeeper --help | --version`;

async function main(args: string[]): Promise<void> {
  const { values, positionals } = parse(args);
  if (values.help) return print(HELP);
  if (values.version) return print(VERSION);
  const [command, ...rest] = positionals;
  if (command !== "serve" || rest.length > 0) {
    throw new UsageError(
      command === undefined ? "a command is missing" : `there is no command ${positionals.join(" ")}`,
    );
  }
  const starting = serve({ environment: process.env, print, logStream: process.stderr });
  stopOnSignals(async () => (await starting).stop());
  await starting;
}

/** Ends the process in order at the first signal, and at once if another comes later. */
function stopOnSignals(stop: () => Promise<void>): void {
  let toldAt: number | undefined;
  const told = (): void => {
    const now = performance.now();
    if (toldAt === undefined) {
      toldAt = now;
      stop()
        .catch(fail)
        .finally(() => process.exit());
    } else if (now - toldAt > SAME_SIGNAL_MS) {
      process.exit(1);
    }
  };
  process.on("SIGINT", told);
  process.on("SIGTERM", told);
}

/** What was typed makes no command. */
class UsageError extends Error {}

function parse(args: string[]) {
  try {
    return parseArgs({
      args,
      allowPositionals: true,
      options: { help: { type: "boolean", short: "h" }, version: { type: "boolean", short: "v" } },
    });
  } catch (cause) {
    throw new UsageError((cause as Error).message, { cause });
  }
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Says why there is no more to do; exit code 2 if it was the command itself. */
function fail(error: unknown): void {
  process.stderr.write(`tollkeeper: ${describe(error)}\n`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}

function describe(error: unknown): string {
  if (error instanceof UsageError) return `${error.message}\n\n${HELP}`;
  if (error instanceof TollkeeperError) return `${error.code}: ${error.message}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

main(process.argv.slice(2)).catch(fail);
