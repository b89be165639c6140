import { expect, it, vi } from "vitest";
import { MemoryRecords } from "../../../../src/engine/records.js";
import { Accounts } from "../../../../src/service/management/accounts.js";
import { Consumers } from "../../../../src/service/management/consumers.js";

function opened() {
  const clock = { nowMs: Date.UTC(2026, 10, 10) };
  const accounts = new Accounts(new MemoryRecords(), () => clock.nowMs);
  const consumers = new Consumers(accounts, () => clock.nowMs);
  const follow = vi.spyOn(accounts, "follow");
  const followed = () => follow.mock.calls.map(([name, plan]) => `${name} ${plan}`);
  return { clock, accounts, consumers, follow, followed };
}

/** Until all that was noted is written. */
async function settled(count: number, followed: () => string[]): Promise<void> {
  await vi.waitFor(() => expect(followed()).toHaveLength(count), { timeout: 10_000, interval: 1 });
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}

it("a consumer is written once the call that noted it is over, and not again for a minute", async () => {
  const { clock, accounts, consumers, followed } = opened();
  for (let call = 0; call < 100; call++) consumers.note("42", "free");
  expect(followed()).toEqual([]);
  await settled(1, followed);
  expect(accounts.get("42")).toMatchObject({ tier: "free", source: "gateway" });
  clock.nowMs += 59_999;
  consumers.note("42", "pro");
  await settled(1, followed);
  clock.nowMs++;
  consumers.note("42", "enterprise");
  await settled(2, followed);
  expect(followed()).toEqual(["42 free", "42 enterprise"]);
});

it("one that can't be written is tried again after a minute, and keeps no other waiting", async () => {
  const { clock, accounts, consumers, follow, followed } = opened();
  follow.mockRejectedValueOnce(new Error("away"));
  consumers.note("a", "free");
  consumers.note("b", "free");
  await settled(2, followed);
  expect([accounts.get("a"), accounts.get("b")?.tier]).toEqual([undefined, "free"]);
  clock.nowMs += 60_000;
  consumers.note("a", "free");
  await settled(3, followed);
  expect(accounts.get("a")?.tier).toBe("free");
});

it("more than can wait are left for later, and all of them come in the end", async () => {
  const { clock, accounts, consumers, followed } = opened();
  const note = () => {
    for (let each = 0; each < 12_000; each++) {
      if (accounts.get(`n${each}`) === undefined) consumers.note(`n${each}`, "free");
    }
  };
  note();
  await settled(10_000, followed);
  clock.nowMs += 60_000;
  note();
  await settled(12_000, followed);
  expect(accounts.find({ plan: "free" }, 20_000).items).toHaveLength(12_000);
});
