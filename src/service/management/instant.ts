import { z } from "zod";
import { ServiceError, type ServiceErrorCode } from "../errors.js";

/** An instant as it is sent: ISO 8601, with its offset from UTC. */
export const instant = z.iso
  .datetime({ offset: true, error: "it may be a date with time and offset, such as 2027-01-31T00:00:00Z" })
  .max(40)
  .meta({ examples: ["2027-01-31T00:00:00Z"] });

/**
 * An instant that is ahead, in UTC, to the millisecond.
 *
 * @param what Names it in the message.
 * @throws {ServiceError} of the code that is given
 */
export function ahead(text: string, what: string, nowMs: number, code: ServiceErrorCode): string {
  const parsed = instant.safeParse(text);
  const ms = parsed.success ? Date.parse(parsed.data) : Number.NaN;
  if (ms > nowMs) return new Date(ms).toISOString();
  const shown = JSON.stringify(text.length > 40 ? `${text.slice(0, 39)}…` : text);
  throw new ServiceError(code, `${what} is ${shown}; it may be a time that is ahead, such as 2027-01-31T00:00:00Z`);
}
