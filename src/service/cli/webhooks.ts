import type { Delivery } from "../webhooks/deliveries.js";
import type { NewWebhook, Webhook } from "../webhooks/webhooks.js";
import { CommandError } from "./exit.js";
import { columns, type Output } from "./output.js";
import type { ServiceClient } from "./service.js";

const PATH = "/api/v1/webhooks";
const DELIVERIES = "/api/v1/webhook-deliveries";
/** How long, in ms, a test may take: its receiver has 15 s to answer the service. */
const TEST_MS = 20_000;

/** Where a result goes, and as what. */
interface Told {
  json: boolean;
  output: Output;
}

export async function listWebhooks(service: ServiceClient, { json, output }: Told): Promise<void> {
  const { items } = await service.call<{ items: Webhook[] }>("GET", PATH);
  if (json) return output.print(JSON.stringify(items, undefined, 2));
  const rows = items.map(({ id, enabled, events, url }) => [id, enabled ? "yes" : "no", events.join(","), url]);
  for (const line of columns([["ID", "ENABLED", "EVENTS", "URL"], ...rows])) output.print(line);
}

/** The secret alone goes to the first stream, so that it can be piped. */
export async function createWebhook(
  service: ServiceClient,
  webhook: { url: string; events: string[]; description?: string | undefined },
  { json, output }: Told,
): Promise<void> {
  tellSecret(await service.call<NewWebhook>("POST", PATH, webhook), { json, output });
}

/** As {@link createWebhook} tells it. */
export async function rotateWebhook(service: ServiceClient, id: string, hours: number, told: Told): Promise<void> {
  tellSecret(await service.call<NewWebhook>("POST", `${of(id)}/rotate`, { overlap_hours: hours }), told);
}

function tellSecret(made: NewWebhook, { json, output }: Told): void {
  if (json) {
    output.print(JSON.stringify(made, undefined, 2));
    return;
  }
  const until =
    made.previous_secret_until === null ? "" : `; the one before is good until ${made.previous_secret_until}`;
  output.note(`webhook ${made.id} to ${made.url}; its secret, shown only now${until}:`);
  output.print(made.secret);
}

export async function switchWebhook(service: ServiceClient, id: string, enabled: boolean, told: Told): Promise<void> {
  const webhook = await service.call<Webhook>("PATCH", of(id), { enabled });
  const { json, output } = told;
  output.print(json ? JSON.stringify(webhook, undefined, 2) : `${enabled ? "enabled" : "disabled"} ${webhook.id}`);
}

export async function deleteWebhook(service: ServiceClient, id: string, { json, output }: Told): Promise<void> {
  const webhook = await service.call<Webhook>("DELETE", of(id));
  output.print(json ? JSON.stringify(webhook, undefined, 2) : `deleted ${webhook.id} to ${webhook.url}`);
}

/** @throws {CommandError} if the receiver did not take it. */
export async function testWebhook(service: ServiceClient, id: string, { json, output }: Told): Promise<void> {
  const told = await service.call<{ delivered: boolean; outcome: string }>(
    "POST",
    `${of(id)}/test`,
    undefined,
    TEST_MS,
  );
  if (!told.delivered) throw new CommandError("not_delivered", `the receiver did not take it: ${told.outcome}`);
  output.print(json ? JSON.stringify(told, undefined, 2) : `delivered: ${told.outcome}`);
}

export async function listDeliveries(
  service: ServiceClient,
  { webhook, state }: { webhook?: string; state?: string },
  { json, output }: Told,
): Promise<void> {
  const query = new URLSearchParams({ ...(webhook && { webhook }), ...(state && { state }), limit: "100" });
  const items = await service.all<Delivery>(DELIVERIES, query.toString());
  if (json) return output.print(JSON.stringify(items, undefined, 2));
  const rows = items.map(({ id, type, state, attempts, outcome, next }) => {
    return [id, type, state, String(attempts), outcome ?? "-", next ?? "-"];
  });
  for (const line of columns([["ID", "TYPE", "STATE", "ATTEMPTS", "OUTCOME", "NEXT"], ...rows])) output.print(line);
}

export async function redeliver(service: ServiceClient, id: string, { json, output }: Told): Promise<void> {
  const delivery = await service.call<Delivery>("POST", `${DELIVERIES}/${encodeURIComponent(id)}/redeliver`);
  output.print(json ? JSON.stringify(delivery, undefined, 2) : `${delivery.id} is sent again`);
}

function of(id: string): string {
  return `${PATH}/${encodeURIComponent(id)}`;
}
