import { expect, it } from "vitest";
import { compileTiers } from "../../src/engine/tier.js";
import type { Command, Known, Reply } from "../../src/store/protocol.js";
import { Twin } from "./twin.js";

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
function serverOf(twin: Twin, server: string) {
  return (caller: string, atMs: number, command: Command): Reply =>
    twin.run(command, { server, caller, nowMs: START + atMs, publish: () => undefined });
}

const take = (tokens: number, known?: Known): Command => ({
  ...about,
  op: "take",
  known,
  need: tokens * 1000,
  want: 0,
  divisor: 1,
  outMs: 0,
});
const giveBack = (
  tokens: number,
  takenMs: number,
  sent: Pick<Command & { op: "adjust" }, "number" | "again" | "known">,
) => ({
  ...about,
  op: "adjust" as const,
  deltas: [-tokens * 1000, -tokens * 1000],
  atMs: START + takenMs,
  quotasOnly: false,
  tell: false,
  unused: true,
  away: false,
  ...sent,
});
const usedOf = (twin: Twin) => twin.spent("k", "day", START);
const knownOf = ({ epoch, nowMs, spent }: Reply): Known => ({ epoch, atMs: nowMs, spent });

it.each([
  ["the server that has heard of it counts it once", "one", 5000],
  ["a server that has lost its number, but not its effect, does not count it again", "two", 5000],
])("a return is sent twice: %s", (_, second, used) => {
  const twin = new Twin();
  const first = serverOf(twin, "one");
  const beforehand = twin.snapshot("k");
  const mine = knownOf(first("mine", 0, take(4)));
  const parcel = { number: 1, known: mine };
  first("mine", 10, giveBack(4, 0, { ...parcel, again: false })); // The answer is lost.
  const others = knownOf(first("other", 20, take(5)));
  if (second === "two") beforehand();
  const then = serverOf(twin, second);
  then("other", 30, take(0, others));
  then("mine", 40, giveBack(4, 0, { ...parcel, again: true }));
  expect(usedOf(twin)).toBe(used);
});

it("a return that first comes to another server than its tokens are from counts", () => {
  const twin = new Twin();
  const mine = knownOf(serverOf(twin, "one")("mine", 0, take(4)));
  serverOf(twin, "two")("mine", 10, giveBack(4, 0, { number: 1, known: mine, again: false }));
  expect(usedOf(twin)).toBe(0);
});

it("an unused return does not pay for what others took after the bucket had refilled its tokens", () => {
  const twin = new Twin();
  const ask = serverOf(twin, "one");
  ask("mine", 0, take(4));
  ask("other", 400, take(10)); // All that a bucket holds that is full again.
  ask("mine", 400, giveBack(4, 0, { number: undefined, known: undefined, again: false }));
  expect(ask("other", 400, take(1)).denied).toBe(1);
});
