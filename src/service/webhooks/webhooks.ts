import { randomBytes, randomUUID } from "node:crypto";
import type { RecordStore } from "tollkeeper";
import { ServiceError } from "../errors.js";
import type { EventType } from "./event.js";
import { ReceiverRefused, type Receivers } from "./receiver.js";

/** Where events are sent. Its secrets are told when they are made, and never again. */
export interface Webhook {
  /** Names it where it is managed. */
  id: string;
  url: string;
  /** What it is told of. */
  events: EventType[];
  /** Whether anything is sent. */
  enabled: boolean;
  /** Why it was disabled, if not by somebody; null otherwise. */
  disabled_because: string | null;
  description: string;
  /** ISO 8601. */
  created: string;
  /** Until when, in ISO 8601, deliveries are signed by a secret before as well; null if there is none. */
  previous_secret_until: string | null;
}

/** What somebody may say of a webhook. */
export type WebhookChange = { [Member in "url" | "events" | "enabled" | "description"]?: Webhook[Member] | undefined };

/** One with a secret that was just made. */
export type NewWebhook = Webhook & { secret: string };

interface WebhookRecord extends Omit<Webhook, "id" | "previous_secret_until"> {
  /** The present secret, and those before, the latest first, with when each ends. */
  secrets: [present: string, ...before: OldSecret[]];
}

interface OldSecret {
  secret: string;
  until: string;
}

/** Webhooks that there may be. */
export const MAX_WEBHOOKS = 20;
/** Secrets that may be good beside the present one; of more the oldest end at once. */
const MAX_OLD_SECRETS = 4;
/** Bytes of a secret. */
const SECRET_BYTES = 32;
const PREFIX = "webhook:";

/** The webhooks of a service, the same on every replica. */
export class Webhooks {
  readonly #records: RecordStore;
  readonly #receivers: Receivers;
  readonly #clock: () => number;
  /** Resolves when the one that is made is in the list: it counts for the next. */
  #made: Promise<unknown> = Promise.resolve();

  /** `clock` gives ms since the epoch. */
  constructor(records: RecordStore, receivers: Receivers, clock: () => number = Date.now) {
    this.#records = records;
    this.#receivers = receivers;
    this.#clock = clock;
  }

  /** All of them, by id. */
  list(): Webhook[] {
    return this.#records
      .list(PREFIX)
      .map(([name, value]) => this.#webhookOf(name.slice(PREFIX.length), recordOf(value)));
  }

  /** Undefined if there is none of that id. */
  get(id: string): Webhook | undefined {
    const record = this.#read(id);
    return record && this.#webhookOf(id, record);
  }

  /** The secrets by which deliveries are signed now, the present one first. */
  secrets(id: string): string[] {
    const record = this.#read(id);
    if (record === undefined) return [];
    const [present, ...before] = record.secrets;
    return [present, ...this.#goodOf(before).map(({ secret }) => secret)];
  }

  /** @throws {ServiceError} `ERR_WEBHOOK_INVALID`, `ERR_WEBHOOK_LIMIT` */
  create(given: WebhookChange & Pick<Webhook, "url" | "events">): Promise<NewWebhook> {
    const made = this.#made.then(() => this.#create(given));
    this.#made = made.catch(() => undefined);
    return made;
  }

  async #create({
    url,
    events,
    description = "",
  }: WebhookChange & Pick<Webhook, "url" | "events">): Promise<NewWebhook> {
    if (this.#records.page(PREFIX, MAX_WEBHOOKS).length >= MAX_WEBHOOKS) {
      throw new ServiceError("ERR_WEBHOOK_LIMIT", `there are ${MAX_WEBHOOKS} webhooks; delete one first`);
    }
    this.#check(url);
    const [id, secret] = [randomUUID().replaceAll("-", "").slice(0, 16), newSecret()];
    const created = new Date(this.#clock()).toISOString();
    const record = { url, events, enabled: true, disabled_because: null, description, created };
    await this.#write(id, { ...record, secrets: [secret] });
    return { ...this.#webhookOf(id, { ...record, secrets: [secret] }), secret };
  }

  /** Undefined if there is none of that id. Enabling one forgets why it was disabled. @throws {ServiceError} `ERR_WEBHOOK_INVALID` */
  async change(id: string, change: WebhookChange): Promise<Webhook | undefined> {
    const record = this.#read(id);
    if (record === undefined) return undefined;
    if (change.url !== undefined) this.#check(change.url);
    const forgets = change.enabled === undefined ? {} : { disabled_because: null };
    const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
    const changed: WebhookRecord = { ...record, ...given, ...forgets };
    await this.#write(id, changed);
    return this.#webhookOf(id, changed);
  }

  /** Sends nothing to it any more, and says why. */
  async disable(id: string, reason: string): Promise<void> {
    const record = this.#read(id);
    if (record?.enabled) await this.#write(id, { ...record, enabled: false, disabled_because: reason });
  }

  /** Makes another secret; deliveries are signed by the one before as well for `overlapMs`. Undefined if there is none of that id. */
  async rotate(id: string, overlapMs: number): Promise<NewWebhook | undefined> {
    const record = this.#read(id);
    if (record === undefined) return undefined;
    const secret = newSecret();
    const [present, ...before] = record.secrets;
    const last = { secret: present, until: new Date(this.#clock() + overlapMs).toISOString() };
    // One that was rotated before is as good as was said then: its receiver may not have heard of the next one.
    const old = overlapMs > 0 ? [last, ...this.#goodOf(before)].slice(0, MAX_OLD_SECRETS) : [];
    const rotated: WebhookRecord = { ...record, secrets: [secret, ...old] };
    await this.#write(id, rotated);
    return { ...this.#webhookOf(id, rotated), secret };
  }

  /** Whether there was one of that id. */
  async delete(id: string): Promise<boolean> {
    if (this.#read(id) === undefined) return false;
    await this.#records.put(PREFIX + id, undefined);
    return true;
  }

  #check(url: string): void {
    try {
      this.#receivers.check(url);
    } catch (error) {
      if (!(error instanceof ReceiverRefused)) throw error;
      const shown = url.length > 128 ? `${url.slice(0, 127)}…` : url;
      throw new ServiceError("ERR_WEBHOOK_INVALID", `the address is ${JSON.stringify(shown)}; ${error.message}`);
    }
  }

  #read(id: string): WebhookRecord | undefined {
    const value = this.#records.get(PREFIX + id);
    return value === undefined ? undefined : recordOf(value);
  }

  async #write(id: string, record: WebhookRecord): Promise<void> {
    await this.#records.put(PREFIX + id, JSON.stringify(record));
  }

  #goodOf(before: readonly OldSecret[]): OldSecret[] {
    return before.filter(({ until }) => Date.parse(until) > this.#clock());
  }

  #webhookOf(id: string, { secrets: [, ...before], ...record }: WebhookRecord): Webhook {
    const untils = this.#goodOf(before).map(({ until }) => until);
    return { id, ...record, previous_secret_until: untils.sort().at(-1) ?? null };
  }
}

function recordOf(value: string): WebhookRecord {
  return JSON.parse(value) as WebhookRecord;
}

/** As Standard Webhooks writes them. */
function newSecret(): string {
  return `whsec_${randomBytes(SECRET_BYTES).toString("base64")}`;
}
