import { expect } from "vitest";
import { TollkeeperError } from "../../src/index.js";
import type { TestClock } from "../unit/limiter/engines.js";
import type { Cost, Said, Subject } from "./model/model.js";
import { compare, compareLimits, compareMs, type ExpectedAll, type Operation, type Vector } from "./vector.js";

type Maybe<T> = T | Promise<T>;

/** What a vector asks of a decision. */
interface Correctable {
  refund(part?: "all" | "quotas"): boolean;
  settle(actual: Cost): boolean;
  charge(more: Cost): boolean;
  release(): Maybe<boolean>;
}
/** A decision on one subject. */
export type Decided = Said & Correctable;
/** A decision on several. */
export interface DecidedAll extends Correctable {
  allowed: boolean;
  /** The given subject that denies. */
  denied: Subject | null;
  retryAfterMs: number;
  decisions: readonly Decided[];
}
/** What a vector asks of a limiter, of whichever engine and storage. */
export interface Subjected {
  consume(key: string, tier: string, cost: Cost): Maybe<Decided>;
  peek(key: string, tier: string, cost: Cost): Maybe<Decided>;
  consumeAll(subjects: readonly Subject[]): Maybe<DecidedAll>;
  grant(key: string, tier: string, tokens: number, options: { limit: string; keep: boolean }): Maybe<unknown>;
  reset(key: string): Maybe<unknown>;
}

/**
 * Takes every step of a vector, and compares what is said with what should be. `heard` is awaited after what corrects,
 * where the store hears of it later.
 */
export async function run(
  limiter: Subjected,
  { ops }: Vector,
  clock: TestClock,
  heard?: () => Promise<unknown>,
): Promise<void> {
  const made: (Correctable | undefined)[] = [];
  for (const [index, operation] of ops.entries()) {
    const at = `operation ${index}, ${JSON.stringify({ ...operation, expect: undefined })}`;
    clock.now = operation.t;
    made.push(await perform(limiter, operation, made, at));
    if ("of" in operation) await heard?.();
  }
}

async function perform(
  limiter: Subjected,
  operation: Operation,
  made: readonly (Correctable | undefined)[],
  at: string,
): Promise<Correctable | undefined> {
  const of = () => made["of" in operation ? operation.of : -1] as Correctable;
  switch (operation.op) {
    case "consume":
    case "peek": {
      const { op, key, tier, cost, expect: expected } = operation;
      const decision = await orError(() => limiter[op](key, tier, cost), expected, at);
      if (decision && expected && !("error" in expected)) compare(decision, expected, at);
      return decision;
    }
    case "consumeAll": {
      const { subjects, expect: expected } = operation;
      const decision = await orError(() => limiter.consumeAll(subjects), expected, at);
      if (decision && !("error" in expected)) compareAll(decision, subjects, expected, at);
      return decision;
    }
    case "refund":
      return returned(of().refund(operation.part), operation.returns, at);
    case "settle":
    case "charge":
      return returned(of()[operation.op](operation.cost), operation.returns, at);
    case "release":
      return returned(await of().release(), operation.returns, at);
    case "grant": {
      const { key, tier, tokens, limit, keep } = operation;
      await limiter.grant(key, tier, tokens, { limit, keep });
      return undefined;
    }
    case "reset":
      await limiter.reset(operation.key);
      return undefined;
  }
}

/** What is decided; undefined, if a misuse was expected and told. */
async function orError<T>(decide: () => Maybe<T>, expected: object | undefined, at: string): Promise<T | undefined> {
  try {
    const decision = await decide();
    expect(expected, at).not.toHaveProperty("error");
    return decision;
  } catch (error) {
    if (!(error instanceof TollkeeperError)) throw error;
    expect({ error: error.code }, `${at}: ${error.message}`).toEqual(expected);
    return undefined;
  }
}

function returned(actual: boolean, expected: boolean | undefined, at: string): undefined {
  if (expected !== undefined) expect(actual, at).toBe(expected);
}

function compareAll(decision: DecidedAll, subjects: readonly Subject[], expected: ExpectedAll, at: string): void {
  expect(decision.allowed, at).toBe(expected.allowed);
  const denied = expected.denied === null ? null : (subjects[expected.denied] ?? null);
  expect(keyOf(decision.denied), at).toEqual(keyOf(denied));
  compareMs(decision.retryAfterMs, expected.retryAfterMs, `${at}: retryAfterMs`);
  expected.limits.forEach((limits, index) => {
    compareLimits(decision.decisions[index]?.limits ?? [], limits, `${at}, subject ${index}`);
  });
}

function keyOf(subject: Subject | null): Pick<Subject, "key" | "tier"> | null {
  return subject === null ? null : { key: subject.key, tier: subject.tier };
}
