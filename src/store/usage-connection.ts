import type {
  OtherProcess,
  ProcessReport,
  ReportAnswer,
  StoredSum,
  ToldHour,
  UsageRetention,
  UsageStore,
  WantedSums,
} from "../engine/usage-store.js";
import { TollkeeperError } from "../errors.js";
import { clusterBehind, type InspectionOptions, inspect } from "./inspection.js";
import { ACCOUNTS, INDEX, LEAVE, OTHERS, REPORT, SUMS, TELL } from "./lua/usage.js";
import { type Client, clientOf, letGo, RETRY_MS, shield } from "./redis-client.js";
import { isRefusal, strange, translated } from "./redis-errors.js";
import { type Address, redactedUrl } from "./redis-url.js";
import { type Need, needsOf } from "./rights.js";
import { decoded, encoded, endsOf, hashName, monthText, namesIn, sumsIn } from "./usage-names.js";
import { reportOf, tellLine } from "./usage-wire.js";

/** After how long, in ms, a server that can't be used is looked at again. */
const LOOK_AGAIN_MS = 2000;
/** Hours of accounts, or hashes, of one call at most: the server does nothing else until it is done with them. */
const BATCH = 16;

/** How usage is reached. */
export interface UsageConnectionOptions extends InspectionOptions {
  prefix: string;
}

const SCRIPTS = {
  tollkeeperTell: TELL,
  tollkeeperSums: SUMS,
  tollkeeperIndex: INDEX,
  tollkeeperAccounts: ACCOUNTS,
  tollkeeperReport: REPORT,
  tollkeeperOthers: OTHERS,
  tollkeeperLeave: LEAVE,
};

type Scripted = Record<keyof typeof SCRIPTS, (...args: (string | number)[]) => Promise<unknown>>;

/** The connection of one process's usage, beside those of its limiter. */
export class UsageConnection implements UsageStore {
  #options: UsageConnectionOptions;
  readonly #retention: UsageRetention;
  /** The hash of processes, and that of meters, plans and months. */
  readonly #processes: string;
  readonly #names: string;
  #client: (Client & Scripted) | undefined;
  /** Of the connection that there is; rejects if the server can't be used. */
  #inspection: Promise<unknown> = Promise.resolve();
  /** Why there is no connection, as far as the client has said since the last one. */
  #fault: unknown;
  /** The id of the process behind each master of a Cluster. */
  readonly #masters = new Map<string, string>();
  #isNew = true;
  #closed = false;

  constructor(options: UsageConnectionOptions, retention: UsageRetention) {
    this.#options = options;
    this.#retention = retention;
    const shared = `{${options.prefix}:usage}`;
    this.#processes = `${shared}:processes`;
    this.#names = `${shared}:names`;
  }

  open(): void {
    this.#connect().catch((error: unknown) => {
      this.#fault = error;
      setTimeout(() => this.#closed || this.open(), RETRY_MS).unref();
    });
  }

  async write(hours: readonly ToldHour[], nowMs: number): Promise<(number | Error)[]> {
    const parts = this.#parts(hours);
    const replies = await this.#askAll((client) =>
      parts.map((part) =>
        client.tollkeeperTell(3 * part.length, ...tellLine(part, nowMs, this.#options.prefix, this.#retention)),
      ),
    );
    return replies.flatMap((reply, index) =>
      listOf(reply, parts[index]?.length ?? 0, this.#url).map((one) =>
        one instanceof Error ? this.#hashFault(one) : Number(one),
      ),
    );
  }

  async index(month: number, accounts: readonly string[], nowMs: number): Promise<void> {
    const lifeMs = Math.max(1, Math.floor(endsOf(month, this.#retention)[2] - nowMs));
    const name = `month ${monthText(month)}`;
    await this.#ask((client) =>
      client.tollkeeperIndex(2, this.#indexName(month), this.#names, lifeMs, name, ...accounts.map(encoded)),
    );
  }

  async report({ process, server, joins, knownNames, meters, plans, ...told }: ProcessReport): Promise<ReportAnswer> {
    const isKnown = await this.#knowsMasters();
    const state = [told.pastHour, told.unwrittenCalls, told.unwrittenMilli].join(" ");
    const names = [...meters.map((name) => `meter ${name}`), ...plans.map((name) => `plan ${encoded(name)}`)];
    const line = [process, isKnown ? server : "", joins ? 1 : 0, knownNames, state, ...names];
    const reply = await this.#ask((client) => client.tollkeeperReport(2, this.#processes, this.#names, ...line));
    const [id, known, all] = Array.isArray(reply) ? reply : [];
    if (typeof id !== "string") throw strange(this.#url, "no report");
    this.#isNew = false;
    return {
      server: id,
      isKnown: Number(known) === 1,
      names: Array.isArray(all) ? namesIn(all.map(String)) : undefined,
    };
  }

  async others(process: string): Promise<OtherProcess[]> {
    const reply = await this.#ask((client) => client.tollkeeperOthers(1, this.#processes));
    return reportOf(reply).filter((other) => other.process !== process);
  }

  async leave(process: string): Promise<void> {
    await this.#ask((client) => client.tollkeeperLeave(1, this.#processes, process));
  }

  async read(wanted: readonly WantedSums[]): Promise<(StoredSum[] | Error)[]> {
    const parts = this.#parts(wanted);
    const replies = await this.#askAll((client) =>
      parts.map((part) =>
        client.tollkeeperSums(part.length, ...part.map((one) => hashName(this.#options.prefix, one))),
      ),
    );
    return replies.flatMap((reply, index) => {
      const part = parts[index] ?? [];
      return listOf(reply, part.length, this.#url).map((flat, at) => {
        const one = part[at] as WantedSums;
        if (flat instanceof Error)
          return this.#hashFault(/^WRONGTYPE/.test(flat.message) ? foreignIn(one, this.#options) : flat);
        const sums = Array.isArray(flat) ? sumsIn(flat, one) : undefined;
        return sums ?? this.#hashFault(foreignIn(one, this.#options));
      });
    });
  }

  async accounts(months: readonly number[], after: string | undefined, max: number): Promise<string[]> {
    if (months.length === 0) return [];
    const names = months.map((month) => this.#indexName(month));
    const from = after === undefined ? "-" : `(${encoded(after)}`;
    const reply = await this.#ask((client) => client.tollkeeperAccounts(names.length, ...names, from, max));
    const found = new Set(listOf(reply, names.length, this.#url).flatMap((some) => (some as unknown[]).map(String)));
    return [...found].map(decoded).sort().slice(0, max);
  }

  translated(error: unknown): TollkeeperError {
    // Of a command that could not be sent the client says only that; it has said why before.
    const isUnsent = error instanceof Error && /enableOfflineQueue|Connection is closed/.test(error.message);
    return translated(isUnsent ? (this.#fault ?? error) : error, this.#url, this.#isNew);
  }

  close(): void {
    this.#closed = true;
    this.#disconnect();
  }

  get #url(): string {
    return redactedUrl(this.#options.url);
  }

  get #isCluster(): boolean {
    return this.#options.address.kind === "cluster";
  }

  get #needs(): Need[] {
    const { prefix } = this.#options;
    const scripts = Object.values(SCRIPTS).map(
      (script) => [script, `{${prefix}:usage}:scratch`, `~{${prefix}:*`] as const,
    );
    return needsOf({ scripts, channel: undefined, prefix, isCluster: this.#isCluster });
  }

  #indexName(month: number): string {
    return `{${this.#options.prefix}:usage}:accounts:${monthText(month)}`;
  }

  /** What goes into one call: in a Cluster no more than what lies in one slot. */
  #parts<T extends ToldHour | WantedSums>(all: readonly T[]): T[][] {
    const parts: T[][] = [];
    for (const one of all) {
      const last = parts.at(-1);
      const joins = this.#isCluster ? last?.[0]?.account === one.account : last !== undefined;
      if (joins && last !== undefined && last.length < BATCH) last.push(one);
      else parts.push([one]);
    }
    return parts;
  }

  async #connect(): Promise<void> {
    const client = (await clientOf(this.#options, () => !this.#closed)) as Client & Scripted;
    for (const [name, lua] of Object.entries(SCRIPTS)) client.defineCommand(name, { lua });
    client.on("error", (error: unknown) => {
      shield(client);
      this.#fault = error;
    });
    client.on("ready", () => {
      this.#fault = undefined;
      // What is only a risk, the limiter's own connection tells.
      this.#inspection = inspect(client, this.#options, this.#needs, () => undefined).then((facts) => {
        const address = clusterBehind(this.#options, facts);
        if (address !== undefined) this.#become(address);
      });
      this.#inspection.catch((error: unknown) => {
        this.#fault = error;
        this.#lookAgain(client, isRefusal(this.translated(error)) ? LOOK_AGAIN_MS : RETRY_MS);
      });
    });
    this.#client = client;
    if (this.#closed) this.#disconnect();
  }

  /** Connects to the Cluster that a server has turned out to be a node of. */
  #become(address: Address): void {
    this.#disconnect();
    this.#client = undefined;
    this.#options = { ...this.#options, address };
    this.open();
    throw new TollkeeperError(
      "ERR_STORE_UNAVAILABLE",
      `Redis at ${this.#url} is a Cluster, which is being connected to`,
    );
  }

  #disconnect(): void {
    if (this.#client !== undefined) letGo(this.#client);
  }

  /** Connects anew after a while, since what is wrong with a server may be mended while it runs. */
  #lookAgain(client: Client, afterMs: number): void {
    setTimeout(() => this.#closed || this.#client !== client || client.disconnect(true), afterMs).unref();
  }

  /** Whether the masters of a Cluster are the processes that they were; those that can't be asked may be. */
  async #knowsMasters(): Promise<boolean> {
    const client = this.#client;
    if (client === undefined || !("nodes" in client)) return true;
    let isKnown = true;
    const masters = client.nodes("master").filter(({ status }) => status === "ready");
    await Promise.all(
      masters.map(async (master) => {
        const info = String(await master.call("INFO", "server").catch(() => ""));
        const id = /run_id:(\w+)/.exec(info)?.[1];
        const name = `${master.options.host}:${master.options.port}`;
        if (id === undefined || this.#masters.get(name) === id) return;
        this.#masters.set(name, id);
        isKnown = false;
      }),
    );
    return isKnown;
  }

  /** An error of one hash, while all others are fine. */
  #hashFault(error: Error): TollkeeperError {
    const [, key] = /^FOREIGN (.+)$/s.exec(error.message) ?? [];
    if (key === undefined && !/^WRONGTYPE/.test(error.message)) return this.translated(error);
    const where = key === undefined ? `a name that begins with {${this.#options.prefix}:usage:` : key;
    return new TollkeeperError(
      "ERR_STORE_FOREIGN",
      `Redis at ${this.#url} holds something else under ${where}, where an account's usage belongs; that account can't be ` +
        "counted or reported until it is deleted",
      { cause: error },
    );
  }

  async #ask(call: (client: Client & Scripted) => Promise<unknown>): Promise<unknown> {
    const [reply] = await this.#askAll((client) => [call(client)]);
    return reply;
  }

  /** Has several commands travel together. Rejects with the first that fails. */
  async #askAll(call: (client: Client & Scripted) => Promise<unknown>[]): Promise<unknown[]> {
    if (this.#client === undefined) {
      throw this.#fault ?? new TollkeeperError("ERR_STORE_UNAVAILABLE", "Redis is not connected yet");
    }
    await this.#inspection;
    const client = this.#client;
    if (client === undefined) throw new TollkeeperError("ERR_STORE_UNAVAILABLE", "Redis is not connected yet");
    const streams = "nodes" in client ? client.nodes("master").map(({ stream }) => stream) : [client.stream];
    for (const stream of streams) stream?.cork();
    const asked = call(client);
    for (const stream of streams) stream?.uncork();
    return Promise.all(asked);
  }
}

function foreignIn(wanted: WantedSums, { prefix }: UsageConnectionOptions): Error {
  return new Error(`FOREIGN ${hashName(prefix, wanted)}`);
}

/** A list of so many answers. */
function listOf(reply: unknown, count: number, url: string): unknown[] {
  if (Array.isArray(reply) && reply.length === count) return reply;
  throw strange(url, `no list of ${count}`);
}
