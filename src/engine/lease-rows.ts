import type { CountedRules } from "./counted-rules.js";
import type { Frame } from "./frame.js";
import type { LeaseSnapshot } from "./lease.js";
import type { CountedRule } from "./lease-engine.js";
import { LEASE_FRAME } from "./lease-frame.js";
import { Recent } from "./recent.js";

/** Rule sets whose number, once told, is known. */
const MAX_TOLD = 65_536;

/** The rows of a lease engine's frame, and the numbers told in them. */
export class LeaseRows {
  readonly #frame: Frame;
  readonly #told = new Recent<number, CountedRules>(MAX_TOLD);

  constructor(frame: Frame) {
    this.#frame = frame;
  }

  /** A field of the row that begins at `at`. */
  read(at: number, field: number): number {
    return this.#frame[at + field] as number;
  }

  write(at: number, field: number, value: number): void {
    this.#frame[at + field] = value;
  }

  /** Writes whose row it is, and by which rules its amounts are counted. */
  tellKey(at: number, key: string, rules: CountedRules): void {
    this.#told.set(rules.number, rules);
    this.write(at, LEASE_FRAME.KEY_LENGTH, key.length);
    this.write(at, LEASE_FRAME.RULES, rules.number);
  }

  /** Writes a snapshot, with the amounts of some slots in their order. */
  tellSnapshot(at: number, { server, epoch, atMs, spent }: LeaseSnapshot, slots: readonly number[]): void {
    this.write(at, LEASE_FRAME.SERVER, server);
    this.write(at, LEASE_FRAME.EPOCH, epoch);
    this.write(at, LEASE_FRAME.NOW, atMs);
    slots.forEach((slot, index) => {
      this.write(at, LEASE_FRAME.SPENT + index, spent[slot] ?? Number.NaN);
    });
  }

  rulesOf(number: number): readonly CountedRule[] {
    return this.#told.get(number)?.told ?? [];
  }
}
