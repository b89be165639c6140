import type { Engine } from "../engine/engine.js";
import { SortedNames } from "../engine/sorted-names.js";
import { optionInvalid } from "../errors.js";
import { checkedKey, limiterClosed } from "../limiter/misuse.js";
import {
  type Cell,
  type CellPage,
  type CellQuery,
  type CellStats,
  type Cells,
  type CellsOptions,
  MAX_CELLS,
  MAX_PLANS,
  OVERFLOW_ACCOUNT,
  OVERFLOW_PLAN,
  RETENTION,
} from "./cells.js";
import { Interner } from "./interner.js";

const HOUR_MS = 3_600_000;

/** The numbers of a cell. */
type Counted = [calls: number, unitsMilli: number, denied: number, refundedMilli: number];

/** What they can be at most. */
const MOST: Counted = [2 ** 32 - 1, Number.MAX_SAFE_INTEGER, 2 ** 32 - 1, Number.MAX_SAFE_INTEGER];

/** The cells of one account, by {@link placeOf}. */
type AccountCells = Map<number, Counted>;

/** The tables of this thread's engines. */
const tables = new WeakMap<Engine, CellTable>();

/** Cells in JavaScript: of this thread, in memory. */
export class JsCells implements Cells {
  readonly kind = "js";
  readonly isDurable = false;
  #table: CellTable | undefined;

  /**
   * Opens the cells of an engine, or joins those that are open.
   *
   * @throws {TollkeeperError} `ERR_OPTION_INVALID` if there are more meters than can be
   */
  static open(engine: Engine, options: CellsOptions): JsCells {
    const table = tables.get(engine) ?? new CellTable(options);
    table.declare(options.meters);
    tables.set(engine, table);
    return new JsCells(table);
  }

  private constructor(table: CellTable) {
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
    this.#open.count(checkedKey(account), placeOf(hour, meter, plan), [calls, unitsMilli, denied, refundedMilli]);
  }

  async read(query: CellQuery): Promise<CellPage> {
    return this.#open.read(query);
  }

  async accounts(after: string | undefined, max: number): Promise<string[]> {
    return this.#open.accountsAfter(after).slice(0, max);
  }

  meters(): string[] {
    return this.#open.meters.names;
  }

  plans(): string[] {
    return this.#open.plans.names.slice(1);
  }

  async flush(nowMs: number): Promise<void> {
    this.#open.forget(nowMs);
  }

  stats(): CellStats {
    return this.#open.stats();
  }

  close(): void {
    this.#table = undefined;
  }

  get #open(): CellTable {
    if (this.#table === undefined) throw limiterClosed();
    return this.#table;
  }
}

/** The cells of an engine. */
class CellTable {
  readonly meters = new Interner();
  readonly plans = new Interner();
  readonly #maxCells: number;
  readonly #hourDays: number;
  readonly #accounts = new Map<string, AccountCells>();
  readonly #names = new SortedNames();
  /** Cells but for those of what found no room, which are few. */
  #cells = 0;
  readonly #counts = { overflow: 0, saturated: 0, forgottenCalls: 0 };

  constructor({ maxCells = MAX_CELLS, retention }: CellsOptions) {
    this.#maxCells = maxCells;
    this.#hourDays = retention?.hourDays ?? RETENTION.hourDays;
    this.plans.idOf(OVERFLOW_PLAN);
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

  count(account: string, place: number, counted: Counted): void {
    const cells = this.#accounts.get(account);
    const cell = cells?.get(place);
    if (cell !== undefined) {
      this.#add(cell, counted);
    } else if (this.#cells < this.#maxCells) {
      this.#cells++;
      this.#add(newCell(this.#cellsOf(account), place), counted);
    } else {
      this.#counts.overflow += counted[0] + counted[2];
      const overflow = this.#cellsOf(OVERFLOW_ACCOUNT);
      add(overflow.get(place) ?? newCell(overflow, place), counted);
    }
  }

  #cellsOf(account: string): AccountCells {
    const cells = this.#accounts.get(account) ?? new Map<number, Counted>();
    if (cells.size === 0) {
      this.#accounts.set(account, cells);
      this.#names.add(account);
    }
    return cells;
  }

  #add(cell: Counted, counted: Counted): void {
    add(cell, counted);
    if (cell.every((number, index) => number <= (MOST[index] ?? 0))) return;
    this.#counts.saturated++;
    for (const [index, most] of MOST.entries()) cell[index] = Math.min(cell[index] ?? 0, most);
  }

  accountsAfter(after: string | undefined): string[] {
    return [...this.#names.from(after ?? "")].filter((name) => name !== after);
  }

  read(query: CellQuery): CellPage {
    const { account, after, max } = query;
    const cells: Cell[] = [];
    const from = account === undefined ? this.#names.from(after ?? "") : [account];
    for (const name of from) {
      const found = after === undefined || name > after ? this.#cellsIn(name, query) : [];
      if (found.length > 0 && cells.length >= max) return { cells, next: cells.at(-1)?.account };
      cells.push(...found);
    }
    return { cells, next: undefined };
  }

  /** Those of an account that are wanted, added up. */
  #cellsIn(account: string, query: CellQuery): Cell[] {
    const [first, end] = [placeOf(query.fromHour, 0, 0), placeOf(query.toHour, 0, 0)];
    const sums = new Map<number, Counted>();
    for (const [place, cell] of this.#accounts.get(account) ?? []) {
      if (place < first || place >= end) continue;
      const sumPlace = summedPlace(place, query);
      add(sums.get(sumPlace) ?? newCell(sums, sumPlace), cell);
    }
    const hours = query.by === "range" ? query.toHour - query.fromHour : query.by === "day" ? 24 : 1;
    const [meters, plans] = [this.meters.names, this.plans.names];
    const ordered = [...sums].sort(([a], [b]) => a - b);
    return ordered.map(([place, [calls, unitsMilli, denied, refundedMilli]]) => ({
      account,
      meter: meters[Math.floor(place / PLANS) % METERS] ?? "",
      plan: plans[place % PLANS] ?? "",
      hour: hourOf(place),
      hours,
      calls,
      unitsMilli,
      denied,
      refundedMilli,
      revision: 0,
    }));
  }

  /** Lets go what is older than is kept. */
  forget(nowMs: number): void {
    const first = (Math.floor(nowMs / (24 * HOUR_MS)) - this.#hourDays) * 24;
    for (const [account, cells] of this.#accounts) {
      for (const [place, [calls, , denied]] of cells) {
        if (hourOf(place) >= first) continue;
        cells.delete(place);
        if (account !== OVERFLOW_ACCOUNT) this.#cells--;
        this.#counts.forgottenCalls += calls + denied;
      }
      if (cells.size > 0) continue;
      this.#accounts.delete(account);
      this.#names.delete(account);
    }
  }

  stats(): CellStats {
    let [cells, unwrittenCalls, unwrittenMilli, oldest] = [0, 0, 0, Number.POSITIVE_INFINITY];
    for (const ofAccount of this.#accounts.values()) {
      cells += ofAccount.size;
      for (const [place, [calls, unitsMilli, denied]] of ofAccount) {
        unwrittenCalls += calls + denied;
        unwrittenMilli += unitsMilli;
        oldest = Math.min(oldest, hourOf(place));
      }
    }
    return {
      cells,
      maxCells: this.#maxCells,
      accounts: this.#accounts.size - (this.#accounts.has(OVERFLOW_ACCOUNT) ? 1 : 0),
      unwrittenCalls,
      unwrittenMilli,
      oldestUnwrittenHour: Number.isFinite(oldest) ? oldest : undefined,
      ...this.#counts,
    };
  }
}

/** Meters and plans that a place tells apart. */
const METERS = 256;
const PLANS = 2_048;

/** Where a cell of an account stands: a number that grows with the hour, then the meter, then the plan. */
function placeOf(hour: number, meter: number, plan: number): number {
  return (hour * METERS + meter) * PLANS + plan;
}

function hourOf(place: number): number {
  return Math.floor(place / (METERS * PLANS));
}

/** Where that is counted which a query adds it up to. */
function summedPlace(place: number, { by, fromHour }: CellQuery): number {
  const hour = hourOf(place);
  const sumHour = by === "range" ? fromHour : by === "day" ? hour - (hour % 24) : hour;
  return place - placeOf(hour - sumHour, 0, 0);
}

function add(sum: Counted, counted: Counted): void {
  for (const [index, number] of counted.entries()) sum[index] = (sum[index] ?? 0) + number;
}

function newCell(cells: AccountCells, place: number): Counted {
  const cell: Counted = [0, 0, 0, 0];
  cells.set(place, cell);
  return cell;
}
