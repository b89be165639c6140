import type { RecordStore } from "./types.js";

/** Records that last as long as the process. */
export class MemoryRecords implements RecordStore {
  readonly #records = new Map<string, string>();
  readonly isFresh = true;
  #version = 0;

  get version(): number {
    return this.#version;
  }

  get(name: string): string | undefined {
    return this.#records.get(name);
  }

  list(prefix: string): [name: string, value: string][] {
    return [...this.#records].filter(([name]) => name.startsWith(prefix)).sort(([a], [b]) => (a < b ? -1 : 1));
  }

  async put(name: string, value: string | undefined): Promise<void> {
    if (value === undefined) this.#records.delete(name);
    else this.#records.set(name, value);
    this.#version++;
  }

  async putNew(name: string, value: string): Promise<string> {
    const present = this.#records.get(name);
    if (present === undefined) await this.put(name, value);
    return present ?? value;
  }
}
