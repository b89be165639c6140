/** How often each key is called. */
export type Distribution = "uniform" | "zipf";

/** Draws key numbers. */
export type Draw = () => number;

/** Coprime to every power of ten: spreads the ranks of Zipf's law over all keys. */
const STRIDE = 618_033_989;

/** 23 characters, as an account's key may have. */
export function nameOf(key: number): string {
  return flat(`acct:${String(key).padStart(18, "0")}`);
}

/** A string of one piece, as one that was read from a socket; a concatenation is flattened only when it is used. */
function flat(text: string): string {
  return Buffer.from(text, "latin1").toString("latin1");
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32), so that all contestants meet the same keys. */
export function random(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Every key as often as any other. */
export function uniform(keys: number, next: () => number): Draw {
  return () => Math.floor(next() * keys);
}

/** Weights of the ranks 1 to `keys` by Zipf's law with exponent 1, summed up; made once, since it is long. */
export function zipfWeights(keys: number): Float64Array {
  const sums = new Float64Array(keys);
  let sum = 0;
  for (let rank = 0; rank < keys; rank++) {
    sum += 1 / (rank + 1);
    sums[rank] = sum;
  }
  return sums;
}

/** The r-th most frequent key comes 1/r times as often as the first; neighbours in rank are not neighbours in number. */
export function zipf(weights: Float64Array, next: () => number): Draw {
  const keys = weights.length;
  const total = weights[keys - 1] ?? 0;
  return () => {
    const wanted = next() * total;
    let low = 0;
    let high = keys - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((weights[middle] ?? 0) < wanted) low = middle + 1;
      else high = middle;
    }
    return (low * STRIDE) % keys;
  };
}
