import { type Command, InvalidArgumentError } from "commander";
import { type CommonOptions, type Environment, examples, SERVICE, withJson, withUrl } from "./options.js";
import type { Output } from "./output.js";
import { type GrantFlags, grantTokens, resetQuota, setTier, showQuota } from "./quota.js";
import { ServiceClient, type ServiceOptions } from "./service.js";

/** `tollkeeper quota`: what callers have left, of a running service. */
export function addQuota(program: Command, environment: Environment, output: Output): void {
  const quota = program
    .command("quota")
    .summary("show and change what a caller has left")
    .description("Shows and changes what a caller has left, at a running service.")
    .addHelpText(
      "after",
      `
A subject is an account (acme, or acct:acme) or an address (ip:203.0.113.7).${examples(
        "tollkeeper quota show acme",
        "tollkeeper quota grant acme 10000 --keep",
        "tollkeeper quota reset ip:203.0.113.7",
        "tollkeeper quota set-tier acme pro",
      )}${SERVICE}`,
    );
  type Options = ServiceOptions & CommonOptions;
  const service = ({ url }: Options) => new ServiceClient(url, environment, output);
  const command = (name: string) =>
    withUrl(withJson(quota.command(name))).argument("<subject>", "an account or an address");

  command("show")
    .summary("print what is left")
    .description("Prints what a caller has left of each limit; spends nothing. Needs the scope quota:read.")
    .addHelpText("after", examples("tollkeeper quota show acme --json"))
    .action((of: string, options: Options) => showQuota(service(options), of, options.json ?? false, output));
  command("reset")
    .summary("begin anew")
    .description("Forgets what a caller has spent and was granted: its next call is its first. Needs the scope admin.")
    .addHelpText("after", examples("tollkeeper quota reset acme"))
    .action((of: string, options: Options) => resetQuota(service(options), of, options.json ?? false, output));
  command("grant")
    .argument("<tokens>", "above 0, with at most three decimals", amountOf)
    .option("--limit <name>", "of which quota; needed if the tier has several")
    .option("--keep", "have what is left of them outlast the period")
    .summary("give tokens of a quota")
    .description(
      "Gives a caller tokens of a quota: what it has used goes down, below nothing if need be. Needs the scope admin.",
    )
    .addHelpText("after", examples("tollkeeper quota grant acme 10000 --limit month --keep"))
    .action((of: string, tokens: number, options: Options & GrantFlags) =>
      grantTokens(service(options), of, tokens, options, options.json ?? false, output),
    );
  command("set-tier")
    .argument("<tier>", "one of `tollkeeper tiers`")
    .summary("put an account on a tier")
    .description("Puts an account on a tier, from its next call on. Needs the scope admin.")
    .addHelpText("after", examples("tollkeeper quota set-tier acme pro"))
    .action((of: string, tier: string, options: Options) =>
      setTier(service(options), of, tier, options.json ?? false, output),
    );
}

function amountOf(text: string): number {
  if (!/^\d+(\.\d{1,3})?$/.test(text))
    throw new InvalidArgumentError("It may be a number with at most three decimals.");
  return Number(text);
}
