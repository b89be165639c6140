/** Texts of one part; when there are twice as many they become two. */
const PART = 256;

/** Different texts in order, in parts: one more or one less moves a part's, however many there are in all. */
export class SortedTexts {
  readonly #parts: string[][] = [];

  add(text: string): void {
    const at = Math.min(this.#partOf(text), this.#parts.length - 1);
    const part = this.#parts[at];
    if (part === undefined) return void this.#parts.push([text]);
    const index = firstFrom(text, part.length, (index) => part[index]);
    if (part[index] === text) return;
    part.splice(index, 0, text);
    if (part.length === 2 * PART) this.#parts.splice(at + 1, 0, part.splice(PART));
  }

  delete(text: string): void {
    const at = this.#partOf(text);
    const part = this.#parts[at] ?? [];
    const index = firstFrom(text, part.length, (index) => part[index]);
    if (part[index] !== text) return;
    part.splice(index, 1);
    if (part.length === 0) this.#parts.splice(at, 1);
  }

  /** The texts in order, from the first that is not before `first` on. They may not change meanwhile. */
  *from(first: string): Generator<string, void> {
    for (let at = this.#partOf(first); at < this.#parts.length; at++) {
      const part = this.#parts[at] ?? [];
      for (let index = firstFrom(first, part.length, (index) => part[index]); index < part.length; index++) {
        yield part[index] as string;
      }
    }
  }

  /** The first part whose last text is not before a text; one past the last part if there is none. */
  #partOf(text: string): number {
    return firstFrom(text, this.#parts.length, (index) => this.#parts[index]?.at(-1));
  }
}

/** Several of them as one; what they hold are different texts. */
export function* merged(sets: readonly SortedTexts[], first: string): Generator<string, void> {
  const rests = sets.map((set) => set.from(first));
  const heads = rests.map((rest) => rest.next());
  for (;;) {
    let least: number | undefined;
    for (const [index, head] of heads.entries()) {
      const before = least === undefined ? undefined : heads[least]?.value;
      if (!head.done && (before === undefined || head.value < before)) least = index;
    }
    const next = least === undefined ? undefined : heads[least];
    if (least === undefined || next === undefined || next.done) return;
    heads[least] = rests[least]?.next() ?? { done: true, value: undefined };
    yield next.value;
  }
}

/** Of that many texts in order, the first that is not before a text. */
function firstFrom(text: string, count: number, textAt: (index: number) => string | undefined): number {
  let [low, high] = [0, count];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((textAt(middle) ?? "") < text) low = middle + 1;
    else high = middle;
  }
  return low;
}
