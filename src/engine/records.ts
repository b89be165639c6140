import type { RecordStore } from "./types.js";

/** Records that last as long as the process. */
export class MemoryRecords implements RecordStore {
  readonly #records = new Map<string, string>();

  get(name: string): string | undefined {
    return this.#records.get(name);
  }

  list(prefix: string): [name: string, value: string][] {
    return [...this.#records].filter(([name]) => name.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1));
  }

  async put(name: string, value: string | undefined): Promise<void> {
    if (value === undefined) this.#records.delete(name);
    else this.#records.set(name, value);
  }
}
