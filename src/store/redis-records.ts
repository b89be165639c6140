import { randomBytes } from "node:crypto";
import type { RecordListener, RecordStore } from "../engine/record-store.js";
import { checkName, checkValue } from "../engine/records.js";
import { SortedNames } from "../engine/sorted-names.js";
import { TollkeeperError } from "../errors.js";
import { type Changes, RecordsConnection, type RedisRecordsOptions } from "./records-connection.js";
import { redactedUrl } from "./redis-url.js";

/** How often, in ms, it is asked what has changed, in case a message was missed. */
const POLL_MS = 1000;
/** How long, in ms, what was read last may be used while the server is away. */
const FRESH_MS = 24 * 3600 * 1000;
/** How long, in ms, an empty server is not believed while others are there, who may know more. */
const HOLD_MS = 1200;

/**
 * Records that all replicas share, in Redis. Each replica holds them all: a look-up asks nobody, one for a name that was
 * made up neither, and while the server is away they can be read on, for a day. A change is seen by the others as soon as
 * its message comes, or else within a second or two. A server that has lost changes is told them by those who know; if
 * nobody does, nothing is written until somebody decides what is to become of it.
 */
export class RedisRecords implements RecordStore {
  readonly #options: RedisRecordsOptions;
  readonly #connection: RecordsConnection;
  /** What is known by name: `<version> +<value>`, or `<version> -` once deleted. */
  readonly #texts = new Map<string, string>();
  /** Names of those that are not deleted. */
  readonly #live = new SortedNames();
  readonly #listeners: RecordListener[] = [];
  #poll: NodeJS.Timeout | undefined;
  #closed = false;
  #version = 0;
  /** The process that was read from last, how far, and when by this process's clock. */
  #server = "";
  #position = "0";
  #readMs = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  #loss: TollkeeperError | undefined;
  /** Whether others were asked, as an empty server was met. */
  #asked: Promise<void> | undefined;

  constructor(options: RedisRecordsOptions) {
    this.#options = options;
    this.#connection = new RecordsConnection(options, randomBytes(6).toString("base64url"));
  }

  /** Begins to connect. */
  async open(): Promise<void> {
    await this.#connection.open(() => this.#readSoon());
    if (!this.#closed) this.#poll = setInterval(() => void this.#readSoon(), POLL_MS).unref();
  }

  /**
   * Resolves when the records have been read.
   *
   * @throws {TollkeeperError} `ERR_STORE_…` or `ERR_RECORDS_LOST`, if that takes longer than `patienceMs`
   */
  async ready(patienceMs: number): Promise<void> {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      try {
        await this.#read();
        return await this.#hearOthers();
      } catch (error) {
        // Once those who run have looked, waiting longer mends nothing.
        if (this.#loss !== undefined && (await this.#hearAll())) return;
        if (this.#loss !== undefined || performance.now() >= deadline) throw this.#connection.translated(error);
        await pause(20);
      }
    }
  }

  get version(): number {
    return this.#version;
  }

  get isFresh(): boolean {
    return performance.now() - this.#readMs < FRESH_MS;
  }

  get loss(): TollkeeperError | undefined {
    return this.#loss;
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

  /**
   * @throws {TollkeeperError} `ERR_STORE_…`; it may have been written all the same. `ERR_RECORDS_LOST`,
   * `ERR_RECORD_INVALID`
   */
  async put(name: string, value: string | undefined): Promise<void> {
    checkName(name);
    if (value !== undefined) checkValue(value);
    await this.#write("put", name, value);
  }

  /** @throws {TollkeeperError} as `put` does */
  async putNew(name: string, value: string): Promise<string> {
    checkName(name);
    checkValue(value);
    // Should the server have lost it, it is told first.
    await this.#read().catch((error: unknown) => {
      throw this.#connection.translated(error);
    });
    return contentOf(await this.#write("new", name, value)) ?? value;
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearInterval(this.#poll);
    this.#connection.close();
    await this.#reading.catch(() => undefined);
  }

  async #write(operation: "put" | "new", name: string, value: string | undefined): Promise<string> {
    try {
      await this.#hearOthers();
      const text = await this.#connection.write(operation, name, value).catch(async (error: unknown) => {
        if (!(error instanceof Error && error.message.startsWith("LOST"))) throw error;
        await this.#read();
        return this.#connection.write(operation, name, value);
      });
      this.#learn(name, text);
      // With it, all that was written before it; what can't be read now will be later.
      await this.#read().catch(() => undefined);
      return text;
    } catch (error) {
      throw this.#connection.translated(error);
    }
  }

  async #readSoon(): Promise<void> {
    // It is tried again at the next poll, and the limiter's own connection says what is wrong.
    if (!this.#closed) await this.#read().catch(() => undefined);
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
    let read = await this.#connection.changesAfter(this.#position);
    this.#learnAll(read.changes);
    if (read.server !== this.#server || !isWhole(read) || read.inHash < this.#texts.size) read = await this.#compare();
    const loss = this.#lossOf(read);
    this.#loss = loss;
    if (loss !== undefined) throw loss;
    this.#server = read.server;
    this.#position = read.position;
    this.#readMs = performance.now();
  }

  /** Another server, or one that has lost something, may lack what this replica has, and have what was never read. */
  async #compare(): Promise<Changes> {
    const own = new Map(this.#texts);
    const read = await this.#connection.changesAfter("0");
    for (const [name, text] of read.changes) if (versionOf(own.get(name)) <= versionOf(text)) own.delete(name);
    this.#learnAll(read.changes);
    if (read.inHash > read.changes.length) {
      const logged = new Set(read.changes.map(([name]) => name));
      const unlogged = (await this.#connection.everything()).filter(([name]) => !logged.has(name));
      this.#learnAll(unlogged);
      for (const [name, text] of unlogged) if (versionOf(own.get(name)) <= versionOf(text)) own.set(name, text);
    }
    if (own.size === 0 && read.told >= read.inHash) return read;
    await this.#connection.restore([...own]);
    const restored = await this.#connection.changesAfter("0");
    this.#learnAll(restored.changes);
    return restored;
  }

  #lossOf({ inHash, inLog, told, missing }: Changes): TollkeeperError | undefined {
    const lost = Math.max(missing, inLog - inHash, told - inHash);
    if (lost <= 0) return undefined;
    const { url, prefix } = this.#options;
    return new TollkeeperError(
      "ERR_RECORDS_LOST",
      `Redis at ${redactedUrl(url)} has lost ${lost} of ${inHash + lost} records of accounts and API keys under the ` +
        `prefix ${prefix}, and no replica that runs knows them: restore {${prefix}}:records from a backup, or begin anew ` +
        `without them: redis-cli DEL {${prefix}}:records {${prefix}}:records-log; redis-cli HDEL {${prefix}}:replicas records`,
    );
  }

  /** Before an empty server is taken for a new one, others are asked who may know what it has lost. */
  #hearOthers(): Promise<void> {
    if (this.#texts.size > 0) return Promise.resolve();
    this.#asked ??= this.#askOthers().catch((error: unknown) => {
      this.#asked = undefined;
      throw error;
    });
    return this.#asked;
  }

  /** Whether nothing is lost any more when all others were asked. */
  async #hearAll(): Promise<boolean> {
    await this.#askOthers().catch(() => undefined);
    return this.#loss === undefined;
  }

  async #askOthers(): Promise<void> {
    const haveAnswered = await this.#connection.askOthers();
    const deadline = performance.now() + HOLD_MS;
    while (!haveAnswered() && performance.now() < deadline && !this.#closed) await pause(10);
    await this.#read();
  }

  #learnAll(changes: Changes["changes"]): void {
    for (const [name, text] of changes) this.#learn(name, text);
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
}

/** Whether hash, log and what was told agree on how many records there are. */
function isWhole({ inHash, inLog, told, missing }: Changes): boolean {
  return missing === 0 && inHash === inLog && inHash === told;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function versionOf(text: string | undefined): number {
  return text === undefined ? 0 : Number(text.slice(0, text.indexOf(" ")));
}

function contentOf(text: string | undefined): string | undefined {
  const at = text?.indexOf(" ") ?? 0;
  return text?.[at + 1] === "+" ? text.slice(at + 2) : undefined;
}
