/** Keys that a limiter can hold at once at most, by its engine: 2^32 (native), or 16,000,000, roughly what a `Map` can. */
export function maxKeysOf(engine: "native" | "js"): number {
  return engine === "native" ? 2 ** 32 : 16_000_000;
}
