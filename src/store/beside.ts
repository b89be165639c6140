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

/** Where connections that follow a client stop to, by connection. */
const following = new WeakMap<object, () => void>();

/**
 * Has a connection end when the app ends its client, and come back with it.
 *
 * @returns Whether the app has ended it: a Cluster forgets that it was, and then says `close`.
 */
export function follow(connection: Redis | Cluster, client: RedisClient, comeBack: () => void): () => boolean {
  let isEnded = client.status === "end" || client.status === "close";
  const end = () => {
    isEnded = true;
    connection.disconnect();
  };
  const begin = () => {
    isEnded = false;
    comeBack();
  };
  client.on("end", end);
  client.on("connecting", begin);
  following.set(connection, () => {
    client.off("end", end);
    client.off("connecting", begin);
  });
  return () => isEnded;
}

/** Leaves the client alone for good. */
export function unfollow(connection: Redis | Cluster): void {
  following.get(connection)?.();
}
