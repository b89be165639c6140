/** The middle of some samples, and the quarters between which half of them lie. */
export interface Spread {
  p25: number;
  median: number;
  p75: number;
}

export function spread(samples: readonly number[]): Spread {
  const sorted = Float64Array.from(samples).sort();
  return { p25: quantile(sorted, 0.25), median: quantile(sorted, 0.5), p75: quantile(sorted, 0.75) };
}

/**
 * The value below which that share of the samples lies, by nearest rank; NaN where there are none.
 *
 * @param sorted Ascending.
 * @param share 0 to 1.
 */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

/** Quotients of samples taken in the same rounds, so that what slowed a whole round down cancels out. */
export function pairedRatios(samples: readonly number[], others: readonly number[]): Spread {
  return spread(samples.map((sample, round) => sample / (others[round] ?? Number.NaN)));
}

/** `1230 (1100–1400)`, to three digits. */
export function shown({ p25, median, p75 }: Spread): string {
  return `${rounded(median)} (${rounded(p25)}–${rounded(p75)})`;
}

/** To three digits. */
export function rounded(value: number): number {
  return Number(value.toPrecision(3));
}
