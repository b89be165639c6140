import { loadBinding } from "./binding.js";
import { FRAME, type Frame } from "./frame.js";
import type { CountedRule, LeaseCounts, LeaseEngine, LeaseEngineOptions } from "./lease-engine.js";
import { LEASE_FRAME } from "./lease-frame.js";
import { translated } from "./native-errors.js";
import { type NativeTierCounts, NativeTiers, type TiersHandle, tierCounts } from "./native-tiers.js";

/** Works on the key in the frame's first row, or on many keys, joined, in as many rows. */
type Call = (key: string) => void;
type CallMany = (keys: string, count: number) => void;

/** Rows that the frame has been filled with. */
type RowsRead = ReturnType<LeaseEngine["takeReturns"]>;

/** What `crates/node` exports for leases. */
interface Binding {
  LeaseEngine: { open(frame: Float64Array, options: NativeOptions): LeaseHandle };
}

/** `tiers` is the JSON of `Object.entries(tiers)`. */
interface NativeOptions extends Omit<LeaseEngineOptions, "tiers"> {
  readonly tiers: string;
}

interface LeaseHandle extends TiersHandle, Pick<LeaseEngine, "replica" | "lane" | "users"> {
  functions(): [consume: Call, peek: Call, ask: Call, look: Call, apply: CallMany];
  forget(key: string): void;
  giveBack(key: string, again: boolean): void;
  sweep(nowMs: number, monoMs: number): boolean;
  drain(): void;
  takeReturns(): RowsRead;
  startReport(): void;
  nextReport(): RowsRead;
  /** JSON. */
  rulesOf(number: number): string;
  serverId(name: string): number;
  serverName(id: number): string;
  storeMs(monoMs: number): number;
  count(version: number, tier: number, denied: number): void;
  stats(): Omit<LeaseCounts, "tiers"> & { tiers: NativeTierCounts[] };
  keepDebt(id: number, text: string | undefined): void;
  inherit(): string[];
  leave(): boolean;
  close(): void;
  abandon(): void;
}

/**
 * Opens the native engine of leases, or joins the one of that name in this process; or says why there is no binary for it.
 *
 * @throws {TollkeeperError} `ERR_TIERS_INVALID`, `ERR_NAME_CONFLICT`
 */
export function openNativeLeases(
  options: LeaseEngineOptions,
): { engine: LeaseEngine } | { engine?: undefined; reason: string } {
  const { binding, reason } = loadBinding();
  return reason === undefined ? { engine: new NativeLeases(binding as Binding, options) } : { reason };
}

/** Leases in Rust: one table, and one replica, for all threads of the process that give one name. */
class NativeLeases extends NativeTiers<LeaseHandle> implements LeaseEngine {
  readonly kind = "native";
  readonly frame: Frame;
  readonly replica: string;
  readonly lane: number;
  /** Plain functions and no methods, since the binding makes them so. */
  readonly consume: Call;
  readonly peek: Call;
  readonly ask: Call;
  readonly look: Call;
  readonly apply: CallMany;
  /** Numbers of servers, asked for once: every take tells one, and every answer. */
  readonly #serverIds = new Map<string, number>();
  readonly #serverNames = new Map<number, string>();

  constructor(binding: Binding, { tiers, ...options }: LeaseEngineOptions) {
    // Shared, so that nobody can take it away from the binding by transferring it.
    const frame = new Float64Array(
      new SharedArrayBuffer(FRAME.ROWS * LEASE_FRAME.ROW * Float64Array.BYTES_PER_ELEMENT),
    );
    const given = { ...options, tiers: JSON.stringify(Object.entries(tiers)) };
    super(translated(() => binding.LeaseEngine.open(frame, given)));
    this.frame = frame;
    this.replica = this.handle.replica;
    this.lane = this.handle.lane;
    [this.consume, this.peek, this.ask, this.look, this.apply] = this.handle.functions();
  }

  get users(): number {
    return this.handle.users;
  }

  forget(key: string): void {
    this.handle.forget(key);
  }

  giveBack(key: string, again: boolean): void {
    this.handle.giveBack(key, again);
  }

  sweep(nowMs: number, monoMs: number): boolean {
    return this.handle.sweep(nowMs, monoMs);
  }

  drain(): void {
    this.handle.drain();
  }

  takeReturns(): RowsRead {
    return this.handle.takeReturns();
  }

  startReport(): void {
    this.handle.startReport();
  }

  nextReport(): RowsRead {
    return this.handle.nextReport();
  }

  rulesOf(number: number): readonly CountedRule[] {
    return JSON.parse(translated(() => this.handle.rulesOf(number))) as CountedRule[];
  }

  serverId(name: string): number {
    const known = this.#serverIds.get(name);
    if (known !== undefined) return known;
    const id = this.handle.serverId(name);
    if (id >= 0) this.#serverIds.set(name, id);
    return id;
  }

  serverName(id: number): string {
    const known = this.#serverNames.get(id);
    if (known !== undefined) return known;
    const name = this.handle.serverName(id);
    this.#serverNames.set(id, name);
    return name;
  }

  storeMs(monoMs: number): number {
    return this.handle.storeMs(monoMs);
  }

  count(version: number, tier: number, denied: number): void {
    this.handle.count(version, tier, denied);
  }

  stats(): LeaseCounts {
    const { tiers, ...rest } = translated(() => this.handle.stats());
    return { ...rest, tiers: tierCounts(tiers) };
  }

  keepDebt(id: number, text: string | undefined): void {
    this.handle.keepDebt(id, text);
  }

  inherit(): readonly string[] {
    return this.handle.inherit();
  }

  leave(): boolean {
    return this.handle.leave();
  }

  close(): void {
    this.handle.close();
  }

  abandon(): void {
    this.handle.abandon();
  }
}
