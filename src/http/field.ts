/** Longest field: eight limits, each with a name of 32 characters and two numbers of 16 digits. */
const MOST_BYTES = 8 * 80;

const BILLION = 1e9;
const buffer = Buffer.allocUnsafe(MOST_BYTES);

/**
 * Writes a header field of ASCII text and whole numbers as one flat string.
 *
 * A concatenation is flattened when Node checks the field, and again with the whole header when it is sent, which costs
 * a server more than all the rest of limiting.
 */
export class FieldWriter {
  #length = 0;

  /** Characters written since it was taken. */
  get length(): number {
    return this.#length;
  }

  /** ASCII only. */
  text(bytes: Uint8Array): this {
    const start = this.#length;
    for (let index = 0; index < bytes.length; index++) buffer[start + index] = bytes[index] as number;
    this.#length = start + bytes.length;
    return this;
  }

  /** A whole number from 0, below 2^53. */
  number(value: number): this {
    if (value >= BILLION) {
      const billions = Math.floor(value / BILLION);
      return this.number(billions).#digits(value - billions * BILLION, 9);
    }
    let count = 1;
    for (let most = 10; value >= most; most *= 10) count++;
    return this.#digits(value, count);
  }

  /** What was written, which begins anew. */
  take(): string {
    const field = buffer.toString("latin1", 0, this.#length);
    this.#length = 0;
    return field;
  }

  /** The last digits of a number below a billion. */
  #digits(value: number, count: number): this {
    const start = this.#length;
    let rest = value | 0; // A whole number of 32 bits to V8 too, which divides those by multiplying.
    for (let at = start + count - 1; at >= start; at--) {
      const tenth = (rest / 10) | 0;
      buffer[at] = 48 + rest - 10 * tenth;
      rest = tenth;
    }
    this.#length = start + count;
    return this;
  }
}

/** The text of a number that is often the same as before. */
export class LastNumber {
  #value = Number.NaN;
  #text = "";

  textOf(value: number): string {
    if (value !== this.#value) {
      this.#value = value;
      this.#text = String(value);
    }
    return this.#text;
  }
}
