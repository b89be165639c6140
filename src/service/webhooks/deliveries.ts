import type { RecordStore } from "tollkeeper";
import { bodyOf, type Event, type EventType } from "./event.js";

/** An event on its way to a webhook. */
export interface Delivery {
  /** Of the event, and of the webhook: what is sent again has the same. */
  id: string;
  event: string;
  type: EventType;
  webhook: string;
  state: DeliveryState;
  /** Attempts so far. */
  attempts: number;
  /** What became of the last attempt; null before the first. */
  outcome: string | null;
  /** When it happened, and when it was delivered or given up, in ISO 8601; null while it is pending. */
  created: string;
  ended: string | null;
  /** When the next attempt is due, in ISO 8601; null once it has ended. */
  next: string | null;
}

/** `dead`: given up after the last attempt, or since the webhook was gone. */
export type DeliveryState = "pending" | "delivered" | "dead";

/** One with what is sent, and who is at it. */
export interface Pending {
  readonly id: string;
  readonly event: string;
  readonly webhook: string;
  readonly body: string;
  readonly attempts: number;
  /** Until when, in ms since the epoch, it is left to whoever has claimed it. */
  readonly untilMs: number;
}

/** What follows an attempt: the end, or another one at an instant. */
export type Next = { readonly state: "delivered" | "dead" } | { readonly dueMs: number };

interface DeliveryRecord {
  type: EventType;
  state: DeliveryState;
  attempts: number;
  outcome: string | null;
  createdMs: number;
  endedMs: number | null;
  /** Until when its event may be noticed again, however long ago it ended: null for ever. Left out by earlier releases. */
  untilMs?: number | null;
  /** When it is due; while somebody is at it, when others may take it over. */
  dueMs: number;
  /** Who is at it, or was. */
  by: string;
  /** What is sent, as long as it may be sent again. */
  body: string;
}

const PREFIX = "webhook-delivery:";
/** How long, in ms, whoever is at a delivery is left to it; and how much longer, at least and at most, others leave it alone. */
export const CLAIM_MS = 30_000;
const OTHERS_MS = [2000, 7000] as const;
/** How long, in ms, one is kept that has ended, at least: longer where the same event may be noticed again. */
export const KEPT_MS = 35 * 86_400_000;

/** How long, in ms, after nothing more was to be forgotten it is looked for again. */
const FORGETS_MS = 60_000;

/**
 * What is to be sent, shared by all replicas: an event that several notice becomes one delivery for each webhook, and one whose
 * replica has ended is taken over by another. So each is delivered once as a rule, and again, with the same id, where a
 * replica ends between an answer and its record, or two take over at the same moment.
 */
export class Deliveries {
  readonly #records: RecordStore;
  readonly #replica: string;
  readonly #clock: () => number;
  /** How long after it is due this replica takes over what another was at: each some other time, or several would at once. */
  readonly #graceMs: number;
  /** When pending ones are due, by name; and when those that have ended may go. */
  readonly #due = new Map<string, number>();
  readonly #ended = new Map<string, number>();
  readonly #dead = new Set<string>();
  /** When it is looked for what may be forgotten next. */
  #forgetsMs = 0;

  /** `replica` tells this process from every other. */
  constructor(records: RecordStore, replica: string, clock: () => number = Date.now) {
    this.#records = records;
    this.#replica = replica;
    this.#clock = clock;
    const [leastMs, mostMs] = OTHERS_MS;
    this.#graceMs = leastMs + Math.random() * (mostMs - leastMs);
    records.watch((name, value) => this.#note(name, value));
    for (const [name, value] of records.list(PREFIX)) this.#note(name, value);
  }

  /** How many are on their way, and how many were given up and are still kept. */
  get counts(): { pending: number; dead: number } {
    return { pending: this.#due.size, dead: this.#dead.size };
  }

  /** Has an event sent to webhooks, unless it is on its way there or was; claims what is new. Says which that is. */
  async add(event: Event, webhooks: readonly string[]): Promise<Pending[]> {
    const nowMs = this.#clock();
    const added = webhooks.map(async (webhook) => {
      const id = `${event.id}.${webhook}`;
      const record: DeliveryRecord = {
        ...{ type: event.type, state: "pending", attempts: 0, outcome: null, createdMs: nowMs, endedMs: null },
        ...{
          dueMs: nowMs + CLAIM_MS,
          by: this.#replica,
          body: bodyOf(event),
          untilMs: Number.isFinite(event.untilMs) ? event.untilMs : null,
        },
      };
      const text = JSON.stringify(record);
      const isNew =
        this.#records.get(PREFIX + id) === undefined && (await this.#records.putNew(PREFIX + id, text)) === text;
      return isNew ? [pendingOf(id, record)] : [];
    });
    return (await Promise.all(added)).flat();
  }

  /** Claims what is due; of each webhook as many as there is room for, so that what waits for one hides nothing of another. */
  async claim(roomOf: (webhook: string) => number): Promise<Pending[]> {
    const nowMs = this.#clock();
    const due = [...this.#due].filter(([, dueMs]) => dueMs <= nowMs).sort(([, a], [, b]) => a - b);
    const rooms = new Map<string, number>();
    const wanted = due.filter(([name]) => {
      const webhook = webhookOf(name);
      const room = rooms.get(webhook) ?? roomOf(webhook);
      rooms.set(webhook, room - 1);
      return room > 0;
    });
    return (await Promise.all(wanted.map(([name]) => this.#claim(name, nowMs)))).flat();
  }

  /** Notes what became of an attempt: it is delivered, due again at an instant, or given up. */
  async note(id: string, outcome: string, next: Next): Promise<void> {
    const record = this.#read(id);
    if (record === undefined || record.state === "delivered") return;
    const attempts = record.attempts + 1;
    if ("dueMs" in next) return this.#write(id, { ...record, attempts, outcome, dueMs: next.dueMs });
    // Of what was delivered nothing is sent again.
    const body = next.state === "delivered" ? "" : record.body;
    await this.#write(id, { ...record, ...next, attempts, outcome, body, endedMs: this.#clock() });
  }

  /** Has one that was given up sent again, at once; false if there is none of that id, or it was not given up. */
  async redeliver(id: string): Promise<boolean> {
    const record = this.#read(id);
    if (record?.state !== "dead") return false;
    await this.#write(id, { ...record, state: "pending", attempts: 0, endedMs: null, dueMs: this.#clock() });
    return true;
  }

  /** Gives up what is on its way to a webhook that is no more. */
  async abandon(webhook: string, outcome: string): Promise<void> {
    const names = [...this.#due.keys()].filter((name) => webhookOf(name) === webhook);
    for (const name of names) await this.note(name.slice(PREFIX.length), outcome, { state: "dead" });
  }

  /** Forgets at most so many that ended long ago. */
  async forget(max: number): Promise<void> {
    const nowMs = this.#clock();
    if (nowMs < this.#forgetsMs) return;
    const old: string[] = [];
    for (const [name, goesMs] of this.#ended) {
      if (goesMs < nowMs) old.push(name);
      if (old.length === max) break;
    }
    // There may be millions; going through all of them is not for every second.
    if (old.length < max) this.#forgetsMs = nowMs + FORGETS_MS;
    for (const name of old) await this.#records.put(name, undefined);
  }

  /** At most `size`, ordered by id, after the one named `after`. */
  page(size: number, after: string, is: (delivery: Delivery) => boolean): Delivery[] {
    const found: Delivery[] = [];
    for (let last = after === "" ? "" : PREFIX + after; found.length < size; ) {
      const part = this.#records.page(PREFIX, 256, last);
      for (const [name, value] of part) {
        const delivery = deliveryOf(name.slice(PREFIX.length), recordOf(value));
        if (found.length < size && is(delivery)) found.push(delivery);
      }
      if (part.length < 256) break;
      last = part.at(-1)?.[0] ?? "";
    }
    return found;
  }

  get(id: string): Delivery | undefined {
    const record = this.#read(id);
    return record && deliveryOf(id, record);
  }

  async #claim(name: string, nowMs: number): Promise<Pending[]> {
    const id = name.slice(PREFIX.length);
    const record = this.#read(id);
    const graceMs = record?.by === this.#replica ? 0 : this.#graceMs;
    if (record === undefined || record.state !== "pending" || record.dueMs + graceMs > nowMs) return [];
    const claimed = { ...record, dueMs: nowMs + CLAIM_MS, by: this.#replica };
    await this.#write(id, claimed);
    // Another may have claimed it at the same moment; what was written last counts, as far as this replica knows.
    return this.#read(id)?.by === this.#replica ? [pendingOf(id, claimed)] : [];
  }

  #read(id: string): DeliveryRecord | undefined {
    const value = this.#records.get(PREFIX + id);
    return value === undefined ? undefined : recordOf(value);
  }

  async #write(id: string, record: DeliveryRecord): Promise<void> {
    await this.#records.put(PREFIX + id, JSON.stringify(record));
  }

  #note(name: string, value: string | undefined): void {
    if (!name.startsWith(PREFIX)) return;
    const record = value === undefined ? undefined : recordOf(value);
    for (const index of [this.#due, this.#ended, this.#dead]) index.delete(name);
    if (record === undefined) return;
    if (record.state === "dead") this.#dead.add(name);
    if (record.state === "pending") this.#due.set(name, record.dueMs);
    else this.#ended.set(name, goesMsOf(record));
  }
}

/** When one that has ended may be forgotten. */
function goesMsOf({ endedMs, untilMs = 0 }: DeliveryRecord): number {
  return Math.max((endedMs ?? 0) + KEPT_MS, untilMs ?? Infinity);
}

function webhookOf(id: string): string {
  return id.slice(id.indexOf(".") + 1);
}

function recordOf(value: string): DeliveryRecord {
  return JSON.parse(value) as DeliveryRecord;
}

function pendingOf(id: string, { body, attempts, dueMs }: DeliveryRecord): Pending {
  const webhook = webhookOf(id);
  return { id, event: id.slice(0, -webhook.length - 1), webhook, body, attempts, untilMs: dueMs };
}

function deliveryOf(id: string, record: DeliveryRecord): Delivery {
  const { event, webhook } = pendingOf(id, record);
  const { type, state, attempts, outcome, createdMs, endedMs, dueMs } = record;
  const iso = (ms: number) => new Date(ms).toISOString();
  return {
    ...{ id, event, type, webhook, state, attempts, outcome },
    ...{ created: iso(createdMs), ended: endedMs === null ? null : iso(endedMs) },
    next: state === "pending" ? iso(dueMs) : null,
  };
}
