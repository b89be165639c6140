import { expect, it } from "vitest";
import { Deadline } from "../../../src/store/deadline.js";
import { World } from "../../simulation/world.js";

/** A deadline of 50 ms, and the names of those who missed it, with the time. */
function deadlineAt(startMs: number) {
  const world = new World(startMs);
  const missed: string[] = [];
  const deadline = new Deadline(world.surroundings(0), 50);
  const ask = (name: string) => deadline.start(() => missed.push(`${name} at ${world.nowMs}`));
  return { world, missed, ask };
}

it("tells whoever has not been answered when its time is up, and nobody else", async () => {
  const { world, missed, ask } = deadlineAt(0);
  const [first] = [ask("first"), ask("second")];
  await world.runUntil(20);
  const third = ask("third");
  ask("fourth");
  first();
  await world.runUntil(60);
  expect(missed).toEqual(["second at 50"]);
  third();
  await world.runUntil(100);
  expect(missed).toEqual(["second at 50", "fourth at 70"]);
});

it("goes on for those who ask in the turn in which all others were answered", async () => {
  const { world, missed, ask } = deadlineAt(0);
  ask("answered")();
  ask("late");
  await world.runUntil(100);
  expect(missed).toEqual(["late at 50"]);
});
