import type { Deliveries, Next, Pending } from "./deliveries.js";
import { bodyOf, type Event } from "./event.js";
import { ATTEMPT_MS, type Attempt, post } from "./post.js";
import type { Receivers } from "./receiver.js";
import type { Webhook, Webhooks } from "./webhooks.js";

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
/**
 * How long, in ms, the next attempt waits after each that failed, as Standard Webhooks proposes: three days in all. Then a delivery
 * is given up.
 */
export const WAITS_MS = [
  5 * SECOND_MS,
  5 * MINUTE_MS,
  30 * MINUTE_MS,
  2 * HOUR_MS,
  5 * HOUR_MS,
  10 * HOUR_MS,
  14 * HOUR_MS,
  20 * HOUR_MS,
  24 * HOUR_MS,
] as const;
/** By which part a wait is longer or shorter, so that not all that failed together is sent together. */
const JITTER = 0.1;
const GONE = "the receiver answered 410 Gone";
/** How often, in ms, it is looked for what is due. */
const LOOK_MS = 1000;
/** Attempts of one webhook at a time. There is no bound on all together: those that never answer must not keep the others waiting. */
const AT_ONCE = 4;
/** Deliveries to one webhook that this replica has claimed and not begun, at most, before it claims more. */
const AHEAD = 64;
/** Deliveries forgotten at a look. */
const FORGOTTEN = 16;

/** What the courier works with. */
export interface CourierOptions {
  webhooks: Webhooks;
  deliveries: Deliveries;
  receivers: Receivers;
  /** How the sender names itself. */
  userAgent: string;
  /** Told of each attempt, for the log and metrics. */
  onAttempt: (delivery: Pending, attempt: Attempt, isGivenUp: boolean) => void;
  /** Told of what keeps it from its work, as records that can't be written; it is tried again. */
  onError: (error: unknown) => void;
  clock?: () => number;
  random?: () => number;
}

/** What this replica has for one webhook. */
interface Line {
  /** Claimed, and not yet begun. */
  waiting: Pending[];
  /** Attempts under way. */
  active: number;
}

/** Sends events to webhooks, until each is delivered or given up. */
export class Courier {
  readonly #options: CourierOptions;
  readonly #clock: () => number;
  readonly #random: () => number;
  readonly #lines = new Map<string, Line>();
  readonly #active = new Set<Promise<void>>();
  #looking: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #isStopped = false;

  constructor(options: CourierOptions) {
    this.#options = options;
    this.#clock = options.clock ?? Date.now;
    this.#random = options.random ?? Math.random;
  }

  /** Looks for what is due from now on. */
  start(): void {
    this.#timer = setInterval(() => void this.look(), LOOK_MS).unref();
  }

  /** Begins nothing more; resolves when what is under way has ended. What has not begun is left to the other replicas, or the next start. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    clearInterval(this.#timer);
    await this.settled();
  }

  /** Resolves when nothing is under way. */
  async settled(): Promise<void> {
    while (this.#active.size > 0) await Promise.all(this.#active);
  }

  /** Has an event sent to every webhook that wants its type. Resolves when it is written down, before it is sent. */
  async publish(event: Event): Promise<void> {
    const { webhooks, deliveries } = this.#options;
    const wanted = webhooks.list().filter(({ enabled, events }) => enabled && events.includes(event.type));
    const added = await deliveries.add(
      event,
      wanted.map(({ id }) => id),
    );
    this.#queue(added);
  }

  /** Sends an event to one webhook, whatever it wants, and says what became of it; nothing is kept of it. Undefined if there is no such webhook. */
  async test(webhook: string, event: Event): Promise<Attempt | undefined> {
    const found = this.#options.webhooks.get(webhook);
    return found && this.#post(found, event.id, bodyOf(event));
  }

  /** Begins what is due; resolves when it has begun. Never rejects. Two at once are one, or both would claim the same. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    const { deliveries, onError } = this.#options;
    try {
      this.#queue(await deliveries.claim((webhook) => AHEAD - (this.#lines.get(webhook)?.waiting.length ?? 0)));
      await deliveries.forget(FORGOTTEN);
    } catch (error) {
      onError(error);
    }
  }

  #queue(claimed: readonly Pending[]): void {
    for (const pending of claimed) {
      const line = this.#lines.get(pending.webhook) ?? { waiting: [], active: 0 };
      this.#lines.set(pending.webhook, line);
      line.waiting.push(pending);
    }
    for (const webhook of new Set(claimed.map(({ webhook }) => webhook))) this.#begin(webhook);
  }

  #begin(webhook: string): void {
    const line = this.#lines.get(webhook);
    if (line === undefined) return;
    while (line.active < AT_ONCE) {
      const pending = line.waiting.shift();
      if (pending === undefined) break;
      // Others might be at it before this attempt has ended; it is claimed again when it is due.
      if (pending.untilMs - ATTEMPT_MS <= this.#clock() || this.#isStopped) continue;
      line.active++;
      this.#start(pending, line);
    }
    if (line.active === 0) this.#lines.delete(webhook);
  }

  #start(pending: Pending, line: Line): void {
    const attempt = this.#attempt(pending)
      .catch(this.#options.onError)
      .finally(() => {
        this.#active.delete(attempt);
        line.active--;
        this.#begin(pending.webhook);
      });
    this.#active.add(attempt);
  }

  async #attempt(pending: Pending): Promise<void> {
    const { webhooks, deliveries, onAttempt } = this.#options;
    const webhook = webhooks.get(pending.webhook);
    if (webhook === undefined || !webhook.enabled) {
      const outcome = webhook === undefined ? "the webhook was deleted" : "the webhook is disabled";
      return deliveries.note(pending.id, outcome, { state: "dead" });
    }
    const attempt = await this.#post(webhook, pending.event, pending.body);
    const next = this.#nextOf(pending, attempt);
    await deliveries.note(pending.id, attempt.outcome, next);
    if (attempt.isGone) {
      await webhooks.disable(webhook.id, GONE);
      await deliveries.abandon(webhook.id, GONE);
    }
    onAttempt(pending, attempt, "state" in next && next.state === "dead");
  }

  #nextOf({ attempts }: Pending, { isDelivered, isGone, retryAfterMs }: Attempt): Next {
    const waitMs = WAITS_MS[attempts];
    if (isDelivered) return { state: "delivered" };
    if (isGone || waitMs === undefined) return { state: "dead" };
    const jittered = Math.round(waitMs * (1 + JITTER * (2 * this.#random() - 1)));
    return { dueMs: this.#clock() + Math.max(jittered, retryAfterMs) };
  }

  #post({ id: webhook, url }: Webhook, id: string, body: string): Promise<Attempt> {
    const { webhooks, receivers, userAgent } = this.#options;
    return post({ url, id, body, secrets: webhooks.secrets(webhook), nowMs: this.#clock(), userAgent }, receivers);
  }
}
