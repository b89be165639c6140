import { expect, it } from "vitest";
import { SimulatedTime } from "../../bench/simulated-time.js";
import type { Link, LinkEvents, Reply } from "../../src/store/protocol.js";
import { limiterOn } from "./limiter.js";

const START = Date.UTC(2026, 5, 15, 12);
const QUOTA = 100_000;

it("nothing is final while a take without an answer may have been granted, and is once that would have come back", async () => {
  const time = new SimulatedTime(START);
  const reply = (denied: number, spent: number): Reply => {
    const nowMs = Math.floor(time.nowMs);
    return { denied, granted: denied > 0 ? 0 : 1000, nowMs, lagMs: 0, epoch: "one:0", backMs: 0, spent: [spent] };
  };
  let takes = 0;
  const link: Link = {
    open: (events: LinkEvents) => void time.after(0, () => events.connected("one")),
    heartbeat: async () => ({ replicas: ["mine"], recoveringMs: 0, isFull: false }),
    close: async () => undefined,
    // The first is granted, the second is lost on the way back, and from then on there is nothing left.
    send: ({ op }) => {
      if (op === "take") takes++;
      return takes === 2 ? new Promise(() => undefined) : Promise.resolve(reply(takes === 1 ? 0 : 1, QUOTA));
    },
  };
  const limiter = limiterOn(link, time);
  const decide = async () => {
    const decided = limiter.consume("k", "paid");
    await time.runUntil(time.nowMs + 60);
    return decided;
  };
  await time.runUntil(START + 10);
  expect((await decide()).allowed).toBe(true);
  await decide();
  expect(await decide()).toMatchObject({ allowed: false, isProvisional: true });
  await time.runUntil(START + 7000);
  expect(await decide()).toMatchObject({ allowed: false, isProvisional: false });
});
