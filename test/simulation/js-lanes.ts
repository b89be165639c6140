import type { LeaseEngine } from "../../src/engine/lease-engine.js";
import { LEASE_FRAME } from "../../src/engine/lease-frame.js";
import { Delegate, type Told } from "./delegate.js";

/** What the lanes of a table have in common. */
interface Shared {
  readonly table: LeaseEngine;
  /** Those who have not left, and those who have not let go. */
  readonly lanes: Set<JsLane>;
  readonly open: Set<JsLane>;
  readonly left: string[];
  made: number;
}

/** Opens lanes on a table of which its engine knows one alone: as threads that share one do, each with what it owes. */
export function lanesOn(table: LeaseEngine): () => LeaseEngine {
  const shared: Shared = { table, lanes: new Set(), open: new Set(), left: [], made: 0 };
  return () => new JsLane(shared);
}

/** One of the threads that share a table. */
class JsLane extends Delegate {
  readonly #shared: Shared;
  readonly #lane: number;
  readonly #kept = new Map<number, string>();
  /** What is still to be told, since another lane may begin a report beside it. */
  #report: (Told & { readonly rows: Float64Array })[] = [];

  constructor(shared: Shared) {
    super(shared.table);
    this.#shared = shared;
    this.#lane = shared.made++;
    shared.lanes.add(this);
    shared.open.add(this);
  }

  override get lane(): number {
    return this.#lane;
  }

  override get users(): number {
    return this.#shared.lanes.size;
  }

  override startReport(): void {
    this.inner.startReport();
    this.#report = [];
    for (let told = this.inner.nextReport(); told.count > 0; told = this.inner.nextReport()) {
      this.#report.push({ ...told, rows: this.frame.slice(0, told.count * LEASE_FRAME.ROW) });
    }
  }

  override nextReport(): Told {
    const next = this.#report.shift();
    if (next === undefined) return { count: 0, keys: "" };
    this.frame.set(next.rows);
    return next;
  }

  override keepDebt(id: number, text: string | undefined): void {
    if (text === undefined) this.#kept.delete(id);
    else this.#kept.set(id, text);
  }

  override inherit(): readonly string[] {
    return this.#shared.left.splice(0);
  }

  override leave(): boolean {
    this.#shared.lanes.delete(this);
    return this.#shared.lanes.size === 0;
  }

  /** The table stays, with what is owed. */
  override abandon(): void {
    this.leave();
    this.#bequeath();
  }

  override close(): void {
    this.leave();
    this.#bequeath();
    if (this.#shared.open.delete(this) && this.#shared.open.size === 0) this.inner.close();
  }

  #bequeath(): void {
    this.#shared.left.push(...this.#kept.values());
    this.#kept.clear();
  }
}
