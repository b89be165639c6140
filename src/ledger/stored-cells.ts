import { dayOf, monthOf, type StoredSum, type UsageStore, type WantedSums } from "../engine/usage-store.js";
import type { Cell, CellPage, CellQuery } from "./cells.js";

/** Accounts that are looked at, and hashes that are asked for, at a time. */
const AT_ONCE = 200;

/** In which order meters and plans are told. */
export interface NameOrder {
  meter(name: string): number;
  plan(name: string): number;
}

/** Sums that are told, with how many hours each is of. */
type Found = [sum: StoredSum, hours: number][];

/** Finer sums that are wanted, and what stands for them where they are no longer kept. */
type Finer = WantedSums & { readonly coarser: readonly StoredSum[] };

type Take = (account: string, sums: readonly StoredSum[], hours: number) => void;

/** Reads what all processes have written: months where these are asked about whole, then days, and hours of what is left. */
export class StoredCells {
  readonly #store: UsageStore;
  readonly #order: NameOrder;

  constructor(store: UsageStore, order: NameOrder) {
    this.#store = store;
    this.#order = order;
  }

  /**
   * A page of cells.
   *
   * @param months The first hours of the months of which there is anything.
   */
  async read(query: CellQuery, months: readonly number[]): Promise<CellPage> {
    const { account, fromHour, toHour, max } = query;
    const asked = months.filter((month) => month < toHour && monthOf(month, 1) > fromHour);
    const cells: Cell[] = [];
    let { after } = query;
    for (;;) {
      const accounts = account === undefined ? await this.#store.accounts(asked, after, AT_ONCE) : [account];
      for (const found of await this.#cellsOf(accounts, query)) {
        if (found.length > 0 && cells.length >= max) return { cells, next: cells.at(-1)?.account };
        for (const cell of found) cells.push(cell);
      }
      after = accounts.at(-1);
      if (account !== undefined || accounts.length < AT_ONCE) return { cells, next: undefined };
    }
  }

  /** The cells of each account, added up. */
  async #cellsOf(accounts: readonly string[], query: CellQuery): Promise<Cell[][]> {
    const found = new Map<string, Found>(accounts.map((account) => [account, []]));
    const take = (account: string, sums: readonly StoredSum[], hours: number): void => {
      for (const sum of sums) found.get(account)?.push([sum, hours]);
    };
    const days = await this.#takeMonths(accounts, query, take);
    const hours = await this.#takeDays(days, query, take);
    await this.#takeHours(hours, query, take);
    return accounts.map((account) => this.#added(account, found.get(account) ?? [], query));
  }

  /** Takes months that are wanted whole; gives those of whose days some are. */
  async #takeMonths(accounts: readonly string[], query: CellQuery, take: Take): Promise<Finer[]> {
    const { fromHour, toHour, by } = query;
    const finer: Finer[] = [];
    for (const [{ account }, sums] of await this.#sums(
      accounts.map((account) => ({ account, of: "months", hour: 0 })),
    )) {
      for (const [month, coarser] of grouped(sums)) {
        const end = monthOf(month, 1);
        if (end <= fromHour || month >= toHour) continue;
        if (by === "range" && month >= fromHour && end <= toHour) take(account, coarser, end - month);
        else finer.push({ account, of: "days", hour: month, coarser });
      }
    }
    return finer;
  }

  /** Takes days that are wanted whole, and months whose days are merged; gives those of whose hours some are. */
  async #takeDays(days: readonly Finer[], query: CellQuery, take: Take): Promise<Finer[]> {
    const { fromHour, toHour, by = "hour" } = query;
    const finer: Finer[] = [];
    for (const [{ account, hour: month, coarser: ofMonth }, sums] of await this.#sums(days)) {
      if (sums.length === 0 && month >= fromHour) take(account, ofMonth, monthOf(month, 1) - month);
      for (const [day, coarser] of grouped(sums)) {
        if (day + 24 <= fromHour || day >= toHour) continue;
        if (by !== "hour" && day >= fromHour && day + 24 <= toHour) take(account, coarser, 24);
        else finer.push({ account, of: "hours", hour: day, coarser });
      }
    }
    return finer;
  }

  /** Takes hours, and days whose hours are merged. */
  async #takeHours(hours: readonly Finer[], { fromHour, toHour }: CellQuery, take: Take): Promise<void> {
    for (const [{ account, hour: day, coarser: ofDay }, sums] of await this.#sums(hours)) {
      if (sums.length === 0 && day >= fromHour) take(account, ofDay, 24);
      const wanted = sums.filter(({ hour }) => hour >= fromHour && hour < toHour);
      take(account, wanted, 1);
    }
  }

  #added(account: string, found: Found, { fromHour, toHour, by = "hour" }: CellQuery): Cell[] {
    const cells = new Map<string, Cell>();
    for (const [{ hour: first, meter, plan, served, revision }, length] of found) {
      const [hour, hours] =
        by === "range"
          ? [fromHour, toHour - fromHour]
          : by === "day"
            ? [dayOf(first), Math.max(24, length)]
            : [first, length];
      const name = `${hour} ${hours} ${meter} ${plan}`;
      let cell = cells.get(name);
      if (cell === undefined) {
        cell = { account, meter, plan, hour, hours, calls: 0, unitsMilli: 0, denied: 0, refundedMilli: 0, revision: 0 };
        cells.set(name, cell);
      }
      cell.calls += served[0];
      cell.unitsMilli += served[1];
      cell.denied += served[2];
      cell.refundedMilli += served[3];
      cell.revision += revision;
    }
    const { meter, plan } = this.#order;
    return [...cells.values()].sort(
      (a, b) => a.hour - b.hour || meter(a.meter) - meter(b.meter) || plan(a.plan) - plan(b.plan),
    );
  }

  /** Asks for sums, some at a time. What can't be read of one account fails the whole, which would be wrong without it. */
  async #sums<W extends WantedSums>(wanted: readonly W[]): Promise<[W, StoredSum[]][]> {
    const read: [W, StoredSum[]][] = [];
    for (let from = 0; from < wanted.length; from += AT_ONCE) {
      const some = wanted.slice(from, from + AT_ONCE);
      const answers = await this.#store.read(some);
      for (const [index, one] of some.entries()) {
        const answer = answers[index] ?? [];
        if (answer instanceof Error) throw answer;
        read.push([one, answer]);
      }
    }
    return read;
  }
}

/** Sums by their hour. */
function grouped(sums: readonly StoredSum[]): Map<number, StoredSum[]> {
  const groups = new Map<number, StoredSum[]>();
  for (const sum of sums) {
    const group = groups.get(sum.hour);
    if (group === undefined) groups.set(sum.hour, [sum]);
    else group.push(sum);
  }
  return groups;
}
