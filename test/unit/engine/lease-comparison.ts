import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import { APPLIED, LEASE_OUTCOME } from "../../../src/engine/lease-frame.js";
import { LeaseCaller, type Told } from "./lease-caller.js";
import { type LeaseOperation, type LeaseRun, run } from "./lease-operations.js";
import { LeaseScript } from "./lease-script.js";
import { OPEN } from "./lease-twins.js";

/** Where the engines have told different things. */
export interface Difference {
  /** The last operation played; -1 for what is told at the end. */
  readonly at: number;
  readonly native: unknown;
  readonly js: unknown;
}

/** How often what has come of the operations. */
export type Tally = Map<string, number>;

/** The operations that a seed stands for. */
export function runOf(seed: number): LeaseRun {
  const [made] = fc.sample(run, { seed, numRuns: 1 });
  return made as LeaseRun;
}

/** Plays a run to both engines; the first difference, undefined if they tell the same throughout. */
export function difference({ versions, operations }: LeaseRun, tally: Tally = new Map()): Difference | undefined {
  const first = versions[0] ?? {};
  const engines = [OPEN.native(first), OPEN.js(first)];
  const callers = engines.map((engine) => new LeaseCaller(engine));
  const script = new LeaseScript(callers, versions);
  try {
    for (const [at, operation] of operations.entries()) {
      const [native, js] = script.play(operation);
      if (!isDeepStrictEqual(native, js)) return { at, native, js };
      note(tally, operation, native);
    }
    const [native, js] = script.end();
    return isDeepStrictEqual(native, js) ? undefined : { at: -1, native, js };
  } finally {
    for (const engine of engines) engine.close();
  }
}

/** The same run without the operations that a difference does not need: fewer and fewer are left out at once. */
export function shortened({ versions, operations }: LeaseRun): LeaseRun {
  let needed = operations;
  for (let size = operations.length; size >= 1; size = Math.floor(size / 2)) {
    for (let from = 0; from < needed.length; ) {
      const fewer = [...needed.slice(0, from), ...needed.slice(from + size)];
      if (difference({ versions, operations: fewer }) === undefined) from += size;
      else needed = fewer;
    }
  }
  return { versions, operations: needed };
}

function note(tally: Tally, { kind }: LeaseOperation, told: unknown): void {
  const add = (what: string) => tally.set(what, (tally.get(what) ?? 0) + 1);
  add(kind);
  if (kind === "answer") for (const code of ((told as [number[]] | undefined)?.[0] ?? []).map(nameOf)) add(code);
  if (kind === "consume" || kind === "peek") noteTold(add, kind, told as Told);
  if (kind === "burst") for (const each of told as Told[]) noteTold(add, kind, each);
}

function noteTold(add: (what: string) => void, kind: string, { code, denied }: Told): void {
  if (code < 0) {
    add("misuse");
    return;
  }
  if (denied !== undefined) add(`${kind}: ${denied === 0 ? "allowed" : "denied"}`);
  for (const [flag, bit] of Object.entries(LEASE_OUTCOME)) if (code & bit) add(`${kind}: ${flag}`);
}

function nameOf(code: number): string {
  return `answer: ${Object.entries(APPLIED).find(([, number]) => number === code)?.[0] ?? code}`;
}
