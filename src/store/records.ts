import { randomBytes } from "node:crypto";
import { SortedNames } from "../engine/sorted-names.js";
import type { RecordListener, RecordStore } from "../engine/types.js";
import { TollkeeperError } from "../errors.js";
import { withoutPassword } from "./address.js";
import { type Client, type ClientOptions, clientOf, shield } from "./client.js";
import { translated } from "./complaints.js";
import { READ, WRITE } from "./records-script.js";

/** How often, in ms, it is asked what has changed, in case a message was missed. */
const POLL_MS = 1000;
/** How long, in ms, what was read last may be used while the server is away. */
const FRESH_MS = 24 * 3600 * 1000;
/** Records read, and told, at a time. */
const PAGE = 500;

/** How the records are reached. */
export interface RedisRecordsOptions extends ClientOptions {
  /** As configured, for messages. */
  url: string;
  prefix: string;
}

/** Of one slot in a Cluster. */
type Names = readonly [hash: string, log: string, channel: string];

/** What was read. */
interface Changes {
  /** The process that was asked. */
  readonly server: string;
  /** Records that it has, deleted ones too. */
  readonly count: number;
  readonly position: string;
  readonly changes: [name: string, text: string][];
}

interface Scripted {
  tollkeeperWrite(hash: string, log: string, ...args: string[]): Promise<unknown>;
  tollkeeperRead(hash: string, log: string, ...args: string[]): Promise<unknown>;
}

/**
 * Records that all replicas share, in Redis. Each replica holds them all: a look-up asks nobody, one for a name that was
 * made up neither, and while the server is away they can be read on, for a day. A change is seen by the others as soon as
 * its message comes, or else within a second or two. A server that has lost changes is told them by those who know.
 */
export class RedisRecords implements RecordStore {
  readonly #options: RedisRecordsOptions;
  readonly #caller = randomBytes(6).toString("base64url");
  readonly #names: Names;
  /** What is known by name: `<version> +<value>`, or `<version> -` once deleted. */
  readonly #texts = new Map<string, string>();
  /** Names of those that are not deleted. */
  readonly #live = new SortedNames();
  readonly #listeners: RecordListener[] = [];
  #client: (Client & Scripted) | undefined;
  #subscriber: Client | undefined;
  #poll: NodeJS.Timeout | undefined;
  /** Why there is no connection, as far as the client has said since the last one. */
  #fault: unknown;
  #closed = false;
  #version = 0;
  /** The process that was read from last, how far, and when by this process's clock. */
  #server = "";
  #position = "0";
  #readMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;

  constructor(options: RedisRecordsOptions) {
    this.#options = options;
    const { prefix } = options;
    this.#names = [`{${prefix}}:records`, `{${prefix}}:records-log`, `{${prefix}}:records-changes`];
  }

  /** Begins to connect. */
  async open(): Promise<void> {
    const ioredis = await import("ioredis");
    if (this.#closed) return;
    const isWanted = () => !this.#closed;
    const client = clientOf(ioredis, this.#options, isWanted) as Client & Scripted;
    client.defineCommand("tollkeeperWrite", { numberOfKeys: 2, lua: WRITE });
    client.defineCommand("tollkeeperRead", { numberOfKeys: 2, lua: READ });
    const subscriber = clientOf(ioredis, this.#options, isWanted);
    for (const each of [client, subscriber]) each.on("error", () => shield(each));
    client.on("+node", (node: { connect(): Promise<void> }) => void node.connect().catch(() => undefined));
    client.on("error", (error: unknown) => {
      this.#fault = error;
    });
    client.on("ready", () => {
      this.#fault = undefined;
      this.#readSoon();
    });
    subscriber.on("ready", () => {
      // What changed before it listens was not told.
      subscriber.subscribe(this.#names[2]).then(
        () => this.#readSoon(),
        () => undefined,
      );
    });
    subscriber.on("message", (_channel: string, caller: string) => {
      if (caller !== this.#caller) this.#readSoon();
    });
    this.#client = client;
    this.#subscriber = subscriber;
    this.#poll = setInterval(() => this.#readSoon(), POLL_MS).unref();
  }

  /**
   * Resolves when the records have been read.
   *
   * @throws {TollkeeperError} `ERR_STORE_…`, if that takes longer than `patienceMs`
   */
  async ready(patienceMs: number): Promise<void> {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      try {
        return await this.#read();
      } catch (error) {
        if (performance.now() >= deadline) throw this.#translated(error);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    }
  }

  get version(): number {
    return this.#version;
  }

  get isFresh(): boolean {
    return performance.now() - this.#readMs < FRESH_MS;
  }

  get(name: string): string | undefined {
    return contentOf(this.#texts.get(name));
  }

  list(prefix: string): [name: string, value: string][] {
    return this.page(prefix, Number.POSITIVE_INFINITY);
  }

  page(prefix: string, size: number, after = ""): [name: string, value: string][] {
    return this.#live.page(prefix, size, after).map((name) => [name, this.get(name) ?? ""]);
  }

  watch(listener: RecordListener): void {
    this.#listeners.push(listener);
  }

  /** @throws {TollkeeperError} `ERR_STORE_…`; it may have been written all the same. */
  async put(name: string, value: string | undefined): Promise<void> {
    await this.#write("put", name, value);
  }

  async putNew(name: string, value: string): Promise<string> {
    return contentOf(await this.#write("new", name, value)) ?? value;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#poll);
    for (const client of [this.#client, this.#subscriber]) {
      if (client === undefined) continue;
      shield(client);
      client.disconnect();
    }
    await this.#reading.catch(() => undefined);
  }

  async #write(operation: "put" | "new", name: string, value: string | undefined): Promise<string> {
    const text = await this.#ask((client, [hash, log, channel]) =>
      client.tollkeeperWrite(
        hash,
        log,
        channel,
        this.#caller,
        operation,
        name,
        value === undefined ? "-" : `+${value}`,
      ),
    ).catch((error: unknown) => {
      throw this.#translated(error);
    });
    this.#learn(name, String(text));
    // With it, all that was written before it; what can't be read now will be later.
    await this.#read().catch(() => undefined);
    return String(text);
  }

  #readSoon(): void {
    // It is tried again at the next poll, and the limiter's own connection says what is wrong.
    if (!this.#closed) this.#read().catch(() => undefined);
  }

  /** Reads what has changed. One reading that is under way may have begun too early, so another waits for it. */
  #read(): Promise<void> {
    this.#next ??= this.#reading
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        this.#reading = this.#readChanges();
        return this.#reading;
      });
    return this.#next;
  }

  async #readChanges(): Promise<void> {
    let { server, count, position, changes } = await this.#changesAfter(this.#position);
    for (const [name, text] of changes) this.#learn(name, text);
    if (server !== this.#server || count < this.#texts.size) {
      // Another server, or one that was emptied, may lack what this one had, and have what was never read.
      const own = new Map(this.#texts);
      ({ server, position, changes } = await this.#changesAfter("0"));
      for (const [name, text] of changes) if (versionOf(own.get(name)) <= versionOf(text)) own.delete(name);
      await this.#restore([...own]);
      this.#server = server;
    }
    for (const [name, text] of changes) this.#learn(name, text);
    this.#position = position;
    this.#readMs = performance.now();
  }

  /** What has changed after a position, up to now. */
  async #changesAfter(position: string): Promise<Changes> {
    const changes: [string, string][] = [];
    let at = position;
    for (;;) {
      const reply = await this.#ask((client, [hash, log]) => client.tollkeeperRead(hash, log, at, String(PAGE)));
      const [server = "", count, last = at, ...flat] = (reply as unknown[]).map(String);
      at = last;
      for (let index = 0; index < flat.length; index += 2) changes.push([flat[index] ?? "", flat[index + 1] ?? ""]);
      if (flat.length < 2 * PAGE) return { server, count: Number(count), position: at, changes };
    }
  }

  async #restore(known: readonly [name: string, text: string][]): Promise<void> {
    for (let at = 0; at < known.length; at += PAGE) {
      const batch = known.slice(at, at + PAGE).flat();
      await this.#ask((client, [hash, log, channel]) =>
        client.tollkeeperWrite(hash, log, channel, this.#caller, "restore", ...batch),
      );
    }
  }

  #learn(name: string, text: string): void {
    if (versionOf(text) <= versionOf(this.#texts.get(name))) return;
    this.#texts.set(name, text);
    this.#version++;
    const value = contentOf(text);
    if (value === undefined) this.#live.delete(name);
    else this.#live.add(name);
    for (const listener of this.#listeners) listener(name, value);
  }

  async #ask(call: (client: Scripted, names: Names) => Promise<unknown>): Promise<unknown> {
    if (this.#client === undefined) throw new TollkeeperError("ERR_STORE_UNAVAILABLE", "Redis is not connected yet");
    return call(this.#client, this.#names);
  }

  #translated(error: unknown): TollkeeperError {
    // Of a command that could not be sent the client says only that; it has said why before.
    const isUnsent = error instanceof Error && /Stream isn't writeable|Connection is closed/.test(error.message);
    const reason = isUnsent ? (this.#fault ?? error) : error;
    return translated(reason, withoutPassword(this.#options.url), this.#server === "");
  }
}

function versionOf(text: string | undefined): number {
  return text === undefined ? 0 : Number(text.slice(0, text.indexOf(" ")));
}

function contentOf(text: string | undefined): string | undefined {
  const at = text?.indexOf(" ") ?? 0;
  return text?.[at + 1] === "+" ? text.slice(at + 2) : undefined;
}
