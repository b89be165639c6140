import { ServiceError } from "../errors.js";

/** Problems that are told of one version, and UTF-16 units of each: it may repeat what is in the file. */
const MAX_TOLD = 50;
const MAX_LENGTH = 500;

/** What is wrong with a configuration: all of it is counted, and the first of it told. */
export class Problems {
  readonly #told: string[] = [];
  #count = 0;

  get count(): number {
    return this.#count;
  }

  /** @param describe Says what is wrong; asked only if that will be told. */
  add(describe: () => string): void {
    this.#count++;
    if (this.#told.length < MAX_TOLD) this.#told.push(shortened(describe(), MAX_LENGTH));
  }

  /** @throws {ServiceError} `ERR_CONFIG_INVALID`, if there are any. */
  check(): void {
    if (this.#count === 0) return;
    const heading = this.#count === 1 ? "1 problem" : `${this.#count} problems`;
    const told = [...this.#told];
    if (this.#count > told.length) told.push(`and ${this.#count - told.length} more`);
    const lines = told.map((problem) => `\n  ${problem}`).join("");
    throw new ServiceError("ERR_CONFIG_INVALID", `the configuration can't be used, ${heading}:${lines}`);
  }
}

/** A text of at most so many UTF-16 units. */
export function shortened(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`;
}
