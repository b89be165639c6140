/** The same calls, the same answers, whatever the framework: statuses, header fields, bodies byte for byte. */
import { describe, expect, it, onTestFinished } from "vitest";
import { createLimiter } from "../../src/index.js";
import { call } from "./client.js";
import { FRAMEWORKS } from "./frameworks.js";
import { onFastify } from "./on-fastify.js";
import { SCENARIOS, type Scenario, TIERS } from "./scenarios.js";
import type { Serve } from "./site.js";

const clock = () => Date.UTC(2026, 10, 10);

function withoutStore() {
  const storage = { type: "redis", url: "redis://127.0.0.1:1", onOutage: "closed" } as const;
  return createLimiter({ tiers: TIERS, storage, onStorageError: () => undefined });
}

async function play(serve: Serve, { setup, away, run }: Scenario): Promise<unknown> {
  const limiter = away ? withoutStore() : createLimiter({ tiers: TIERS, engine: "js", clock });
  const server = await serve(setup, limiter);
  onTestFinished(async () => {
    await server.close();
    await limiter.close();
  });
  const left = async (tier = "free") =>
    (await limiter.peek("acct:1", tier, 0)).limits.map(({ remaining }) => remaining);
  return run({ port: server.port, limiter, call: (asked) => call(server.port, asked), left });
}

describe.each(Object.entries(SCENARIOS))("%s", (_name, scenario) => {
  it.each(Object.entries(FRAMEWORKS))("%s", async (_framework, serve) => {
    const seen = await play(serve, scenario);
    expect(seen).toMatchObject(scenario.seen as object);
    expect(seen).toEqual(await play(onFastify, scenario));
  });
});
