import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { expect, it, onTestFinished } from "vitest";
import { createLimiter } from "../../src/index.js";
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

async function startWorker(name: string, calls: number) {
  const workerData = { name, tiers: TIERS, now: NOON, calls, key: "hot" };
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
