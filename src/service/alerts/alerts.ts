import type { FastifyInstance } from "fastify";
import { identifiedOf } from "tollkeeper/fastify";
import type { Caller } from "../management/caller.js";
import type { Courier } from "../webhooks/courier.js";
import type { Event } from "../webhooks/event.js";
import { QuotaWatch } from "./quota-watch.js";
import { type PageOfAccounts, TrialWatch } from "./trial-watch.js";

/** How often, in ms, it is looked at what accounts have used, and at changes of plan that are near. */
const QUOTA_MS = 1000;
const TRIAL_MS = 5 * 60_000;

/** What alerts are made of. */
export interface AlertOptions {
  courier: Courier;
  accounts: PageOfAccounts;
  /** Percentages of a quota at which its owner is told, as they are at the time. */
  thresholds: () => readonly number[];
  /** Whether calls go on that are denied. */
  isShadow: () => boolean;
  /** How many days before a change of plan. */
  noticeDays: number;
}

/** Watches what accounts use of their quotas and when their plans change, and tells webhooks and the log. */
export function addAlerts(app: FastifyInstance, options: AlertOptions): void {
  const { courier, accounts, thresholds, isShadow, noticeDays } = options;
  const publish = async (event: Event): Promise<void> => {
    await courier.publish(event);
    app.log.info({ event: event.type, ...event.data }, "an alert");
  };
  const quotas = new QuotaWatch(thresholds, publish);
  const trials = new TrialWatch(accounts, noticeDays, publish);
  const failed = (error: unknown) => app.log.error({ err: error }, "an alert can't be told; it is tried again");
  app.addHook("onResponse", (request, _reply, done) => {
    const owner = (identifiedOf(request) as Caller | undefined)?.owner;
    if (owner !== undefined && request.toll !== undefined) quotas.note(owner.name, request.toll, isShadow());
    done();
  });
  const timers: NodeJS.Timeout[] = [];
  app.addHook("onReady", async () => {
    const every = (ms: number, look: () => Promise<void>) =>
      timers.push(setInterval(() => void look().catch(failed), ms).unref());
    every(QUOTA_MS, () => quotas.look());
    every(TRIAL_MS, () => trials.look(Date.now()));
  });
  app.addHook("onClose", async () => {
    for (const timer of timers) clearInterval(timer);
    await quotas.look().catch(failed);
  });
}
