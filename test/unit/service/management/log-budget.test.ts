import { expect, it, onTestFinished, vi } from "vitest";
import { LogBudget, type Omitted } from "../../../../src/service/management/log-budget.js";

function open() {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const told: Omitted[][] = [];
  const written: string[] = [];
  const budget = new LogBudget((omitted) => told.push(omitted));
  return { told, written, write: (kind: string) => budget.write(kind, () => written.push(kind)), budget };
}

it("writes 20 lines of a kind in a minute, and at its end how many more there were", () => {
  const { told, written, write } = open();
  for (let line = 0; line < 1000; line++) write("a");
  for (let line = 0; line < 20; line++) write("b");
  expect(written).toHaveLength(40);
  vi.advanceTimersByTime(60_000);
  expect(told).toEqual([[{ kind: "a", count: 980 }]]);
  write("a");
  expect(written).toHaveLength(41);
  vi.advanceTimersByTime(60_000);
  expect(told).toHaveLength(1);
});

it("keeps no more than 100 kinds apart", () => {
  const { told, written, write, budget } = open();
  for (let line = 0; line < 10_000; line++) write(`kind ${line}`);
  expect(written).toHaveLength(120);
  budget.end();
  expect(told).toEqual([[{ kind: "others", count: 9880 }]]);
});
