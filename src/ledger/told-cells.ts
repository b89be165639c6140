import { MAX_TOLD, monthOf, type ToldHour } from "../engine/usage-store.js";
import { OVERFLOW_ACCOUNT } from "./cells.js";
import { HOUR_MS } from "./hours.js";

/** For how long after its end, in ms, an hour is kept: until it is closed, and two hours for a server that forgets. */
const KEPT_MS = 10 * 60_000 + 2 * HOUR_MS;
/** The numbers of a cell can be at most. */
const MOST_CALLS = 2 ** 32 - 1;
const MOST_MILLI = Number.MAX_SAFE_INTEGER;
/** Plans that a place tells apart. */
const PLANS = 2_048;

/** What this process has counted in one cell, and what of it the store has said to have. */
interface CountedCell {
  calls: number;
  unitsMilli: number;
  denied: number;
  refundedMilli: number;
  /** Of this process's beginnings the one under which the cell is told. */
  readonly generation: number;
  /** Another number after every change; the one that was written, in which epoch, and how much that was. */
  version: number;
  writtenVersion: number;
  epoch: number;
  writtenCalls: number;
  writtenMilli: number;
}

interface AccountCells {
  /** By meter and plan. */
  readonly cells: Map<number, CountedCell>;
  /** The epoch in which the store has been told that it is to be found in this month. */
  indexedIn: number;
}

/** All that was counted in an hour. */
interface HourCells {
  accounts: Map<string, AccountCells>;
  /** Accounts of which something is to be written. */
  readonly dirty: Set<string>;
  cells: number;
  calls: number;
  milli: number;
  unwrittenCalls: number;
  unwrittenMilli: number;
}

/** What is sent of an account and hour, to be noted once it is written. */
export interface SentHour {
  readonly told: ToldHour;
  /** Notes that the store has it. */
  readonly written: () => void;
  /** Notes that it has to be sent again. */
  readonly failed: () => void;
}

/** What names are written for the numbers of a place. */
export interface PlaceNames {
  readonly meters: readonly string[];
  readonly plans: readonly string[];
}

/** What a process has counted of late, in all: by hour, account, meter and plan. */
export class ToldCells {
  readonly #process: string;
  readonly #maxCells: number;
  readonly #hours = new Map<number, HourCells>();
  /** Cells but for those of what found no room, which are few. */
  #cells = 0;
  /** Begins with each server that may not have what another has had. */
  #epoch = 0;
  /** Begins when cells were let go of: one of the same place must not begin again under the same name, or would count as told. */
  #generation = 0;
  readonly counts = { overflow: 0, saturated: 0, forgottenCalls: 0 };

  constructor(process: string, maxCells: number) {
    this.#process = process;
    this.#maxCells = maxCells;
  }

  get size(): number {
    return this.#cells;
  }

  /** Accounts of the hour that has most. */
  get accounts(): number {
    return Math.max(0, ...[...this.#hours.values()].map(({ accounts }) => accounts.size));
  }

  get unwritten(): { calls: number; milli: number; oldestHour: number | undefined } {
    let [calls, milli, oldest] = [0, 0, Number.POSITIVE_INFINITY];
    for (const [at, { dirty, unwrittenCalls, unwrittenMilli }] of this.#hours) {
      calls += unwrittenCalls;
      milli += unwrittenMilli;
      if (dirty.size > 0) oldest = Math.min(oldest, at);
    }
    return { calls, milli, oldestHour: Number.isFinite(oldest) ? oldest : undefined };
  }

  count(
    account: string,
    meter: number,
    plan: number,
    at: number,
    calls: number,
    unitsMilli: number,
    denied: number,
    refundedMilli: number,
  ): void {
    const hour = this.#hours.get(at) ?? this.#begin(at);
    const place = meter * PLANS + plan;
    let owner = account;
    let cell = hour.accounts.get(account)?.cells.get(place);
    if (cell === undefined) {
      if (this.#cells >= this.#maxCells) {
        owner = OVERFLOW_ACCOUNT;
        this.counts.overflow += calls + denied;
      }
      cell = this.#cellOf(hour, at, owner, place);
    }
    const before = cell.calls + cell.denied;
    const beforeMilli = cell.unitsMilli;
    cell.calls = this.#most(cell.calls + calls, MOST_CALLS);
    cell.unitsMilli = this.#most(cell.unitsMilli + unitsMilli, MOST_MILLI);
    cell.denied = this.#most(cell.denied + denied, MOST_CALLS);
    cell.refundedMilli = this.#most(cell.refundedMilli + refundedMilli, MOST_MILLI);
    cell.version++;
    const [more, moreMilli] = [cell.calls + cell.denied - before, cell.unitsMilli - beforeMilli];
    hour.calls += more;
    hour.unwrittenCalls += more;
    hour.milli += moreMilli;
    hour.unwrittenMilli += moreMilli;
    hour.dirty.add(owner);
  }

  /** Has everything told again, to a server that may have none of it. */
  retell(): void {
    this.#epoch++;
    for (const hour of this.#hours.values()) {
      hour.unwrittenCalls = hour.calls;
      hour.unwrittenMilli = hour.milli;
      for (const account of hour.accounts.keys()) hour.dirty.add(account);
    }
  }

  /** Accounts that have something to be written and were not found so far, by month, so many at a time. */
  *unindexed(size: number): Generator<{ month: number; accounts: string[]; found: () => void }> {
    for (const [at, { accounts, dirty }] of [...this.#hours]) {
      const names = [...dirty].filter((name) => accounts.get(name)?.indexedIn !== this.#epoch);
      for (let from = 0; from < names.length; from += size) {
        const some = names.slice(from, from + size);
        const epoch = this.#epoch;
        const found = (): void => {
          for (const name of some) {
            const cells = accounts.get(name);
            if (cells !== undefined) cells.indexedIn = epoch;
          }
        };
        yield { month: monthOf(at), accounts: some, found };
      }
    }
  }

  /** What is to be written, as it stands when it is asked for; accounts that can't be found yet wait. */
  *unsent(names: PlaceNames): Generator<SentHour> {
    for (const [at, hour] of [...this.#hours]) {
      for (const account of [...hour.dirty]) {
        const { cells, indexedIn } = hour.accounts.get(account) as AccountCells;
        if (indexedIn !== this.#epoch) continue;
        const changed = [...cells].filter(
          ([, cell]) => cell.version !== cell.writtenVersion || cell.epoch !== this.#epoch,
        );
        hour.dirty.delete(account);
        let from = 0;
        try {
          for (; from < changed.length; from += MAX_TOLD) {
            yield this.#sent(account, at, hour, changed.slice(from, from + MAX_TOLD), names);
          }
        } finally {
          // Whoever asks has stopped amid them.
          if (from < changed.length) hour.dirty.add(account);
        }
      }
    }
  }

  /** Lets go of hours that are over and written, once the store has said that it is the one that has them. */
  letGo(nowMs: number): void {
    for (const [at, hour] of [...this.#hours]) {
      if ((at + 1) * HOUR_MS + KEPT_MS <= nowMs) this.#letGoWritten(at, hour);
    }
  }

  /**
   * Makes room: what is of hours before the first that is kept is forgotten, and where memory runs out what is written goes, the
   * oldest first.
   */
  makeRoom(firstHour: number): void {
    for (const [at, hour] of [...this.#hours]) {
      if (at >= firstHour) continue;
      this.counts.forgottenCalls += hour.unwrittenCalls;
      this.#end(at, hour);
    }
    if (this.#cells <= 0.75 * this.#maxCells) return;
    for (const [at, hour] of [...this.#hours].sort(([a], [b]) => a - b)) {
      if (this.#cells > 0.5 * this.#maxCells) this.#letGoWritten(at, hour);
    }
  }

  #sent(
    account: string,
    at: number,
    hour: HourCells,
    changed: readonly (readonly [place: number, cell: CountedCell])[],
    { meters, plans }: PlaceNames,
  ): SentHour {
    const epoch = this.#epoch;
    const sent = changed.map(([, cell]) => ({
      cell,
      version: cell.version,
      calls: cell.calls + cell.denied,
      milli: cell.unitsMilli,
    }));
    const cells = changed.map(([place, cell]) => ({
      meter: meters[Math.floor(place / PLANS)] ?? "",
      plan: plans[place % PLANS] ?? "",
      process: `${this.#process}.${cell.generation}`,
      served: [cell.calls, cell.unitsMilli, cell.denied, cell.refundedMilli] as const,
      isKnown: cell.epoch === epoch,
    }));
    const failed = (): void => {
      hour.dirty.add(account);
    };
    const written = (): void => {
      // What another server had is no longer known to be there.
      if (epoch !== this.#epoch) {
        failed();
        return;
      }
      for (const { cell, version, calls, milli } of sent) {
        const isSame = cell.epoch === epoch;
        hour.unwrittenCalls -= calls - (isSame ? cell.writtenCalls : 0);
        hour.unwrittenMilli -= milli - (isSame ? cell.writtenMilli : 0);
        Object.assign(cell, { writtenVersion: version, epoch, writtenCalls: calls, writtenMilli: milli });
      }
    };
    return { told: { account, hour: at, cells }, written, failed };
  }

  #begin(at: number): HourCells {
    const hour = {
      accounts: new Map(),
      dirty: new Set<string>(),
      cells: 0,
      calls: 0,
      milli: 0,
      unwrittenCalls: 0,
      unwrittenMilli: 0,
    };
    this.#hours.set(at, hour);
    return hour;
  }

  #cellOf(hour: HourCells, at: number, account: string, place: number): CountedCell {
    let owner = hour.accounts.get(account);
    if (owner === undefined) {
      const before = monthOf(at - 1) === monthOf(at) ? this.#hours.get(at - 1)?.accounts.get(account) : undefined;
      owner = { cells: new Map(), indexedIn: before?.indexedIn ?? -1 };
      hour.accounts.set(account, owner);
    }
    let cell = owner.cells.get(place);
    if (cell === undefined) {
      cell = {
        calls: 0,
        unitsMilli: 0,
        denied: 0,
        refundedMilli: 0,
        generation: this.#generation,
        version: 0,
        writtenVersion: 0,
        epoch: -1,
        writtenCalls: 0,
        writtenMilli: 0,
      };
      owner.cells.set(place, cell);
      if (account !== OVERFLOW_ACCOUNT) {
        hour.cells++;
        this.#cells++;
      }
    }
    return cell;
  }

  #most(number: number, most: number): number {
    if (number <= most) return number;
    this.counts.saturated++;
    return most;
  }

  /** Keeps of an hour only the accounts of which something is to be written. */
  #letGoWritten(at: number, hour: HourCells): void {
    if (hour.accounts.size === hour.dirty.size) return;
    this.#end(at, hour);
    if (hour.dirty.size === 0) return;
    const kept = this.#begin(at);
    for (const account of hour.dirty) {
      const owner = hour.accounts.get(account) as AccountCells;
      kept.accounts.set(account, owner);
      kept.dirty.add(account);
      for (const { calls, denied, unitsMilli } of owner.cells.values()) {
        kept.calls += calls + denied;
        kept.milli += unitsMilli;
      }
      if (account !== OVERFLOW_ACCOUNT) kept.cells += owner.cells.size;
    }
    kept.unwrittenCalls = hour.unwrittenCalls;
    kept.unwrittenMilli = hour.unwrittenMilli;
    this.#cells += kept.cells;
  }

  #end(at: number, hour: HourCells): void {
    this.#hours.delete(at);
    this.#cells -= hour.cells;
    this.#generation++;
  }
}
