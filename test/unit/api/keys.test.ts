import { describe, expect, it, vi } from "vitest";
import { ApiKeys, isWellFormed } from "../../../src/api/keys.js";
import { MemoryRecords } from "../../../src/engine/records.js";

const NOW = Date.UTC(2026, 10, 10);
const OWNER = { account: "42", tier: "pro", scopes: ["fingerprint" as const] };

async function openKeys(records = new MemoryRecords(), pepper?: string) {
  return { records, keys: await ApiKeys.open(records, pepper, () => NOW) };
}

describe("a new key", () => {
  it("has the documented form, and a checksum of what stands before it", async () => {
    const { keys } = await openKeys();
    const key = await keys.create("live", OWNER);
    expect(key).toMatch(/^fpk_live_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}$/);
    expect(isWellFormed(key)).toBe(true);
  });

  it("is like no other", async () => {
    const { keys } = await openKeys();
    const made = await Promise.all(Array.from({ length: 200 }, () => keys.create("live", OWNER)));
    expect(new Set(made).size).toBe(200);
  });

  it("is found with its owner", async () => {
    const { keys } = await openKeys();
    const key = await keys.create("live", OWNER);
    expect(keys.find(key)).toEqual({ ...OWNER, created: "2026-11-10T00:00:00.000Z" });
  });

  it("is nowhere in the records, in whole or in part", async () => {
    const { keys, records } = await openKeys();
    const key = await keys.create("live", OWNER);
    const stored = JSON.stringify(records.list(""));
    expect(stored).not.toContain(key.slice(9, 25));
    expect(stored).not.toContain(key.slice(30, 50));
  });
});

describe("a key", () => {
  it("with one character changed is refused without a look-up", async () => {
    const { keys } = await openKeys();
    const key = await keys.create("live", OWNER);
    const looked: string[] = [];
    const records = new MemoryRecords();
    const watching = await ApiKeys.open(
      Object.assign(records, { get: (name: string) => void looked.push(name) }),
      "a pepper",
    );
    for (let index = 0; index < key.length; index++) {
      const other = key[index] === "a" ? "b" : "a";
      const changed = key.slice(0, index) + other + key.slice(index + 1);
      expect(watching.find(changed)).toBeUndefined();
    }
    expect(looked).toEqual([]);
    expect(watching.find(key)).toBeUndefined();
    expect(looked).toHaveLength(1);
  });

  it.each(["", "fpk_", "fpk_live__", "Bearer x", "fpk_live_é", " ", "x".repeat(100_000)])("%j is none", (text) => {
    expect(isWellFormed(text)).toBe(false);
  });

  it("is unknown to another store, and under another pepper", async () => {
    const { keys, records } = await openKeys();
    const key = await keys.create("live", OWNER);
    expect((await openKeys()).keys.find(key)).toBeUndefined();
    expect((await openKeys(records, "another pepper")).keys.find(key)).toBeUndefined();
    expect((await openKeys(records)).keys.find(key)).toBeDefined();
  });

  it("of an account that was revoked is refused, and others are not", async () => {
    const { keys } = await openKeys();
    const first = await keys.create("live", OWNER);
    const second = await keys.create("live", OWNER);
    const other = await keys.create("live", { ...OWNER, account: "43" });
    expect(await keys.revokeAccount("42")).toBe(2);
    expect(await keys.revokeAccount("42")).toBe(0);
    expect([first, second, other].map((key) => keys.find(key)?.account)).toEqual([undefined, undefined, "43"]);
  });
});

describe("a key that was found", () => {
  /** Keys with a clock, and the number of look-ups so far. */
  async function watched() {
    const records = new MemoryRecords();
    const clock = { nowMs: NOW };
    const keys = await ApiKeys.open(records, "a pepper", () => clock.nowMs);
    const other = await ApiKeys.open(records, "a pepper", () => clock.nowMs);
    const lookedUp = vi.spyOn(records, "get");
    return { keys, other, clock, lookUps: () => lookedUp.mock.calls.length };
  }

  it("is looked up again only after ten seconds", async () => {
    const { keys, clock, lookUps } = await watched();
    const key = await keys.create("live", OWNER);
    for (let call = 0; call < 5; call++) keys.find(key);
    expect(lookUps()).toBe(1);
    clock.nowMs += 10_000;
    keys.find(key);
    expect(lookUps()).toBe(2);
  });

  it("is refused at once where it is revoked, and elsewhere after ten seconds", async () => {
    const { keys, other, clock } = await watched();
    const key = await keys.create("live", OWNER);
    expect([keys.find(key)?.account, other.find(key)?.account]).toEqual(["42", "42"]);
    await keys.revokeAccount("42");
    expect(keys.find(key)).toBeUndefined();
    clock.nowMs += 10_000;
    expect(other.find(key)).toBeUndefined();
  });

  it("is not pushed out by keys that are made up: an LRU that an attacker flushes", async () => {
    const { keys, lookUps } = await watched();
    const stranger = (await openKeys()).keys;
    const key = await keys.create("live", OWNER);
    keys.find(key);
    for (let call = 0; call < 10_001; call++) keys.find(call === 0 ? await stranger.create("live", OWNER) : `x${call}`);
    const before = lookUps();
    keys.find(key);
    expect(lookUps()).toBe(before);
  });

  it("makes room for others, so that memory is bounded", async () => {
    const { keys, lookUps } = await watched();
    const made: string[] = [];
    for (let index = 0; index <= 10_000; index++) made.push(await keys.create("live", OWNER));
    for (const key of made) keys.find(key);
    const before = lookUps();
    keys.find(made[10_000] ?? "");
    expect(lookUps()).toBe(before);
    keys.find(made[0] ?? "");
    expect(lookUps()).toBe(before + 1);
  });
});

it("isEmpty tells a store that never had a key", async () => {
  const { keys } = await openKeys();
  expect(keys.isEmpty).toBe(true);
  await keys.create("live", OWNER);
  await keys.revokeAccount("42");
  expect(keys.isEmpty).toBe(false);
});
