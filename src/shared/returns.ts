import { isRefusal } from "../store/key-error.js";
import type { Command, Reply } from "../store/protocol.js";
import type { Asker } from "./asker.js";
import { type Debts, ONCE } from "./debts.js";
import type { Lease, Parcel } from "./lease.js";
import type { Runtime } from "./runtime.js";
import type { SharedTier } from "./shared-tier.js";

/** How often in the time of a lease what has expired is given back. */
export const SWEEPS = 4;

/** Gives back what was taken and is not used. */
export class Returns {
  readonly #asker: Asker;
  readonly #debts: Debts;
  readonly #runtime: Runtime;
  readonly #leaseMs: number;
  /** Leases that hold tokens. */
  readonly #live = new Set<Lease>();
  #leased = 0;

  constructor(asker: Asker, debts: Debts, runtime: Runtime, leaseMs: number) {
    this.#asker = asker;
    this.#debts = debts;
    this.#runtime = runtime;
    this.#leaseMs = leaseMs;
  }

  /** Remembers that a lease holds tokens. */
  add(lease: Lease): void {
    this.#live.add(lease);
  }

  /** Forgets what a lease holds. */
  drop(lease: Lease): void {
    lease.parcels = [];
    this.#live.delete(lease);
  }

  /** Thousandths held at the last sweep, so that whoever asks need not look at every lease. */
  get leased(): number {
    return this.#leased;
  }

  /** Gives back all that a lease holds. */
  giveBack(lease: Lease): void {
    this.#expel(lease, this.#takeAll(lease));
  }

  /** Gives back everything; settled when it has arrived. */
  drain(): Promise<void>[] {
    return [...this.#live].flatMap((lease) => this.#giveAll(lease, this.#takeAll(lease)));
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
    void this.#asker
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

  /** Takes out all that is held. */
  #takeAll(lease: Lease): Parcel[] {
    const parcels = lease.parcels.filter(({ milli }) => milli > 0);
    lease.parcels = [];
    return parcels;
  }

  #expel(lease: Lease, parcels: readonly Parcel[]): void {
    if (lease.parcels.length === 0) this.#live.delete(lease);
    for (const given of this.#giveAll(lease, parcels)) given.catch(() => undefined);
  }

  #giveAll(lease: Lease, parcels: readonly Parcel[]): Promise<void>[] {
    return parcels.map((parcel) => this.give(lease, lease.boundTier, parcel));
  }

  /**
   * Gives a parcel back; what is lost on the way stays spent, and is not sent again, so that it never counts twice. What the
   * store has refused has not counted, and is owed.
   */
  async give(lease: Lease, boundTier: SharedTier, { milli, takenMs }: Parcel): Promise<void> {
    const deltas = boundTier.tier.limits.map(() => -milli);
    const owe = () =>
      this.#debts.owe(lease, {
        boundTier,
        deltas,
        atMs: takenMs,
        quotasOnly: false,
        tell: false,
        unused: true,
        away: false,
        sent: undefined,
      });
    if (this.#asker.state !== "ready") return owe();
    const about = this.#asker.about(lease.key, boundTier, undefined);
    try {
      const reply = await this.#asker.run({ op: "adjust", ...about, deltas, atMs: takenMs, ...ONCE });
      if (lease.boundTier === boundTier) lease.learn(reply, this.#runtime.now());
    } catch (error) {
      if (isRefusal(error)) owe();
    }
  }
}
