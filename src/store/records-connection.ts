import { TollkeeperError } from "../errors.js";
import { clusterBehind, type InspectionOptions, inspect } from "./inspection.js";
import { READ, SCAN, WRITE } from "./lua/records.js";
import { type Client, letGo, pairOf, RETRY_MS, shield } from "./redis-client.js";
import { translated } from "./redis-errors.js";
import { redactedUrl } from "./redis-url.js";
import { type Need, needsOf } from "./rights.js";

/** Records read, and told, at a time. */
const PAGE = 500;
/** After how long, in ms, a server that can't be used is looked at again. */
const LOOK_AGAIN_MS = 2000;

/** What replicas tell each other behind their names, but that something has changed: to look, and that they have. */
const ASKED = "?";
const ANSWER = "!";

/** How the records are reached. */
export interface RedisRecordsOptions extends InspectionOptions {
  prefix: string;
}

/** What was read. */
export interface Changes {
  /** The process that was asked. */
  readonly server: string;
  /** Records that its hash has, deleted ones too; that its log has; that there were once, as far as replicas have told. */
  readonly inHash: number;
  readonly inLog: number;
  readonly told: number;
  readonly position: string;
  /** Names in the log of which the hash has nothing. */
  readonly missing: number;
  readonly changes: readonly (readonly [name: string, text: string])[];
}

type Scripted = Record<
  "tollkeeperWrite" | "tollkeeperRead" | "tollkeeperScan",
  (...args: string[]) => Promise<unknown>
>;

/** The connections of one replica's records: one to ask, one to be told of changes. */
export class RecordsConnection {
  #options: RedisRecordsOptions;
  readonly #caller: string;
  /** Of one slot in a Cluster. */
  readonly #keys: readonly [hash: string, log: string, replicas: string];
  readonly #channel: string;
  #client: (Client & Scripted) | undefined;
  #subscriber: Client | undefined;
  /** Of the connection that there is; rejects if the server can't be used. */
  #inspection: Promise<unknown> = Promise.resolve();
  /** Why there is no connection, as far as the client has said since the last one. */
  #fault: unknown;
  #listens = false;
  #answers = 0;
  #isNew = true;
  #closed = false;

  /** @param caller Names this replica among those that are told of its changes. */
  constructor(options: RedisRecordsOptions, caller: string) {
    const { prefix } = options;
    this.#options = options;
    this.#caller = caller;
    this.#keys = [`{${prefix}}:records`, `{${prefix}}:records-log`, `{${prefix}}:replicas`];
    this.#channel = `{${prefix}}:records-changes`;
  }

  /**
   * Begins to connect; `changed` is called when something may have changed, and resolves when that was looked at.
   *
   * @throws {TollkeeperError} `ERR_PACKAGE_MISSING`
   */
  async open(changed: () => Promise<void>): Promise<void> {
    const isWanted = () => !this.#closed;
    const opened = await pairOf(this.#options, isWanted).catch((error: unknown) => {
      if (error instanceof TollkeeperError && error.code === "ERR_PACKAGE_MISSING") throw error;
      this.#fault = error;
      setTimeout(() => this.#closed || void this.open(changed), RETRY_MS).unref();
    });
    if (opened === undefined) return;
    const [client, subscriber] = opened as [Client & Scripted, Client];
    client.defineCommand("tollkeeperWrite", { numberOfKeys: 3, lua: WRITE });
    client.defineCommand("tollkeeperRead", { numberOfKeys: 3, lua: READ });
    client.defineCommand("tollkeeperScan", { numberOfKeys: 1, lua: SCAN });
    for (const each of [client, subscriber]) each.on("error", () => shield(each));
    client.on("error", (error: unknown) => {
      this.#fault = error;
    });
    client.on("ready", () => {
      this.#fault = undefined;
      // What is only a risk, the limiter's own connection tells.
      this.#inspection = inspect(client, this.#options, this.#needs, () => undefined).then((facts) => {
        const address = clusterBehind(this.#options, facts);
        if (address === undefined) return;
        this.#disconnect();
        this.#options = { ...this.#options, address };
        return this.open(changed);
      });
      this.#inspection.then(changed, () => this.#lookAgain(client));
    });
    subscriber.on("ready", () => {
      // What changed before it listens was not told.
      subscriber.subscribe(this.#channel).then(
        () => {
          this.#listens = true;
          void changed();
        },
        () => this.#lookAgain(subscriber),
      );
    });
    subscriber.on("close", () => {
      this.#listens = false;
    });
    subscriber.on("message", (_channel: string, message: string) => {
      const [caller, word] = message.split(" ");
      if (caller === this.#caller) return;
      if (word === ANSWER) this.#answers++;
      else if (word === ASKED)
        changed()
          .then(() => client.publish(this.#channel, `${this.#caller} ${ANSWER}`))
          .catch(() => undefined);
      else void changed();
    });
    this.#client = client;
    this.#subscriber = subscriber;
    if (this.#closed) this.#disconnect();
  }

  /** What has changed after a position, up to now. */
  async changesAfter(position: string): Promise<Changes> {
    const changes: [string, string][] = [];
    let [at, missing] = [position, 0];
    for (;;) {
      const reply = await this.#ask((client) => client.tollkeeperRead(...this.#keys, at, String(PAGE)));
      const [server = "", inHash, inLog, told, last = at, found, ...flat] = (reply as unknown[]).map(String);
      this.#isNew = false;
      at = last;
      missing += Number(found) - flat.length / 2;
      for (let index = 0; index < flat.length; index += 2) changes.push([flat[index] ?? "", flat[index + 1] ?? ""]);
      if (Number(found) === PAGE) continue;
      const counts = { inHash: Number(inHash), inLog: Number(inLog), told: Number(told) };
      return { server, ...counts, position: at, missing, changes };
    }
  }

  /** All that the hash has, whatever the log says. */
  async everything(): Promise<[name: string, text: string][]> {
    const found: [string, string][] = [];
    let cursor = "0";
    do {
      const reply = await this.#ask((client) => client.tollkeeperScan(this.#keys[0], cursor, String(PAGE)));
      const [next, flat] = reply as [string, string[]];
      for (let index = 0; index < flat.length; index += 2) found.push([flat[index] ?? "", flat[index + 1] ?? ""]);
      cursor = next;
    } while (cursor !== "0");
    return found;
  }

  /** Writes one record; gives its text as it is there then. */
  async write(operation: "put" | "new", name: string, value: string | undefined): Promise<string> {
    const content = value === undefined ? "-" : `+${value}`;
    const line = [this.#channel, this.#caller, operation, name, content];
    return String(await this.#ask((client) => client.tollkeeperWrite(...this.#keys, ...line)));
  }

  /** Tells what is known, where less is there; nothing at all only has it counted what is there. */
  async restore(known: readonly (readonly [name: string, text: string])[]): Promise<void> {
    let at = 0;
    do {
      const line = [this.#channel, this.#caller, "restore", ...known.slice(at, at + PAGE).flat()];
      await this.#ask((client) => client.tollkeeperWrite(...this.#keys, ...line));
      at += PAGE;
    } while (at < known.length);
  }

  /** Asks whoever listens to look whether all is there that they know; gives what says whether all of them have. */
  async askOthers(): Promise<() => boolean> {
    this.#answers = 0;
    const own = this.#listens ? 1 : 0;
    const heard = await this.#ask((client) => client.publish(this.#channel, `${this.#caller} ${ASKED}`));
    // In a Cluster those are not counted who listen to another node.
    const others = this.#options.address.kind === "cluster" ? Number.POSITIVE_INFINITY : Number(heard) - own;
    return () => this.#answers >= others;
  }

  /** An error in our words. */
  translated(error: unknown): TollkeeperError {
    // Of a command that could not be sent the client says only that; it has said why before.
    const isUnsent = error instanceof Error && /enableOfflineQueue|Connection is closed/.test(error.message);
    const reason = isUnsent ? (this.#fault ?? error) : error;
    return translated(reason, redactedUrl(this.#options.url), this.#isNew);
  }

  close(): void {
    this.#closed = true;
    this.#disconnect();
  }

  get #needs(): Need[] {
    const { prefix, address } = this.#options;
    const scripts = [WRITE, READ, SCAN].map((script) => [script, `{${prefix}}:scratch`, `~{${prefix}}:*`] as const);
    return needsOf({ scripts, channel: this.#channel, prefix, isCluster: address.kind === "cluster" });
  }

  #disconnect(): void {
    for (const client of [this.#client, this.#subscriber]) if (client !== undefined) letGo(client);
  }

  /** Connects anew after a while, since what is wrong with a server may be mended while it runs. */
  #lookAgain(client: Client): void {
    setTimeout(() => this.#closed || client.disconnect(true), LOOK_AGAIN_MS).unref();
  }

  async #ask(call: (client: Client & Scripted) => Promise<unknown>): Promise<unknown> {
    if (this.#client === undefined) {
      throw this.#fault ?? new TollkeeperError("ERR_STORE_UNAVAILABLE", "Redis is not connected yet");
    }
    await this.#inspection;
    return call(this.#client);
  }
}
