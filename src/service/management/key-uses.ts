import type { RecordStore } from "tollkeeper";

const USED = "key-used:";
const MINUTE_MS = 60_000;
/** How far, in ms, what is written may be behind: of a key in use it is written once in that time, by all replicas together. */
const BEHIND_MS = 3_600_000;
/** Keys that wait to be written; those beyond are written when they are used later. */
const MOST_WAITING = 10_000;

/**
 * When API keys were last used, to the minute and at most an hour late: 24 small writes a day for a key that is always in
 * use, however many calls and replicas there are. They are written one after another once the call is on its way; what
 * fails is written after a later use.
 */
export class KeyUses {
  readonly #records: RecordStore;
  /** By id, in ISO 8601. */
  readonly #waiting = new Map<string, string>();
  #isWriting = false;

  constructor(records: RecordStore) {
    this.#records = records;
  }

  /** ISO 8601; null if no use is known. */
  lastOf(id: string): string | null {
    return this.#records.get(USED + id) ?? null;
  }

  /** Notes that a key is used at an instant, in ms since the epoch. */
  note(id: string, nowMs: number): void {
    const known = this.lastOf(id);
    if (known !== null && nowMs - Date.parse(known) < BEHIND_MS) return;
    if (this.#waiting.size < MOST_WAITING) this.#waiting.set(id, new Date(nowMs - (nowMs % MINUTE_MS)).toISOString());
    if (this.#isWriting) return;
    this.#isWriting = true;
    setImmediate(() => void this.#write());
  }

  /** Forgets the uses of a key that is deleted. */
  async forget(id: string): Promise<void> {
    this.#waiting.delete(id);
    if (this.lastOf(id) !== null) await this.#records.put(USED + id, undefined);
  }

  async #write(): Promise<void> {
    try {
      for (const [id, used] of this.#waiting) {
        this.#waiting.delete(id);
        await this.#records.put(USED + id, used);
      }
    } catch {
      // Whoever keeps the records says so. The rest waits for the next use.
    } finally {
      this.#isWriting = false;
    }
  }
}
