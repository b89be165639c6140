import type { Cluster, Redis } from "ioredis";
import { optionsOf, type RedisClient } from "./given-client.js";

/** How connections are made, whatever the client's options say. */
export interface Manner {
  /** Options of each connection. */
  readonly connection: object;
  /** Options of a master that Sentinels know. */
  readonly sentinel: object;
  /** Options of a Cluster. */
  readonly cluster: object;
}

/** Makes a connection beside a client: to the same place, in our manner. */
export function beside(client: RedisClient, { connection, sentinel, cluster }: Manner): Redis | Cluster {
  // What would be sent without being asked for, or read otherwise, in ioredis 5 or 6.
  const plain = {
    commandTimeout: undefined,
    blockingTimeout: undefined,
    enableAutoPipelining: false,
    himportFieldsets: undefined,
    keyPrefix: "",
    monitor: false,
    readOnly: false,
    replyMapping: "legacy",
    role: "master",
    scripts: undefined,
    showFriendlyErrorStack: false,
    stringNumbers: false,
  };
  const { duplicate } = client as unknown as { duplicate(...overrides: unknown[]): Redis | Cluster };
  if ("nodes" in client) {
    const redisOptions = { ...optionsOf(client), ...plain, ...connection };
    const whole = {
      enableAutoPipelining: false,
      keyPrefix: "",
      scaleReads: "master",
      scripts: undefined,
      shardedSubscribers: false,
    };
    return duplicate.call(client, [], { ...whole, ...cluster, redisOptions });
  }
  return duplicate.call(client, { ...plain, ...connection, ...(optionsOf(client).sentinels?.length ? sentinel : {}) });
}

/** What listens to a client for all connections that follow it: with listeners of their own Node would suspect a leak. */
class Followers {
  readonly #client: RedisClient;
  readonly #comeBacks = new Map<Redis | Cluster, () => void>();
  isEnded: boolean;

  constructor(client: RedisClient) {
    this.#client = client;
    // A Cluster forgets that it was ended, and then says `close`.
    this.isEnded = client.status === "end" || client.status === "close";
    client.on("end", this.#end);
    client.on("connecting", this.#begin);
  }

  add(connection: Redis | Cluster, comeBack: () => void): void {
    this.#comeBacks.set(connection, comeBack);
  }

  /** Leaves the client alone once nobody follows it; returns whether that is so. */
  remove(connection: Redis | Cluster): boolean {
    this.#comeBacks.delete(connection);
    if (this.#comeBacks.size > 0) return false;
    this.#client.off("end", this.#end);
    this.#client.off("connecting", this.#begin);
    return true;
  }

  readonly #end = (): void => {
    this.isEnded = true;
    for (const connection of this.#comeBacks.keys()) connection.disconnect();
  };

  readonly #begin = (): void => {
    this.isEnded = false;
    for (const comeBack of this.#comeBacks.values()) comeBack();
  };
}

const followers = new WeakMap<RedisClient, Followers>();
const followed = new WeakMap<Redis | Cluster, RedisClient>();

/**
 * Has a connection end when the app ends its client, and come back with it.
 *
 * @returns Whether the app has ended it.
 */
export function follow(connection: Redis | Cluster, client: RedisClient, comeBack: () => void): () => boolean {
  const all = followers.get(client) ?? new Followers(client);
  followers.set(client, all);
  followed.set(connection, client);
  all.add(connection, comeBack);
  return () => all.isEnded;
}

/** Has a connection follow no client any more. */
export function unfollow(connection: Redis | Cluster): void {
  const client = followed.get(connection);
  if (client !== undefined && followers.get(client)?.remove(connection)) followers.delete(client);
}
