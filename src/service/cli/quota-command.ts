import { type Command, InvalidArgumentError } from "commander";
import { type CommonOptions, type Environment, examples, SERVICE, withJson, withUrl } from "./options.js";
import type { Output } from "./output.js";
import { checkQuota, costOf, type GrantFlags, grantTokens, resetQuota, setTier, showQuota } from "./quota.js";
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
        "tollkeeper quota check acme --cost requests=1,tokens=1850",
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
  command("check")
    .summary("print what a call would be told")
    .description("Prints what a call would be told now; spends nothing. Needs the scope quota:read.")
    .option("--cost <cost>", "tokens of every limit, or by name: requests=1,tokens=1850", "1")
    .option("--tier <tier>", "the tier to look by, where the gateway says it and no account is known")
    .addHelpText(
      "after",
      examples("tollkeeper quota check acme --cost 20", "tollkeeper quota check acme --cost minute=1,month=20"),
    )
    .action((of: string, options: Options & { cost: string; tier?: string }) => {
      const { cost, tier, json = false } = options;
      return checkQuota(service(options), of, { cost: costOf(cost), tier, json }, output);
    });
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
