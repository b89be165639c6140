import { expect, it } from "vitest";
import { drawChart } from "../../../bench/chart.js";

const panel = {
  title: "10 keys",
  unit: "ns",
  bars: [
    { column: "kept", name: "native", value: 120, low: 110, high: 130 },
    { column: "kept", name: "js", value: 240 },
    { column: "kept", name: "limiter", value: Number.NaN, note: "died: Map is full" },
  ],
};

it("a plot is one SVG that needs nothing else and says what it shows", () => {
  const svg = drawChart("engine: 1 < 2 & more", "a machine", [panel, { ...panel, title: "100 keys" }]);
  expect(svg).toMatch(/^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg"/);
  expect(svg).not.toMatch(/href=|<script|<style|<img|url\(/);
  for (const part of ["engine: 1 &lt; 2 &amp; more", "a machine", "10 keys, ns", "100 keys, ns", "native", "120"]) {
    expect(svg).toContain(part);
  }
});

it("what could not be measured stands there with its reason", () => {
  expect(drawChart("", "", [panel])).toContain("died: Map is full");
});

it("bars begin at 0 and are as long as their values", () => {
  const rects = [...drawChart("", "", [panel]).matchAll(/<rect [^>]*height="15"[^>]* width="([\d.]+)" x="([\d.]+)"/g)];
  const [native, js] = rects.map(([, width, x]) => ({ x: Number(x), width: Number(width) }));
  expect(native?.x).toBeGreaterThan(0);
  expect(native?.x).toBe(js?.x);
  expect(js?.width).toBeCloseTo(2 * (native?.width ?? Number.NaN));
});
