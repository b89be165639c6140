import { isExplained } from "../errors.js";
import { CommandError, UsageError } from "./exit.js";

/** How long, in ms, something takes before it is said what is going on. */
const PATIENCE_MS = 1000;

/** Where commands write: results to one stream, all else to the other. */
export interface Output {
  /** A line of the result. */
  print(line: string): void;
  /** A line for people beside it, such as what is going on. */
  note(line: string): void;
  /** Text that stands back, where the stream is a terminal. */
  dim(text: string): string;
}

/** Writes to a process's streams; colour only on a terminal, and not where `NO_COLOR` is set. */
export function outputOf({ stdout, stderr, env }: Pick<NodeJS.Process, "stdout" | "stderr" | "env">): Output {
  const hasColour = stdout.isTTY === true && !env["NO_COLOR"] && env["TERM"] !== "dumb";
  return {
    print: (line) => void stdout.write(`${line}\n`),
    note: (line) => void stderr.write(`${line}\n`),
    dim: (text) => (hasColour ? `\x1b[2m${text}\x1b[22m` : text),
  };
}

/**
 * Goes on where nobody reads a stream any more, as after `| head`: whoever reads has what it wanted, and a service does not
 * end because its log has. Of results that can't be written for another reason, such as a full disk, `fail` is told.
 */
export function outlastReaders(
  { stdout, stderr }: Pick<NodeJS.Process, "stdout" | "stderr">,
  fail: (error: Error) => void,
): void {
  stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") fail(error);
  });
  stderr.on("error", () => undefined); // There is nowhere left to say it.
}

/** Rows in columns as wide as their widest cell. */
export function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

/** Waits for something, and says so if it takes more than a second. */
export async function patiently<T>(output: Output, what: string, work: Promise<T>): Promise<T> {
  const timer = setTimeout(() => output.note(`${what} …`), PATIENCE_MS);
  try {
    return await work;
  } finally {
    clearTimeout(timer);
  }
}

/** Why a command has failed, for people. */
export function describe(error: unknown): string {
  if (error instanceof CommandError || isExplained(error)) return `${error.code}: ${error.message}`;
  if (error instanceof UsageError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
