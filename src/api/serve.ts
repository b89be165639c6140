import type { FastifyInstance, FastifyServerOptions } from "fastify";
import { type Environment, isSet, readEnvironment } from "../config/environment.js";
import type { Config } from "../config/schema.js";
import { tiersOf } from "../config/tiers.js";
import { loadBinding } from "../engine/binding.cjs";
import { TollkeeperError } from "../errors.js";
import { createLimiter, type StorageOptions } from "../limiter/create.js";
import type { Limiter } from "../limiter/limiter.js";
import type { SharedLimiter } from "../limiter/shared.js";
import { withoutPassword } from "../store/address.js";
import { createApp } from "./app.js";
import { makeDemoKeys } from "./demo.js";
import { addressOf, type Directory, openDirectory } from "./directory.js";
import { startLines } from "./start-lines.js";

/** How long, in ms, calls that have begun may take to end once the service is told to stop. */
const DRAIN_MS = 10_000;
const IDLE_CHECK_MS = 50;
/** How long, in ms, the start waits for Redis. */
const REDIS_PATIENCE_MS = 5000;

/** A running service. */
export interface Service {
  app: FastifyInstance;
  /** `http://127.0.0.1:8080` */
  url: string;
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
 * @throws {TollkeeperError} `ERR_CONFIG_INVALID`, `ERR_ADDRESS_IN_USE`, or what `createLimiter` throws. Nothing is left
 * open then.
 */
export async function serve({ environment, print, logStream }: ServeOptions): Promise<Service> {
  const config = readEnvironment(environment);
  let app: FastifyInstance | undefined;
  const early: unknown[] = [];
  const { limiter, storage } = openLimiter(config, environment, (error) => {
    const message = error instanceof TollkeeperError ? error.message : "the storage can't be used; it is tried again";
    if (app === undefined) early.push(error);
    else app.log.error({ err: error }, message);
  });
  let directory: Directory | undefined;
  try {
    directory = await openDirectory(config, limiter.engine === "redis" ? undefined : limiter.records);
    const { keys } = directory;
    app = await createApp({ config, limiter, keys, logger: loggerOptions(config, logStream) });
    // Calls that come before Redis has answered would be decided by the outage policy, or not find their keys.
    const ready = [directory.ready(REDIS_PATIENCE_MS)];
    if (limiter.engine === "redis") ready.push(limiter.ready(REDIS_PATIENCE_MS));
    await Promise.all(ready).catch((error: unknown) => app?.log.error({ err: error }, "starting without Redis"));
    for (const error of early) app.log.error({ err: error }, "the storage can't be used; it is tried again");
    const url = await listen(app, config);
    const demoKeys = await makeDemoKeys(keys, config.demoKeys);
    const reason = config.engine === "js" ? "RATE_LIMIT_ENGINE=js" : loadBinding().reason;
    const engine = { kind: limiter.engine, reason: limiter.engine === "redis" ? undefined : reason };
    for (const line of startLines({ url, engine, storage, demoKeys, config })) print(line);
    return { app, url, stop: stopper(app, [directory, limiter]) };
  } catch (error) {
    await app?.close();
    await directory?.close();
    await limiter.close();
    throw error;
  }
}

/** Opens the limiter, which all replicas share if there is a Redis. */
function openLimiter(config: Config, environment: Environment, onStorageError: (error: unknown) => void) {
  const { redisUrl, redisPrefix, redisTimeoutMs, mode, leaseMs, onOutage, maxKeys } = config;
  if (redisUrl === undefined) return openLocal(config, environment, onStorageError);
  addressOf(redisUrl);
  const limiter: Limiter | SharedLimiter = createLimiter({
    tiers: tiersOf(config),
    maxKeys,
    onStorageError,
    storage: { type: "redis", url: redisUrl, prefix: redisPrefix, mode, leaseMs, timeoutMs: redisTimeoutMs, onOutage },
  });
  return { limiter, storage: `${withoutPassword(redisUrl)}, ${mode}` };
}

/** A default that can't be had is replaced, and what was asked for is not. */
function openLocal(
  config: Config,
  environment: Environment,
  onStorageError: (error: unknown) => void,
): { limiter: Limiter | SharedLimiter; storage: string } {
  const { engine, maxKeys, file, flushMs } = config;
  const open = (storage: StorageOptions): Limiter =>
    createLimiter({ tiers: tiersOf(config), engine, maxKeys, storage, onStorageError });
  if (config.storage === "memory") return { limiter: open({ type: "memory" }), storage: "memory" };
  try {
    return { limiter: open({ type: "file", path: file, flushMs }), storage: `file ${file}` };
  } catch (error) {
    const asked = isSet("storage", environment) || isSet("file", environment);
    if (asked || !(error instanceof TollkeeperError) || error.code !== "ERR_STORAGE_NEEDS_NATIVE") throw error;
    return {
      limiter: open({ type: "memory" }),
      storage: "memory: USAGE AND KEYS ARE NOT KEPT when this process ends, since file storage needs the native engine",
    };
  }
}

/** Credentials are in no line that is logged; these would catch one that a later line brings in. */
function loggerOptions({ logLevel }: Config, stream: ServeOptions["logStream"]): FastifyServerOptions["logger"] {
  const redact = ["req.headers", "headers.authorization", 'headers["x-api-key"]', "authorization", "key"];
  return {
    level: logLevel,
    redact,
    serializers: { req: ({ method }: { method: string }) => ({ method }) },
    stream: { write: (text: string) => void stream.write(text) },
  };
}

/** What the system means when it refuses an address. */
const UNAVAILABLE: Record<string, string> = {
  EACCES: "this user may not; a port from 1024 on is free to all",
  EADDRNOTAVAIL: "the address is none of this machine's",
  ENOTFOUND: "no such host is known",
  EAI_AGAIN: "no such host is known",
};

async function listen(app: FastifyInstance, { host, port }: Config): Promise<string> {
  try {
    return await app.listen({ host, port });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const unavailable = UNAVAILABLE[code ?? ""];
    if (unavailable !== undefined) {
      const message = `HOST ${host} and PORT ${port} can't be listened on: ${unavailable}`;
      throw new TollkeeperError("ERR_ADDRESS_UNAVAILABLE", message, { cause: error });
    }
    if (code !== "EADDRINUSE") throw error;
    throw new TollkeeperError(
      "ERR_ADDRESS_IN_USE",
      `another process listens on port ${port} of ${host}; stop it, or set PORT (or HOST) to another`,
      { cause: error },
    );
  }
}

function stopper(app: FastifyInstance, limiters: readonly { close(): Promise<void> }[]): () => Promise<void> {
  let stopping: Promise<void> | undefined;
  const stop = async () => {
    // A connection is idle once its call has ended, which may be after the server has looked.
    const idle = setInterval(() => app.server.closeIdleConnections(), IDLE_CHECK_MS);
    const impatience = setTimeout(() => app.server.closeAllConnections(), DRAIN_MS);
    await app.close();
    clearInterval(idle);
    clearTimeout(impatience);
    for (const limiter of limiters) await limiter.close();
  };
  return () => {
    stopping ??= stop();
    return stopping;
  };
}
