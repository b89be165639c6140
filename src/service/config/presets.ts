import type { Config } from "./schema.js";

/**
 * Defaults for a kind of place, below the file and the environment. `development` is what the settings say of
 * themselves; the others listen to the network, show no keys and fall back to nothing.
 */
export const PRESETS: Readonly<Record<Config["preset"], Partial<Config>>> = {
  development: {},
  staging: { host: "0.0.0.0", demoKeys: "never", engine: "native" },
  production: { host: "0.0.0.0", demoKeys: "never", engine: "native", corsOrigins: [], drainDelayMs: 5000 },
};
