import { expect, it } from "vitest";
import { SortedNames } from "../../../src/engine/sorted-names.js";

it("are those of a sorted set, after any additions and removals, from anywhere on", () => {
  const names = new SortedNames();
  const model = new Set<string>();
  let seed = 1;
  const random = (below: number) => {
    seed = (seed * 48271) % 2147483647;
    return seed % below;
  };
  const check = () => {
    const sorted = [...model].sort();
    for (const from of ["", `a/${random(3000)}`, `b/${random(3000)}`, "zz"]) {
      expect([...names.from(from)]).toEqual(sorted.filter((name) => name >= from));
    }
    const after = `a/${random(3000)}`;
    const page = sorted.filter((name) => name.startsWith("a/") && name > after).slice(0, 7);
    expect(names.page("a/", 7, after)).toEqual(page);
    expect(names.page("b/", 7)).toEqual(sorted.filter((name) => name.startsWith("b/")).slice(0, 7));
  };
  for (let step = 0; step < 12_000; step++) {
    const name = `${"ab"[random(2)]}/${random(3000)}`;
    // More come than go at first, and all go in the end.
    if (random(10) < (step < 6000 ? 7 : 2)) {
      names.add(name);
      model.add(name);
    } else {
      names.delete(name);
      model.delete(name);
    }
    if (step % 500 === 0) check();
  }
  for (const name of model) names.delete(name);
  expect([...names.from("")]).toEqual([]);
});
