import { expect, it } from "vitest";
import { SimulatedTime } from "../../bench/simulated-time.js";
import type { Command, Link, LinkEvents, Reply } from "../../src/store/protocol.js";
import { limiterOn } from "./limiter.js";

const START = Date.UTC(2026, 5, 15, 12);

it("tokens taken before a reset are not handed out after it: no count would have them", async () => {
  const time = new SimulatedTime(START);
  const takes: Command[] = [];
  const reply = ({ op }: Command, granted: number, spent: number): Reply => ({
    ...{ denied: 0, nowMs: Math.floor(time.nowMs), lagMs: 0, backMs: 0 },
    ...(op === "reset" ? { granted: 0, epoch: "one:0+", spent: [] } : { granted, epoch: "one:0", spent: [spent] }),
  });
  const link: Link = {
    open: (events: LinkEvents) => void time.after(0, () => events.connected("one")),
    heartbeat: async () => ({ replicas: ["mine"], recoveringMs: 0, isFull: false }),
    close: async () => undefined,
    // All that was asked in 20 ms is answered at once, in order, as one connection does.
    send: (command) => {
      if (command.op === "take") takes.push(command);
      const isFirst = takes.length === 1;
      const granted = isFirst ? 40_000 : 1000;
      return new Promise((resolve) => time.after(isFirst ? 20 : 5, () => resolve(reply(command, granted, granted))));
    },
  };
  const limiter = limiterOn(link, time, { mode: "leased" });
  await time.runUntil(START + 10);
  const waits = limiter.consume("k", "paid");
  await time.runUntil(START + 11);
  expect(takes.length).toBe(1);
  const reset = limiter.reset("k");
  await time.runUntil(START + 60);
  await reset;
  expect((await waits).allowed).toBe(true);
  expect(takes.length).toBe(2); // For the call that waited, of the new count.
  expect(limiter.stats().store.leaseOutstanding).toBe(0);
});
