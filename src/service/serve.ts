import type { FastifyInstance, FastifyServerOptions } from "fastify";
import { Registry } from "prom-client";
import { nativeEngine, TollkeeperError } from "tollkeeper";
import { createApp } from "./app.js";
import type { Environment } from "./config/environment.js";
import { LiveConfig, type Reload } from "./config/live.js";
import type { Config } from "./config/schema.js";
import { watchFile } from "./config/watch.js";
import { makeDemoKeys, storedDemoKeys } from "./demo.js";
import { drain } from "./drain.js";
import { listening, type MetricsPort, openMetricsPort } from "./listen.js";
import type { Directory } from "./management/directory.js";
import { LogBudget } from "./management/log-budget.js";
import { registerReloadMetrics, reload } from "./reload.js";
import { startLines } from "./start-lines.js";
import { openKeys, openLimiter } from "./storage.js";

/** How long, in ms, the start waits for Redis. */
const REDIS_PATIENCE_MS = 5000;

/** Codes of what waiting does not mend. */
const REFUSALS: readonly unknown[] = ["ERR_STORE_REFUSED", "ERR_STORE_UNSUITABLE"];

/** The level `warn`, as the logger counts. */
const WARN = 40;

/** A running service. */
export interface Service {
  app: FastifyInstance;
  /** `http://127.0.0.1:8080` */
  url: string;
  /** Where `GET /metrics` is: here, or on a port of its own. */
  metricsUrl: string;
  /** Reads the configuration again and puts it in force, if it is good; the log says what has become of it. */
  reload(): Reload;
  /** Stops accepting, ends what has begun, stores everything. Calling it again waits for the same. */
  stop(): Promise<void>;
}

/** Where a service gets its settings and writes its start lines and logs. */
export interface ServeOptions {
  environment: Environment;
  /** Takes one start line, without its end. */
  print: (line: string) => void;
  logStream: { write(text: string): unknown };
}

/**
 * Starts `fingerprint-api`.
 *
 * @throws {ServiceError} `ERR_CONFIG_INVALID`, `ERR_ADDRESS_IN_USE`, `ERR_ADDRESS_UNAVAILABLE`. Nothing is left open then.
 * @throws {TollkeeperError} what `createLimiter` throws; nothing is left open then either.
 */
export async function serve({ environment, print, logStream }: ServeOptions): Promise<Service> {
  const live = new LiveConfig(environment);
  const { config } = live;
  let app: FastifyInstance | undefined;
  const early: unknown[] = [];
  const { limiter, storage } = openLimiter(live, (error) => {
    const message = error instanceof TollkeeperError ? error.message : "the storage can't be used; it is tried again";
    if (app === undefined) early.push(error);
    else app.log.error({ err: error }, message);
  });
  const registry = new Registry();
  registerReloadMetrics(registry, live);
  let directory: Directory | undefined;
  let draining = false;
  let metrics: MetricsPort | undefined;
  try {
    directory = await openKeys(config, limiter.engine === "redis" ? undefined : limiter.records);
    const { keys, records, close: closeDirectory } = directory;
    const faults = new LogBudget((omitted) => app?.log.warn({ omitted }, "lines that are left out"));
    const logger = loggerOptions(config, logStream, faults);
    app = await createApp({ config, limiter, keys, records, registry, logger, isDraining: () => draining });
    const { log, server, close } = app;
    // Calls that come before Redis has answered would be decided by the outage policy, or not find their keys.
    const ready = Promise.all([directory.ready(REDIS_PATIENCE_MS), limiter.ready(REDIS_PATIENCE_MS)]);
    await ready.catch((error: unknown) => {
      // That is better seen at the start.
      if (error instanceof TollkeeperError && REFUSALS.includes(error.code)) throw error;
      log.error({ err: error }, "starting without Redis");
    });
    for (const warning of live.warnings) log.warn(warning);
    for (const error of early) log.error({ err: error }, "the storage can't be used; it is tried again");
    metrics = await openMetricsPort(config, registry, (error) => log.error({ err: error }, "metrics can't be told"));
    const { host, port } = config;
    const url = await listening({ host, port, hostSetting: "HOST", portSetting: "PORT" }, app.listen({ host, port }));
    const demoKeys = await makeDemoKeys(keys, config.demoKeys);
    const reason = config.engine === "js" ? "RATE_LIMIT_ENGINE=js" : nativeEngine().reason;
    const engine = { kind: limiter.engine, reason: limiter.engine === "redis" ? undefined : reason };
    const stored = storedDemoKeys(keys);
    const metricsUrl = metrics?.url;
    for (const line of startLines({ url, engine, storage, metricsUrl, demoKeys, stored, config })) print(line);

    const again = (): Reload => reload(live, limiter, log);
    const unwatch = config.config === undefined ? () => undefined : watchFile(config.config, again);
    const stop = once(async () => {
      unwatch();
      draining = true;
      await drain(server, config.drainDelayMs);
      await close();
      metrics?.close();
      await closeDirectory();
      faults.end();
      await limiter.close();
    });
    return { app, url, metricsUrl: metrics?.url ?? `${url}/metrics`, reload: again, stop };
  } catch (error) {
    await app?.close();
    metrics?.close();
    await directory?.close();
    await limiter.close();
    throw error;
  }
}

/** Credentials are in no line that is logged; these would catch one that a later line brings in. */
function loggerOptions(
  { logLevel }: Config,
  stream: ServeOptions["logStream"],
  faults: LogBudget,
): FastifyServerOptions["logger"] {
  const redact = ["req.headers", "headers.authorization", 'headers["x-api-key"]', "authorization", "key"];
  return {
    level: logLevel,
    redact,
    serializers: { req: ({ method }: { method: string }) => ({ method }) },
    stream: { write: (text: string) => void stream.write(text) },
    hooks: {
      // What is warned of is what calls may bring about, as often as they come.
      logMethod(args, method, level) {
        const write = () => method.apply(this, args);
        const message = args.find((arg: unknown) => typeof arg === "string");
        if (level < WARN) write();
        else faults.write(message ?? "", write);
      },
    },
  };
}

/** Calls a function once, and gives what that gave to every later call. */
function once<T>(call: () => T): () => T {
  let given: { value: T } | undefined;
  return () => {
    given ??= { value: call() };
    return given.value;
  };
}
