import { expect, it, onTestFinished, vi } from "vitest";
import { openRecords, type RedisStorage, type SharedRecords } from "../../src/index.js";
import { forFile, RedisServer } from "../redis/server.js";

const redis = await forFile(RedisServer.start());

/** Open records, which are read. */
async function opened(options: Partial<RedisStorage>): Promise<SharedRecords> {
  const records = await openRecords({ type: "redis", url: redis.url, timeoutMs: 1000, ...options });
  onTestFinished(() => records.close());
  await records.ready(10_000);
  return records;
}

it("records of one prefix are shared by who opens them, and those of another are others", async () => {
  const [one, two, other] = await Promise.all([
    opened({}),
    opened({ prefix: "tollkeeper" }),
    opened({ prefix: "other" }),
  ]);
  await one?.put("account:acme", "pro");
  await vi.waitFor(() => expect(two?.get("account:acme")).toBe("pro"), { timeout: 5000, interval: 5 });
  expect(await other?.putNew("account:acme", "free")).toBe("free");
  expect(one?.list("account:")).toEqual([["account:acme", "pro"]]);
});

it.each<[string, object]>([
  ["storage.url", { url: "http://:secret@redis" }],
  ["storage.prefix", { prefix: "a b" }],
  ["storage.leases", { leases: 5 }],
])("an option that can't be used is named: %s", async (option, options) => {
  const opening = openRecords({ type: "redis", url: redis.url, ...options });
  const message = expect.stringMatching(new RegExp(`^(?!.*secret)${option}`));
  await expect(opening).rejects.toMatchObject({ code: "ERR_OPTION_INVALID", message });
});
