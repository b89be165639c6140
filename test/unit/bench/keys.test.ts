import { describe, expect, it } from "vitest";
import { nameOf, random, uniform, zipf, zipfWeights } from "../../../bench/keys.js";

const DRAWS = 200_000;

/** How often each of 100 keys was drawn, most frequent first. */
function counts(draw: () => number): number[] {
  const found = new Array<number>(100).fill(0);
  for (let index = 0; index < DRAWS; index++) {
    const key = draw();
    found[key] = (found[key] ?? Number.NaN) + 1;
  }
  return found.sort((a, b) => b - a);
}

describe("keys of the benchmarks", () => {
  it("are 23 characters, one for each number", () => {
    expect(nameOf(42)).toBe("acct:000000000000000042");
    expect(new Set([0, 1, 10, 9_999_999].map(nameOf)).size).toBe(4);
  });

  it("are the same for the same seed, and others for another", () => {
    const draws = (seed: number) => Array.from({ length: 5 }, uniform(1e6, random(seed)));
    expect(draws(1)).toEqual(draws(1));
    expect(draws(1)).not.toEqual(draws(2));
  });

  it("uniform draws every key about as often", () => {
    const found = counts(uniform(100, random(1)));
    expect(found[0]).toBeLessThan(1.15 * (DRAWS / 100));
    expect(found[99]).toBeGreaterThan(0.85 * (DRAWS / 100));
  });

  it("zipf draws the r-th key 1/r times as often as the first", () => {
    const found = counts(zipf(zipfWeights(100), random(1)));
    const first = found[0] ?? 0;
    for (const rank of [2, 5, 10]) expect((rank * (found[rank - 1] ?? 0)) / first).toBeCloseTo(1, 1);
    expect(found[99]).toBeGreaterThan(0);
  });
});
