import type { Redis } from "ioredis";
import { TollkeeperError } from "../errors.js";
import { withoutPassword } from "./address.js";
import { type Client, type ClientOptions, clientOf, RETRY_MS, shield } from "./client.js";
import { complaintsOf, translated } from "./complaints.js";
import type { Command, Greeting, Link, LinkEvents, Reply, Roll } from "./protocol.js";
import { REGISTRY } from "./registry.js";
import { SCRIPT } from "./script.js";
import { argumentsOf, keyOf, nameOf, replyOf } from "./wire.js";

/** Seconds for which a server counts as young: it may just have come back without what it knew. */
const YOUNG_S = 5;
/** After how long, in ms, a server that can't be used is looked at again. */
const LOOK_AGAIN_MS = 2000;

/** How Redis is reached. */
export interface RedisLinkOptions extends ClientOptions {
  /** As configured, for messages. */
  url: string;
  prefix: string;
  /** Names this replica among the others; unique for as long as it lives. */
  replica: string;
  /** Told of what keeps it from working, or will. */
  onProblem: (error: TollkeeperError) => void;
}

type Scripted = Record<"tollkeeperKey" | "tollkeeperRegistry", (...args: string[]) => Promise<unknown>>;

/** A Redis server, a Sentinel's master or a Cluster, through ioredis, which is loaded when the link is opened. */
export class RedisLink implements Link {
  readonly #options: RedisLinkOptions;
  readonly #channel: string;
  #client: (Client & Scripted) | undefined;
  #subscriber: Client | undefined;
  #server = "";
  #young = false;
  #closed = false;

  constructor(options: RedisLinkOptions) {
    this.#options = options;
    this.#channel = `{${options.prefix}}:changes`;
  }

  open(events: LinkEvents): void {
    this.#connect(events).catch((error: unknown) => this.#report(error));
  }

  async send(command: Command): Promise<Reply> {
    const sender = { server: this.#server, channel: this.#channel, caller: this.#options.replica };
    const name = nameOf(this.#options.prefix, command.key);
    const reply = await this.#ask((client) => client.tollkeeperKey(name, ...argumentsOf(command, sender)));
    return replyOf(reply as unknown[]);
  }

  async greet({ peers, knows, told, leaves, usage }: Greeting): Promise<Roll> {
    const flags = [knows, told, leaves, this.#young].map((flag) => (flag ? "1" : "0"));
    const counts = [...usage].flatMap(([tier, tokens]) => [tier, String(tokens)]);
    const { prefix, replica } = this.#options;
    const line = [this.#server, replica, ...flags, String(peers.length), ...peers, ...counts];
    const reply = await this.#ask((client) => client.tollkeeperRegistry(`{${prefix}}:replicas`, ...line));
    const [settlingMs, ...replicas] = reply as [number, ...string[]];
    return { settlingMs, replicas };
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const client of [this.#client, this.#subscriber]) {
      if (client === undefined) continue;
      shield(client);
      client.disconnect();
    }
  }

  async #ask(call: (client: Scripted) => Promise<unknown>): Promise<unknown> {
    if (this.#client === undefined) throw new TollkeeperError("ERR_STORE_UNAVAILABLE", "Redis is not connected yet");
    try {
      return await call(this.#client);
    } catch (error) {
      throw this.#report(error);
    }
  }

  async #connect(events: LinkEvents): Promise<void> {
    const ioredis = await import("ioredis");
    if (this.#closed) return;
    const client = clientOf(ioredis, this.#options) as Client & Scripted;
    client.defineCommand("tollkeeperKey", { numberOfKeys: 1, lua: SCRIPT });
    client.defineCommand("tollkeeperRegistry", { numberOfKeys: 1, lua: REGISTRY });
    client.on("error", (error: unknown) => {
      shield(client);
      this.#report(error);
    });
    client.on("node error", (error: unknown) => this.#report(error));
    client.on("close", () => events.disconnected());
    client.on("end", () => events.disconnected());
    client.on("ready", () => {
      this.#inspect(client).then(
        (server) => (server === undefined ? this.#lookAgain(client) : events.connected(server)),
        (error: unknown) => {
          this.#report(error);
          this.#lookAgain(client);
        },
      );
    });
    // A Cluster refuses commands for a node while it connects, and connects with the first command.
    client.on("+node", (node: Redis) => void node.connect().catch(() => undefined));
    this.#client = client;
    this.#subscriber = this.#subscribe(clientOf(ioredis, this.#options), events);
  }

  /** Looks at the server at the other end of a new connection; undefined if it can't be used. */
  async #inspect(client: Client): Promise<string | undefined> {
    const { url, address } = this.#options;
    const isCluster = address.kind === "cluster";
    const [info, ...others] = await factsOfAll("nodes" in client ? client.nodes("master") : [client]);
    const complaints = [info, ...others].flatMap((facts) =>
      complaintsOf(facts, { url: withoutPassword(url), isCluster }),
    );
    for (const { error } of complaints) this.#options.onProblem(error);
    if (complaints.some(({ fatal }) => fatal)) return undefined;
    this.#young = Number(info.get("uptime_in_seconds")) < YOUNG_S;
    this.#server = isCluster ? "cluster" : (info.get("run_id") ?? "").slice(0, 12);
    return this.#server;
  }

  /** Connects anew after a while, since what is wrong with a server may be mended while it runs. */
  #lookAgain(client: Client): void {
    setTimeout(() => this.#closed || client.disconnect(true), LOOK_AGAIN_MS).unref();
  }

  #subscribe(subscriber: Client, events: LinkEvents): Client {
    subscriber.on("error", (error: unknown) => {
      shield(subscriber);
      this.#report(error);
    });
    subscriber.on("message", (_channel: string, message: string) => {
      const [, caller, kind, name] = /^(\S+) (\S+) (.*)$/s.exec(message) ?? [];
      if (name === undefined || caller === this.#options.replica) return;
      events.changed(keyOf(this.#options.prefix, name), kind === "reset");
    });
    // A Cluster picks a node for it by chance, which may be one that is lost.
    const subscribe = (): void =>
      void subscriber.subscribe(this.#channel).catch((error: unknown) => {
        this.#report(error);
        setTimeout(() => subscriber.status === "ready" && subscribe(), RETRY_MS).unref();
      });
    subscriber.on("ready", subscribe);
    return subscriber;
  }

  #report(error: unknown): TollkeeperError {
    const translation = translated(error, withoutPassword(this.#options.url), this.#server === "");
    if (!this.#closed) this.#options.onProblem(translation);
    return translation;
  }
}

/** What each server says of itself; those that can't be asked are passed over, unless it is all of them. */
async function factsOfAll(servers: readonly Redis[]): Promise<[Map<string, string>, ...Map<string, string>[]]> {
  const answers = await Promise.allSettled(servers.map(async (server) => factsOf(await server.info())));
  const [first, ...others] = answers.flatMap((answer) => (answer.status === "fulfilled" ? [answer.value] : []));
  if (first !== undefined) return [first, ...others];
  throw answers.find((answer) => answer.status === "rejected")?.reason ?? new Error("no server is known");
}

function factsOf(info: string): Map<string, string> {
  return new Map(
    info.split("\r\n").flatMap((line) => {
      const at = line.indexOf(":");
      return at > 0 ? [[line.slice(0, at), line.slice(at + 1)] as const] : [];
    }),
  );
}
