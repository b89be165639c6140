import type { Engine } from "../engine/engine.js";
import { LEDGER_ROW, type LedgerHandle, type LedgerPage } from "../engine/ledger-handle.js";
import { rethrow, translated } from "../engine/native-errors.js";
import { TollkeeperError } from "../errors.js";
import { invalidKey, limiterClosed } from "../limiter/misuse.js";
import {
  type Cell,
  type CellPage,
  type CellQuery,
  type CellStats,
  type Cells,
  type CellsOptions,
  MAX_CELLS,
  RETENTION,
} from "./cells.js";
import { COUNT_FRAME, COUNTED } from "./count-frame.js";

/** Cells in Rust: those of the limiter's table, which all its threads share and its file keeps. */
export class NativeCells implements Cells {
  readonly kind = "native";
  readonly isDurable: boolean;
  readonly #handle: LedgerHandle;
  readonly #frame = new Float64Array(
    new SharedArrayBuffer(COUNT_FRAME.ROWS * COUNT_FRAME.ROW * Float64Array.BYTES_PER_ELEMENT),
  );
  readonly #count: (account: string) => void;
  #isFlushing = false;

  /**
   * Opens the cells of an engine's table, or joins those that are open; undefined if the engine has no binding.
   *
   * @throws {TollkeeperError} `ERR_OPTION_INVALID`, `ERR_STORAGE_…`
   */
  static open(engine: Engine, options: CellsOptions): NativeCells | undefined {
    const { meters, maxCells = MAX_CELLS, retention } = options;
    const handle = engine.openLedger({ meters, maxCells, retention: { ...RETENTION, ...retention } });
    return handle === undefined ? undefined : new NativeCells(handle, engine.isDurable);
  }

  private constructor(handle: LedgerHandle, isDurable: boolean) {
    this.#handle = handle;
    this.isDurable = isDurable;
    this.#count = handle.counter(this.#frame);
  }

  meterId(name: string): number {
    return translated(() => this.#handle.meterId(name));
  }

  planId(name: string): number {
    return translated(() => this.#handle.planId(name));
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
    const frame = this.#frame;
    frame[COUNT_FRAME.METER] = meter;
    frame[COUNT_FRAME.PLAN] = plan;
    frame[COUNT_FRAME.HOUR] = hour;
    frame[COUNT_FRAME.CALLS] = calls;
    frame[COUNT_FRAME.UNITS] = unitsMilli;
    frame[COUNT_FRAME.DENIED] = denied;
    frame[COUNT_FRAME.REFUNDED] = refundedMilli;
    this.#count(account);
    const code = frame[COUNT_FRAME.CODE] as number;
    if (code !== COUNTED.DONE) this.#refuse(code, account);
  }

  /** Throws if nothing was counted. */
  #refuse(code: number, account: string): void {
    if (code < 0) throw refused(code, account);
    if (!this.isDurable || this.#isFlushing) return;
    // Before the limiter does so by itself. What fails is tried again then, and told.
    this.#isFlushing = true;
    const done = () => {
      this.#isFlushing = false;
    };
    this.#handle.flush(undefined).then(done, done);
  }

  async read(query: CellQuery): Promise<CellPage> {
    const { account, fromHour, toHour, by = "hour", after, max } = query;
    const page = await this.#asked(() => this.#handle.read({ account, fromHour, toHour, by, after, max }));
    return { cells: this.#cellsOf(page), next: page.next };
  }

  accounts(after: string | undefined, max: number): Promise<string[]> {
    return this.#asked(() => this.#handle.accounts(after, max));
  }

  meters(): string[] {
    return translated(() => this.#handle.meters());
  }

  plans(): string[] {
    return translated(() => this.#handle.plans()).slice(1);
  }

  flush(nowMs: number): Promise<void> {
    return this.#asked(() => this.#handle.flush(nowMs));
  }

  stats(): CellStats {
    return { oldestUnwrittenHour: undefined, ...translated(() => this.#handle.stats()) };
  }

  close(): void {
    this.#handle.close();
  }

  async #asked<T>(ask: () => Promise<T>): Promise<T> {
    return await translated(ask).catch(rethrow);
  }

  #cellsOf({ accounts, numbers }: LedgerPage): Cell[] {
    const meters = translated(() => this.#handle.meters());
    const plans = translated(() => this.#handle.plans());
    const cells: Cell[] = [];
    for (let at = 0; at < numbers.length; at += LEDGER_ROW.LENGTH) {
      const read = (place: number) => numbers[at + place] as number;
      cells.push({
        account: accounts[read(LEDGER_ROW.ACCOUNT)] as string,
        meter: meters[read(LEDGER_ROW.METER)] as string,
        plan: plans[read(LEDGER_ROW.PLAN)] as string,
        hour: read(LEDGER_ROW.HOUR),
        hours: read(LEDGER_ROW.HOURS),
        calls: read(LEDGER_ROW.CALLS),
        unitsMilli: read(LEDGER_ROW.UNITS),
        denied: read(LEDGER_ROW.DENIED),
        refundedMilli: read(LEDGER_ROW.REFUNDED),
        revision: read(LEDGER_ROW.REVISION),
      });
    }
    return cells;
  }
}

function refused(code: number, account: string): TollkeeperError {
  if (code === COUNTED.ACCOUNT_INVALID) return invalidKey(account);
  if (code === COUNTED.CLOSED) return limiterClosed();
  const what = code === COUNTED.KIND_UNKNOWN ? "knows no such meter, plan or hour" : "met a fault of its own";
  return new TollkeeperError("ERR_ENGINE_FAILED", `the ledger ${what}`);
}
