import { type Command, InvalidArgumentError, Option } from "commander";
import { EVENT_TYPES } from "../webhooks/event.js";
import { type CommonOptions, type Environment, examples, SERVICE, withJson, withUrl } from "./options.js";
import type { Output } from "./output.js";
import { ServiceClient, type ServiceOptions } from "./service.js";
import {
  createWebhook,
  deleteWebhook,
  listDeliveries,
  listWebhooks,
  redeliver,
  rotateWebhook,
  switchWebhook,
  testWebhook,
} from "./webhooks.js";

/** `tollkeeper webhooks`: where a running service posts what happens. */
export function addWebhooks(program: Command, environment: Environment, output: Output): void {
  const webhooks = program
    .command("webhooks")
    .summary("have events posted, and see what became of them")
    .description("Manages webhooks of a running service. Needs the scope admin.")
    .addHelpText(
      "after",
      examples(
        "tollkeeper webhooks create https://example.com/hooks --events usage.threshold quota.exhausted",
        "tollkeeper webhooks test 0123456789abcdef",
        "tollkeeper webhooks deliveries --state dead",
      ) + SERVICE,
    );
  type Options = ServiceOptions & CommonOptions;
  const service = ({ url }: Options) => new ServiceClient(url, environment, output);
  const told = ({ json = false }: Options) => ({ json, output });
  const command = (name: string, summary: string) => withUrl(withJson(webhooks.command(name))).summary(summary);
  const ofOne = (name: string, summary: string) => command(name, summary).argument("<id>", "as `webhooks list` has it");

  command("list", "list webhooks")
    .description("Lists webhooks; never their secrets.")
    .action((options: Options) => listWebhooks(service(options), told(options)));
  command("create", "have events posted to an address")
    .description("Has events posted to an address, and prints the secret by which they are signed, once.")
    .argument("<address>", "an https:// address of the internet, or one of a network that the service allows")
    .addOption(
      new Option("--events <types...>", "what it is told of").choices(Object.keys(EVENT_TYPES)).makeOptionMandatory(),
    )
    .option("--description <text>", "for people")
    .action((url: string, options: Options & { events: string[]; description?: string }) => {
      const { events, description } = options;
      return createWebhook(service(options), { url, events, description }, told(options));
    });
  ofOne("rotate", "make another secret")
    .description("Makes another secret and prints it, once; for a while deliveries are signed by both.")
    .option("--overlap <hours>", "for how long: 0 to 720 hours", hours, 24)
    .action((id: string, options: Options & { overlap: number }) =>
      rotateWebhook(service(options), id, options.overlap, told(options)),
    );
  ofOne("enable", "post what happens from now on")
    .description("Posts to it what happens from now on.")
    .action((id: string, options: Options) => switchWebhook(service(options), id, true, told(options)));
  ofOne("disable", "post nothing more")
    .description("Posts nothing more to it; what is on its way is given up.")
    .action((id: string, options: Options) => switchWebhook(service(options), id, false, told(options)));
  ofOne("delete", "delete one")
    .description("Deletes a webhook; what is on its way to it is given up.")
    .action((id: string, options: Options) => deleteWebhook(service(options), id, told(options)));
  ofOne("test", "post a test event at once")
    .description("Posts a test event at once; fails if the receiver does not take it.")
    .action((id: string, options: Options) => testWebhook(service(options), id, told(options)));
  command("deliveries", "list what was sent, is on its way or was given up")
    .description("Lists deliveries of the last 35 days.")
    .option("--webhook <id>", "to one webhook only")
    .addOption(new Option("--state <state>", "of one state only").choices(["pending", "delivered", "dead"]))
    .action((options: Options & { webhook?: string; state?: string }) =>
      listDeliveries(service(options), options, told(options)),
    );
  command("redeliver", "send again what was given up")
    .description("Sends again what was given up.")
    .argument("<delivery>", "as `webhooks deliveries` has it")
    .action((id: string, options: Options) => redeliver(service(options), id, told(options)));
}

function hours(text: string): number {
  if (!/^\d+(\.\d+)?$/.test(text) || Number(text) > 720) {
    throw new InvalidArgumentError("It may be a number of hours, 0 to 720.");
  }
  return Number(text);
}
