import type { Tier } from "../engine/tier.js";
import type { Command, Reply, Snapshot } from "../store/protocol.js";
import type { Clocks } from "./clocks.js";
import type { Session, SessionState } from "./session.js";

/** Asks the store. */
export class StoreClient {
  readonly #session: Session;
  readonly #clocks: Clocks;
  readonly #lane: number;

  /** `lane` tells the threads of a replica apart. */
  constructor(session: Session, clocks: Clocks, lane: number) {
    this.#session = session;
    this.#clocks = clocks;
    this.#lane = lane;
  }

  get state(): SessionState {
    return this.#session.state;
  }

  get isReady(): boolean {
    return this.#session.state === "ready";
  }

  get replicas(): number {
    return this.#session.replicas;
  }

  /** What every command says of a key. */
  about(key: string, tier: Tier, snapshot?: Snapshot) {
    return { key, tier, snapshot, nowMs: this.#clocks.given?.(), lane: this.#lane };
  }

  /** Rejects at the deadline at the latest. */
  run(command: Command): Promise<Reply> {
    return this.#session.run(command);
  }
}
