import { expect, it } from "vitest";
import { compileTiers, type Tier } from "../../src/engine/tier.js";
import type { Tiers } from "../../src/index.js";
import { isByPolicy } from "./policy.js";
import { type Mutation, World } from "./world.js";

const ROUGH = { delayMs: [0.2, 10], stall: 0.01, loss: 0.01 } as const;
const WINDOW_MS = 2000;
const BLOCK_MS = 8000;
const attempts = {
  name: "attempts",
  type: "bucket",
  limit: 5,
  windowSeconds: (5 * WINDOW_MS) / 1000,
  burst: 1,
} as const;
const tiers: Tiers = { login: { limits: [{ ...attempts, blockSeconds: BLOCK_MS / 1000 }] } };
const MILD = compileTiers({ login: { limits: [attempts] } }, new Map()).get("login") as Tier;

/** What replicas let in of somebody's attempts, some time in which the server may be lost with all that it holds. */
async function attack(seed: number, mutation: Mutation = {}): Promise<{ violations: string[]; blocks: number }> {
  const world = new World(seed, mutation);
  const { random, time, server } = world;
  for (let replica = random.whole(1, 4); replica > 0; replica--) {
    world.start(tiers, { weather: ROUGH, threads: world.drawThreads() });
  }
  const passed: number[] = [];
  const blocks: { readonly fromMs: number; readonly untilMs: number }[] = [];
  const attempt = async () => {
    const open = world.open;
    const decision = await open[random.whole(0, open.length - 1)]?.limiter.consume("ada", "login");
    if (decision === undefined || isByPolicy(decision)) return;
    if (decision.allowed) passed.push(decision.atMs);
    else if (!decision.isProvisional) {
      blocks.push({ fromMs: decision.atMs, untilMs: decision.clockMs + decision.retryAfterMs });
    }
  };
  const startMs = time.nowMs + 1500;
  const paceMs = random.pick([20, 200, WINDOW_MS / 4]);
  for (let atMs = startMs; atMs < startMs + 25_000; atMs += paceMs * random.between(0.5, 1.5)) {
    time.after(atMs - time.nowMs, () => void attempt());
  }
  if (random.chance(0.5)) {
    time.after(1500 + random.between(3000, 12_000), () => {
      server.failOver(Number.POSITIVE_INFINITY);
      for (const { link } of world.alive) link.breakOff(random.between(5, 500));
    });
  }
  await world.run(30_000);
  passed.sort((a, b) => a - b);
  const violations = await world.close();
  passed.forEach((atMs, index) => {
    const sixthMs = passed[index + 5] ?? Number.POSITIVE_INFINITY;
    if (sixthMs - atMs < WINDOW_MS) violations.push(`six within ${sixthMs - atMs} ms`);
    const block = blocks.find(({ fromMs, untilMs }) => fromMs < atMs && atMs < untilMs);
    if (block !== undefined) violations.push(`one passed ${block.untilMs - atMs} ms before the end of a block`);
  });
  return { violations, blocks: new Set(blocks.map(({ untilMs }) => untilMs)).size };
}

it("whatever happens to replicas and their server, nobody passes during a block that anyone was told of", async () => {
  const broken: string[] = [];
  let blocks = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const run = await attack(seed);
    blocks += run.blocks;
    broken.push(...run.violations.map((violation) => `seed ${seed}: ${violation}`));
  }
  expect(broken).toEqual([]);
  expect(blocks).toBeGreaterThan(60);
}, 120_000);

/** What breaks blocks, and the violation that says so. */
const MUTATIONS: Record<string, { mutation: Mutation; caughtBy: RegExp }> = {
  "no restoring": {
    mutation: { sabotage: () => (command) => ({ ...command, snapshot: undefined }) },
    caughtBy: /before the end of a block/,
  },
  "takes that begin no block": {
    mutation: { sabotage: () => (command) => (command.op === "take" ? { ...command, tier: MILD } : command) },
    caughtBy: /before the end of a block/,
  },
};

it.each(Object.keys(MUTATIONS))(
  "a protocol with %s is caught by a seed",
  async (name) => {
    const { mutation, caughtBy } = MUTATIONS[name] as (typeof MUTATIONS)[string];
    for (let seed = 1; seed <= 60; seed++) {
      const { violations } = await attack(seed, mutation);
      if (violations.some((violation) => caughtBy.test(violation))) return;
    }
    expect.fail(`${name} went unnoticed`);
  },
  120_000,
);
