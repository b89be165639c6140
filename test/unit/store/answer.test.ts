import { expect, it } from "vitest";
import { compileTiers } from "../../../src/engine/tier.js";
import { membershipOf, partsOf, replyOf, StrangeAnswer } from "../../../src/store/answer.js";
import type { Command } from "../../../src/store/protocol.js";

const NOW = 1_800_000_000_000;
const tiers = {
  t: {
    limits: [
      { name: "hour", type: "bucket" as const, limit: 10, windowSeconds: 3600, burst: 1 },
      { name: "month", type: "quota" as const, limit: 20, period: "month" as const },
    ],
  },
};
const tier = compileTiers(tiers, new Map()).get("t");
if (tier === undefined) throw new Error("no tier");
const { rule } = tier.limits[0] ?? {};
const TOKEN = rule?.type === "bucket" ? 1000 * rule.perMilli : 0;

const about = { key: "k", tier, snapshot: undefined, nowMs: undefined };
const correction = { quotasOnly: false, tell: false, isRetry: false, unused: false, duringOutage: false, sequence: 1 };
const COMMANDS = {
  take: { ...about, op: "take", need: 2000, want: 5000, divisor: 2, outMs: 1000 },
  "take of each": { ...about, op: "take", need: [1000, 2000], want: 5000, divisor: 2, outMs: 1000 },
  "peek of one": { ...about, op: "peek", need: [0, 2000] },
  peek: { ...about, op: "peek", need: 2000 },
  adjust: { ...about, ...correction, op: "adjust", deltas: [1000, 1000], atMs: NOW },
  grant: { ...about, op: "grant", limit: 1, milli: 9000, keeps: true, lane: 2 ** 32 },
  reset: { ...about, op: "reset" },
  leave: { ...about, op: "leave", lane: 1 },
} satisfies Record<string, Command>;
type Op = keyof typeof COMMANDS;

/** What the script may answer. */
const GOOD: readonly (readonly [op: Op, answer: unknown[]])[] = [
  ["take", [0, 2000, NOW, 0, `a1:${NOW}`, 0, 2 * TOKEN, 2000]],
  ["take", [0, 5000, NOW, 7, `a1:${NOW}+++`, 0, 5 * TOKEN, 20_000]],
  ["take", ["0", "5000", String(NOW), "0", "a1:1", "0", String(5 * TOKEN), "5000"]],
  ["take of each", [0, 2000, NOW, 0, "a1:1", 0, TOKEN, 2000]],
  ["take of each", [2, 0, NOW, 0, "a1:1", 0, 0, 19_000]],
  ["take", [1, 0, NOW, 0, "a1:1", 16_250, 9 * TOKEN, 0]],
  ["take", [2, 0, NOW, 0, "a1:1", 0, 0, 19_000]],
  ["peek", [0, 0, NOW, 0, "a1:1", 0, 0, 0]],
  ["peek", [2, 0, NOW, 0, "a1:1", 900, 2 ** 52, 2 ** 52]],
  ["adjust", [0, 0, NOW, 0, "a1:1", 0, TOKEN, 1000]],
  ["adjust", [0, 0, NOW, 0, "", 0]],
  ["take", [0, 2000, NOW, 0, "a1:1", 0, 2 * TOKEN, -7000, 0, 9000, 1]],
  ["take", [0, 2000, NOW, 0, "a1:1", 0, 2 * TOKEN, "-7000", 0, 9000, 0]],
  ["adjust", [0, 0, NOW, 0, "a1:1", 0, TOKEN, -(2 ** 52), 0, 2 ** 52, 1]],
  ["grant", [0, 9000, NOW, 0, "a1:1", 0, TOKEN, -9000, 0, 9000, 0]],
  ["grant", [0, 0, NOW, 0, "a1:1", 0, TOKEN, 0]],
  ["reset", [0, 0, NOW, 0, "a1:1+", 0]],
  ["leave", [0, 0, NOW, 0, "", 0]],
];

it.each(GOOD)("%s may be answered %j", (op, answer) => {
  const { denied, granted, nowMs, epoch, spent } = replyOf(answer, COMMANDS[op]);
  expect([denied, granted, nowMs]).toEqual(answer.slice(0, 3).map(Number));
  expect(epoch).toBe(answer[4]);
  expect(spent).toEqual(answer.slice(6, 8).map(Number));
});

const TAKEN: readonly unknown[] = [0, 2000, NOW, 0, "a1:1", 0, 2 * TOKEN, 2000];
const DENIED: readonly unknown[] = [1, 0, NOW, 0, "a1:1", 0, 9 * TOKEN, 0];
const NUMBERS = [-1, 0.5, 2 ** 53, "x", "", "-1", "1e3", "0x10", null, [], [0], {}, "9".repeat(400)];

/** A good answer with something else in one place. */
function swapped(answer: readonly unknown[], at: number, ...others: unknown[]): unknown[][] {
  return others.map((other) => answer.with(at, other));
}

/** What no script of ours answers, and what of it is told. */
const BAD: readonly (readonly [op: Op, answer: unknown, says: RegExp])[] = [
  ...[undefined, null, 0, "OK", {}].map((answer) => ["take", answer, /for a list/] as const),
  ...[[], [0], [0, 2000, NOW, 0, "a1:1"]].map((answer) => ["take", answer, /amounts/] as const),
  ["take", TAKEN.slice(0, 7), /1 amounts of 2 limits/],
  ["take", [...TAKEN, 0], /3 amounts of 2 limits/],
  ["take", TAKEN.slice(0, 6), /0 amounts in the epoch "a1:1"/],
  ["take", TAKEN.slice(0, 6).with(4, ""), /not there/],
  ["adjust", TAKEN.with(1, 0).slice(0, 6), /0 amounts in the epoch "a1:1"/],
  ["adjust", TAKEN.with(1, 0).with(4, ""), /2 amounts in the epoch ""/],
  ["reset", TAKEN.with(1, 0), /2 amounts in the epoch "a1:1"/],
  ...swapped(TAKEN, 0, ...NUMBERS, 3).map((answer) => ["take", answer, /limit that denies is/] as const),
  ...swapped(TAKEN, 1, ...NUMBERS, 5001).map((answer) => ["take", answer, /the grant is/] as const),
  ...swapped(TAKEN, 2, ...NUMBERS).map((answer) => ["take", answer, /the time is/] as const),
  ...swapped(TAKEN, 3, ...NUMBERS, NOW + 1).map((answer) => ["take", answer, /the lag is/] as const),
  ...swapped(TAKEN, 5, ...NUMBERS, 16_251).map((answer) => ["take", answer, /tokens come back is/] as const),
  ...[6, 7].flatMap((at) =>
    swapped(TAKEN, at, ...NUMBERS, 2 ** 52 + 1).map((answer) => ["take", answer, /an amount is/] as const),
  ),
  ...swapped(TAKEN, 4, null, 1, [], "1", "a1", "a1:", "a1:x", "a1:1-", "a1:1+x", "a:b:1", " a1:1", "a".repeat(41)).map(
    (answer) => ["take", answer, /the epoch/] as const,
  ),
  ...swapped(TAKEN, 1, 0, 1999).map((answer) => ["take", answer, /grant of \d+ where 2000 were needed/] as const),
  ["take", [...TAKEN.with(7, -7001), 0, 9000, 1], /was not spent/],
  ["take", [...TAKEN.with(7, -9001), 0, 9000, 1], /an amount is "-9001", where it is a whole number from -9000 up/],
  ["take", [...TAKEN.with(6, -1), 9000, 9000, 1], /an amount is "-1"/],
  ["take", [...TAKEN, 0, -1, 1], /what was granted is "-1"/],
  ["take", [...TAKEN, 0, 9000, 2], /whether something is kept is "2"/],
  ["take", [...TAKEN, 0, 9000], /4 amounts of 2 limits/],
  ["grant", TAKEN.with(1, 9001), /the grant is/],
  ["take of each", TAKEN.with(1, 1999), /grant of 1999 where 2000 were needed/],
  ["take of each", TAKEN.with(1, 2001), /the grant is/],
  ["take of each", TAKEN.with(6, TOKEN - 1), /was not spent/],
  ["take of each", TAKEN.with(7, 1999), /was not spent/],
  // What needs nothing denies nothing, however much is spent.
  ["peek of one", DENIED.with(6, 2 ** 52), /a denial where there is room/],
  ["take", TAKEN.with(6, 2 * TOKEN - 1), /was not spent/],
  ["take", TAKEN.with(7, 1999), /was not spent/],
  ["take", DENIED.with(1, 1), /a denial with a grant/],
  // Or the call would be let in, since by the amounts there is room.
  ["take", DENIED.with(6, 8 * TOKEN), /a denial where there is room/],
  ["take", DENIED.with(0, 2), /a denial where there is room/],
  ["take", DENIED.with(4, ""), /2 amounts in the epoch ""/],
  ["peek", DENIED.with(6, 0), /a denial where there is room/],
  ["peek", TAKEN, /the grant is "2000", where it is a whole number up to 0/],
  ["adjust", TAKEN, /the grant is/],
  ["adjust", DENIED, /a denial of adjust/],
  ["reset", [0, 1, NOW, 0, "a1:1", 0], /the grant is/],
  ["leave", [1, 0, NOW, 0, "", 0], /a denial of leave/],
];

it.each(BAD)("%s is not answered %j", (op, answer, says) => {
  const read = () => replyOf(answer, COMMANDS[op]);
  expect(read).toThrow(StrangeAnswer);
  expect(read).toThrow(says);
});

it("an amount may say that a bucket is blocked if a denial blocks it, and nothing else may", () => {
  const login = { name: "hour", type: "bucket" as const, limit: 10, windowSeconds: 3600, burst: 1, blockSeconds: 60 };
  const month = { name: "month", type: "quota" as const, limit: 20, period: "month" as const };
  const blocking = compileTiers({ t: { limits: [login, month] } }, new Map()).get("t") ?? tier;
  const answer = [1, 0, NOW, 0, "a1:1", 0, 2 ** 53 - 1, 0];
  expect(replyOf(answer, { ...COMMANDS.take, tier: blocking }).spent).toEqual([2 ** 53 - 1, 0]);
  expect(() => replyOf(answer, COMMANDS.take)).toThrow(/an amount is/);
  expect(() => replyOf(answer.with(7, 2 ** 52 + 1), { ...COMMANDS.take, tier: blocking })).toThrow(/an amount is/);
});

it("there are as many answers as commands, and perhaps one refusal", () => {
  expect(partsOf([[1], [2]], 2)).toEqual({ parts: [[1], [2]], refused: undefined });
  expect(partsOf([[1], [2], "OOM"], 2)).toEqual({ parts: [[1], [2]], refused: "OOM" });
  for (const answer of [null, 0, "OK", {}, [], [[1]], [[1], [2], "OOM", "OOM"], [[1], [2], [3]], [[1], [2], null]]) {
    expect(() => partsOf(answer, 2), JSON.stringify(answer)).toThrow(StrangeAnswer);
  }
});

it("a heartbeat is answered with who is there", () => {
  expect(membershipOf([0, ["me", "b"], ["hour=bucket"], 1, 5], "me", false)).toEqual({
    recoveringMs: 0,
    replicas: ["me", "b"],
    others: ["hour=bucket"],
    isFull: true,
    atMs: 5,
  });
  expect(membershipOf(["3000", [], [], "0", "5"], "me", true)).toMatchObject({ recoveringMs: 3000, isFull: false });
  const good: readonly unknown[] = [0, ["me"], [], 0, 5];
  const bad: unknown[] = [
    ...[null, 0, "OK", [], [0], [0, ["me"], [], 0], [...good, 0], good.with(1, ["b"]), good.with(1, [])],
    ...swapped(good, 0, ...NUMBERS, 3001),
    ...swapped(good, 1, "me", null, ["me", 1], 1),
    ...swapped(good, 2, "x", null, [1], [null]),
    ...swapped(good, 3, ...NUMBERS, 2),
    ...swapped(good, 4, ...NUMBERS),
  ];
  for (const answer of bad) {
    expect(() => membershipOf(answer, "me", false), JSON.stringify(answer)).toThrow(StrangeAnswer);
  }
});
