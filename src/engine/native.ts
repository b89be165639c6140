import { loadBinding } from "./binding.js";
import type { CostMilli } from "./cost.js";
import type { DecisionRef, Engine, EngineCounts, EngineOptions } from "./engine.js";
import { FRAME, type Frame } from "./frame.js";
import type { LedgerHandle, LedgerSettings } from "./ledger-handle.js";
import { errorOf, rethrow, translated } from "./native-errors.js";
import { type NativeTierCounts, NativeTiers, type TiersHandle, tierCounts } from "./native-tiers.js";
import type { TakenPlace } from "./places.js";
import type { RecordListener, RecordStore } from "./record-store.js";
import { checkName, checkValue, MemoryRecords } from "./records.js";

/** Decides for the key in the frame's first row, or for many keys, joined, in as many rows. */
type Decide = (key: string) => void;
type DecideMany = (keys: string, count: number) => void;

/** What `crates/node` exports for the engine. */
interface Binding {
  Engine: { open(name: string, tiers: string, maxKeys: number, file?: string): NativeHandle };
}

interface NativeHandle extends TiersHandle {
  deciders(frame: Float64Array): [peek: Decide, consume: Decide, consumeMany: DecideMany, consumeAll: DecideMany];
  adjust(key: string, deltaMilli: number, decision: DecisionRef, flags: number, nowMs: number): boolean;
  adjustEach(key: string, deltas: readonly number[], decision: DecisionRef, flags: number, nowMs: number): boolean;
  grant(key: string, tier: number, limit: string, milli: number, keeps: boolean, nowMs: number): boolean;
  release(key: string, number: number, endsMs: readonly number[], overflow: string | undefined, nowMs: number): boolean;
  reset(key: string): void;
  sweep(nowMs: number): void;
  stats(): Omit<EngineCounts, "tiers"> & { tiers: NativeTierCounts[] };
  flush(): Promise<void>;
  close(): Promise<void>;
  record(name: string): string | null;
  records(prefix: string, size: number, after: string): string[];
  openLedger(meters: readonly string[], maxCells: number, retention: LedgerSettings["retention"]): LedgerHandle;
  storageNotes(): string[];
  putRecord(name: string, value: string | undefined): Promise<void>;
}

/**
 * Opens the native engine, or joins the one of that name in this process; or says why there is no binary for it.
 *
 * @throws {TollkeeperError} `ERR_TIERS_INVALID`, `ERR_NAME_CONFLICT`, `ERR_STORAGE_…`
 */
export function openNative(options: EngineOptions): { engine: Engine } | { engine?: undefined; reason: string } {
  const { binding, reason } = loadBinding();
  return reason === undefined ? { engine: new NativeEngine(binding as Binding, options) } : { reason };
}

/** Whether the native engine can be had in this process; if not, why. */
export interface NativeEngineStatus {
  /** Whether `engine: "native"` would open. */
  isAvailable: boolean;
  /** Why not; undefined if it would. */
  reason?: string | undefined;
}

/** Looks whether this platform's binary of the native engine is there and can be loaded; looks once a process. */
export function nativeEngine(): NativeEngineStatus {
  const { reason } = loadBinding();
  return reason === undefined ? { isAvailable: true } : { isAvailable: false, reason };
}

/** The engine in Rust: one table for all threads of the process, hashed keys, file storage. */
class NativeEngine extends NativeTiers<NativeHandle> implements Engine {
  readonly kind = "native";
  /** Shared, so that nobody can take it away from the binding by transferring it. */
  readonly frame: Frame = new Float64Array(
    new SharedArrayBuffer(FRAME.ROWS * FRAME.ROW * Float64Array.BYTES_PER_ELEMENT),
  );
  readonly records: RecordStore;
  readonly isDurable: boolean;
  /** Plain functions and no methods, since the binding makes them so. */
  readonly peek: Decide;
  readonly consume: Decide;
  readonly consumeMany: DecideMany;
  readonly consumeAll: DecideMany;
  readonly #note: (note: unknown) => void;

  constructor(binding: Binding, { name, tiers, maxKeys, file, onStorageNote = () => undefined }: EngineOptions) {
    const handle = translated(() => binding.Engine.open(name, JSON.stringify(Object.entries(tiers)), maxKeys, file));
    super(handle);
    this.#note = onStorageNote;
    [this.peek, this.consume, this.consumeMany, this.consumeAll] = handle.deciders(this.frame);
    this.isDurable = file !== undefined;
    this.records = file === undefined ? new MemoryRecords() : new FileRecords(handle);
  }

  adjust(key: string, deltaMilli: CostMilli, decision: DecisionRef, flags: number, nowMs: number): boolean {
    if (typeof deltaMilli === "number") return this.handle.adjust(key, deltaMilli, decision, flags, nowMs);
    return this.handle.adjustEach(key, deltaMilli, decision, flags, nowMs);
  }

  grant(key: string, tier: number, limit: string, milli: number, keeps: boolean, nowMs: number): boolean {
    return translated(() => this.handle.grant(key, tier, limit, milli, keeps, nowMs));
  }

  release(key: string, { number, endsMs, overflow }: TakenPlace, nowMs: number): boolean {
    return this.handle.release(key, number, endsMs, overflow, nowMs);
  }

  reset(key: string): void {
    this.handle.reset(key);
  }

  sweep(nowMs: number): void {
    this.handle.sweep(nowMs);
  }

  stats(): EngineCounts {
    const { tiers, ...rest } = this.handle.stats();
    return { ...rest, tiers: tierCounts(tiers) };
  }

  openLedger({ meters, maxCells, retention }: LedgerSettings): LedgerHandle {
    return translated(() => this.handle.openLedger(meters, maxCells, retention));
  }

  flush(): Promise<void> {
    return this.#told(this.handle.flush());
  }

  close(): Promise<void> {
    return this.#told(this.handle.close());
  }

  #told(work: Promise<void>): Promise<void> {
    return work.catch(rethrow).finally(() => {
      for (const note of this.handle.storageNotes()) this.#note(errorOf(note) ?? new Error(note));
    });
  }
}

/** More records than there ever are. */
const MOST = 2 ** 32;

/** Records in the storage file. */
class FileRecords implements RecordStore {
  readonly #handle: NativeHandle;
  readonly #listeners: RecordListener[] = [];
  readonly isFresh = true;
  readonly loss = undefined;
  #version = 0;
  /** New ones are written one after another: a record is there for others once it is in the file. */
  #newest: Promise<unknown> = Promise.resolve();

  constructor(handle: NativeHandle) {
    this.#handle = handle;
  }

  get version(): number {
    return this.#version;
  }

  get(name: string): string | undefined {
    return translated(() => this.#handle.record(name)) ?? undefined;
  }

  list(prefix: string): [name: string, value: string][] {
    return this.page(prefix, MOST);
  }

  page(prefix: string, size: number, after = ""): [name: string, value: string][] {
    const flat = translated(() => this.#handle.records(prefix, Math.min(size, MOST), after));
    return Array.from({ length: flat.length / 2 }, (_, index) => [flat[2 * index] ?? "", flat[2 * index + 1] ?? ""]);
  }

  watch(listener: RecordListener): void {
    this.#listeners.push(listener);
  }

  async put(name: string, value: string | undefined): Promise<void> {
    checkName(name);
    if (value !== undefined) checkValue(value);
    await translated(() => this.#handle.putRecord(name, value)).catch(rethrow);
    this.#version++;
    for (const listener of this.#listeners) listener(name, value);
  }

  async putNew(name: string, value: string): Promise<string> {
    checkName(name);
    checkValue(value);
    const written = this.#newest.then(async () => {
      const present = this.get(name);
      if (present === undefined) await this.put(name, value);
      return present ?? value;
    });
    this.#newest = written.catch(() => undefined);
    return await written;
  }
}
