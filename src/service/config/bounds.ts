import { CST, Lexer, type LineCounter, Parser } from "yaml";

/** Lines, with those that are empty or a comment: reading a million of nothing takes seconds. */
const MAX_LINES = 40_000;
/** Things in one another. What reads them afterwards is recursive, and the stack is not without end. */
const MAX_DEPTH = 32;
/** Fields of one mapping, or items of one list. */
export const MAX_ENTRIES = 1000;
/** Signs of the language that are not space: about three for each field. */
const MAX_SIGNS = 60_000;
/** Fields and items in all, once aliases stand for what they name. */
const MAX_VALUES = 50_000;
/** UTF-16 units of the name of a field. */
const MAX_NAME = 200;

const SPACE = new Set<string | null>(["byte-order-mark", "space", "newline", "comment"]);

/** A text in its parts, or why they are not looked at, and where. */
export type Parts = { tokens: CST.Token[] } | { problem: string; offset: number };

/** Takes a text apart, without recursion, and stops where there is more than a configuration can have. */
export function partsOf(text: string, lines: LineCounter): Parts {
  if (hasMoreLines(text, MAX_LINES)) return { problem: `there are more than ${MAX_LINES} lines`, offset: 0 };
  const parser = new Parser(lines.addNewLine);
  parser.offset = 0;
  lines.addNewLine(0);
  const tokens: CST.Token[] = [];
  let signs = 0;
  for (const lexeme of new Lexer().lex(text)) {
    if (!SPACE.has(CST.tokenType(lexeme)) && ++signs > MAX_SIGNS) {
      return { problem: `there are more than ${MAX_SIGNS} signs and words`, offset: parser.offset };
    }
    for (const token of parser.next(lexeme)) tokens.push(token);
    const top = parser.stack.at(-1);
    if (parser.stack.length > MAX_DEPTH) {
      return { problem: `it is nested deeper than ${MAX_DEPTH}`, offset: parser.offset };
    }
    if (top !== undefined && "items" in top && top.items.length > MAX_ENTRIES + 1) {
      return { problem: `a mapping or list has more than ${MAX_ENTRIES} entries`, offset: parser.offset };
    }
  }
  for (const token of parser.end()) tokens.push(token);
  return { tokens };
}

function hasMoreLines(text: string, most: number): boolean {
  let count = 1;
  for (let at = text.indexOf("\n"); at >= 0 && count <= most; at = text.indexOf("\n", at + 1)) count++;
  return count > most;
}

/** What is too much about values, or too strange for a setting. */
export function excessOf(values: unknown): string | undefined {
  let count = 0;
  const rest: unknown[] = [values];
  while (rest.length > 0) {
    const value = rest.pop();
    if (typeof value !== "object" || value === null) continue;
    for (const name of Object.keys(value)) {
      if (++count > MAX_VALUES) return `with its aliases it has more than ${MAX_VALUES} fields and items`;
      if (name.length > MAX_NAME) return `a field has a name of ${name.length} characters; it may have ${MAX_NAME}`;
      if (name === "__proto__") return "a field is named __proto__; it may have any other name";
      rest.push((value as Record<string, unknown>)[name]);
    }
  }
  return undefined;
}
