import { expect, it } from "vitest";
import { changes } from "./changes.js";
import { crowd } from "./crowd.js";
import { ends } from "./ends.js";
import { full } from "./full.js";
import { jump } from "./jump.js";
import { moved } from "./moved.js";
import { OLD_FAULTS, PLACE_FAULTS } from "./mutations.js";
import { places } from "./places.js";
import { races } from "./races.js";
import { routing } from "./routing.js";
import { seedsOf } from "./seeds.js";
import { threads } from "./threads.js";
import type { Mutation } from "./world.js";

const { first: FIRST, count: SEEDS } = seedsOf(60);
/** How many seeds, as a part of those of each scenario: a long run has many times as many. */
const TIMES = SEEDS / 60;

interface Scenario {
  readonly promise: string;
  readonly seeds: number;
  readonly run: (seed: number, mutation?: Mutation) => Promise<{ readonly violations: readonly string[] }>;
}

const SCENARIOS: Record<string, Scenario> = {
  changes: {
    promise:
      "rollouts, tiers back and forth, calls that move, a late replica, refused PUBLISH and a poisoned key: no more " +
      "than the larger limit allows, on one replica what memory does, and each key exactly its own",
    seeds: 30,
    run: changes,
  },
  moved: {
    promise: "keys that go to another tier while a server is away that loses all: what they have used outlives both",
    seeds: 10,
    run: async (seed, mutation) => ({ violations: await moved(seed, mutation) }),
  },
  routing: {
    promise: "with a quota and any routing whoever follows Retry-After is served exactly that, and put off for a lease",
    seeds: 90,
    run: routing,
  },
  crowd: {
    promise: "processes that come and go by hundreds leave nothing behind that nobody drops",
    seeds: 6,
    run: crowd,
  },
  full: {
    promise: "tables of a few keys, full of leases: every key is counted exactly, also where there is no room for it",
    seeds: 20,
    run: full,
  },
  threads: {
    promise: "threads of one process are one replica, and what those leave that end is settled once by the others",
    seeds: 40,
    run: async (seed, mutation) => ({ violations: await threads(seed, mutation) }),
  },
  races: {
    promise: "answers that overtake each other on the connections of threads leave nothing unknown that was spent",
    seeds: 20,
    run: async (seed, mutation) => ({ violations: await races(seed, mutation) }),
  },
  ends: {
    promise: "what is taken ahead is handed out until its end, and no longer",
    seeds: 20,
    run: async (seed, mutation) => ({ violations: await ends(seed, mutation) }),
  },
  jump: {
    promise: "a clock a year ahead for one reading: waits are told truly, of that key alone, and a reset ends it",
    seeds: 20,
    run: async (seed, mutation) => ({ violations: await jump(seed, mutation) }),
  },
  places: {
    promise: "of a key no more calls run than it has places, and all are free once they have ended or been killed",
    seeds: 60,
    run: async (seed, mutation) => ({ violations: await places(seed, mutation) }),
  },
};

const FAULTS = { ...OLD_FAULTS, ...PLACE_FAULTS };

it.each(Object.values(SCENARIOS).map((scenario) => [scenario.promise, scenario] as const))(
  "%s",
  async (_, { seeds, run }) => {
    const broken: string[] = [];
    for (let seed = FIRST; seed < FIRST + seeds * TIMES; seed++) {
      const { violations } = await run(seed);
      broken.push(...violations.map((violation) => `seed ${seed}: ${violation}`));
    }
    expect(broken).toEqual([]);
  },
  Math.max(240_000, 240_000 * TIMES),
);

/** Which scenario notices a fault, by which words, and with how many seeds at most. */
const CAUGHT: Record<keyof typeof FAULTS, { by: keyof typeof SCENARIOS; as: RegExp; within: number }> = {
  "deltas by the rule that is stored": { by: "changes", as: /over, .* allowed/, within: 10 },
  "a refused PUBLISH that ends what has written": { by: "changes", as: /charged too much/, within: 10 },
  "a denial that is final while tokens are out": { by: "routing", as: /served of/, within: 10 },
  "numbers that nobody drops": { by: "crowd", as: /numbers, for/, within: 1 },
  "numbers of the killed that nobody drops": { by: "crowd", as: /numbers, for/, within: 5 },
  "a key's time that is taken for the server's": { by: "jump", as: /odd is told/, within: 1 },
  "places that nobody gives back": { by: "places", as: /still taken/, within: 1 },
  "places of which a server that lost them is not told": { by: "places", as: /of \d run after/, within: 40 },
  "places that outlive their replica": { by: "places", as: /still taken .crash/, within: 40 },
  "places that are taken from those who are there": { by: "places", as: /of \d run after/, within: 5 },
  "one place for all calls of a replica": { by: "places", as: /of \d run after/, within: 5 },
};

it.each(Object.entries(CAUGHT))(
  "a protocol with %s is caught by a seed",
  async (name, { by, as, within }) => {
    for (let seed = 1; seed <= within; seed++) {
      const { violations } = await (SCENARIOS[by] as Scenario).run(seed, FAULTS[name as keyof typeof FAULTS]);
      if (violations.some((violation) => as.test(violation))) return;
    }
    expect.fail(`${name} went unnoticed`);
  },
  240_000,
);
