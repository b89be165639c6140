import type { Environment } from "./environment.js";
import { type Configuration, readConfiguration } from "./read.js";
import { type Config, LIVE } from "./schema.js";

/** What became of a new version of the configuration. */
export type Reload =
  | {
      outcome: "applied";
      /** Settings that have changed. */
      changed: (keyof Config)[];
      /** Settings that have changed too, but only from the next start on. */
      waiting: (keyof Config)[];
    }
  | { outcome: "refused"; error: unknown };

/** The configuration in force, which follows its file. */
export class LiveConfig {
  /** In force now: settings that may change while the service runs change in place. */
  readonly config: Config;
  /** Versions by what became of them. */
  readonly counts = { applied: 0, refused: 0 };
  /** Whether the last version was good. */
  isGood = true;
  /** When the version in force was read, in ms since the epoch. */
  appliedMs: number;
  readonly #environment: Environment;
  readonly #clock: () => number;
  /** As at the start. */
  readonly #started: Configuration;

  /** @throws {ServiceError} `ERR_CONFIG_INVALID` */
  constructor(environment: Environment, clock: () => number = Date.now) {
    this.#environment = environment;
    this.#clock = clock;
    this.#started = readConfiguration(environment);
    this.config = { ...this.#started.config };
    this.appliedMs = clock();
  }

  /** What the owner of the configuration should know, as at the start. */
  get warnings(): readonly string[] {
    return this.#started.warnings;
  }

  /** Whether a setting was given at the start, and not left to its default. */
  isSet(name: keyof Config): boolean {
    return this.#started.sources[name].kind !== "default";
  }

  /**
   * Reads the configuration again and puts it in force. If it is not good, or `apply` throws, all stays as it is.
   *
   * @param apply Puts it in force wherever it is not read from {@link config} anyway.
   */
  reload(apply: (next: Config) => void): Reload {
    try {
      const { config: read } = readConfiguration(this.#environment);
      const names = Object.keys(read) as (keyof Config)[];
      const differ = (a: Config, b: Config) =>
        names.filter((name) => JSON.stringify(a[name]) !== JSON.stringify(b[name]));
      const waiting = differ(read, this.#started.config).filter((name) => !LIVE.has(name));
      const changed = differ(read, this.config).filter((name) => LIVE.has(name));
      const next = { ...this.config, ...Object.fromEntries(changed.map((name) => [name, read[name]])) };
      apply(next);
      Object.assign(this.config, next);
      this.counts.applied++;
      this.isGood = true;
      this.appliedMs = this.#clock();
      return { outcome: "applied", changed, waiting };
    } catch (error) {
      this.counts.refused++;
      this.isGood = false;
      return { outcome: "refused", error };
    }
  }
}
