import type { CountedRules } from "./counted-rules.js";
import type { Grant } from "./lease.js";

/** A grant that is to be given back, with the rules under which it was taken. */
interface Returned {
  readonly key: string;
  readonly grant: Grant;
  readonly rules: CountedRules;
}

/** What is to be given back, the oldest first. */
export class Returns {
  #queue: Returned[] = [];
  #taken = 0;

  add(key: string, rules: CountedRules, grants: readonly Grant[]): void {
    for (const grant of grants) this.#queue.push({ key, grant, rules });
  }

  /** Takes at most so many out. */
  take(most: number): readonly Returned[] {
    const taken = this.#queue.slice(this.#taken, this.#taken + most);
    this.#taken += taken.length;
    if (this.#taken === this.#queue.length) this.clear();
    return taken;
  }

  clear(): void {
    this.#queue = [];
    this.#taken = 0;
  }
}
