import { SETTINGS } from "./schema.js";
import type { Setting } from "./setting.js";

/** The settings as the Markdown table of `docs/configuration.md`, from which a test generates it. */
export function settingsTable(): string {
  const rows = Object.values<Setting<unknown>>(SETTINGS).map(({ variable, fallback, mayBe, description }) =>
    row(`\`${variable}\``, shown(fallback), mayBe, description),
  );
  return [row("variable", "default", "may be", ""), row("---", "---", "---", "---"), ...rows].join("\n");
}

function row(...cells: string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function shown(fallback: unknown): string {
  if (fallback === undefined) return "none";
  const text = Array.isArray(fallback) ? fallback.join(",") : String(fallback);
  return text === "" ? "none" : `\`${text}\``;
}
