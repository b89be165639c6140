import { TollkeeperError } from "../errors.js";
import { guarded, oncePerMinute } from "../limiter/callback.js";
import { checkedNow } from "../limiter/misuse.js";
import type { Cells } from "./cells.js";
import { HOUR_MS, isoOf, openHour } from "./hours.js";
import { openCells } from "./open-cells.js";
import { checkedHost, type LedgerOptions } from "./options.js";
import { type Preview, type PreviewQuery, previewOf } from "./preview.js";
import { checkedReport, checkedTop, checkWhole, type ReportQuery, type TopQuery, textOf } from "./query.js";
import { readRows, readTop } from "./reading.js";
import { RedisCells } from "./redis-cells.js";
import {
  type AccountPage,
  boundOf,
  type CountedCalls,
  type LedgerStats,
  statsOf,
  type UsageKnown,
  type UsageReport,
  type UsageTop,
} from "./report.js";
import type { Row, Shape } from "./rows.js";
import { checkDenied, checkedUnits, checkName, type Usage, unknownMeter } from "./usage.js";

/** Counts what was served, by account, meter, plan and hour, and says how much that was. Made by {@link openLedger}. */
export class Ledger {
  /** What is counted, as it was opened with. */
  readonly meters: readonly string[];
  readonly #cells: Cells;
  readonly #clock: () => number;
  /** The number of each meter, and what was counted of it here. */
  readonly #meters: ReadonlyMap<string, { readonly id: number; readonly counted: CountedCalls }>;
  /** Plans are few and come again and again. */
  readonly #plans = new Map<string, number>();
  readonly #timer: NodeJS.Timeout;
  #isFlushing = false;
  #closing: Promise<void> | undefined;

  /** @internal */
  constructor(cells: Cells, { meters, flushMs, onError }: LedgerOptions, clock: () => number) {
    this.meters = [...meters];
    this.#cells = cells;
    this.#clock = clock;
    this.#meters = new Map(
      meters.map((name) => [name, { id: cells.meterId(name), counted: { served: 0, denied: 0, refunded: 0 } }]),
    );
    this.#timer = flushing(this, cells.isDurable ? (flushMs ?? 1000) / 2 : 60_000, guarded("onError", onError ?? warn));
  }

  /**
   * Counts one call, once its outcome is final. One that was served and has used nothing is not counted; one that has got
   * everything back is no served call.
   *
   * @throws {TollkeeperError} on misuse, and then nothing is counted: `ERR_METER_UNKNOWN`, `ERR_USAGE_INVALID`,
   * `ERR_CLOCK_INVALID`, `ERR_LEDGER_CLOSED`, `ERR_LIMITER_CLOSED`.
   *
   * @example
   * ```ts
   * import { createLimiter } from "tollkeeper";
   * import { openLedger } from "tollkeeper/ledger";
   *
   * const limiter = createLimiter({ tiers: { free: { limits: [] } } });
   * const ledger = openLedger({ limiter, meters: ["searches"], clock: () => Date.UTC(2026, 10, 10) });
   * ledger.record({ account: "42", meter: "searches", plan: "free", units: 2.5 });
   * ledger.record({ account: "42", meter: "searches", plan: "free", denied: true });
   *
   * const { rows } = await ledger.report({ from: "2026-11-01", to: "2026-12-01", by: "month", account: "42" });
   * console.log(rows.map(({ calls, units, denied }) => [calls, units, denied])); // [ [ 1, 2.5, 1 ] ]
   * await ledger.close();
   * await limiter.close();
   * ```
   */
  record(usage: Usage): void {
    this.#checkOpen();
    const meter = this.#meters.get(usage?.meter);
    if (meter === undefined) throw unknownMeter(usage?.meter, this.meters);
    const { account, plan, units = 1, refunded = 0, denied = false } = usage;
    checkName("account", account, 512);
    const planId = this.#plans.get(plan) ?? this.#planOf(plan);
    const hour = Math.floor(this.#clock() / HOUR_MS);
    if (denied !== false) {
      checkDenied(usage);
      this.#cells.count(account, meter.id, planId, hour, 0, 0, 1, 0);
      meter.counted.denied++;
      return;
    }
    const unitsMilli = checkedUnits("units", units);
    const refundedMilli = checkedUnits("refunded", refunded);
    if (unitsMilli === 0 && refundedMilli === 0) return;
    this.#cells.count(account, meter.id, planId, hour, unitsMilli === 0 ? 0 : 1, unitsMilli, 0, refundedMilli);
    if (unitsMilli === 0) meter.counted.refunded++;
    else meter.counted.served++;
  }

  /**
   * What was counted from one hour to another, all up to now, as rows of an hour, a day or a month; those of nothing are left
   * out. However it is divided and grouped, the sum is the same.
   *
   * @throws {TollkeeperError} `ERR_REPORT_INVALID`, `ERR_LEDGER_CLOSED`, `ERR_LIMITER_CLOSED`, or `ERR_STORAGE_…` and
   * `ERR_STORE_…` where the file or Redis can't be read, or what was counted here not be written to Redis before.
   */
  async report(query: ReportQuery): Promise<UsageReport> {
    this.#checkOpen();
    const report = checkedReport(query, { meters: this.#cells.meters().length, plans: this.#cells.plans().length });
    const { shape } = report;
    const known = await this.#knownOf(shape.to);
    const { rows, isLast } = await readRows(this.#cells, report);
    const last = rows.at(-1);
    return {
      from: isoOf(shape.from),
      to: isoOf(shape.to),
      by: shape.by,
      ...known,
      rows: rows.map((row) => rowOf(row, shape, report.account)),
      next: isLast || last === undefined ? null : textOf(last),
    };
  }

  /**
   * What an account's month costs by the prices of the plans that it was on: a preview, without tax.
   *
   * @throws {TollkeeperError} as {@link Ledger.report} does, and `ERR_PRICE_INVALID`.
   */
  preview(query: PreviewQuery): Promise<Preview> {
    return previewOf((asked) => this.report(asked), query);
  }

  /**
   * The accounts that have used most, the largest first; none that has used nothing.
   *
   * @throws {TollkeeperError} as {@link Ledger.report} does, and `ERR_METER_UNKNOWN`.
   */
  async top(query: TopQuery): Promise<UsageTop> {
    this.#checkOpen();
    const top = checkedTop(query, this.#cells.meters());
    const known = await this.#knownOf(top.to);
    const rows = await readTop(this.#cells, top);
    return {
      from: isoOf(top.from),
      to: isoOf(top.to),
      by: top.by,
      ...known,
      rows: rows.map(({ unitsMilli, refundedMilli, ...row }) => ({
        ...row,
        units: unitsMilli / 1000,
        refunded: refundedMilli / 1000,
      })),
    };
  }

  /**
   * Accounts of which anything is counted, in the order of UTF-16 units.
   *
   * @param page `size`, how many at most: 1 to 10,000, 1,000 by default; and `after`, `next` of the page before.
   * @throws {TollkeeperError} as {@link Ledger.report} does.
   */
  async accounts(page: { size?: number; after?: string | null } = {}): Promise<AccountPage> {
    this.#checkOpen();
    const { size = 1000, after } = page;
    checkWhole("size", size, 10_000);
    const accounts = await this.#cells.accounts(after ?? undefined, size + 1);
    const some = accounts.slice(0, size);
    return { accounts: some, next: accounts.length > size ? (some.at(-1) ?? null) : null };
  }

  /**
   * Writes what is not written yet, with what the limiter has to write. Done on its own every `flushMs`, and by `close`.
   *
   * @throws {TollkeeperError} `ERR_STORAGE_…`, `ERR_STORE_…`, `ERR_LEDGER_CLOSED`, `ERR_LIMITER_CLOSED`
   */
  async flush(): Promise<void> {
    this.#checkOpen();
    await this.#cells.flush(this.#clock());
  }

  /**
   * What it holds, and what was counted in this thread since it was opened.
   *
   * @throws {TollkeeperError} `ERR_LEDGER_CLOSED`, `ERR_LIMITER_CLOSED`
   */
  stats(): LedgerStats {
    this.#checkOpen();
    const counted = [...this.#meters].map(([meter, { counted }]) => ({ meter, ...counted }));
    return statsOf(this.#cells, counted);
  }

  /**
   * Writes everything and lets go; the limiter is closed after it. Calling it again is fine; if the write fails it rejects, and
   * calling it again tries again.
   */
  close(): Promise<void> {
    clearInterval(this.#timer);
    this.#closing ??= this.#cells.flush(this.#clock()).then(
      () => this.#cells.close(),
      (error: unknown) => {
        this.#closing = undefined;
        throw error;
      },
    );
    return this.#closing;
  }

  /** @internal */
  async flushUnlessBusy(): Promise<void> {
    if (this.#isFlushing || this.#closing !== undefined) return;
    this.#isFlushing = true;
    try {
      await this.#cells.flush(this.#clock());
    } finally {
      this.#isFlushing = false;
    }
  }

  #planOf(plan: string): number {
    checkName("plan", plan, 64);
    const id = this.#cells.planId(plan);
    this.#plans.set(plan, id);
    return id;
  }

  async #knownOf(toHour: number): Promise<UsageKnown> {
    const open = openHour(this.#clock());
    const others = await this.#cells.others?.(Math.min(toHour, open));
    const isOver = toHour <= open;
    const { calls, units } = boundOf(this.#cells);
    if (others === undefined) return { complete: isOver, bound: { calls, units } };
    const { unwrittenCalls, unwrittenMilli, waitingFor } = others;
    return {
      complete: isOver && waitingFor.length === 0,
      bound: { calls: calls + unwrittenCalls, units: units + unwrittenMilli / 1000 },
      waitingFor: waitingFor.map(({ process, writtenMs }) => ({ process, since: new Date(writtenMs).toISOString() })),
    };
  }

  #checkOpen(): void {
    if (this.#closing !== undefined) throw new TollkeeperError("ERR_LEDGER_CLOSED", "the ledger is closed");
  }
}

/**
 * Opens the ledger of a limiter, or joins that which is open: usage is counted once, by all who share its table.
 *
 * @throws {TollkeeperError} `ERR_OPTION_INVALID`, `ERR_LIMITER_CLOSED`
 *
 * @example
 * ```ts
 * import { createLimiter } from "tollkeeper";
 * import { openLedger } from "tollkeeper/ledger";
 *
 * const limiter = createLimiter({ tiers: { free: { limits: [] } } });
 * const ledger = openLedger({ limiter, meters: ["identify", "compare"] });
 * ledger.record({ account: "42", meter: "compare", plan: "free", units: 2 });
 *
 * console.log(ledger.stats().cells); // 1
 * await ledger.close();
 * await limiter.close();
 * ```
 */
export function openLedger(options: LedgerOptions): Ledger {
  const host = checkedHost(options);
  const { meters, maxCells, retention, clock } = options;
  const readClock = clock === undefined ? host.clock : () => checkedNow(clock());
  const kept = { meters, maxCells, retention };
  if (host.openUsage === undefined) return new Ledger(openCells(host.engine, kept), options, readClock);
  const onError = oncePerMinute(options.onError ?? warn);
  return new Ledger(RedisCells.open(host.openUsage, kept, readClock), { ...options, onError }, readClock);
}

/** Has a ledger flushed every so often, for as long as anybody holds it. */
function flushing(ledger: Ledger, everyMs: number, tell: (error: unknown) => void): NodeJS.Timeout {
  const held = new WeakRef(ledger);
  const timer = setInterval(() => {
    const ledger = held.deref();
    if (ledger === undefined) clearInterval(timer);
    else ledger.flushUnlessBusy().catch(tell);
  }, everyMs);
  return timer.unref();
}

function warn(error: unknown): void {
  process.emitWarning(`usage can't be written, which is tried again: ${String(error)}`, {
    type: "TollkeeperWarning",
    code: "TOLLKEEPER_USAGE_NOT_WRITTEN",
  });
}

/** A row as it is told. */
function rowOf(row: Row, { group }: Shape, account: string | undefined) {
  const { unitsMilli, refundedMilli } = row;
  const isOfOne = account !== undefined || group.has("account");
  return {
    from: isoOf(row.from),
    to: isoOf(row.to),
    ...(isOfOne && { account: account ?? row.account }),
    ...(group.has("meter") && { meter: row.meter }),
    ...(group.has("plan") && { plan: row.plan }),
    calls: row.calls,
    units: unitsMilli / 1000,
    denied: row.denied,
    refunded: refundedMilli / 1000,
    revision: row.revision,
  };
}
