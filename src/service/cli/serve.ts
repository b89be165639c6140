import { serve } from "../serve.js";
import type { Output } from "./output.js";

/** Ctrl-C under npm arrives twice, from the terminal and from npm; a person who insists takes longer than this, in ms. */
const SAME_SIGNAL_MS = 300;

/**
 * Serves until the process is told to stop.
 *
 * @param fail Takes what goes wrong while it stops.
 */
export async function serveUntilStopped(
  environment: NodeJS.ProcessEnv,
  { print }: Output,
  fail: (error: unknown) => void,
): Promise<void> {
  const starting = serve({ environment, print, logStream: process.stderr });
  stopOnSignals(async () => (await starting).stop(), fail);
  // The default is to end, which a service that is still starting should not.
  process.on("SIGHUP", () => void starting.then((service) => service.reload()).catch(() => undefined));
  await starting;
}

/** Ends the process in order at the first signal, and at once if another comes later. */
function stopOnSignals(stop: () => Promise<void>, fail: (error: unknown) => void): void {
  let toldAt: number | undefined;
  const told = (): void => {
    const now = performance.now();
    if (toldAt === undefined) {
      toldAt = now;
      stop()
        .catch(fail)
        .finally(() => process.exit());
    } else if (now - toldAt > SAME_SIGNAL_MS) {
      process.exit(1);
    }
  };
  process.on("SIGINT", told);
  process.on("SIGTERM", told);
}
