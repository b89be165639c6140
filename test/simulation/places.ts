import type { Decision } from "../../src/index.js";
import type { Weather } from "./network.js";
import { isByPolicy } from "./policy.js";
import { type Mutation, type Replica, World } from "./world.js";

const LOAD_MS = 8000;
/** Longer than it takes until a replica counts as gone and all have heard so, and than anything is told again. */
const QUIET_MS = 9000;
const TIMEOUT_SECONDS = 600;
const FAULTS = ["none", "cut one", "break", "crash", "restart empty", "failover"] as const;

/** A call that runs, by the replica that has let it in. */
interface Running {
  readonly key: string;
  readonly replica: Replica;
  readonly decision: Decision;
}

/**
 * Calls that run at the same time, on replicas that break: of no key more run than it has places, but for what an outage lets
 * in beside them; and once all have ended every place is free again, of those that were killed as well.
 */
export async function places(seed: number, mutation: Mutation = {}): Promise<string[]> {
  await new Promise((resolve) => setTimeout(resolve)); // Lets the test runner have its turn.
  const world = new World(seed, mutation);
  const { random, time, server } = world;
  const limit = random.whole(1, 8);
  const parallel = { name: "parallel", type: "concurrency", limit, timeoutSeconds: TIMEOUT_SECONDS } as const;
  const minute = { name: "minute", type: "bucket", limit: 6000, windowSeconds: 60, burst: 1 } as const;
  const tiers = { free: { limits: random.chance(0.5) ? [parallel] : [minute, parallel] }, plain: { limits: [minute] } };
  const isRough = random.chance(0.3);
  const weather: Weather = { delayMs: [0.1, 2], stall: isRough ? 0.01 : 0, loss: isRough ? 0.01 : 0 };
  const start = () => world.start(tiers, { weather, threads: world.drawThreads() });
  for (let replica = random.whole(1, 4); replica > 0; replica--) start();
  const fault = random.pick(FAULTS);
  // A replica that is cut off for longer counts as gone, though its calls run on.
  const awayMs = random.between(100, 2500);
  const violations: string[] = [];
  let running: Running[] = [];
  let most = 0;

  const begin = (key: string, replica: Replica, decision: Decision) => {
    if (!decision.allowed || !replica.isAlive) return;
    running.push({ key, replica, decision });
    const ofKey = running.filter((other) => other.key === key && other.replica.isAlive);
    most = Math.max(most, ofKey.length);
    const shared = ofKey.filter((other) => !isByPolicy(other.decision)).length;
    if (shared > limit) violations.push(`${key}: ${shared} of ${limit} run after ${Math.round(time.nowMs)}`);
    // What ran when the store went away, and a part for each that is left.
    if (ofKey.length > 2 * limit) violations.push(`${key}: ${ofKey.length} of ${limit} run in an outage`);
    time.after(random.between(5, 1500), () => {
      running = running.filter((other) => other.decision !== decision);
      if (!replica.isAlive) return;
      const isFreed = [decision.release(), decision.release()];
      if (!isFreed[0] || isFreed[1]) violations.push(`${key}: released ${isFreed.join(" and ")}`);
    });
  };
  const call = (key: string, tier: string) => {
    const replica = world.open[random.whole(0, world.open.length - 1)];
    if (replica === undefined) return;
    const decided = replica.limiter.consume(key, tier);
    const taken = (decision: Decision) => tier === "free" && begin(key, replica, decision);
    if (decided instanceof Promise) void decided.then(taken);
    else taken(decided);
  };

  await world.run(4500); // Until it may be said who is gone.
  const endMs = time.nowMs + LOAD_MS;
  for (const key of ["a", "b"]) {
    for (let atMs = time.nowMs; atMs < endMs; atMs += random.between(0, (2 * 750) / limit / 1.5)) {
      time.after(atMs - time.nowMs, () => call(key, random.chance(0.1) ? "plain" : "free"));
    }
  }
  time.after(random.between(500, 4000), () => {
    const [one] = [world.open[random.whole(0, world.open.length - 1)] as Replica];
    const reconnect = () => {
      server.awayUntilMs = time.nowMs + awayMs;
      for (const { link } of world.alive) link.breakOff(random.between(5, 500));
    };
    if (fault === "cut one") {
      one.link.isCut = true;
      time.after(awayMs, () => {
        one.link.isCut = false;
      });
    } else if (fault === "break") reconnect();
    else if (fault === "crash") {
      one.process.kill();
      start();
    } else if (fault === "restart empty") {
      reconnect();
      server.restartEmpty();
    } else if (fault === "failover") {
      reconnect();
      server.failOver(random.between(0, 1000));
    }
  });
  await world.run(LOAD_MS + 2000);
  Object.assign(weather, { stall: 0, loss: 0 });
  await world.run(QUIET_MS);
  // What a failover has lost of releases is over at the timeout.
  if (fault === "failover") await world.run(1000 * TIMEOUT_SECONDS);
  for (const key of ["a", "b"]) {
    const [replica] = world.open;
    const free = await Promise.race([
      Promise.all(Array.from({ length: limit }, async () => (await replica?.limiter.consume(key, "free"))?.allowed)),
      world.run(1000).then(() => undefined),
    ]);
    const taken = limit - (free?.filter(Boolean).length ?? 0);
    if (taken > 0) violations.push(`${key}: ${taken} of ${limit} places are still taken (${fault})`);
  }
  if (most === 0) violations.push("nothing ran");
  return [...violations, ...(await world.close())];
}
