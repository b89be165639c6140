import { inspect } from "node:util";

/**
 * A function of the user's that is only told something: that it fails, at once or later, is no fault of what it is told
 * of. A process warning says so, once.
 *
 * @param name What the user has given it to, such as `onDecision`.
 */
export function guarded<Told>(name: string, callback: (told: Told) => unknown): (told: Told) => void {
  let hasFailed = false;
  const fail = (error: unknown): void => {
    if (hasFailed) return;
    hasFailed = true;
    process.emitWarning(`what was given to ${name} has failed, which is not told again`, {
      type: "TollkeeperWarning",
      code: "TOLLKEEPER_CALLBACK_FAILED",
      detail: inspect(error),
    });
  };
  return (told) => {
    try {
      const result = callback(told) as { then?: unknown } | undefined;
      if (typeof result?.then === "function") Promise.resolve(result).catch(fail);
    } catch (error) {
      fail(error);
    }
  };
}

/** How long, in ms, the same message is kept back. */
const QUIET_MS = 60_000;

/** Passes each message on once a minute, since a store that is away is missed by every call. */
export function oncePerMinute(tell: (error: unknown) => void): (error: unknown) => void {
  const told = new Map<string, number>();
  return (error) => {
    const now = performance.now();
    const message = error instanceof Error ? error.message : String(error);
    if (now - (told.get(message) ?? Number.NEGATIVE_INFINITY) < QUIET_MS) return;
    if (told.size > 100) told.clear();
    told.set(message, now);
    tell(error);
  };
}
