import { expect, it } from "vitest";
import { compileTiers } from "../../src/engine/tier.js";
import type { Command, Reply, Snapshot } from "../../src/store/protocol.js";
import { ScriptModel } from "./script-model.js";

const START = Date.UTC(2026, 5, 15, 12);
const [tier] = compileTiers(
  {
    paid: {
      limits: [
        { name: "second", type: "bucket", limit: 10, windowSeconds: 1, burst: 1 },
        { name: "day", type: "quota", limit: 100, period: "day" },
      ],
    },
  },
  new Map(),
).values();
if (tier === undefined) throw new Error("there is no tier");
const about = { key: "k", tier, nowMs: undefined };

/** A server of the protocol: its process, and what it holds. */
function serverOf(model: ScriptModel, server: string) {
  return (caller: string, atMs: number, command: Command): Reply =>
    model.run(command, { server, caller, nowMs: START + atMs, publish: () => undefined });
}

const take = (tokens: number, snapshot?: Snapshot): Command => ({
  ...about,
  op: "take",
  snapshot,
  need: tokens * 1000,
  want: 0,
  divisor: 1,
  outMs: 0,
});
const giveBack = (
  tokens: number,
  takenMs: number,
  sent: Pick<Command & { op: "adjust" }, "sequence" | "isRetry" | "snapshot">,
) => ({
  ...about,
  op: "adjust" as const,
  deltas: [-tokens * 1000, -tokens * 1000],
  atMs: START + takenMs,
  quotasOnly: false,
  tell: false,
  unused: true,
  duringOutage: false,
  ...sent,
});
const usedOf = (model: ScriptModel) => model.spent("k", "day", START);
const snapshotOf = ({ epoch, nowMs, spent }: Reply): Snapshot => ({ epoch, atMs: nowMs, spent });

it.each([
  ["the server that has heard of it counts it once", "one", 5000],
  ["a server that has lost its number, but not its effect, does not count it again", "two", 5000],
])("a return is sent twice: %s", (_, second, used) => {
  const model = new ScriptModel();
  const first = serverOf(model, "one");
  const beforehand = model.snapshot("k");
  const mine = snapshotOf(first("mine", 0, take(4)));
  const grant = { sequence: 1, snapshot: mine };
  first("mine", 10, giveBack(4, 0, { ...grant, isRetry: false })); // The answer is lost.
  const others = snapshotOf(first("other", 20, take(5)));
  if (second === "two") beforehand();
  const then = serverOf(model, second);
  then("other", 30, take(0, others));
  then("mine", 40, giveBack(4, 0, { ...grant, isRetry: true }));
  expect(usedOf(model)).toBe(used);
});

it("a return that first comes to another server than its tokens are from counts", () => {
  const model = new ScriptModel();
  const mine = snapshotOf(serverOf(model, "one")("mine", 0, take(4)));
  serverOf(model, "two")("mine", 10, giveBack(4, 0, { sequence: 1, snapshot: mine, isRetry: false }));
  expect(usedOf(model)).toBe(0);
});

it("an unused return does not pay for what others took after the bucket had refilled its tokens", () => {
  const model = new ScriptModel();
  const ask = serverOf(model, "one");
  ask("mine", 0, take(4));
  ask("other", 400, take(10)); // All that a bucket holds that is full again.
  ask("mine", 400, giveBack(4, 0, { sequence: undefined, snapshot: undefined, isRetry: false }));
  expect(ask("other", 400, take(1)).denied).toBe(1);
});
