import type { FastifyInstance } from "fastify";
import { sendProblem } from "tollkeeper/fastify";
import { z } from "zod";
import { serviceProblem } from "../problem-codes.js";
import { EVENT_TYPES, type Event, type EventType, eventOf } from "../webhooks/event.js";
import { answers, managed, pageOfItems, pageQuery } from "./contract.js";
import type { ManagementOptions } from "./options.js";

const PATH = "/api/v1/webhooks";
const DELIVERIES = "/api/v1/webhook-deliveries";
/** For how many hours deliveries are signed by the secret before as well. */
const OVERLAP_HOURS = { default: 24, most: 720 } as const;

const isoDate = z.string().meta({ format: "date-time" });
const eventType = z.enum(Object.keys(EVENT_TYPES) as [EventType, ...EventType[]]);
const events = z
  .array(eventType)
  .min(1)
  .max(Object.keys(EVENT_TYPES).length)
  .transform((types) => [...new Set(types)])
  .meta({ description: "What it is told of." });
const url = z.string().max(2048).meta({
  description: "Where deliveries are posted: an address of the internet, by TLS, or one of a network that is allowed.",
});
const description = z.string().max(256);
const webhookInfo = z
  .object({
    id: z.string(),
    url: z.string(),
    events: z.array(eventType),
    enabled: z.boolean(),
    disabled_because: z.string().nullable().meta({ description: "Why, if it was not by an administrator." }),
    description: z.string(),
    created: isoDate,
    previous_secret_until: isoDate.nullable().meta({
      description: "Until when deliveries are signed by the secret before as well; null if they are not.",
    }),
  })
  .meta({ id: "Webhook" });
const newWebhook = webhookInfo
  .extend({ secret: z.string().meta({ description: "By which deliveries are signed; shown only now." }) })
  .meta({ id: "NewWebhook" });
const createBody = z.strictObject({ url, events, description: description.default("") });
const changeBody = z.strictObject({ url, events, description, enabled: z.boolean() }).partial();
const rotateBody = z.strictObject({
  overlap_hours: z
    .number()
    .min(0)
    .max(OVERLAP_HOURS.most)
    .default(OVERLAP_HOURS.default)
    .meta({ description: "For how long deliveries are signed by the secret before as well." }),
});
const attempt = z
  .object({
    delivered: z.boolean(),
    outcome: z.string().meta({ description: "The status, or why there was none.", examples: ["200"] }),
  })
  .meta({ id: "WebhookAttempt" });
const delivery = z
  .object({
    id: z.string(),
    event: z.string().meta({ description: "As the receiver is told in `webhook-id`." }),
    type: eventType,
    webhook: z.string(),
    state: z.enum(["pending", "delivered", "dead"]).meta({ description: "dead: given up." }),
    attempts: z.int(),
    outcome: z.string().nullable().meta({ description: "Of the last attempt." }),
    created: isoDate,
    ended: isoDate.nullable(),
    next: isoDate.nullable().meta({ description: "When the next attempt is due." }),
  })
  .meta({ id: "WebhookDelivery" });
const idParams = z.object({ id: z.string().regex(/^[0-9a-f]{16}$/, "an id is 16 hexadecimal digits") });
const deliveryParams = z.object({
  id: z.string().regex(/^evt_[0-9a-f]{32}\.[0-9a-f]{16}$/, "an id is as the list of deliveries has it"),
});
const deliveryQuery = pageQuery.extend({
  webhook: idParams.shape.id.optional(),
  state: delivery.shape.state.optional(),
});

type Id = { Params: z.infer<typeof idParams> };

/** Webhooks, what was sent to them, and what was given up. */
export async function webhookRoutes(app: FastifyInstance, { outgoing }: ManagementOptions): Promise<void> {
  const { webhooks, deliveries, courier } = outgoing;
  const unknown = serviceProblem("webhook_unknown", "There is no webhook of that id.");
  const audited = (route: ReturnType<typeof managed>, audit: string) => ({
    ...route,
    config: { ...route.config, audit },
  });
  const changes = [401, 403, 404, 413, 415, 422, 429, 503] as const;

  const list = managed("admin", {
    operationId: "listWebhooks",
    summary: "Webhooks",
    response: answers(
      200,
      z.object({ items: z.array(webhookInfo) }),
      "All of them; never their secrets.",
      [401, 403, 429, 503],
    ),
  });
  app.get(PATH, list, async () => ({ items: webhooks.list() }));

  const create = managed("admin", {
    operationId: "createWebhook",
    summary: "Have events posted to an address",
    body: createBody,
    response: answers(201, newWebhook, "The webhook, with its secret.", [401, 403, 409, 413, 415, 422, 429, 503]),
  });
  app.post<{ Body: z.infer<typeof createBody> }>(PATH, audited(create, "webhooks.create"), async ({ body }, reply) =>
    reply.code(201).send(await webhooks.create(body)),
  );

  const change = managed("admin", {
    operationId: "changeWebhook",
    summary: "Change a webhook; enabling one sends what happens from then on",
    params: idParams,
    body: changeBody,
    response: answers(200, webhookInfo, "The webhook.", changes),
  });
  app.patch<Id & { Body: z.infer<typeof changeBody> }>(
    `${PATH}/:id`,
    audited(change, "webhooks.change"),
    async ({ params: { id }, body }, reply) => (await webhooks.change(id, body)) ?? sendProblem(reply, unknown),
  );

  const remove = managed("admin", {
    operationId: "deleteWebhook",
    summary: "Delete a webhook; what is on its way to it is given up",
    params: idParams,
    response: answers(200, webhookInfo, "The webhook that is no more.", [401, 403, 404, 429, 503]),
  });
  app.delete<Id>(`${PATH}/:id`, audited(remove, "webhooks.delete"), async ({ params: { id } }, reply) => {
    const webhook = webhooks.get(id);
    if (webhook === undefined || !(await webhooks.delete(id))) return sendProblem(reply, unknown);
    await deliveries.abandon(id, "the webhook was deleted");
    return webhook;
  });

  const rotate = managed("admin", {
    operationId: "rotateWebhookSecret",
    summary: "Make a new secret; for a while deliveries are signed by both",
    params: idParams,
    body: rotateBody,
    response: answers(200, newWebhook, "The webhook, with its new secret.", changes),
  });
  app.post<Id & { Body: z.infer<typeof rotateBody> }>(
    `${PATH}/:id/rotate`,
    audited(rotate, "webhooks.rotate"),
    async ({ params: { id }, body }, reply) =>
      (await webhooks.rotate(id, body.overlap_hours * 3_600_000)) ?? sendProblem(reply, unknown),
  );

  const test = managed("admin", {
    operationId: "testWebhook",
    summary: "Post a test event at once, and say what became of it",
    params: idParams,
    response: answers(200, attempt, "What became of it.", [401, 403, 404, 429, 503]),
  });
  app.post<Id>(`${PATH}/:id/test`, audited(test, "webhooks.test"), async (request, reply) => {
    const { id } = request.params;
    const event: Event = eventOf("webhook.test", [id, request.id], Date.now(), { webhook: id });
    const told = await courier.test(id, event);
    return told === undefined ? sendProblem(reply, unknown) : { delivered: told.isDelivered, outcome: told.outcome };
  });

  const listDeliveries = managed("admin", {
    operationId: "listWebhookDeliveries",
    summary: "What was sent, is on its way, or was given up; kept for 35 days",
    querystring: deliveryQuery,
    response: answers(200, pageOfItems(delivery), "Deliveries by id.", [401, 403, 429, 503]),
  });
  app.get<{ Querystring: z.infer<typeof deliveryQuery> }>(
    DELIVERIES,
    listDeliveries,
    async ({ query: { limit, after, webhook, state } }) => {
      const found = deliveries.page(
        limit + 1,
        after,
        (one) => (webhook === undefined || one.webhook === webhook) && (state === undefined || one.state === state),
      );
      const items = found.slice(0, limit);
      return { items, next: found.length > limit ? (items.at(-1)?.id ?? null) : null };
    },
  );

  const redeliver = managed("admin", {
    operationId: "redeliverWebhook",
    summary: "Send again what was given up",
    params: deliveryParams,
    response: answers(200, delivery, "The delivery, on its way.", [401, 403, 404, 409, 429, 503]),
  });
  app.post<{ Params: z.infer<typeof deliveryParams> }>(
    `${DELIVERIES}/:id/redeliver`,
    audited(redeliver, "webhooks.redeliver"),
    async ({ params: { id } }, reply) => {
      const present = deliveries.get(id);
      if (present === undefined) {
        return sendProblem(reply, serviceProblem("delivery_unknown", "There is no delivery of that id."));
      }
      if (!(await deliveries.redeliver(id))) {
        const detail = `It is ${present.state}; only what was given up is sent again.`;
        return sendProblem(reply, serviceProblem("delivery_not_dead", detail));
      }
      void courier.look();
      return deliveries.get(id);
    },
  );
}
