import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, it, onTestFinished } from "vitest";
import { createLimiter, type LimitState, type Tiers } from "../../src/index.js";
import { NOON, TIERS } from "../unit/limiter/engines.js";

// The worker runs the built package, as a user's would.
const PROGRAM = `
  const { parentPort, workerData } = require("node:worker_threads");
  const { createLimiter } = require("tollkeeper");
  const { name, tiers, now, calls, key } = workerData;
  const limiter = createLimiter({ name, tiers, clock: () => now });
  parentPort.once("message", () => {
    let allowed = 0;
    for (let call = 0; call < calls; call++) if (limiter.consume(key, "pro").allowed) allowed++;
    parentPort.postMessage(allowed);
    parentPort.close();
  });
  parentPort.postMessage("ready");
`;

async function startWorker(name: string, calls: number, tiers: Tiers = TIERS) {
  const workerData = { name, tiers, now: NOON, calls, key: "hot" };
  const worker = new Worker(PROGRAM, { eval: true, workerData });
  const ended = once(worker, "exit");
  await once(worker, "message");
  return {
    async run(): Promise<number> {
      worker.postMessage("go");
      const [allowed] = (await once(worker, "message")) as [number];
      await ended;
      return allowed;
    },
  };
}

it("workers that share a name admit exactly the limit together", async () => {
  for (let round = 0; round < 5; round++) {
    const workers = await Promise.all([1, 2, 3].map(() => startWorker(`workers ${round}`, 5000)));
    const allowed = await Promise.all(workers.map((worker) => worker.run()));
    expect(allowed.reduce((sum, count) => sum + count)).toBe(1000);
  }
});

it("calls of several subjects spend of all or of none, from 64 callers on four threads, to the token", async () => {
  const program = `
    const { parentPort, workerData } = require("node:worker_threads");
    const { createLimiter } = require("tollkeeper");
    const { name, tiers, now, worker } = workerData;
    const limiter = createLimiter({ name, tiers, clock: () => now });
    const keys = (caller) => ["team" + (caller % 4), "member" + (caller % 7), "api"];
    const call = async (caller, spent) => {
      for (let made = 0; made < 40; made++) {
        const [team, member, api] = keys(caller);
        const subjects = [
          { key: api, tier: "api" }, { key: team, tier: "team", cost: 2 }, { key: member, tier: "member" },
        ];
        if (made % 2) subjects.reverse();
        if (limiter.consumeAll(subjects).allowed) for (const { key, cost = 1 } of subjects) spent[key] = (spent[key] ?? 0) + cost;
        await null;
      }
    };
    parentPort.once("message", async () => {
      const spent = {};
      await Promise.all(Array.from({ length: 16 }, (_, index) => call(16 * worker + index, spent)));
      parentPort.postMessage(spent);
      parentPort.close();
    });
    parentPort.postMessage("ready");
  `;
  const quota = (limit: number) => ({ limits: [{ name: "day", type: "quota", limit, period: "day" }] }) as const;
  const tiers = { api: quota(300), team: quota(140), member: quota(1000) };
  const limiter = createLimiter({ name: "several", tiers, clock: () => NOON });
  onTestFinished(() => limiter.close());
  const workers = [0, 1, 2, 3].map((worker) => {
    return new Worker(program, { eval: true, workerData: { name: "several", tiers, now: NOON, worker } });
  });
  await Promise.all(workers.map((worker) => once(worker, "message")));
  const ended = workers.map((worker) => once(worker, "exit"));
  const told = workers.map((worker) => once(worker, "message") as Promise<[Record<string, number>]>);
  for (const worker of workers) worker.postMessage("go");
  const spent = new Map<string, number>();
  for (const [ofWorker] of await Promise.all(told)) {
    for (const [key, cost] of Object.entries(ofWorker)) spent.set(key, (spent.get(key) ?? 0) + cost);
  }
  await Promise.all(ended);
  // Each team lets in 70 calls, all four of them 280 of the 300.
  expect(spent.get("api")).toBe(280);
  expect([0, 1, 2, 3].map((team) => spent.get(`team${team}`))).toEqual([140, 140, 140, 140]);
  for (const [key, cost] of spent) {
    const tier = key.replace(/\d/, "") as keyof typeof tiers;
    const { limit, remaining } = limiter.peek(key, tier, 0).limits[0] as LimitState;
    expect(limit - remaining, key).toBe(cost);
  }
});

it("the state of a worker that exits is there for the next: the module stays loaded", async () => {
  const first = await (await startWorker("comes and goes", 600)).run();
  const second = await (await startWorker("comes and goes", 600)).run();
  expect([first, second]).toEqual([600, 400]);
});

it("the main thread shares the table too", async () => {
  const limiter = createLimiter({ name: "main", tiers: TIERS, clock: () => NOON });
  onTestFinished(() => limiter.close());
  for (let call = 0; call < 300; call++) limiter.consume("hot", "pro");
  expect(await (await startWorker("main", 2000)).run()).toBe(700);
  expect(limiter.consume("hot", "pro").allowed).toBe(false);
});

it("places are those of all threads; a thread that has ended holds its own until their timeout", async () => {
  const tiers: Tiers = { pro: { limits: [{ name: "parallel", type: "concurrency", limit: 3, timeoutSeconds: 30 }] } };
  let now = NOON;
  const limiter = createLimiter({ name: "places", tiers, clock: () => now });
  onTestFinished(() => limiter.close());
  const own = limiter.consume("hot", "pro");
  expect(await (await startWorker("places", 5, tiers)).run()).toBe(2);
  expect(limiter.stats().places).toBe(3);
  expect(limiter.consume("hot", "pro").deniedBy).toBe("parallel");
  expect(() => structuredClone(own), "another thread can't give it back").toThrow("could not be cloned");
  expect(own.release()).toBe(true);
  now += 29_999;
  const free = () => limiter.peek("hot", "pro", 0).limits[0]?.remaining;
  expect(free()).toBe(1);
  now += 1;
  expect(free()).toBe(3);
});
