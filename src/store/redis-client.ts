import type { ConnectionOptions } from "node:tls";
import type { Cluster, Redis } from "ioredis";
import { TollkeeperError } from "../errors.js";
import type { Ioredis } from "./ioredis.js";
import type { Address } from "./redis-url.js";

/** The longest pause, in ms, before a connection is tried anew. */
export const RETRY_MS = 500;
/** How long, in ms, a connection may owe an answer before it is given up. */
const SILENT_MS = 2000;

/** How a connection is made. */
export interface ClientOptions {
  address: Address;
  tls: ConnectionOptions | undefined;
  /** How long, in ms, an answer is waited for. */
  timeoutMs: number;
  /** Asked anew for each connection, where they change. */
  credentials?: (() => Credentials | Promise<Credentials>) | undefined;
}

export type Client = Redis | Cluster;

/** Who to be, on a connection that is made now. */
export interface Credentials {
  /** The one of the URL if left out. */
  username?: string;
  /** As Redis has it. */
  password: string;
}

/**
 * A client that connects for as long as `isWanted` says so. Nothing is queued or sent again behind our back: what is late
 * is decided otherwise, and must not be charged too.
 *
 * @throws {TollkeeperError} `ERR_STORE_REFUSED` if there are no credentials to begin with
 */
export async function clientOf(ioredis: Ioredis, options: ClientOptions, isWanted: () => boolean): Promise<Client> {
  const login = new Login(options);
  await login.renew();
  const client = open(ioredis, options, login);
  // A Cluster refuses commands for a node while it connects, and connects with the first command.
  client.on("+node", (node: Redis) => {
    Object.assign(node.options, login.present);
    node.connect().catch(() => undefined);
  });
  const renew = (): void => {
    const renewed = () => void ("nodes" in client || Object.assign(client.options, login.present));
    login.renew().then(renewed, (error: unknown) => client.emit("error", error));
  };
  client.on("reconnecting", renew).on("-node", renew);
  // ioredis gives up for good where Sentinels tell of another master while it connects to the one before.
  client.on("end", () => {
    const revive = (): void => {
      if (isWanted() && client.status === "end") client.connect().catch(() => undefined);
    };
    if (isWanted()) setTimeout(revive, RETRY_MS).unref();
  });
  return client;
}

/** The user and password to connect with. */
class Login {
  readonly #options: ClientOptions;
  present: { username?: string; password?: string };

  constructor(options: ClientOptions) {
    const { username, password } = options.address;
    this.#options = options;
    this.present = { ...(username === undefined ? {} : { username }), ...(password === undefined ? {} : { password }) };
  }

  /** Asks for them anew, where they may change. */
  async renew(): Promise<void> {
    const { credentials } = this.#options;
    if (credentials === undefined) return;
    try {
      const { username, password } = await credentials();
      if (typeof password !== "string") throw new TypeError(`it gave a password of type ${typeof password}`);
      this.present = { ...this.present, ...(username === undefined ? {} : { username }), password };
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new TollkeeperError("ERR_STORE_REFUSED", `there is no password for Redis: ${why}`, { cause });
    }
  }
}

function open(ioredis: Ioredis, { address, tls, timeoutMs }: ClientOptions, login: Login): Client {
  const common = {
    ...login.present,
    ...(address.tls ? { tls: tls ?? {} } : {}),
    protocol: 2 as const,
    connectTimeout: 2000,
    // A firewall can forget a connection without a word; TCP would try it for a quarter of an hour.
    socketTimeout: Math.max(SILENT_MS, 2 * timeoutMs),
    enableOfflineQueue: false,
    // It asks for INFO, which a user may not have the right to, and says so on the console; we look ourselves.
    enableReadyCheck: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false,
    maxRetriesPerRequest: 0,
    // A master that was made a replica while we were connected.
    reconnectOnError: (error: Error) => error.message.startsWith("READONLY"),
    retryStrategy: (times: number) => Math.min(20 * 2 ** Math.min(times, 10), RETRY_MS),
  };
  switch (address.kind) {
    case "server":
      return new ioredis.Redis({ ...common, ...address.node, db: address.db });
    case "sentinel":
      return new ioredis.Redis({
        ...common,
        sentinels: [...address.nodes],
        name: address.master,
        db: address.db,
        ...(address.tls ? { enableTLSForSentinelMode: true, sentinelTLS: tls ?? {} } : {}),
        ...(address.sentinelPassword === undefined ? {} : { sentinelPassword: address.sentinelPassword }),
        sentinelRetryStrategy: () => RETRY_MS,
        failoverDetector: true,
      });
    case "cluster":
      return new ioredis.Cluster([...address.nodes], {
        redisOptions: common,
        // A certificate is for the name of a node, not for the address behind it.
        ...(address.tls ? { dnsLookup: (host, found) => found(null, host) } : {}),
        enableOfflineQueue: false,
        // It asks one node by chance, which may just be connecting, and begins anew half a second later; we ask them all.
        enableReadyCheck: false,
        retryDelayOnFailover: 0,
        slotsRefreshTimeout: 500,
        clusterRetryStrategy: () => RETRY_MS,
        slotsRefreshInterval: 2000,
      });
  }
}

/**
 * Keeps a second error of a connection from ending the process: ioredis listens for one, and TLS can have more, such as
 * an alert of the server after the connection was given up.
 */
export function shield(client: Client): void {
  const streams = "nodes" in client ? client.nodes().map(({ stream }) => stream) : [client.stream];
  // A client that has not connected yet has no stream, whatever its type says.
  for (const stream of streams) stream?.on("error", () => undefined);
}

/** Ends a connection for good: nobody hears of it any more, and it is not made anew. */
export function letGo(client: Client): void {
  client.removeAllListeners("end").removeAllListeners("ready");
  shield(client);
  client.disconnect();
}
