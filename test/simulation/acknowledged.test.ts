import { expect, it } from "vitest";
import { SimulatedTime } from "../../bench/simulated-time.js";
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
