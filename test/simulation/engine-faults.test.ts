import { expect, it } from "vitest";
import { changes } from "./changes.js";
import { ends } from "./ends.js";
import { ENGINE_FAULTS } from "./engine-mutations.js";
import { moved } from "./moved.js";
import { races } from "./races.js";
import { simulate } from "./simulation.js";
import { threads } from "./threads.js";
import type { Mutation } from "./world.js";

type Run = (seed: number, mutation: Mutation) => Promise<readonly string[]>;

/** Which scenario notices a fault of an engine of leases, by which words, and with how many seeds at most. */
const CAUGHT: Record<string, { fault: keyof typeof ENGINE_FAULTS; by: Run; as: RegExp; within: number }[]> = {
  "by all that is admitted": [
    { fault: "a grant spent by two threads", by: simulated, as: /admitted|not charged/, within: 10 },
    { fault: "a grant spent by two threads", by: threads, as: /admitted|over|not charged/, within: 10 },
    { fault: "a reply applied twice", by: simulated, as: /admitted|not charged/, within: 10 },
    { fault: "a grant that outlives its end", by: ends, as: /after midnight/, within: 20 },
  ],
  "by tiers that change": [
    { fault: "a grant carried to another tier as it is", by: changed, as: /over, .* allowed/, within: 20 },
    { fault: "amounts carried to another tier as they are", by: moved, as: /not charged/, within: 5 },
  ],
  "by what a server is told that has lost all": [
    { fault: "the last answer of an instant believed", by: races, as: /not charged/, within: 10 },
  ],
  "by what threads leave": [
    { fault: "debts that nobody inherits", by: threads, as: /not charged/, within: 60 },
    { fault: "debts that two inherit", by: threads, as: /charged too much/, within: 60 },
  ],
};

it.each(
  Object.entries(CAUGHT).flatMap(([how, faults]) => faults.map((caught) => [caught.fault, how, caught] as const)),
)(
  "an engine with %s is caught %s",
  async (fault, _, { by, as, within }) => {
    for (let seed = 1; seed <= within; seed++) {
      const violations = await by(seed, { spoil: ENGINE_FAULTS[fault] });
      if (violations.some((violation) => as.test(violation))) return;
    }
    expect.fail(`${fault} went unnoticed`);
  },
  240_000,
);

async function simulated(seed: number, mutation: Mutation): Promise<readonly string[]> {
  return (await simulate(seed, mutation)).violations;
}

async function changed(seed: number, mutation: Mutation): Promise<readonly string[]> {
  return (await changes(seed, mutation)).violations;
}
