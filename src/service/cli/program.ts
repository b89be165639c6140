import { Command, CommanderError, InvalidArgumentError } from "commander";
import { VERSION } from "../version.js";
import { addAccounts } from "./accounts-command.js";
import { bench } from "./bench.js";
import { checkConfig } from "./check-config.js";
import { EXIT, UsageError } from "./exit.js";
import { addKeys } from "./keys-command.js";
import {
  type CommonOptions,
  type ConfigOptions,
  configured,
  type Environment,
  examples,
  SERVICE,
  withConfig,
  withJson,
  withUrl,
} from "./options.js";
import { describe, type Output } from "./output.js";
import { addQuota } from "./quota-command.js";
import { serveUntilStopped } from "./serve.js";
import { ServiceClient, type ServiceOptions } from "./service.js";
import { listTiers } from "./tiers.js";
import { addUsage } from "./usage-command.js";
import { addWebhooks } from "./webhooks-command.js";

const EXIT_CODES = `
Exit codes: ${EXIT.ok} done, ${EXIT.failure} failed, ${EXIT.usage} not understood. Results go to the standard output, all else to the standard error.
No command asks questions.`;

/**
 * Runs a command line.
 *
 * @param args As typed, without the program.
 * @returns The exit code, where the command has ended; `serve` goes on.
 */
export async function run(args: readonly string[], environment: Environment, output: Output): Promise<number> {
  const json = args.includes("--json");
  const fail = (error: unknown): number => {
    const code = error instanceof UsageError ? EXIT.usage : EXIT.failure;
    output.note(json ? JSON.stringify({ error: asJson(error) }) : `tollkeeper: ${describe(error)}`);
    return code;
  };
  try {
    await programOf(environment, output, (error) => {
      process.exitCode = fail(error);
    }).parseAsync(args, { from: "user" });
    return EXIT.ok;
  } catch (error) {
    // Commander has said what is wrong by then.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    return fail(error);
  }
}

function asJson(error: unknown): { code: string; message: string } {
  const { code, message } = error as { code?: unknown; message?: unknown };
  return {
    code: error instanceof UsageError ? "usage" : typeof code === "string" ? code : "unexpected",
    message: String(message ?? error),
  };
}

function programOf(environment: Environment, output: Output, failLater: (error: unknown) => void): Command {
  const program = new Command("tollkeeper")
    .description("Serves fingerprint-api and looks after it.")
    .version(VERSION, "-v, --version", "print the version")
    .helpOption("-h, --help", "say what a command does")
    .exitOverride()
    .showHelpAfterError()
    .configureOutput({
      writeOut: (text) => output.print(text.trimEnd()),
      writeErr: (text) => output.note(text.trimEnd()),
    })
    .addHelpText("after", EXIT_CODES);

  withConfig(program.command("serve"))
    .summary("start fingerprint-api")
    .description(
      "Starts fingerprint-api. Its settings are environment variables over a file; docs/configuration.md has them.",
    )
    .addHelpText("after", examples("tollkeeper serve", "tollkeeper serve --config tollkeeper.yaml"))
    .action(({ config }: ConfigOptions) => serveUntilStopped(configured(environment, config), output, failLater));

  withConfig(withJson(program.command("check-config")))
    .summary("print the effective configuration")
    .description(
      "Checks the configuration and prints every value with the place that it comes from; secrets are masked.",
    )
    .addHelpText(
      "after",
      examples("tollkeeper check-config --config tollkeeper.yaml", "tollkeeper check-config --json"),
    )
    .action(({ config, json = false }: ConfigOptions & CommonOptions) =>
      checkConfig(configured(environment, config), json, output),
    );

  addKeys(program, environment, output);
  addAccounts(program, environment, output);
  addQuota(program, environment, output);
  addUsage(program, environment, output);
  addWebhooks(program, environment, output);

  withUrl(withJson(program.command("tiers")))
    .summary("print the tiers in force")
    .description("Prints the tiers that a running service has in force. Needs the scope quota:read.")
    .addHelpText(
      "after",
      examples("tollkeeper tiers", "tollkeeper tiers --url https://api.example.com --json") + SERVICE,
    )
    .action(({ url, json = false }: ServiceOptions & CommonOptions) =>
      listTiers(new ServiceClient(url, environment, output), json, output),
    );

  withJson(program.command("bench"))
    .summary("measure the engines on this machine")
    .description("Measures what a decision costs here, of the native engine and of the one in JavaScript.")
    .option("--keys <counts>", "keys held, several separated by commas", counts, [100, 10_000])
    .option("--rounds <count>", "rounds, of which the median counts", count, 15)
    .addHelpText("after", examples("tollkeeper bench", "tollkeeper bench --keys 1000000 --json"))
    .action(({ json = false, ...options }: CommonOptions & { keys: number[]; rounds: number }) =>
      bench(options, json, output),
    );
  return program;
}

function count(text: string): number {
  const value = Number(text);
  if (!(Number.isInteger(value) && value >= 1 && value <= 10_000_000)) {
    throw new InvalidArgumentError("It may be a whole number, 1 to 10000000.");
  }
  return value;
}

function counts(text: string): number[] {
  return text.split(",").map(count);
}
