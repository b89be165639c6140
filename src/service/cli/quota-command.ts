import type { Command } from "commander";
import { type CommonOptions, type Environment, examples, SERVICE, withJson, withUrl } from "./options.js";
import type { Output } from "./output.js";
import { resetQuota, setTier, showQuota } from "./quota.js";
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
    .description("Forgets what a caller has spent: its next call is its first. Needs the scope admin.")
    .addHelpText("after", examples("tollkeeper quota reset acme"))
    .action((of: string, options: Options) => resetQuota(service(options), of, options.json ?? false, output));
  command("set-tier")
    .argument("<tier>", "one of `tollkeeper tiers`")
    .summary("put an account on a tier")
    .description("Puts an account on a tier, from its next call on. Needs the scope admin.")
    .addHelpText("after", examples("tollkeeper quota set-tier acme pro"))
    .action((of: string, tier: string, options: Options) =>
      setTier(service(options), of, tier, options.json ?? false, output),
    );
}
