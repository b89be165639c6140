import { expect, it, onTestFinished } from "vitest";
import { atTurnEnd } from "../../../src/store/turn.js";

const immediate = () => new Promise((resolve) => setImmediate(resolve));

it("runs what was put off in order, also what that puts off, before the next turn", async () => {
  const ran: string[] = [];
  atTurnEnd(() => {
    ran.push("first");
    atTurnEnd(() => ran.push("third"));
  });
  atTurnEnd(() => ran.push("second"));
  expect(ran).toEqual([]);
  await immediate();
  expect(ran).toEqual(["first", "second", "third"]);
});

it("runs the others when one throws", async () => {
  const thrown: unknown[] = [];
  const ours = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException").on("uncaughtException", (error) => thrown.push(error));
  onTestFinished(() => {
    process.removeAllListeners("uncaughtException");
    for (const listener of ours) process.on("uncaughtException", listener);
  });
  const ran: string[] = [];
  const fault = new Error("a task's own");
  atTurnEnd(() => {
    throw fault;
  });
  atTurnEnd(() => ran.push("next"));
  await immediate();
  await immediate();
  expect([thrown, ran]).toEqual([[fault], ["next"]]);
});
