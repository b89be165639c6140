import { isRefusal } from "../store/key-error.js";
import type { Command, Reply } from "../store/protocol.js";
import type { Grant, Lease } from "./lease.js";
import { ONCE, type Outbox } from "./outbox.js";
import type { Runtime } from "./runtime.js";
import type { SharedTier } from "./shared-tier.js";
import type { StoreClient } from "./store-client.js";

/** How often in the time of a lease what has expired is given back. */
export const SWEEPS = 4;

/** Gives back what was taken and is not used. */
export class LeaseReleaser {
  readonly #client: StoreClient;
  readonly #outbox: Outbox;
  readonly #runtime: Runtime;
  readonly #leaseMs: number;
  /** Leases that hold tokens. */
  readonly #live = new Set<Lease>();
  #leased = 0;

  constructor(client: StoreClient, outbox: Outbox, runtime: Runtime, leaseMs: number) {
    this.#client = client;
    this.#outbox = outbox;
    this.#runtime = runtime;
    this.#leaseMs = leaseMs;
  }

  /** Remembers that a lease holds tokens. */
  add(lease: Lease): void {
    this.#live.add(lease);
  }

  /** Forgets what a lease holds. */
  drop(lease: Lease): void {
    lease.grants = [];
    this.#live.delete(lease);
  }

  /** Thousandths held at the last sweep, so that whoever asks need not look at every lease. */
  get leased(): number {
    return this.#leased;
  }

  /** Gives back all that a lease holds. */
  giveBack(lease: Lease): void {
    this.#expel(lease, this.#removeAll(lease));
  }

  /** Gives back everything; resolved when it has arrived. */
  drain(): Promise<void>[] {
    return [...this.#live].flatMap((lease) => this.#giveAll(lease, this.#removeAll(lease)));
  }

  /** Gives back what has expired or lies idle. Called {@link SWEEPS} times in `leaseMs`. */
  sweep(): void {
    const nowMs = this.#runtime.now();
    let leased = 0;
    for (const lease of this.#live) {
      this.#expel(lease, lease.expired(nowMs, this.#leaseMs / 2));
      leased += lease.held(nowMs);
    }
    this.#leased = leased;
  }

  /** A take that was given up was granted after all: nobody will use it. */
  late(command: Command, reply: Reply): void {
    if (command.op !== "take" || reply.granted === 0) return;
    const deltas = command.tier.limits.map(() => -reply.granted);
    void this.#client
      .run({
        ...command,
        op: "adjust",
        deltas,
        atMs: reply.nowMs,
        ...ONCE,
        unused: true,
      })
      .catch(() => undefined);
  }

  /** Removes all that is held. */
  #removeAll(lease: Lease): Grant[] {
    const grants = lease.grants.filter(({ milli }) => milli > 0);
    lease.grants = [];
    return grants;
  }

  #expel(lease: Lease, grants: readonly Grant[]): void {
    if (lease.grants.length === 0) this.#live.delete(lease);
    for (const given of this.#giveAll(lease, grants)) given.catch(() => undefined);
  }

  #giveAll(lease: Lease, grants: readonly Grant[]): Promise<void>[] {
    return grants.map((grant) => this.give(lease, lease.boundTier, grant));
  }

  /**
   * Gives a grant back; what is lost on the way stays spent, and is not sent again, so that it never counts twice. What the
   * store has refused has not counted, and is queued.
   */
  async give(lease: Lease, boundTier: SharedTier, { milli, takenMs }: Grant): Promise<void> {
    const deltas = boundTier.tier.limits.map(() => -milli);
    const queue = () =>
      this.#outbox.queue(lease, {
        boundTier,
        deltas,
        atMs: takenMs,
        quotasOnly: false,
        tell: false,
        unused: true,
        duringOutage: false,
        sent: undefined,
      });
    if (this.#client.state !== "ready") return queue();
    const about = this.#client.about(lease.key, boundTier, undefined);
    try {
      const reply = await this.#client.run({ op: "adjust", ...about, deltas, atMs: takenMs, ...ONCE });
      if (lease.boundTier === boundTier) lease.learn(reply, this.#runtime.now());
    } catch (error) {
      if (isRefusal(error)) queue();
    }
  }
}
