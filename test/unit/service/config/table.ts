import { PRESETS } from "../../../../src/service/config/presets.js";
import { type Config, LIVE, NOT_IN_FILE, SETTINGS, type SettingName } from "../../../../src/service/config/schema.js";

const names = Object.keys(SETTINGS) as SettingName[];

/** The settings as the Markdown table of `docs/configuration.md`, from which a test generates it. */
export function settingsTable(): string {
  const rows = names.map((name) => {
    const { variable, fallback, mayBe, description } = SETTINGS[name];
    const field = NOT_IN_FILE.includes(name) ? "" : `\`${name}\``;
    return row(`\`${variable}\``, field, shown(fallback), mayBe, LIVE.has(name) ? "yes" : "", description);
  });
  return [row("variable", "in the file", "default", "may be", "live", ""), row(...Array(6).fill("---")), ...rows].join(
    "\n",
  );
}

/** What the presets set, as a Markdown table. */
export function presetsTable(): string {
  const presets = Object.keys(PRESETS) as Config["preset"][];
  const set = names.filter((name) => presets.some((preset) => Object.hasOwn(PRESETS[preset], name)));
  const rows = set.map((name) =>
    row(`\`${name}\``, ...presets.map((preset) => shown(PRESETS[preset][name] ?? SETTINGS[name].fallback))),
  );
  return [row("", ...presets), row("---", ...presets.map(() => "---")), ...rows].join("\n");
}

function row(...cells: string[]): string {
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

function shown(fallback: unknown): string {
  if (fallback === undefined) return "none";
  const text = Array.isArray(fallback) ? fallback.join(",") : String(fallback);
  return text === "" ? "none" : `\`${text}\``;
}
