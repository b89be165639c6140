// Draws a dashboard as Grafana lays it out, with what a Prometheus has: figures, and curves with their legends.
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";

/** Grafana's grid, in pixels: a column of 24, and a row. */
const COLUMN = 50;
const ROW = 34;
const GAP = 4;
const HEADER = 40;
const LEGEND = 18;
const CHARACTER = 6.6;
const COLOURS = ["#b7410e", "#3b6ea5", "#5a8f3c", "#d9a441", "#7a5195", "#4a9c9c", "#a5506b", "#6b6b6b"];

/** Makes elements; what is drawn is never part of it. */
const { document } = parseHTML("<html><body></body></html>");

/** @typedef {{ x: number, y: number, w: number, h: number }} Place */
/** @typedef {{ label: string, time: Date, value: number }} Point */
/** @typedef {{ title: string, type: string, unit: string, place: Place, figure: number, points: readonly Point[] }} Drawn */

/**
 * @param {string} title
 * @param {readonly Drawn[]} panels
 * @returns {string} An SVG.
 */
export function drawDashboard(title, panels) {
  const bottom = Math.max(...panels.map(({ place }) => place.y + place.h));
  const [width, height] = [24 * COLUMN, HEADER + bottom * ROW + GAP];
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" color="#1b1f23">
<rect width="100%" height="100%" fill="#f4f5f5"/>
${text(12, 26, 17, title, "700")}
${panels.map(drawPanel).join("\n")}
</svg>
`;
}

/** @param {Drawn} panel */
function drawPanel({ title, type, unit, place, figure, points }) {
  const [x, y] = [place.x * COLUMN + GAP, HEADER + place.y * ROW];
  const [width, height] = [place.w * COLUMN - 2 * GAP, place.h * ROW - 2 * GAP];
  if (type === "row") return text(x + 4, y + 22, 14, title, "700");
  const frame = `<rect x="${x}" y="${y}" width="${width}" height="${height}" rx="3" fill="#ffffff" stroke="#d8dadd"/>`;
  const heading = text(x + 10, y + 20, 13, title, "600");
  if (type === "stat")
    return [frame, heading, text(x + 10, y + height / 2 + 30, 34, shown(figure, unit), "600")].join("\n");
  const labels = byHeight(points);
  const plot = drawCurves(points, labels, unit, width - 10, height - 30 - LEGEND);
  plot.querySelector("style")?.remove();
  plot.setAttribute("x", String(x + 4));
  plot.setAttribute("y", String(y + 28));
  // Tenths of a pixel are enough.
  const curves = plot.outerHTML.replaceAll(/(\d\.\d)\d+/g, "$1");
  return [frame, heading, curves, drawLegend(labels, x + 12, y + height - 8, width - 20)].join("\n");
}

/**
 * The curves' names, the highest first.
 *
 * @param {readonly Point[]} points
 */
function byHeight(points) {
  /** @type {Map<string, number>} */
  const heights = new Map();
  for (const { label, value } of points) heights.set(label, Math.max(value, heights.get(label) ?? 0));
  return [...heights].sort(([, one], [, other]) => other - one).map(([label]) => label);
}

/**
 * @param {readonly Point[]} points
 * @param {readonly string[]} labels
 * @param {string} unit
 * @param {number} width
 * @param {number} height
 * @returns {import("../../bench/chart.js").Drawing}
 */
function drawCurves(points, labels, unit, width, height) {
  const most = Math.max(...points.map(({ value }) => value));
  /** @type {any} The document is none that the types of the DOM know. */
  const options = {
    document,
    width,
    height,
    marginLeft: 64,
    marginRight: 8,
    x: { type: "utc", label: null, ticks: 4 },
    y: {
      domain: [0, most > 0 ? most * 1.05 : 1],
      label: null,
      ticks: unit === "bool_on_off" ? 1 : 4,
      grid: true,
      tickFormat: (/** @type {number} */ value) => shown(value, unit),
    },
    color: { domain: labels, range: labels.map((_, index) => COLOURS[index % COLOURS.length]) },
    marks: [Plot.lineY(points, { x: "time", y: "value", stroke: "label", strokeWidth: 1.4 })],
  };
  return Plot.plot(options);
}

/**
 * As many as there is room for.
 *
 * @param {readonly string[]} labels
 * @param {number} x
 * @param {number} y
 * @param {number} width
 */
function drawLegend(labels, x, y, width) {
  let at = x;
  return labels
    .map((label, index) => {
      const mark = `<rect x="${at}" y="${y - 8}" width="12" height="3" fill="${COLOURS[index % COLOURS.length]}"/>`;
      const entry = mark + text(at + 17, y - 2, 11, label);
      at += 32 + CHARACTER * label.length;
      return at < x + width ? entry : "";
    })
    .join("");
}

/**
 * @param {number} value
 * @param {string} unit As Grafana names it.
 */
function shown(value, unit) {
  switch (unit) {
    case "percentunit":
      return `${digits(value * 100)} %`;
    case "bool_on_off":
      return value === 0 ? "off" : "on";
    case "reqps":
      return `${digits(value)} req/s`;
    case "ops":
      return `${digits(value)} ops/s`;
    case "ms":
      return `${digits(value)} ms`;
    case "s":
      return value < 1 ? `${digits(value * 1000)} ms` : `${digits(value)} s`;
    case "bytes":
      return scaled(value, "B");
    case "Bps":
      return scaled(value, "B/s");
    default:
      return digits(value);
  }
}

/**
 * @param {number} value
 * @param {string} unit
 */
function scaled(value, unit) {
  const power = value < 1 ? 0 : Math.min(3, Math.floor(Math.log2(value) / 10));
  return `${digits(value / 1024 ** power)} ${["", "Ki", "Mi", "Gi"][power]}${unit}`;
}

/** @param {number} value */
function digits(value) {
  return Number(value.toPrecision(3)).toLocaleString("en", { maximumSignificantDigits: 3 });
}

/**
 * @param {number} x
 * @param {number} y
 * @param {number} size
 * @param {string} content
 * @param {string} [weight]
 */
function text(x, y, size, content, weight = "400") {
  const element = document.createElement("text");
  element.textContent = content;
  return `<text x="${x}" y="${y}" font-size="${size}" font-weight="${weight}" fill="currentColor">${element.innerHTML}</text>`;
}
