import { isMap, isScalar, isSeq, LineCounter, parseDocument } from "yaml";

/** A configuration file, read but not yet checked. */
export interface ConfigFile {
  readonly path: string;
  /** What it says; an empty file says nothing. */
  readonly values: unknown;
  /** What keeps it from being read, each with its line; then `values` is not to be used. */
  readonly problems: readonly string[];
  /** The line, from 1, of a field by its path; of the nearest thing around it, if it is not there. */
  lineOf(path: readonly PropertyKey[]): number;
}

/** Reads the text of a configuration file: YAML, and so JSON too. */
export function parseFile(path: string, text: string): ConfigFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const lineAt = (offset: number): number => Math.max(1, lines.linePos(offset).line);
  const faults = [...document.errors, ...document.warnings];
  const problems = faults.map(({ pos, message }) => `${path}:${lineAt(pos[0])}: ${message}`);
  let values: unknown;
  try {
    values = problems.length === 0 ? (document.toJS() ?? {}) : {};
  } catch (error) {
    values = {};
    problems.push(`${path}: ${(error as Error).message}`);
  }
  return {
    path,
    values,
    problems,
    lineOf(fields) {
      let node: unknown = document.contents;
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
