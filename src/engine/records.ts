import { TollkeeperError } from "../errors.js";
import type { RecordListener, RecordStore } from "./record-store.js";
import { SortedNames } from "./sorted-names.js";

/** UTF-16 units of a record's name, and of its value, at most. */
const MAX_NAME = 512;
const MAX_VALUE = 1024 * 1024;

/**
 * Refuses a name that could not be told from another, or not be listed with the others.
 *
 * @throws {TollkeeperError} `ERR_RECORD_INVALID`
 */
export function checkName(name: unknown): void {
  if (!isText(name, MAX_NAME)) throw invalid("name", name, MAX_NAME);
}

/** The same for a value. */
export function checkValue(value: unknown): void {
  if (!isText(value, MAX_VALUE)) throw invalid("value", value, MAX_VALUE);
}

function isText(text: unknown, most: number): boolean {
  return typeof text === "string" && text !== "" && text.length <= most && !/\p{Surrogate}/u.test(text);
}

/** A value may be a secret, so only its kind is shown. */
function invalid(what: string, was: unknown, most: number): TollkeeperError {
  const shown = was === null ? "null" : typeof was === "string" ? `a string of ${was.length} UTF-16 units` : typeof was;
  const mayBe = `a string of 1 to ${most} UTF-16 units, without halves of pairs`;
  return new TollkeeperError("ERR_RECORD_INVALID", `the ${what} of a record is ${shown}; it may be ${mayBe}`);
}

/** Records that last as long as the process. */
export class MemoryRecords implements RecordStore {
  readonly #records = new Map<string, string>();
  readonly #names = new SortedNames();
  readonly #listeners: RecordListener[] = [];
  readonly isFresh = true;
  readonly loss = undefined;
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
    checkName(name);
    if (value !== undefined) checkValue(value);
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
    checkName(name);
    checkValue(value);
    const present = this.#records.get(name);
    if (present === undefined) await this.put(name, value);
    return present ?? value;
  }
}
