import { TollkeeperError } from "../errors.js";
import { membershipOf, partsOf, replyOf, StrangeAnswer } from "./answer.js";
import { checkAllRights, clusterBehind, type Facts, type InspectionOptions, inspect } from "./inspection.js";
import { keyFault } from "./key-error.js";
import { conflictsWith, kindsText, type StoreRef } from "./limit-kinds.js";
import { SCRIPT } from "./lua/keys.js";
import { REGISTRY } from "./lua/replicas.js";
import type { Command, Heartbeat, Link, LinkEvents, Membership, Reply } from "./protocol.js";
import { type Client, letGo, pairOf, RETRY_MS, shield } from "./redis-client.js";
import { isRefusal, strange, translated } from "./redis-errors.js";
import { type Address, redactedUrl } from "./redis-url.js";
import { type Need, needsOf } from "./rights.js";
import { atTurnEnd } from "./turn.js";
import { argumentsOf, keyOf, nameOf } from "./wire.js";

/** Seconds for which a server has just started: it may have come back without what it knew. */
const JUST_STARTED_S = 5;
/** After how long, in ms, a server that can't be used is looked at again. */
const LOOK_AGAIN_MS = 2000;

/** Keys of one call at most: the server does nothing else until it is done with them. */
const BATCH = 32;

/** How Redis is reached. */
export interface RedisLinkOptions extends InspectionOptions {
  prefix: string;
  /** Names this replica among the others; unique for as long as it lives. */
  replica: string;
  /** Told of what keeps it from working, or will. */
  onProblem: (error: TollkeeperError) => void;
}

type Scripted = Record<"tollkeeperKeys" | "tollkeeperRegistry", (...args: string[]) => Promise<unknown>>;

/** A command that is to be sent, or was, and who waits for the answer. */
interface Waiting {
  readonly command: Command;
  readonly resolve: (reply: Reply) => void;
  readonly reject: (error: unknown) => void;
}

/** A Redis server, a Sentinel's master or a Cluster, through ioredis, which is loaded when the link is opened. */
export class RedisLink implements Link {
  readonly #channel: string;
  #options: RedisLinkOptions;
  #events: LinkEvents | undefined;
  #client: (Client & Scripted) | undefined;
  #subscriber: Client | undefined;
  #waiting: Waiting[] = [];
  #server = "";
  #hasJustStarted = false;
  #closed = false;

  constructor(options: RedisLinkOptions) {
    this.#options = options;
    this.#channel = `{${options.prefix}}:changes`;
  }

  open(events: LinkEvents): void {
    this.#events = events;
    this.#connectSoon(events);
  }

  send(command: Command): Promise<Reply> {
    return new Promise((resolve, reject) => {
      if (this.#waiting.push({ command, resolve, reject }) === 1) atTurnEnd(() => this.#flush());
    });
  }

  async heartbeat(heartbeat: Heartbeat): Promise<Membership> {
    const { lane = 0, lanes = 1, peers, hasState, hasReported, isLeaving, kinds, usage } = heartbeat;
    const flags = [hasState, hasReported, isLeaving, this.#hasJustStarted].map((flag) => (flag ? "1" : "0"));
    const counts = [...usage].flatMap(([tier, tokens]) => [tier, String(tokens)]);
    const { prefix, replica } = this.#options;
    const about = [...flags, kindsText(kinds), String(lane), String(lanes)];
    const line = [this.#server, replica, ...about, String(peers.length), ...peers, ...counts];
    const client = this.#client;
    const [asked, allowed] = await Promise.allSettled([
      this.#ask((client) => client.tollkeeperRegistry(`{${prefix}}:replicas`, ...line)),
      client === undefined ? undefined : checkAllRights(client, this.#options, this.#needs),
    ]);
    // Of the two it is the latter that names all that is missing.
    if (allowed.status === "rejected") throw this.#refused(allowed.reason);
    if (asked.status === "rejected") throw this.#refused(asked.reason);
    const { others, ...membership } = this.#understood(() => membershipOf(asked.value, replica, isLeaving));
    if (membership.isFull) this.#report(new Error("OOM when a replica reports"));
    for (const error of others.flatMap((told) => conflictsWith(told, kinds, this.#storeRef))) this.#report(error);
    return membership;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#disconnect();
  }

  /** Sends what has come in one turn of the event loop, in one write per server. */
  #flush(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    const client = this.#client;
    // Only a Cluster has several nodes, and no call to it may name keys of two slots.
    if (client === undefined || !("nodes" in client)) {
      for (let at = 0; at < waiting.length; at += BATCH) this.#sendAll(waiting.slice(at, at + BATCH));
      return;
    }
    const streams = client.nodes("master").map(({ stream }) => stream);
    for (const stream of streams) stream?.cork();
    for (const one of waiting) this.#sendAll([one]);
    for (const stream of streams) stream?.uncork();
  }

  #sendAll(sent: readonly Waiting[]): void {
    const sender = { server: this.#server, channel: this.#channel, caller: this.#options.replica };
    const commands = sent.map(({ command }) => command);
    const names = commands.map(({ key }) => nameOf(this.#options.prefix, key));
    const line = [String(names.length), ...names, ...argumentsOf(commands, sender)];
    this.#ask((client) => client.tollkeeperKeys(...line))
      .then((answer) => {
        const { parts, refused } = this.#understood(() => partsOf(answer, sent.length));
        if (refused !== undefined) this.#report(new Error(refused));
        for (const [index, one] of sent.entries()) this.#answer(one, parts[index]);
      })
      .catch((error: unknown) => {
        for (const { reject } of sent) reject(error);
      });
  }

  #answer({ command, resolve, reject }: Waiting, part: unknown): void {
    if (part instanceof Error) {
      reject(this.#report(keyFault(part, command.key, this.#storeRef) ?? part));
      return;
    }
    try {
      resolve(this.#understood(() => replyOf(part, command)));
    } catch (error) {
      reject(error);
    }
  }

  /** Has an answer read, and reports what is none. */
  #understood<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof StrangeAnswer)) throw error;
      throw this.#report(strange(this.#storeRef.url, error.message));
    }
  }

  get #storeRef(): StoreRef {
    return { url: redactedUrl(this.#options.url), prefix: this.#options.prefix };
  }

  async #ask(call: (client: Scripted) => Promise<unknown>): Promise<unknown> {
    if (this.#client === undefined) throw new TollkeeperError("ERR_STORE_UNAVAILABLE", "Redis is not connected yet");
    try {
      return await call(this.#client);
    } catch (error) {
      throw this.#report(error);
    }
  }

  /** Connects, and tries again where there is not even a password to do it with. */
  #connectSoon(events: LinkEvents): void {
    this.#connect(events).catch((error: unknown) => {
      this.#refused(error);
      setTimeout(() => this.#closed || this.#connectSoon(events), RETRY_MS).unref();
    });
  }

  async #connect(events: LinkEvents): Promise<void> {
    const isWanted = () => !this.#closed;
    const [client, subscriber] = (await pairOf(this.#options, isWanted)) as [Client & Scripted, Client];
    client.defineCommand("tollkeeperKeys", { lua: SCRIPT });
    client.defineCommand("tollkeeperRegistry", { numberOfKeys: 1, lua: REGISTRY });
    client.on("error", (error: unknown) => {
      shield(client);
      this.#refused(error);
    });
    client.on("node error", (error: unknown) => this.#report(error));
    client.on("close", () => events.disconnected());
    client.on("end", () => events.disconnected());
    client.on("ready", () => {
      this.#inspect(client).then(
        (facts) => {
          const cluster = clusterBehind(this.#options, facts);
          if (cluster !== undefined) return this.#become(cluster, events);
          this.#hasJustStarted = Number(facts.get("uptime_in_seconds")) < JUST_STARTED_S;
          this.#server = this.#isCluster ? "cluster" : (facts.get("run_id") ?? "").slice(0, 12);
          events.connected(this.#server);
        },
        (error: unknown) => {
          this.#lookAgain(client, isRefusal(this.#refused(error)) ? LOOK_AGAIN_MS : RETRY_MS);
        },
      );
    });
    this.#client = client;
    this.#subscriber = this.#subscribe(subscriber, events);
    if (this.#closed) await this.close();
  }

  get #isCluster(): boolean {
    return this.#options.address.kind === "cluster";
  }

  /** What is needed of the user; the empty key is nobody's. */
  get #needs(): Need[] {
    const { prefix } = this.#options;
    const scripts = [
      [SCRIPT, nameOf(prefix, ""), `~{${prefix}:*`],
      [REGISTRY, `{${prefix}}:scratch`, `~{${prefix}}:*`],
    ] as const;
    return needsOf({ scripts, channel: this.#channel, prefix, isCluster: this.#isCluster });
  }

  /** Looks at the server at the other end of a new connection. */
  #inspect(client: Client): Promise<Facts> {
    return inspect(client, this.#options, this.#needs, (risk) => this.#report(risk));
  }

  /** Connects to the Cluster that a server has turned out to be a node of. */
  #become(address: Address, events: LinkEvents): void {
    this.#disconnect();
    this.#options = { ...this.#options, address };
    this.#connectSoon(events);
  }

  #disconnect(): void {
    for (const client of [this.#client, this.#subscriber]) if (client !== undefined) letGo(client);
  }

  /** Connects anew after a while, since what is wrong with a server may be mended while it runs. */
  #lookAgain(client: Client, afterMs: number): void {
    setTimeout(() => this.#closed || client.disconnect(true), afterMs).unref();
  }

  #subscribe(subscriber: Client, events: LinkEvents): Client {
    subscriber.on("error", (error: unknown) => {
      shield(subscriber);
      this.#report(error);
    });
    subscriber.on("message", (_channel: string, message: string) => {
      const [, caller, kind, name] = /^(\S+) (\S+) (.*)$/s.exec(message) ?? [];
      if (name === undefined || caller === this.#options.replica) return;
      const key = keyOf(this.#options.prefix, name);
      if (kind === "return") events.wanted(key);
      else events.changed(key, kind === "reset");
    });
    const subscribe = (): void =>
      void subscriber.subscribe(this.#channel).catch((error: unknown) => {
        // A Cluster picks a node for it by chance, and takes leave of one that is lost, or has turned out to be a replica.
        const isLeft = "nodes" in subscriber && /Connection is closed/.test(String(error));
        // Who was not let in with a password of yesterday is not let in on the same connection any more.
        const isRefused = !isLeft && isRefusal(this.#report(error));
        const again = isRefused ? () => subscriber.disconnect(true) : subscribe;
        setTimeout(() => subscriber.status === "ready" && again(), RETRY_MS).unref();
      });
    subscriber.on("ready", subscribe);
    return subscriber;
  }

  /** Reports what keeps all of it from being used. */
  #refused(error: unknown): TollkeeperError {
    const translation = this.#report(error);
    if (isRefusal(translation) && !this.#closed) this.#events?.refused(translation);
    return translation;
  }

  #report(error: unknown): TollkeeperError {
    const translation = translated(error, redactedUrl(this.#options.url), this.#server === "");
    if (!this.#closed) this.#options.onProblem(translation);
    return translation;
  }
}
