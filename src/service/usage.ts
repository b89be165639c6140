import { setImmediate } from "node:timers/promises";
import type { FastifyBaseLogger } from "fastify";
import type { Limiter, SharedLimiter } from "tollkeeper";
import { type Ledger, openLedger } from "tollkeeper/ledger";
import type { Config } from "./config/schema.js";
import { METERS } from "./meters.js";

/**
 * Opens the ledger of the service beside its limits; undefined where none is wanted.
 *
 * @throws {TollkeeperError} as `openLedger` does
 */
export function openUsage(
  { usage, flushMs }: Config,
  limiter: Limiter | SharedLimiter,
  log: FastifyBaseLogger,
): Ledger | undefined {
  if (usage === "off") return undefined;
  const onError = (error: unknown) => log.error({ err: error }, "usage can't be written; it is tried again");
  return openLedger({ limiter, meters: METERS, flushMs, onError });
}

/** Writes what was counted and lets go, once all calls are: of callers who have just gone that is a turn later. */
export async function closeUsage(ledger: Ledger, log: FastifyBaseLogger): Promise<void> {
  await setImmediate();
  // What can't be written now the limiter tries to when it is closed.
  await ledger.close().catch((error: unknown) => log.error({ err: error }, "usage can't be written"));
}
