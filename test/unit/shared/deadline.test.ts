import { expect, it } from "vitest";
import { SimulatedTime } from "../../../bench/simulated-time.js";
import { Deadline } from "../../../src/shared/deadline.js";

/** A deadline of 50 ms, and the names of those who missed it, with the time. */
function deadlineAt(startMs: number) {
  const time = new SimulatedTime(startMs);
  const missed: string[] = [];
  const deadline = new Deadline(time.runtime(0), 50);
  const ask = (name: string) => deadline.start(() => missed.push(`${name} at ${time.nowMs}`));
  return { time, missed, ask };
}

it("tells whoever has not been answered when its time is up, and nobody else", async () => {
  const { time, missed, ask } = deadlineAt(0);
  const [first] = [ask("first"), ask("second")];
  await time.runUntil(20);
  const third = ask("third");
  ask("fourth");
  first();
  await time.runUntil(60);
  expect(missed).toEqual(["second at 50"]);
  third();
  await time.runUntil(100);
  expect(missed).toEqual(["second at 50", "fourth at 70"]);
});

it("goes on for those who ask in the turn in which all others were answered", async () => {
  const { time, missed, ask } = deadlineAt(0);
  ask("answered")();
  ask("late");
  await time.runUntil(100);
  expect(missed).toEqual(["late at 50"]);
});
