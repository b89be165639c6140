import { randomBytes } from "node:crypto";
import { setImmediate as turn } from "node:timers/promises";
import type { StoredNames, UsageStore } from "../engine/usage-store.js";
import { optionInvalid, TollkeeperError } from "../errors.js";
import type { OpenUsage } from "../limiter/host.js";
import { checkedKey, limiterClosed } from "../limiter/misuse.js";
import {
  type CellPage,
  type CellQuery,
  type CellStats,
  type Cells,
  type CellsOptions,
  MAX_CELLS,
  MAX_PLANS,
  type OtherCells,
  OVERFLOW_PLAN,
  REDIS_RETENTION,
} from "./cells.js";
import { HOUR_MS } from "./hours.js";
import { Interner } from "./interner.js";
import { StoredCells } from "./stored-cells.js";
import { type SentHour, ToldCells } from "./told-cells.js";

/** Accounts that are sent in one turn of the event loop, and so many turns whose answers are awaited at once. */
const AT_ONCE = 64;
const UNANSWERED = 4;
/** How often in one flush everything is told, to servers that are others each time. */
const ATTEMPTS = 6;
/** Meters that are told apart. */
const METERS = 256;

/** The tables that are open, by what opens their store. */
const tables = new WeakMap<OpenUsage, SharedTable>();

/** Cells in Redis, of all processes that share it: each tells what it has counted in all, and the store keeps the larger. */
export class RedisCells implements Cells {
  readonly kind = "redis";
  readonly isDurable = true;
  readonly #opens: OpenUsage;
  #table: SharedTable | undefined;

  /**
   * Opens the cells of a limiter in this thread, or joins those that are open.
   *
   * @param clock Milliseconds since the epoch. The first to open them decides.
   * @throws {TollkeeperError} `ERR_OPTION_INVALID` if there are more meters than can be
   */
  static open(opens: OpenUsage, options: CellsOptions, clock: () => number): RedisCells {
    const table = tables.get(opens) ?? new SharedTable(opens, options, clock);
    table.declare(options.meters);
    tables.set(opens, table);
    table.users++;
    return new RedisCells(opens, table);
  }

  private constructor(opens: OpenUsage, table: SharedTable) {
    this.#opens = opens;
    this.#table = table;
  }

  meterId(name: string): number {
    return this.#open.meters.find(name) ?? -1;
  }

  planId(name: string): number {
    return this.#open.planId(name);
  }

  count(
    account: string,
    meter: number,
    plan: number,
    hour: number,
    calls: number,
    unitsMilli: number,
    denied: number,
    refundedMilli: number,
  ): void {
    this.#open.cells.count(checkedKey(account), meter, plan, hour, calls, unitsMilli, denied, refundedMilli);
  }

  /** @throws {TollkeeperError} `ERR_STORE_…` if it can't be read, or what was counted here not be written before */
  read(query: CellQuery): Promise<CellPage> {
    return this.#open.read(query);
  }

  /** @throws {TollkeeperError} as `read` does */
  accounts(after: string | undefined, max: number): Promise<string[]> {
    return this.#open.accounts(after, max);
  }

  meters(): string[] {
    return this.#open.meters.names;
  }

  plans(): string[] {
    return this.#open.plans.names.slice(1);
  }

  /** @throws {TollkeeperError} `ERR_STORE_…`; what is not written then is at the next */
  flush(nowMs: number): Promise<void> {
    return this.#open.flush(nowMs);
  }

  stats(): CellStats {
    return this.#open.stats();
  }

  /** @throws {TollkeeperError} as `read` does */
  others(hour: number): Promise<OtherCells> {
    return this.#open.others(hour);
  }

  async close(): Promise<void> {
    const table = this.#table;
    this.#table = undefined;
    if (table === undefined || --table.users > 0) return;
    tables.delete(this.#opens);
    await table.close();
  }

  get #open(): SharedTable {
    if (this.#table === undefined) throw limiterClosed();
    return this.#table;
  }
}

/** What the ledgers of one limiter in one thread count together: one process to the store. */
class SharedTable {
  readonly meters = new Interner();
  readonly plans = new Interner();
  readonly cells: ToldCells;
  users = 0;
  readonly #process = randomBytes(6).toString("base64url");
  readonly #store: UsageStore;
  readonly #stored: StoredCells;
  readonly #clock: () => number;
  readonly #maxCells: number;
  readonly #hourDays: number;
  /** The server that is told all that is held here, and whether it has taken down this process. */
  #server = "";
  #isMet = false;
  /** Names that the store is known to have, how many, and the months of which it has anything. */
  readonly #storedNames = new Set<string>();
  #knownNames = -1;
  #months: readonly number[] = [];
  /** The flush that is under way, and the one that waits for it. */
  #flushing: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  /** What could not be written of some accounts, while others could. */
  #fault: { readonly accounts: number; readonly first: Error } | undefined;

  constructor(opens: OpenUsage, { maxCells = MAX_CELLS, retention }: CellsOptions, clock: () => number) {
    const kept = { ...REDIS_RETENTION, ...retention };
    this.#maxCells = maxCells;
    this.#hourDays = kept.hourDays;
    this.#clock = clock;
    this.cells = new ToldCells(this.#process, maxCells);
    this.#store = opens(kept);
    const order = { meter: (name: string) => this.meters.idOf(name), plan: (name: string) => this.plans.idOf(name) };
    this.#stored = new StoredCells(this.#store, order);
    this.plans.idOf(OVERFLOW_PLAN);
    this.#store.open();
  }

  declare(meters: readonly string[]): void {
    const all = new Set([...this.meters.names, ...meters]);
    if (all.size > METERS) {
      throw optionInvalid("meters", meters, `at most ${METERS} names, of all who open the ledger together`);
    }
    for (const name of all) this.meters.idOf(name);
  }

  planId(name: string): number {
    return this.plans.find(name) ?? (this.plans.size > MAX_PLANS ? 0 : this.plans.idOf(name));
  }

  stats(): CellStats {
    const { calls, milli, oldestHour } = this.cells.unwritten;
    return {
      cells: this.cells.size,
      maxCells: this.#maxCells,
      accounts: this.cells.accounts,
      unwrittenCalls: calls,
      unwrittenMilli: milli,
      oldestUnwrittenHour: oldestHour,
      ...this.cells.counts,
    };
  }

  async flush(nowMs: number): Promise<void> {
    await this.#written(nowMs);
    if (this.#fault === undefined) return;
    const { accounts, first } = this.#fault;
    const more = accounts > 1 ? `; ${accounts - 1} more accounts can't be written either` : "";
    const { code, message } = this.#store.translated(first) as TollkeeperError;
    throw new TollkeeperError(code, message + more, { cause: first });
  }

  read(query: CellQuery): Promise<CellPage> {
    return this.#asked(() => this.#stored.read(query, this.#months));
  }

  accounts(after: string | undefined, max: number): Promise<string[]> {
    return this.#asked(() => this.#store.accounts(this.#months, after, max));
  }

  async others(hour: number): Promise<OtherCells> {
    const others = await this.#asked(() => this.#store.others(this.#process));
    return {
      waitingFor: others
        .filter(({ pastHour }) => pastHour < hour)
        .map(({ process, writtenMs }) => ({ process, writtenMs })),
      unwrittenCalls: others.reduce((sum, { unwrittenCalls }) => sum + unwrittenCalls, 0),
      unwrittenMilli: others.reduce((sum, { unwrittenMilli }) => sum + unwrittenMilli, 0),
    };
  }

  async close(): Promise<void> {
    // If nobody hears of it, it is forgotten after a day.
    await this.#store.leave(this.#process).catch(() => undefined);
    this.#store.close();
  }

  /** What is asked has all in it that was counted here before. */
  async #asked<T>(ask: () => Promise<T>): Promise<T> {
    await this.#written(this.#clock());
    try {
      return await ask();
    } catch (error) {
      throw this.#store.translated(error);
    }
  }

  /** Has written what was counted before. One flush that is under way may have begun too early, so another waits for it. */
  #written(nowMs: number): Promise<void> {
    this.#next ??= this.#flushing
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        this.#flushing = this.#flush(nowMs).catch((error: unknown) => {
          throw this.#store.translated(error);
        });
        return this.#flushing;
      });
    return this.#next;
  }

  async #flush(nowMs: number): Promise<void> {
    this.cells.makeRoom(this.#firstHour(nowMs));
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      // Before it is told anything, so that a server that forgets it afterwards has forgotten this too.
      if (!this.#isMet && !(await this.#meets(nowMs))) continue;
      const isThere = await this.#write(nowMs);
      if (isThere && (await this.#meets(nowMs))) {
        this.cells.letGo(nowMs);
        return;
      }
      // Another server than before, or one that has forgotten.
      this.cells.retell();
    }
    throw new TollkeeperError(
      "ERR_STORE_UNAVAILABLE",
      "Redis has forgotten what it was told several times; it is told again",
    );
  }

  /** Reports to the server; says whether it is the one that has met this process before, or that it was to meet. */
  async #meets(nowMs: number): Promise<boolean> {
    const { server, isKnown, names } = await this.#report(nowMs);
    this.#isMet = isKnown;
    if (names !== undefined) this.#learn(names);
    if (isKnown) return true;
    this.#server = server;
    this.#storedNames.clear();
    this.#knownNames = -1;
    return false;
  }

  /** Writes all that is to be written; says whether the store still had what it has said to have. */
  async #write(nowMs: number): Promise<boolean> {
    for (const { month, accounts, found } of this.cells.unindexed(8 * AT_ONCE)) {
      await this.#store.index(month, accounts, nowMs);
      found();
      await turn();
    }
    const faults: Error[] = [];
    let isThere = true;
    const unanswered = new Set<Promise<void>>();
    let failure: unknown;
    const send = (sent: readonly SentHour[]): void => {
      const answered = this.#store.write(
        sent.map(({ told }) => told),
        nowMs,
      );
      const noted = answered
        .then((answers) => {
          for (const [index, { written, failed }] of sent.entries()) {
            const answer = answers[index];
            if (typeof answer === "number") {
              written();
              isThere = isThere && answer === 0;
            } else {
              failed();
              if (answer !== undefined) faults.push(answer);
            }
          }
        })
        .catch((error: unknown) => {
          failure ??= error;
          for (const { failed } of sent) failed();
        })
        .finally(() => unanswered.delete(noted));
      unanswered.add(noted);
    };
    let some: SentHour[] = [];
    for (const sent of this.cells.unsent({ meters: this.meters.names, plans: this.plans.names })) {
      if (some.push(sent) < AT_ONCE) continue;
      send(some);
      some = [];
      await turn();
      if (unanswered.size >= UNANSWERED) await Promise.race(unanswered);
      if (failure !== undefined) break;
    }
    if (some.length > 0) send(some);
    await Promise.all(unanswered);
    if (failure !== undefined) throw failure;
    this.#fault = faults[0] && { accounts: faults.length, first: faults[0] };
    return isThere;
  }

  async #report(nowMs: number) {
    const { calls, milli, oldestHour } = this.cells.unwritten;
    const own = (kind: string, names: readonly string[]) =>
      names.filter((name) => !this.#storedNames.has(`${kind} ${name}`));
    const [meters, plans] = [own("meter", this.meters.names), own("plan", this.plans.names.slice(1))];
    const hour = Math.floor(nowMs / HOUR_MS);
    return this.#store.report({
      process: this.#process,
      server: this.#server,
      joins: !this.#isMet,
      pastHour: Math.min(hour, oldestHour ?? hour),
      unwrittenCalls: calls,
      unwrittenMilli: milli,
      meters,
      plans,
      knownNames: this.#knownNames,
    });
  }

  #learn({ meters, plans, months }: StoredNames): void {
    this.#months = months;
    this.#knownNames = meters.length + plans.length + months.length;
    for (const name of meters) {
      this.meters.idOf(name);
      this.#storedNames.add(`meter ${name}`);
    }
    for (const name of plans) {
      this.plans.idOf(name);
      this.#storedNames.add(`plan ${name}`);
    }
  }

  /** The first hour that may be written: of older ones the store may have let go what it was told. */
  #firstHour(nowMs: number): number {
    return (Math.floor((nowMs / HOUR_MS + 1) / 24) - this.#hourDays) * 24;
  }
}
