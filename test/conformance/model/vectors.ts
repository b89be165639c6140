import type { Vector } from "../vector.js";
import { CASES } from "./cases.js";
import type { Profile } from "./profile.js";
import { randomTrace } from "./random-trace.js";

/** Steps of a random vector. */
const STEPS = 150;
/** Seeds of the random vectors that stand in the files; those of other seeds are made when they are run. */
const SEEDS = [1, 2, 3];

/** The name of a profile's file. */
export function fileOf({ name }: Profile): string {
  return `vectors/${name.replaceAll(" ", "-")}.json`;
}

/** A profile's vectors: made by hand, and of random steps. */
export function vectorsOf(profile: Profile): Vector[] {
  return [...(CASES[profile.name]?.() ?? []), ...SEEDS.map((seed) => randomTrace(profile, seed, STEPS))];
}

/** A profile's random vectors of so many other seeds. */
export function moreOf(profile: Profile, count: number): Vector[] {
  return Array.from({ length: count }, (_, index) => randomTrace(profile, 100 + index, STEPS));
}
