import { describe, expect, it } from "vitest";
import { pairedRatios, quantile, rounded, shown, spread } from "../../../bench/statistics.js";

describe("statistics of the benchmarks", () => {
  it("spread says the middle and the quarters, in whatever order samples come", () => {
    expect(spread([9, 1, 5, 3, 7, 2, 8])).toEqual({ p25: 2, median: 5, p75: 8 });
    expect(spread([4])).toEqual({ p25: 4, median: 4, p75: 4 });
  });

  it("sorts numbers as numbers", () => {
    expect(spread([100, 20, 3]).median).toBe(20);
  });

  it("quantile reaches from the least to the largest", () => {
    const sorted = Float64Array.from({ length: 10_000 }, (_, index) => index + 1);
    expect([0, 0.5, 0.99, 0.9999, 1].map((share) => quantile(sorted, share))).toEqual([1, 5000, 9900, 9999, 10_000]);
  });

  it("there is no middle of nothing", () => {
    expect(quantile([], 0.5)).toBeNaN();
  });

  it("paired ratios are unmoved by rounds in which the machine was slow for both", () => {
    expect(pairedRatios([30, 300, 33], [10, 100, 11])).toEqual({ p25: 3, median: 3, p75: 3 });
  });

  it("figures are shown to three digits", () => {
    expect(rounded(1234.5)).toBe(1230);
    expect(shown({ p25: 0.98765, median: 1, p75: 1234 })).toBe("1 (0.988–1230)");
  });
});
