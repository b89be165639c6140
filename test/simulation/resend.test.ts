import { expect, it } from "vitest";
import { SimulatedTime } from "../../bench/simulated-time.js";
import type { Command, Link, LinkEvents, Reply } from "../../src/store/protocol.js";
import { limiterOn } from "./limiter.js";

const START = Date.UTC(2026, 5, 15, 12);

/** A store that never answers the first correction, answers the second take late, and is another one from then on. */
class Forgetful implements Link {
  readonly corrections: (Command & { op: "adjust" })[] = [];
  readonly #time: SimulatedTime;
  #takes = 0;

  constructor(time: SimulatedTime) {
    this.#time = time;
  }

  open(events: LinkEvents): void {
    this.#time.after(0, () => events.connected("one"));
  }

  send(command: Command): Promise<Reply> {
    const reply = {
      denied: 0,
      granted: 0,
      nowMs: Math.floor(this.#time.nowMs),
      lagMs: 0,
      epoch: "one:0",
      backMs: 0,
      spent: [1000],
    };
    if (command.op === "adjust") {
      this.corrections.push(command);
      return this.corrections.length === 1 ? new Promise(() => undefined) : Promise.resolve(reply);
    }
    if (++this.#takes === 1) return Promise.resolve(reply);
    return new Promise((resolve) => this.#time.after(20, () => resolve({ ...reply, epoch: "two:0" })));
  }

  async heartbeat() {
    return { replicas: ["mine"], recoveringMs: 0 };
  }

  async close(): Promise<void> {
    // There is nothing to let go.
  }
}

it("a correction that was not acknowledged is sent again as what it was, whatever has been learned since", async () => {
  const time = new SimulatedTime(START);
  const link = new Forgetful(time);
  const limiter = limiterOn(link, time);
  await time.runUntil(START + 10);
  const decision = await limiter.consume("k", "paid");
  const next = limiter.consume("k", "paid");
  decision.refund();
  await time.runUntil(START + 500);
  expect(await next).toMatchObject({ allowed: true });
  const [first, ...others] = link.corrections;
  expect(first).toMatchObject({ deltas: [-1000], sequence: 1, isRetry: false, snapshot: { epoch: "one:0" } });
  expect(others).toEqual([{ ...first, isRetry: true }]);
});
