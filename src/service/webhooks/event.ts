import { createHash } from "node:crypto";

/** What webhooks tell of, with the words of the documentation. */
export const EVENT_TYPES = {
  "usage.threshold": "An account has used a part of a quota: 80 % and 100 %, or as configured.",
  "usage.overage_started": "An account has begun to use what a quota allows beyond its limit.",
  "quota.exhausted": "An account is denied by a quota until its period ends.",
  "trial.ending": "A scheduled change of an account's plan is near.",
  "webhook.test": "Somebody has asked for it, to see whether it arrives.",
} as const;

/** A type of {@link Event}. */
export type EventType = keyof typeof EVENT_TYPES;

/** Something that has happened once, whichever replica notices it, and however often. */
export interface Event {
  /** The same for the same thing, for receivers to tell what comes twice. */
  readonly id: string;
  readonly type: EventType;
  /** When it happened, in ISO 8601. */
  readonly timestamp: string;
  readonly data: Readonly<Record<string, unknown>>;
  /** Until when, in ms since the epoch, it may be noticed again, and is remembered; Infinity if for ever. */
  readonly untilMs: number;
}

/**
 * An event, whose id follows from what it is of.
 *
 * @param of What tells it from every other of its type: an account, a limit, a period, a threshold.
 * @param untilMs Until when, in ms since the epoch, it may be noticed again.
 */
export function eventOf(
  type: EventType,
  of: readonly (string | number)[],
  atMs: number,
  data: Event["data"],
  untilMs = atMs,
): Event {
  const id = createHash("sha256")
    .update(JSON.stringify([type, ...of]))
    .digest("hex")
    .slice(0, 32);
  return { id: `evt_${id}`, type, timestamp: new Date(atMs).toISOString(), data, untilMs };
}

/** The body that every delivery of an event has, byte for byte: its form is that of Standard Webhooks. */
export function bodyOf({ type, timestamp, data }: Event): string {
  return JSON.stringify({ type, timestamp, data });
}
