import { expect, it } from "vitest";
import { SimulatedTime } from "../../bench/simulated-time.js";
import type { SharedLimiter } from "../../src/shared/shared-limiter.js";
import type { Command, Link, LinkEvents, Reply } from "../../src/store/protocol.js";
import { limiterOn } from "./limiter.js";

const START = Date.UTC(2026, 5, 15, 12);

it("a correction made while another is being acknowledged is sent, at whatever moment that is", async () => {
  const sent: number[] = [];
  for (let turns = 0; turns < 20; turns++) {
    const time = new SimulatedTime(START);
    const reply = (): Reply => ({
      denied: 0,
      granted: 0,
      nowMs: START,
      lagMs: 0,
      epoch: "one:0",
      backMs: 0,
      spent: [1000],
    });
    let corrections = 0;
    let acknowledge: () => void = () => undefined;
    const link: Link = {
      open: (events: LinkEvents) => void time.after(0, () => events.connected("one")),
      heartbeat: async () => ({ replicas: ["mine"], recoveringMs: 0 }),
      close: async () => undefined,
      send: ({ op }: Command) =>
        new Promise((resolve) => {
          if (op === "adjust" && ++corrections === 1) acknowledge = () => resolve(reply());
          else resolve(reply());
        }),
    };
    const limiter = limiterOn(link, time);
    await time.runUntil(START + 10);
    const first = await limiter.consume("k", "paid");
    const second = await limiter.consume("k", "paid");
    first.refund();
    acknowledge();
    for (let turn = 0; turn < turns; turn++) await undefined;
    second.refund();
    await time.runUntil(START + 500);
    sent.push(corrections);
  }
  expect(new Set(sent)).toEqual(new Set([2]));
});

/** What keys are decided by before anything is charged of them: nothing of either is learned. */
const DECIDED: Record<string, (limiter: SharedLimiter, events: LinkEvents | undefined) => Promise<void>> = {
  "in an outage": async (limiter, events) => {
    events?.disconnected();
    const { allowed } = await limiter.consume("k", "paid");
    expect(allowed).toBe(true);
    events?.connected("one");
  },
  "as costing nothing": async (limiter) => {
    const decision = await limiter.consume("k", "paid", 0);
    expect(decision.charge(1)).toBe(true);
  },
};

it.each(Object.entries(DECIDED))(
  "a charge that was acknowledged outlives a server that loses it, also of a key that was only ever decided %s",
  async (_, decide) => {
    const time = new SimulatedTime(START);
    let server = "one";
    const told: Command[] = [];
    let events: LinkEvents | undefined;
    const link: Link = {
      open: (opened: LinkEvents) => {
        events = opened;
        time.after(0, () => opened.connected("one"));
      },
      heartbeat: async ({ hasReported }) => ({ replicas: ["mine"], recoveringMs: hasReported ? 0 : 1 }),
      close: async () => undefined,
      send: async (command: Command) => {
        if (command.op === "adjust") told.push(command);
        const reply = { denied: 0, granted: 0, nowMs: Math.floor(time.nowMs), lagMs: 0, backMs: 0 };
        return { ...reply, epoch: `${server}:0`, spent: [1000] };
      },
    };
    const limiter = limiterOn(link, time);
    await time.runUntil(START + 10);
    const decided = decide(limiter, events);
    await time.runUntil(START + 500);
    await decided;
    expect(told.map((command) => command.op === "adjust" && command.deltas)).toEqual([[1000]]);
    events?.disconnected();
    server = "two";
    events?.connected("two");
    await time.runUntil(START + 1000);
    expect(told.at(-1)).toMatchObject({ deltas: [0], snapshot: { epoch: "one:0", spent: [1000] } });
  },
);

it("a grant that is not acknowledged is sent again to the same server, and to no other", async () => {
  const sentTo = async (second: string): Promise<number> => {
    const time = new SimulatedTime(START);
    let events: LinkEvents | undefined;
    let grants = 0;
    const link: Link = {
      open: (opened: LinkEvents) => {
        events = opened;
        time.after(0, () => opened.connected("one"));
      },
      heartbeat: async () => ({ replicas: ["mine"], recoveringMs: 0 }),
      close: async () => undefined,
      send: async ({ op }: Command) => {
        const reply = { denied: 0, granted: 0, nowMs: Math.floor(time.nowMs), lagMs: 0, backMs: 0 };
        if (op === "grant" && ++grants === 1) return await new Promise(() => undefined);
        return { ...reply, granted: op === "grant" ? 5000 : 0, epoch: `${second}:0`, spent: [-5000] };
      },
    };
    const limiter = limiterOn(link, time);
    await time.runUntil(START + 10);
    const granted = limiter.grant("k", "paid", 5).catch(({ message }: Error) => message);
    await time.runUntil(START + 20);
    events?.disconnected();
    events?.connected(second);
    await time.runUntil(START + 1000);
    if (second !== "one") expect(await granted).toContain("whether the tokens were granted nobody knows");
    else expect(await granted).toMatchObject({ allowed: true });
    return grants;
  };
  expect([await sentTo("one"), await sentTo("two")]).toEqual([2, 1]);
});
