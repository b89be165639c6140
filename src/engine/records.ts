import { SortedNames } from "./sorted-names.js";
import type { RecordListener, RecordStore } from "./types.js";

/** Records that last as long as the process. */
export class MemoryRecords implements RecordStore {
  readonly #records = new Map<string, string>();
  readonly #names = new SortedNames();
  readonly #listeners: RecordListener[] = [];
  readonly isFresh = true;
  #version = 0;

  get version(): number {
    return this.#version;
  }

  get(name: string): string | undefined {
    return this.#records.get(name);
  }

  list(prefix: string): [name: string, value: string][] {
    return this.page(prefix, Number.POSITIVE_INFINITY);
  }

  page(prefix: string, size: number, after = ""): [name: string, value: string][] {
    return this.#names.page(prefix, size, after).map((name) => [name, this.#records.get(name) ?? ""]);
  }

  watch(listener: RecordListener): void {
    this.#listeners.push(listener);
  }

  async put(name: string, value: string | undefined): Promise<void> {
    if (value === undefined) {
      this.#records.delete(name);
      this.#names.delete(name);
    } else {
      this.#records.set(name, value);
      this.#names.add(name);
    }
    this.#version++;
    for (const listener of this.#listeners) listener(name, value);
  }

  async putNew(name: string, value: string): Promise<string> {
    const present = this.#records.get(name);
    if (present === undefined) await this.put(name, value);
    return present ?? value;
  }
}
