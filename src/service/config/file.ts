import { Composer, type Document, isMap, isScalar, isSeq, LineCounter } from "yaml";
import { excessOf, partsOf } from "./bounds.js";

/** A configuration file, read but not yet checked. */
export interface ConfigFile {
  readonly path: string;
  /** What it says; one with nothing but comments says nothing. */
  readonly values: unknown;
  /** What keeps it from being read, each with its line; then `values` is not to be used. */
  readonly problems: readonly string[];
  /** The line, from 1, of a field by its path; of the nearest thing around it, if it is not there. */
  lineOf(path: readonly PropertyKey[]): number;
}

/** Reads the text of a configuration file: YAML, and so JSON too. */
export function parseFile(path: string, text: string): ConfigFile {
  const lines = new LineCounter();
  const lineAt = (offset: number): number => Math.max(1, lines.linePos(offset).line);
  const problems: string[] = [];
  const refuse = (line: number, message: string) => problems.push(`${path}:${line}: ${message}`);
  const parts = partsOf(text, lines);
  let document: Document.Parsed | undefined;
  // What was meant to be in it has been lost, as on a full disk: nobody empties a file to have the defaults.
  if (text.trim() === "") refuse(1, "the file is empty; it may be a mapping of settings, {} for none");
  else if ("problem" in parts) refuse(lineAt(parts.offset), parts.problem);
  else {
    const [first, second] = new Composer({ prettyErrors: false }).compose(parts.tokens, true, text.length);
    document = first as Document.Parsed;
    for (const { pos, message } of [...document.errors, ...document.warnings]) refuse(lineAt(pos[0]), message);
    if (second !== undefined) refuse(lineAt(second.range?.[0] ?? 0), "there are several documents; there may be one");
    const { version, explicit } = document.directives.yaml;
    if (explicit && version !== "1.2") refuse(1, `YAML is of version ${version}; it may be of 1.2`);
  }
  let values: unknown = {};
  try {
    if (problems.length === 0) values = document?.toJS() ?? {};
  } catch (error) {
    problems.push(`${path}: ${(error as Error).message}`);
  }
  const excess = excessOf(values);
  if (excess !== undefined) {
    values = {};
    refuse(1, excess);
  }
  return {
    path,
    values,
    problems,
    lineOf(fields) {
      let node: unknown = document?.contents;
      let line = 1;
      for (const field of fields) {
        if (isMap(node)) {
          const pair = node.items.find(({ key }) => isScalar(key) && String(key.value) === String(field));
          if (isScalar(pair?.key) && pair.key.range) line = lineAt(pair.key.range[0]);
          node = pair?.value;
        } else if (isSeq(node)) {
          node = node.items[Number(field)];
          const { range } = (node ?? {}) as { range?: readonly [number, number, number] | null };
          if (range) line = lineAt(range[0]);
        }
      }
      return line;
    },
  };
}
