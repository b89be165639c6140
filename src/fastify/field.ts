/** Longest field: four limits, each with a name of 32 characters and two numbers of 16 digits. */
const MOST_BYTES = 4 * 80;

const buffer = Buffer.allocUnsafe(MOST_BYTES);

/**
 * Writes a header field of ASCII text and whole numbers as one flat string.
 *
 * A concatenation is flattened when Node checks the field, and again with the whole header when it is sent, which costs
 * a server more than all the rest of limiting.
 */
export class FieldWriter {
  #length = 0;

  /** ASCII only. */
  text(bytes: Uint8Array): this {
    for (let index = 0; index < bytes.length; index++) buffer[this.#length++] = bytes[index] as number;
    return this;
  }

  /** A whole number from 0, below 2^53. */
  number(value: number): this {
    let digits = 1;
    for (let most = 10; value >= most; most *= 10) digits++;
    let rest = value;
    for (let at = this.#length + digits - 1; at >= this.#length; at--) {
      const tenth = Math.floor(rest / 10);
      buffer[at] = 48 + rest - 10 * tenth;
      rest = tenth;
    }
    this.#length += digits;
    return this;
  }

  /** What was written, which begins anew. */
  take(): string {
    const field = buffer.toString("latin1", 0, this.#length);
    this.#length = 0;
    return field;
  }
}
