import { type Command, Option } from "commander";
import type { Scope } from "../management/api-keys.js";
import { keysOfService, SCOPE_NAMES, storedKeys } from "./key-stores.js";
import { createKey, type KeyStore, listKeys, type NewKey, revokeKey } from "./keys.js";
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

/** `tollkeeper keys`: of a running service, or where it keeps them. */
export function addKeys(program: Command, environment: Environment, output: Output): void {
  const keys = program
    .command("keys")
    .summary("make, list and revoke API keys")
    .description("Makes, lists and revokes API keys.")
    .addHelpText(
      "after",
      `
${STORED} The first admin key is made so.${examples(
        "tollkeeper keys create --account ops --tier enterprise --scope admin",
        "tollkeeper keys list --account acme --url https://api.example.com",
        "tollkeeper keys revoke 0123456789abcdef",
      )}`,
    );
  type Options = ServiceOptions & ConfigOptions & CommonOptions;
  const command = (name: string) => withConfig(withUrl(withJson(keys.command(name))));
  const using = async ({ url, config }: Options, use: (keys: KeyStore) => Promise<void>): Promise<void> => {
    if (isAsked(url, environment)) return use(keysOfService(new ServiceClient(url, environment, output)));
    return withStored(configured(environment, config), output, (places) => use(storedKeys(places)));
  };

  command("create")
    .summary("make a key")
    .description("Makes a key of an account and prints it, once. An account has two keys at most that are good.")
    .requiredOption("--account <name>", "whose quota its calls spend")
    .option("--tier <name>", "tier of the account, which makes it; needed if the account is new")
    .addOption(
      new Option("--scope <scopes...>", "what it is good for")
        .choices(SCOPE_NAMES)
        .default(["fingerprint"], "fingerprint"),
    )
    .option("--name <text>", "what it is for, for people")
    .option("--expires <instant>", "from when on it is refused, such as 2027-01-31T00:00:00Z")
    .option("--environment <name>", "shown in the key: 1 to 16 letters a to z", "live")
    .addHelpText(
      "after",
      examples(
        "tollkeeper keys create --account acme --tier free",
        'tollkeeper keys create --account acme --name "CI of the shop" --expires 2027-01-31T00:00:00Z',
      ),
    )
    .action(({ scope, ...options }: Options & Omit<NewKey, "scopes"> & { scope: Scope[] }) => {
      const { account, tier, name, expires, environment: shown, json = false } = options;
      const key = {
        account,
        scopes: scope,
        environment: shown,
        ...(tier === undefined ? {} : { tier }),
        ...(name === undefined ? {} : { name }),
        ...(expires === undefined ? {} : { expires }),
      };
      return using(options, (store) => createKey(store, key, json, output));
    });
  command("list")
    .summary("list keys")
    .description("Lists keys by id; never the keys themselves.")
    .option("--account <name>", "of one account only")
    .addHelpText("after", examples("tollkeeper keys list --json"))
    .action(({ account, json = false, ...options }: Options & { account?: string }) =>
      using(options, (store) => listKeys(store, account, json, output)),
    );
  command("revoke")
    .summary("refuse a key from now on")
    .description("Refuses a key from now on; it can't be taken back.")
    .argument("<id>", "as `keys list` has it")
    .addHelpText("after", examples("tollkeeper keys revoke 0123456789abcdef"))
    .action((id: string, { json = false, ...options }: Options) =>
      using(options, (store) => revokeKey(store, id, json, output)),
    );
}
