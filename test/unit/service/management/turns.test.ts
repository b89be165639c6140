import { expect, it } from "vitest";
import { Turns } from "../../../../src/service/management/turns.js";

it("what concerns one thing is done in order, each after the one before has ended, well or not", async () => {
  const turns = new Turns();
  const events: string[] = [];
  const work =
    (name: string, fails = false) =>
    async () => {
      events.push(`${name} begins`);
      await new Promise((resolve) => setImmediate(resolve));
      events.push(`${name} ends`);
      if (fails) throw new Error(name);
      return name;
    };
  const done = await Promise.allSettled([
    turns.take("a", work("first")),
    turns.take("a", work("second", true)),
    turns.take("b", work("other")),
    turns.take("a", work("third")),
  ]);
  expect(done.map((each) => (each.status === "fulfilled" ? each.value : each.reason.message))).toEqual([
    "first",
    "second",
    "other",
    "third",
  ]);
  const ofOne = events.filter((event) => !event.startsWith("other"));
  const inOrder = ["first", "second", "third"].flatMap((name) => [`${name} begins`, `${name} ends`]);
  expect(ofOne).toEqual(inOrder);
  expect(events.indexOf("other begins")).toBeLessThan(events.indexOf("second begins"));
  expect(await turns.take("a", work("later"))).toBe("later");
});
