import type { Command, Reply, Snapshot } from "../store/protocol.js";
import type { Runtime } from "./runtime.js";
import type { Session, SessionState } from "./session.js";
import type { SharedTier } from "./shared-tier.js";

/** Asks the store, and learns what time it is there. */
export class StoreClient {
  readonly #session: Session;
  readonly #runtime: Runtime;
  readonly #clock: (() => number) | undefined;
  /** The store's time less this process's clock. */
  #ahead: number | undefined;

  /** `clock` is the time to decide by, if not the store's own. */
  constructor(session: Session, runtime: Runtime, clock: (() => number) | undefined) {
    this.#session = session;
    this.#runtime = runtime;
    this.#clock = clock;
  }

  get state(): SessionState {
    return this.#session.state;
  }

  get replicas(): number {
    return this.#session.replicas;
  }

  /** The store's time, as near as can be told, when it is `nowMs` by this process's clock. */
  storeMs(nowMs = this.#runtime.now()): number {
    if (this.#clock !== undefined) return this.#clock();
    return this.#ahead === undefined ? this.#runtime.wall() : Math.floor(nowMs + this.#ahead);
  }

  /** What every command says of a key. */
  about(key: string, { tier }: SharedTier, snapshot: Snapshot | undefined) {
    return { key, tier, snapshot, nowMs: this.#clock?.() };
  }

  /** Rejects at the deadline at the latest. */
  async run(command: Command): Promise<Reply> {
    const reply = await this.#session.run(command);
    this.#ahead = reply.nowMs - reply.lagMs - this.#runtime.now();
    return reply;
  }
}
