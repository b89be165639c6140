import { startService } from "../../scripts/service.mjs";

/** A process of the app, as the image runs it. */
export type AppProcess = Awaited<ReturnType<typeof startService>>;

/** Starts the app as it was built, on a free port of loopback, with these settings; it keeps nothing. */
export function startApp(settings: Readonly<Record<string, string>>): Promise<AppProcess> {
  return startService({
    RATE_LIMIT_STORAGE: "memory",
    RATE_LIMIT_DEMO_KEYS: "never",
    RATE_LIMIT_LOG_LEVEL: "silent",
    ...settings,
  });
}
