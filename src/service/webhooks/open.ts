import { randomUUID } from "node:crypto";
import type { FastifyBaseLogger } from "fastify";
import type { Registry } from "prom-client";
import type { RecordStore } from "tollkeeper";
import { Courier } from "./courier.js";
import { Deliveries } from "./deliveries.js";
import { registerWebhookMetrics } from "./metrics.js";
import { Receivers } from "./receiver.js";
import { Webhooks } from "./webhooks.js";

/** What sends events, and what is to be managed of it. */
export interface OpenedWebhooks {
  webhooks: Webhooks;
  deliveries: Deliveries;
  courier: Courier;
}

/** Where webhooks are kept, where they may go, and who is told. */
export interface OpenOptions {
  records: RecordStore;
  /** Networks of one's own that they may go to, in CIDR notation. */
  networks: readonly string[];
  /** How the sender names itself. */
  userAgent: string;
  registry: Registry;
  log: FastifyBaseLogger;
}

/** Opens the webhooks; nothing is sent before `courier.start`. */
export function openWebhooks({ records, networks, userAgent, registry, log }: OpenOptions): OpenedWebhooks {
  const receivers = new Receivers(networks);
  const webhooks = new Webhooks(records, receivers);
  const deliveries = new Deliveries(records, randomUUID());
  const count = registerWebhookMetrics(registry, deliveries);
  const courier = new Courier({
    ...{ webhooks, deliveries, receivers, userAgent },
    onAttempt: ({ id, webhook, attempts }, { isDelivered, outcome }, isGivenUp) => {
      count(isDelivered);
      const line = { webhook, delivery: id, attempt: attempts + 1, outcome };
      if (isDelivered) log.info(line, "a webhook was delivered");
      else if (isGivenUp) log.error(line, "a delivery of a webhook was given up");
      else log.warn(line, "a webhook could not be delivered; it is tried again");
    },
    onError: (error) => log.error({ err: error }, "deliveries of webhooks can't be read or written; it is tried again"),
  });
  return { webhooks, deliveries, courier };
}
