import type { ConnectionOptions } from "node:tls";
import type { Cluster, Redis } from "ioredis";
import { TollkeeperError } from "../errors.js";
import { beside, follow, type Manner, unfollow } from "./beside.js";
import { loginOfClient, type RedisClient } from "./given-client.js";
import { type Ioredis, loadIoredis } from "./ioredis.js";
import { type Credentials, Login } from "./login.js";
import type { Address } from "./redis-url.js";

/** The longest pause, in ms, before a connection is tried anew. */
export const RETRY_MS = 500;
/** How long, in ms, a connection may owe an answer before it is given up. */
const SILENT_MS = 2000;

/** How a connection is made. */
export interface ClientOptions {
  /** Where Redis is; of a client that was given, as far as can be told. */
  address: Address;
  /** The app's own client, beside which connections are made, in place of making them to the address. */
  client?: RedisClient | undefined;
  tls: ConnectionOptions | undefined;
  /** How long, in ms, an answer is waited for. */
  timeoutMs: number;
  /** Asked anew for each connection, where they change. */
  credentials?: (() => Credentials | Promise<Credentials>) | undefined;
}

export type Client = Redis | Cluster;

/**
 * Two clients, one to ask and one to be told of changes. They connect for as long as `isWanted` says so, and while the app's
 * own client is not ended where one was given. Nothing is queued or sent again behind our back: what is late is decided
 * otherwise, and must not be charged too.
 *
 * @throws {TollkeeperError} `ERR_STORE_REFUSED` if there are no credentials to begin with; `ERR_PACKAGE_MISSING`
 */
export async function pairOf(options: ClientOptions, isWanted: () => boolean): Promise<[Client, Client]> {
  const make = await makerOf(options, isWanted);
  return [make(), make()];
}

/** One client, as {@link pairOf} makes them. */
export async function clientOf(options: ClientOptions, isWanted: () => boolean): Promise<Client> {
  return (await makerOf(options, isWanted))();
}

async function makerOf(options: ClientOptions, isWanted: () => boolean): Promise<() => Client> {
  const { address, client: given, credentials } = options;
  const login = new Login(() => (given === undefined ? address : loginOfClient(given)), credentials);
  await login.renew();
  const manner = mannerOf(options, login);
  const make = given === undefined ? openerOf(await loadIoredis(), options, manner) : () => beside(given, manner);
  return () => {
    const client = make();
    keep(client, login, given, isWanted);
    return client;
  };
}

/** States in which a client does not connect by itself. */
const IDLE = ["wait", "close", "end"];

/** Keeps a client connected. */
function keep(client: Client, login: Login, given: RedisClient | undefined, isWanted: () => boolean): void {
  const tell = (error: unknown) => void client.emit("error", error);
  let attempts = 0;
  const connect = async (): Promise<void> => {
    if (!isWanted() || !IDLE.includes(client.status)) return;
    if (isEnded()) return tell(endedByApp());
    if (!("nodes" in client)) Object.assign(client.options, login.present);
    await client.connect().catch(() => undefined); // What fails is told as an event, and ends the connection.
  };
  const connectAnew = (): void => {
    login.renew().then(connect, (error: unknown) => {
      tell(error);
      connectLater();
    });
  };
  const connectLater = (): void => {
    if (isWanted()) setTimeout(connectAnew, Math.min(20 * 2 ** Math.min(++attempts, 10), RETRY_MS)).unref();
  };
  client.on("end", connectLater);
  client.on("ready", () => {
    attempts = 0;
  });
  // A Cluster refuses commands for a node while it connects, and connects with the first command.
  client.on("+node", (node: Redis) => {
    login.leadInto(node.options, tell);
    node.connect().catch(() => undefined);
  });
  client.on("-node", () => void login.renew().catch(tell));
  const isEnded = given === undefined ? () => false : follow(client, given, connectAnew);
  setImmediate(connect); // Whoever asked for it listens by then.
}

function endedByApp(): TollkeeperError {
  return new TollkeeperError(
    "ERR_STORE_UNAVAILABLE",
    "the app has ended the Redis client that it gave as storage.client; once it connects again, so do we",
  );
}

function mannerOf({ timeoutMs }: ClientOptions, login: Login): Manner {
  return {
    connection: {
      ...login.present,
      protocol: 2,
      connectTimeout: 2000,
      // A firewall can forget a connection without a word; TCP would try it for a quarter of an hour.
      socketTimeout: Math.max(SILENT_MS, 2 * timeoutMs),
      lazyConnect: true,
      enableOfflineQueue: false,
      // It asks for INFO, which a user may not have the right to, and says so on the console; we look ourselves.
      enableReadyCheck: false,
      autoResendUnfulfilledCommands: false,
      autoResubscribe: false,
      maxRetriesPerRequest: 0,
      // A master that was made a replica while we were connected.
      reconnectOnError: (error: Error) => error.message.startsWith("READONLY"),
      // We connect anew ourselves, since it would not wait for credentials.
      retryStrategy: null,
    },
    sentinel: { sentinelRetryStrategy: () => RETRY_MS, failoverDetector: true },
    cluster: {
      lazyConnect: true,
      enableOfflineQueue: false,
      // It asks one node by chance, which may just be connecting, and begins anew half a second later; we ask them all.
      enableReadyCheck: false,
      retryDelayOnFailover: 0,
      slotsRefreshTimeout: 500,
      clusterRetryStrategy: () => RETRY_MS,
      slotsRefreshInterval: 2000,
    },
  };
}

function openerOf({ Redis, Cluster }: Ioredis, { address, tls }: ClientOptions, manner: Manner): () => Client {
  const connection = { ...manner.connection, ...(address.tls ? { tls: tls ?? {} } : {}) };
  switch (address.kind) {
    case "server":
      return () => new Redis({ ...connection, ...address.node, db: address.db });
    case "sentinel":
      return () =>
        new Redis({
          ...connection,
          ...manner.sentinel,
          sentinels: [...address.nodes],
          name: address.master,
          db: address.db,
          ...(address.tls ? { enableTLSForSentinelMode: true, sentinelTLS: tls ?? {} } : {}),
          ...(address.sentinelPassword === undefined ? {} : { sentinelPassword: address.sentinelPassword }),
        });
    case "cluster":
      return () =>
        new Cluster([...address.nodes], {
          ...manner.cluster,
          redisOptions: connection,
          // A certificate is for the name of a node, not for the address behind it.
          ...(address.tls ? { dnsLookup: (host, found) => found(null, host) } : {}),
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
  unfollow(client);
  client.removeAllListeners("end").removeAllListeners("ready");
  shield(client);
  client.disconnect();
}
