import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import type { Scope } from "../api/keys.js";
import { VERSION } from "../api/version.js";
import { bench } from "./bench.js";
import { checkConfig } from "./check-config.js";
import { EXIT, UsageError } from "./exit.js";
import { keysOfService, SCOPE_NAMES, withStoredKeys } from "./key-stores.js";
import { createKey, type KeyStore, listKeys, type NewKey, revokeKey } from "./keys.js";
import { describe, type Output } from "./output.js";
import { resetQuota, setTier, showQuota } from "./quota.js";
import { serveUntilStopped } from "./serve.js";
import { ServiceClient, type ServiceOptions } from "./service.js";
import { listTiers } from "./tiers.js";

type Environment = NodeJS.ProcessEnv;

/** Options that every command with a result has. */
interface CommonOptions {
  json?: boolean;
}

interface ConfigOptions {
  config?: string;
}

const EXIT_CODES = `
Exit codes: ${EXIT.ok} done, ${EXIT.failure} failed, ${EXIT.usage} not understood. Results go to the standard output, all else to the standard error.
No command asks questions.`;

const SERVICE = `
The service is at --url, or TOLLKEEPER_URL, or HOST and PORT. TOLLKEEPER_API_KEY holds a key that may do it; a key is
never an argument, which everybody on the machine could read.`;

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
  addQuota(program, environment, output);

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

function addKeys(program: Command, environment: Environment, output: Output): void {
  const keys = program
    .command("keys")
    .summary("make, list and revoke API keys")
    .description("Makes, lists and revokes API keys.")
    .addHelpText(
      "after",
      `
With --url, TOLLKEEPER_URL or TOLLKEEPER_API_KEY a running service is asked, with a key of the scope admin. Without any of
them the keys are changed where the configuration says that they are kept: in Redis, or in the storage file of a service
that is stopped. The first admin key is made so.${examples(
        "tollkeeper keys create --account ops --tier enterprise --scope admin",
        "tollkeeper keys list --account acme --url https://api.example.com",
        "tollkeeper keys revoke 0123456789abcdef",
      )}`,
    );
  type Options = ServiceOptions & ConfigOptions & CommonOptions;
  const using = async ({ url, config }: Options, use: (keys: KeyStore) => Promise<void>): Promise<void> => {
    const isAsked = [url, environment["TOLLKEEPER_URL"], environment["TOLLKEEPER_API_KEY"]].some((value) => value);
    if (isAsked) return use(keysOfService(new ServiceClient(url, environment, output)));
    return withStoredKeys(configured(environment, config), output, use);
  };

  withConfig(withUrl(withJson(keys.command("create"))))
    .summary("make a key")
    .description("Makes a key of an account and prints it, once. An account has two keys at most that are good.")
    .requiredOption("--account <name>", "whose quota its calls spend")
    .option("--tier <name>", "put the account on a tier; needed if the account is new")
    .addOption(
      new Option("--scope <scopes...>", "what it is good for")
        .choices(SCOPE_NAMES)
        .default(["fingerprint"], "fingerprint"),
    )
    .option("--environment <name>", "shown in the key: 1 to 16 letters a to z", "live")
    .addHelpText("after", examples("tollkeeper keys create --account acme --tier free"))
    .action(({ scope, ...options }: Options & Omit<NewKey, "scopes"> & { scope: Scope[] }) => {
      const { account, tier, environment: shown, json = false } = options;
      const key = { account, scopes: scope, environment: shown, ...(tier === undefined ? {} : { tier }) };
      return using(options, (store) => createKey(store, key, json, output));
    });
  withConfig(withUrl(withJson(keys.command("list"))))
    .summary("list keys")
    .description("Lists keys by id; never the keys themselves.")
    .option("--account <name>", "of one account only")
    .addHelpText("after", examples("tollkeeper keys list --json"))
    .action(({ account, json = false, ...options }: Options & { account?: string }) =>
      using(options, (store) => listKeys(store, account, json, output)),
    );
  withConfig(withUrl(withJson(keys.command("revoke"))))
    .summary("refuse a key from now on")
    .description("Refuses a key from now on; it can't be taken back.")
    .argument("<id>", "as `keys list` has it")
    .addHelpText("after", examples("tollkeeper keys revoke 0123456789abcdef"))
    .action((id: string, { json = false, ...options }: Options) =>
      using(options, (store) => revokeKey(store, id, json, output)),
    );
}

function addQuota(program: Command, environment: Environment, output: Output): void {
  const quota = program
    .command("quota")
    .summary("show and change what a caller has left")
    .description("Shows and changes what a caller has left, at a running service.")
    .addHelpText(
      "after",
      `
A subject is an account (acme, or acct:acme) or an address (ip:203.0.113.7).${examples(
        "tollkeeper quota show acme",
        "tollkeeper quota reset ip:203.0.113.7",
        "tollkeeper quota set-tier acme pro",
      )}${SERVICE}`,
    );
  type Options = ServiceOptions & CommonOptions;
  const service = ({ url }: Options) => new ServiceClient(url, environment, output);
  const subject = (command: Command) => withUrl(withJson(command)).argument("<subject>", "an account or an address");

  subject(quota.command("show"))
    .summary("print what is left")
    .description("Prints what a caller has left of each limit; spends nothing. Needs the scope quota:read.")
    .addHelpText("after", examples("tollkeeper quota show acme --json"))
    .action((of: string, options: Options) => showQuota(service(options), of, options.json ?? false, output));
  subject(quota.command("reset"))
    .summary("begin anew")
    .description("Forgets what a caller has spent: its next call is its first. Needs the scope admin.")
    .addHelpText("after", examples("tollkeeper quota reset acme"))
    .action((of: string, options: Options) => resetQuota(service(options), of, options.json ?? false, output));
  subject(quota.command("set-tier"))
    .argument("<tier>", "one of `tollkeeper tiers`")
    .summary("put an account on a tier")
    .description("Puts an account on a tier, from its next call on. Needs the scope admin.")
    .addHelpText("after", examples("tollkeeper quota set-tier acme pro"))
    .action((of: string, tier: string, options: Options) =>
      setTier(service(options), of, tier, options.json ?? false, output),
    );
}

function withJson(command: Command): Command {
  return command.option("--json", "print the result, or the error, as JSON");
}

function withUrl(command: Command): Command {
  return command.option("--url <address>", "where the service is");
}

function withConfig(command: Command): Command {
  return command.option("--config <file>", "the configuration file; RATE_LIMIT_CONFIG if not given");
}

/** The environment, with a file that was given as an argument. */
function configured(environment: Environment, config: string | undefined): Environment {
  return config === undefined ? environment : { ...environment, RATE_LIMIT_CONFIG: config };
}

function examples(...lines: string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join("\n")}\n`;
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
