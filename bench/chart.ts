import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { BESIDE } from "./beside.js";
import { rounded } from "./statistics.js";

/** One bar of a plot, from 0 to its value. */
export interface Bar {
  /** The column that it stands in. */
  column: string;
  name: string;
  /** NaN where there is none, and then `note` says why. */
  value: number;
  /** Between these half of the samples lie. */
  low?: number;
  high?: number;
  note?: string;
}

/** Bars on one linear axis that begins at 0, side by side in columns. */
export interface Panel {
  title: string;
  unit: string;
  bars: readonly Bar[];
}

/** The part of an SVG element that is used here; the types of the DOM are not loaded. */
export interface Drawing {
  readonly outerHTML: string;
  setAttribute(name: string, value: string): void;
  querySelector(selector: string): { remove(): void } | null;
}

const WIDTH = 1200;
const MARGIN = 12;
const HEADER = 58;
const PANEL_HEADER = 26;
/** Above the bars the columns' names, beneath them the axis. */
const FRAME = 62;
const BAR = 21;
const CHARACTER = 6.4;

const OURS = "#b7410e";
const OURS_IN_JS = "#d9a441";
const PEERS = "#6f8ba4";

/** Makes elements; what is drawn is never part of it. */
const { document } = parseHTML("<html><body></body></html>");

/** Draws panels beneath each other as one SVG; thin lines on the bars span the quarters. */
export function drawChart(title: string, subtitle: string, panels: readonly Panel[]): string {
  let top = HEADER;
  const parts = panels.map((panel) => {
    const height = FRAME + BAR * new Set(panel.bars.map(({ name }) => name)).size;
    const plot = drawPanel(panel, height);
    // Its style is for a page of its own: within another drawing, "height: auto" would fill that.
    plot.querySelector("style")?.remove();
    plot.setAttribute("y", String(top + PANEL_HEADER));
    plot.setAttribute("x", String(MARGIN));
    const heading = text(MARGIN, top + 14, 13, `${panel.title}, ${panel.unit}`, "600");
    top += PANEL_HEADER + height;
    return `${heading}\n${plot.outerHTML}`;
  });
  const size = `width="${WIDTH}" height="${top + MARGIN}" viewBox="0 0 ${WIDTH} ${top + MARGIN}"`;
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} font-family="system-ui, sans-serif" color="#1b1f23">
<rect width="100%" height="100%" fill="#ffffff"/>
${text(MARGIN, 24, 16, title, "700")}
${text(MARGIN, 43, 11, `${subtitle}. Bars are medians, lines span the quarters, axes begin at 0. Less is better where it says ns, µs, ms or bytes.`)}
${parts.join("\n")}
</svg>
`;
}

function drawPanel({ bars }: Panel, height: number): Drawing {
  const names = [...new Set(bars.map(({ name }) => name))];
  const columns = [...new Set(bars.map(({ column }) => column))];
  const largest = Math.max(...bars.map(({ value, high = value }) => (Number.isNaN(value) ? 0 : high))) || 1;
  return Plot.plot({
    document,
    width: WIDTH - 2 * MARGIN,
    height,
    marginLeft: 16 + CHARACTER * Math.max(...names.map(({ length }) => length)),
    marginTop: 30,
    marginBottom: 28,
    // Room for the figure beside the longest bar.
    x: { domain: [0, largest * 1.28], label: null, ticks: 3, grid: true },
    y: { domain: names, label: null },
    fx: { domain: columns, label: null },
    marks: [
      Plot.barX(bars, {
        fx: "column",
        y: "name",
        x: "value",
        fill: ({ name }: Bar) => colourOf(name),
        insetTop: 2,
        insetBottom: 2,
      }),
      Plot.ruleY(bars, { fx: "column", y: "name", x1: "low", x2: "high", strokeWidth: 1.2 }),
      Plot.text(bars, {
        fx: "column",
        y: "name",
        x: endOf,
        text: labelOf,
        textAnchor: "start",
        dx: 5,
        fill: "#1b1f23",
      }),
      Plot.ruleX([0]),
    ],
  });
}

function endOf({ value, high = value }: Bar): number {
  return Number.isNaN(value) ? 0 : Math.max(value, high);
}

function labelOf({ value, note }: Bar): string {
  const figure = Number.isNaN(value) ? "" : rounded(value).toLocaleString("en");
  return [figure, note].filter(Boolean).join(" ");
}

function colourOf(name: string): string {
  if (/^js\b/.test(name)) return OURS_IN_JS;
  if (name.includes(BESIDE)) return PEERS;
  return /\bnative\b|tollkeeper|worker|fingerprint-api|^exact|^leased/.test(name) ? OURS : PEERS;
}

function text(x: number, y: number, size: number, content: string, weight = "400"): string {
  const element = document.createElement("text");
  element.textContent = content;
  return `<text x="${x}" y="${y}" font-size="${size}" font-weight="${weight}" fill="currentColor">${element.innerHTML}</text>`;
}
