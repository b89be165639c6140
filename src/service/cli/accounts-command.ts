import { type Command, InvalidArgumentError, Option } from "commander";
import { ACCOUNT_STATES } from "../management/account.js";
import { accountsOfService, storedAccounts } from "./account-stores.js";
import { type AccountFilter, type AccountStore, printAccount, printAccounts, printDeleted } from "./accounts.js";
import { UsageError } from "./exit.js";
import {
  type CommonOptions,
  type ConfigOptions,
  configured,
  type Environment,
  examples,
  STORED,
  withConfig,
  withJson,
  withUrl,
} from "./options.js";
import type { Output } from "./output.js";
import { isAsked, ServiceClient, type ServiceOptions } from "./service.js";
import { withStored } from "./stored.js";

type Options = ServiceOptions & ConfigOptions & CommonOptions;

/** What may be said of an account; empty text takes away. */
interface FieldOptions {
  plan?: string;
  then?: string;
  at?: string;
  displayName?: string;
  externalId?: string;
  metadata?: string[];
  anchorDay?: number;
}

/** `tollkeeper accounts`: of a running service, or where it keeps them. */
export function addAccounts(program: Command, environment: Environment, output: Output): void {
  const accounts = program
    .command("accounts")
    .summary("list, make, change and end accounts")
    .description("Lists, makes, changes and ends accounts.")
    .addHelpText(
      "after",
      `
${STORED}${examples(
  "tollkeeper accounts list --search acme",
  "tollkeeper accounts create acme --plan pro --then free --at 2027-01-31T00:00:00Z",
  "tollkeeper accounts suspend acme --url https://api.example.com",
)}`,
    );
  const command = (name: string) => withConfig(withUrl(withJson(accounts.command(name))));
  const ofOne = (name: string) => command(name).argument("<account>", "its name");
  const using = <T>({ url, config }: Options, use: (store: AccountStore) => Promise<T>): Promise<T> => {
    if (isAsked(url, environment)) return use(accountsOfService(new ServiceClient(url, environment, output)));
    return withStored(configured(environment, config), output, (places) => use(storedAccounts(places)));
  };
  const shown = async (options: Options, use: Parameters<typeof using<Parameters<typeof printAccount>[0]>>[1]) =>
    printAccount(await using(options, use), options.json ?? false, output);

  command("list")
    .summary("list accounts")
    .description("Lists accounts by name, or what a search finds; archived ones with --state archived only.")
    .option("--plan <tier>", "those on this plan now")
    .addOption(new Option("--state <state>", "those in this state").choices(ACCOUNT_STATES))
    .option("--search <text>", "how a name, a display name or an external id begins")
    .option("--external-id <id>", "the one that has it")
    .addHelpText("after", examples("tollkeeper accounts list --plan pro --state suspended --json"))
    .action(async ({ json = false, plan, state, search, externalId, ...options }: Options & AccountFilter) => {
      const filter = withoutUndefined({ plan, state, search, externalId });
      printAccounts(await using(options, (store) => store.list(filter)), json, output);
    });
  ofOne("show")
    .summary("print an account")
    .description("Prints an account, archived or not.")
    .addHelpText("after", examples("tollkeeper accounts show acme --json"))
    .action((account: string, options: Options) => shown(options, (store) => store.show(account)));
  withFields(ofOne("create").requiredOption("--plan <tier>", "what it is on from now on"))
    .summary("make an account")
    .description("Makes an account.")
    .addHelpText("after", examples('tollkeeper accounts create acme --plan free --display-name "ACME Ltd"'))
    .action((account: string, options: Options & FieldOptions) =>
      shown(options, (store) => store.create({ account, ...fieldsOf(options) })),
    );
  withFields(ofOne("set").option("--plan <tier>", "what it is on from now on; drops what was scheduled"))
    .summary("change an account")
    .description("Changes what is given of an account, from its next call on. Empty text takes away.")
    .addHelpText(
      "after",
      examples(
        "tollkeeper accounts set acme --plan pro --anchor-day 15",
        'tollkeeper accounts set acme --then "" --metadata region=eu note=',
      ),
    )
    .action((account: string, options: Options & FieldOptions) =>
      shown(options, (store) => store.change(account, fieldsOf(options))),
    );
  for (const [action, title, summary] of [
    ["suspend", "Suspends an account", "refuse its calls until it is resumed"],
    ["resume", "Resumes an account", "serve its calls again; keys that were revoked stay so"],
    ["archive", "Ends an account", "revoke its keys and refuse its calls; its name stays taken"],
  ] as const) {
    ofOne(action)
      .summary(summary)
      .description(`${title}: ${summary}.`)
      .addHelpText("after", examples(`tollkeeper accounts ${action} acme`))
      .action((account: string, options: Options) => shown(options, (store) => store.move(account, action)));
  }
  ofOne("delete")
    .summary("delete an archived account")
    .description(
      "Deletes an archived account with its keys. What its limits have counted is forgotten, what was served is kept under its name until its retention ends. The name may then be used again.",
    )
    .option("--force", "also one that is not archived")
    .addHelpText("after", examples("tollkeeper accounts delete acme --force"))
    .action(async (account: string, { force = false, json = false, ...options }: Options & { force?: boolean }) =>
      printDeleted(await using(options, (store) => store.delete(account, force)), json, output),
    );
}

function withFields(command: Command): Command {
  return command
    .option("--then <tier>", "the plan that follows, with --at")
    .option("--at <instant>", "when it does, such as 2027-01-31T00:00:00Z")
    .option("--display-name <text>", "for people")
    .option("--external-id <id>", "under which another system knows it")
    .option("--metadata <entries...>", "name=text; name= takes that one away")
    .option("--anchor-day <day>", "on which its billing period begins, 1 to 31", dayOf);
}

function fieldsOf({ plan, then, at, displayName, externalId, metadata, anchorDay }: FieldOptions): object {
  if ((then === undefined || then === "") !== (at === undefined)) {
    throw new UsageError('--then and --at go together; --then "" takes back what was scheduled');
  }
  return withoutUndefined({
    plan,
    then: then === undefined ? undefined : then === "" ? null : { plan: then, at },
    displayName: displayName === "" ? null : displayName,
    externalId: externalId === "" ? null : externalId,
    metadata: metadata === undefined ? undefined : Object.fromEntries(metadata.map(entryOf)),
    anchorDay,
  });
}

function entryOf(text: string): [name: string, value: string | null] {
  const at = text.indexOf("=");
  if (at < 1) throw new UsageError(`an entry is ${JSON.stringify(text)}; it may be such as region=eu`);
  return [text.slice(0, at), text.slice(at + 1) || null];
}

function dayOf(text: string): number {
  if (!/^\d{1,2}$/.test(text)) throw new InvalidArgumentError("It may be a day, 1 to 31.");
  return Number(text);
}

function withoutUndefined<T extends object>(fields: T): { [Field in keyof T]?: Exclude<T[Field], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}
