import { expect, it } from "vitest";
import type { Command } from "../../src/store/protocol.js";
import { type Joint, joint } from "./joint.js";
import { seedsOf } from "./seeds.js";
import type { Mutation } from "./world.js";

const { first: FIRST, count: SEEDS } = seedsOf(40);

/** What takes back a call that another subject denies. */
const isTakenBack = (command: Command): command is Command & { op: "adjust" } =>
  command.op === "adjust" && command.unused && command.sequence !== undefined;

it(`over ${SEEDS} seeds calls of several subjects spend of all or of none, and never beyond the bound of the mode`, async () => {
  const runs: Joint[] = [];
  for (let seed = FIRST; seed < FIRST + SEEDS; seed++) runs.push(await joint(seed));
  expect(runs.flatMap(({ violations }, index) => violations.map((text) => `seed ${FIRST + index}: ${text}`))).toEqual(
    [],
  );
  const sum = (of: (run: Joint) => number) => runs.reduce((total, run) => total + of(run), 0);
  expect(sum(({ admitted }) => admitted)).toBeGreaterThan(100 * SEEDS);
  expect(sum(({ denied }) => denied)).toBeGreaterThan(20 * SEEDS);
  // Where Redis alone decides, what is taken back lets nobody in beyond the limit: by at most a thousandth, which is rounding.
  expect(Math.max(...runs.map(({ over }) => over))).toBeLessThanOrEqual(1);
}, 240_000);

const MUTATIONS: Record<string, { mutation: Mutation; caughtBy: RegExp }> = {
  "takes nothing back": {
    mutation: { sabotage: () => (command) => (isTakenBack(command) ? undefined : command) },
    caughtBy: /charged too much/,
  },
  "gives back what a bucket has refilled meanwhile": {
    mutation: { sabotage: () => (command) => (isTakenBack(command) ? { ...command, unused: false } : command) },
    caughtBy: /user\d: .* over, 0 allowed/,
  },
};

it.each(Object.keys(MUTATIONS))(
  "one that %s is caught by a seed",
  async (name) => {
    const { mutation, caughtBy } = MUTATIONS[name] as (typeof MUTATIONS)[string];
    for (let seed = 1; seed <= 400; seed++) {
      const { violations } = await joint(seed, mutation);
      if (violations.some((violation) => caughtBy.test(violation))) return;
    }
    expect.fail(`it went unnoticed: ${name}`);
  },
  480_000,
);
