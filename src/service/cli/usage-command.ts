import { type Command, Option } from "commander";
import { type CommonOptions, type Environment, examples, SERVICE, withJson, withUrl } from "./options.js";
import type { Output } from "./output.js";
import { ServiceClient, type ServiceOptions } from "./service.js";
import { exportUsage, type Format, showUsage, type TopFlags, topUsage, type UsageFlags } from "./usage.js";

/** `tollkeeper usage`: what a running service has served. */
export function addUsage(program: Command, environment: Environment, output: Output): void {
  const usage = program
    .command("usage")
    .summary("print and export what was served")
    .description("Prints and exports what a running service has served. Needs the scope usage:read.")
    .addHelpText(
      "after",
      `
Times are dates, or whole hours of UTC such as 2026-11-01T06:00Z; this month by default.${examples(
        "tollkeeper usage show acme --by month",
        "tollkeeper usage top --meter compare --size 20",
        "tollkeeper usage export --from 2026-11-01 --to 2026-12-01 --format ndjson",
      )}${SERVICE}`,
    );
  type Options = ServiceOptions & CommonOptions;
  const service = ({ url }: ServiceOptions) => new ServiceClient(url, environment, output);
  const ranged = (command: Command) =>
    withUrl(command).option("--from <time>", "the first hour").option("--to <time>", "the hour after the last");
  const divided = (command: Command) =>
    ranged(command)
      .addOption(new Option("--by <period>", "how long a row is").choices(["hour", "day", "month"]).default("day"))
      .option("--anchor-day <day>", "the day on which months begin; by default the account's own, or 1");

  divided(withJson(usage.command("show").argument("[account]", "one account; all together if left out")))
    .option("--group <names>", "what rows tell apart: meter, plan, of all also account, with commas", "meter")
    .summary("print what was served")
    .description("Prints what was served, of an account or of all.")
    .addHelpText("after", examples("tollkeeper usage show acme --by hour --from 2026-11-10 --to 2026-11-11"))
    .action((account: string | undefined, options: Options & UsageFlags) =>
      showUsage(service(options), account, options, options.json ?? false, output),
    );
  ranged(withJson(usage.command("top")))
    .option("--meter <name>", "of one meter; of all together if left out")
    .addOption(new Option("--by <amount>", "by what they are the largest").choices(["units", "calls"]).default("units"))
    .option("--size <count>", "how many", "10")
    .summary("print the largest accounts")
    .description("Prints the accounts that have used most.")
    .addHelpText("after", examples("tollkeeper usage top --by calls --json"))
    .action((options: Options & TopFlags) => topUsage(service(options), options, options.json ?? false, output));
  divided(usage.command("export"))
    .option("--account <name>", "one account; each of all if left out")
    .addOption(new Option("--format <format>", "how rows are written").choices(["csv", "ndjson"]).default("csv"))
    .summary("write every row, for other programs")
    .description("Writes a row for each account, meter, plan and period.")
    .addHelpText("after", examples("tollkeeper usage export --by hour > usage.csv"))
    .action((options: ServiceOptions & UsageFlags & { account?: string; format: Format }) =>
      exportUsage(service(options), options.account, options, options.format, output),
    );
}
