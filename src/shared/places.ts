import { Concurrency } from "../engine/concurrency.js";
import { type CostMilli, costAt } from "../engine/cost.js";
import type { Tier, TierLimit } from "../engine/tier.js";
import type { Command } from "../store/protocol.js";
import type { Clocks } from "./clocks.js";
import type { Runtime } from "./runtime.js";
import type { Session } from "./session.js";

/** After how long, in ms, the store is told again what it could not be told. */
const RETRY_MS = 250;
/** Calls that are told of at once. */
const BATCH = 256;

/** A call that runs, and has taken a place of limits of concurrency. */
interface Running {
  readonly key: string;
  /** Its tier, with no other limits of concurrency. */
  readonly tier: Tier;
  readonly place: number;
  /** When it took them, and when the last of them is over, by the store's time. */
  readonly takenMs: number;
  readonly endMs: number;
  /** Whether the store has been told of it, and whether it may have heard: a command without an answer may have arrived. */
  isTold: boolean;
  mayBeHeard: boolean;
}

/** What the store is told by. */
interface Teller {
  readonly session: Session;
  readonly runtime: Runtime;
  readonly clocks: Clocks;
  /** What every command says of a key. */
  about(key: string, tier: Tier): Pick<Command, "key" | "tier" | "lane" | "snapshot" | "nowMs">;
}

/** The places that this thread's calls hold of limits of concurrency: the store is told of each that it does not know. */
export class Places {
  readonly #teller: Teller;
  /** By key, and by the number of the place. */
  readonly #running = new Map<string, Map<number, Running>>();
  /** Given back, and not heard of by the store. */
  readonly #released = new Set<Running>();
  #made = 0;
  #isWaiting = false;
  #sweptMs = Number.NEGATIVE_INFINITY;

  constructor(teller: Teller) {
    this.#teller = teller;
  }

  /** Whether any call runs. */
  get isHeld(): boolean {
    return this.#running.size > 0;
  }

  /** How many places they hold; those that are over are among them until the next sweep. */
  get held(): number {
    let held = 0;
    for (const ofKey of this.#running.values()) {
      for (const { tier } of ofKey.values()) held += placesOf(tier).length;
    }
    return held;
  }

  /** A number for the places that a call may take, never given to another one; undefined if it takes none. */
  numberFor(tier: Tier, cost: CostMilli): number | undefined {
    return placesOf(placedTier(tier, cost)).length === 0 ? undefined : ++this.#made;
  }

  /** Notes that a call has taken places under a number at `takenMs`; whether the store knows. */
  took(key: string, tier: Tier, cost: CostMilli, place: number, takenMs: number, isTold: boolean): void {
    const placed = placedTier(tier, cost);
    const endMs = takenMs + Math.max(...placesOf(placed).map(({ timeoutMs }) => timeoutMs));
    const running = { key, tier: placed, place, takenMs, endMs, isTold, mayBeHeard: isTold };
    const ofKey = this.#running.get(key) ?? new Map<number, Running>();
    this.#running.set(key, ofKey.set(place, running));
  }

  /** Whoever was asked for places may have given them, and has not said so: they are given back. */
  doubt(key: string, tier: Tier, cost: CostMilli, place: number): void {
    this.took(key, tier, cost, place, this.#teller.clocks.storeMs(), true);
    this.release(key, place);
  }

  /** Gives a call's places back; whether they were not over, nor given back before. */
  release(key: string, place: number): boolean {
    const ofKey = this.#running.get(key);
    const running = ofKey?.get(place);
    if (ofKey === undefined || running === undefined) return false;
    ofKey.delete(place);
    if (ofKey.size === 0) this.#running.delete(key);
    if (running.endMs <= this.#teller.clocks.storeMs()) return false;
    if (running.mayBeHeard) void this.#tellReleased(running);
    return true;
  }

  /** Forgets what a key holds, which was reset. */
  forget(key: string): void {
    this.#running.delete(key);
  }

  /** How each limit of a tier stands at `nowMs`, by what this thread's own calls of a key hold; 0 for others. */
  amounts(key: string, { limits }: Tier, nowMs: number): number[] {
    const calls = [...(this.#running.get(key)?.values() ?? [])];
    return limits.map(({ name, rule }) => {
      if (rule.type !== "concurrency") return 0;
      const ends = calls.map((call) => endOf(call, name)).filter((endMs) => endMs > nowMs);
      return ends.length === 0 ? 0 : Concurrency.amount(ends.length, Math.min(...ends) - nowMs);
    });
  }

  /** Tells a server of every place that is held: it may have lost it, or taken this replica for gone. */
  async report(): Promise<void> {
    await this.#tellAll(() => true);
  }

  /** Tells the store, which is back, of all that it has not heard of, or may have dropped. */
  async tell(): Promise<void> {
    await this.report();
    await this.#tellReleases();
  }

  async #tellAgain(): Promise<void> {
    await this.#tellAll(({ isTold }) => !isTold);
    await this.#tellReleases();
  }

  async #tellReleases(): Promise<void> {
    for (const running of [...this.#released]) await this.#tellReleased(running);
  }

  /** Now and then, forgets the places that are over. */
  sweep(): void {
    const nowMs = this.#teller.clocks.storeMs();
    if (nowMs - this.#sweptMs < 1000) return;
    this.#sweptMs = nowMs;
    for (const [key, ofKey] of this.#running) {
      for (const [place, { endMs }] of ofKey) if (endMs <= nowMs) ofKey.delete(place);
      if (ofKey.size === 0) this.#running.delete(key);
    }
    for (const running of this.#released) if (running.endMs <= nowMs) this.#released.delete(running);
  }

  async #tellAll(isMeant: (running: Running) => boolean): Promise<void> {
    const meant = [...this.#running.values()].flatMap((ofKey) => [...ofKey.values()].filter(isMeant));
    for (let at = 0; at < meant.length; at += BATCH) {
      await Promise.all(meant.slice(at, at + BATCH).map((running) => this.#tellHeld(running)));
    }
  }

  async #tellHeld(running: Running): Promise<void> {
    const { key, tier, place, takenMs } = running;
    running.isTold = true;
    running.mayBeHeard = true;
    try {
      await this.#teller.session.run({ op: "hold", ...this.#teller.about(key, tier), place, atMs: takenMs });
    } catch {
      running.isTold = false;
      // Whether it was carried out nobody can tell.
      if (this.#running.get(key)?.get(place) !== running) void this.#tellReleased(running);
      this.#tryAgain();
    }
  }

  async #tellReleased(running: Running): Promise<void> {
    const { key, tier, place } = running;
    this.#released.add(running);
    if (!this.#teller.session.isReady) return;
    try {
      await this.#teller.session.run({ op: "release", ...this.#teller.about(key, tier), place });
      this.#released.delete(running);
    } catch {
      this.#tryAgain();
    }
  }

  /** As long as the store is there; once it is back it is told anyway. */
  #tryAgain(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    this.#teller.runtime.after(RETRY_MS, () => {
      this.#isWaiting = false;
      this.sweep();
      if (this.#teller.session.isReady) void this.#tellAgain();
    });
  }
}

/** A tier without those of its limits of concurrency of which a call costs nothing, and takes no place. */
function placedTier(tier: Tier, cost: CostMilli): Tier {
  const isKept = ({ rule }: TierLimit, index: number) => rule.type !== "concurrency" || costAt(cost, index) > 0;
  return tier.limits.every(isKept) ? tier : { ...tier, limits: tier.limits.filter(isKept) };
}

function placesOf({ limits }: Tier): Concurrency[] {
  return limits.flatMap(({ rule }) => (rule.type === "concurrency" ? [rule] : []));
}

/** When a call's place of a limit is over; never, if it has none. */
function endOf({ tier, takenMs }: Running, limit: string): number {
  const rule = tier.limits.find(({ name }) => name === limit)?.rule;
  return rule?.type === "concurrency" ? takenMs + rule.timeoutMs : Number.NEGATIVE_INFINITY;
}
