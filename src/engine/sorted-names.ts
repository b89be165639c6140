/** Names of one part; when there are twice as many they become two. */
const PART = 256;

/** Different names in order, in parts: one more or one less moves a part's names, however many there are in all. */
export class SortedNames {
  readonly #parts: string[][] = [];

  add(name: string): void {
    const at = Math.min(this.#partOf(name), this.#parts.length - 1);
    const part = this.#parts[at];
    if (part === undefined) {
      this.#parts.push([name]);
      return;
    }
    const index = firstFrom(name, part.length, (index) => part[index]);
    if (part[index] === name) return;
    part.splice(index, 0, name);
    if (part.length === 2 * PART) this.#parts.splice(at + 1, 0, part.splice(PART));
  }

  delete(name: string): void {
    const at = this.#partOf(name);
    const part = this.#parts[at] ?? [];
    const index = firstFrom(name, part.length, (index) => part[index]);
    if (part[index] !== name) return;
    part.splice(index, 1);
    if (part.length === 0) this.#parts.splice(at, 1);
  }

  /** The names in order, from the first that is not before `first` on. They may not change meanwhile. */
  *from(first: string): Generator<string, void> {
    for (let at = this.#partOf(first); at < this.#parts.length; at++) {
      const part = this.#parts[at] ?? [];
      for (let index = firstFrom(first, part.length, (index) => part[index]); index < part.length; index++) {
        yield part[index] as string;
      }
    }
  }

  /** At most `size` names that begin with `prefix`, in order, after `after`. */
  page(prefix: string, size: number, after = ""): string[] {
    const names: string[] = [];
    for (const name of this.from(after > prefix ? after : prefix)) {
      if (names.length >= size || !name.startsWith(prefix)) break;
      if (name !== after) names.push(name);
    }
    return names;
  }

  /** The first part whose last name is not before a name; one past the last part if there is none. */
  #partOf(name: string): number {
    return firstFrom(name, this.#parts.length, (index) => this.#parts[index]?.at(-1));
  }
}

/** Of that many names in order, the first that is not before a name. */
function firstFrom(name: string, count: number, nameAt: (index: number) => string | undefined): number {
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((nameAt(middle) ?? "") < name) low = middle + 1;
    else high = middle;
  }
  return low;
}
