/** How many seeds `SEEDS` says, from 1 on, or which: `5001-10000`; `count` from 1 on if it is not set. */
export function seedsOf(count: number): { readonly first: number; readonly count: number } {
  const [from = count, to] = process.env["SEEDS"]?.split("-").map(Number) ?? [];
  const seeds = to === undefined ? { first: 1, count: from } : { first: from, count: to - from + 1 };
  if (!(seeds.first >= 1 && seeds.count >= 1)) throw new RangeError(`SEEDS is ${process.env["SEEDS"]}`);
  return seeds;
}
