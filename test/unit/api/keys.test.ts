import { describe, expect, it, vi } from "vitest";
import { ApiKeys, isWellFormed } from "../../../src/api/keys.js";
import { MemoryRecords } from "../../../src/engine/records.js";

const NOW = Date.UTC(2026, 10, 10);
const OWNER = { account: "42", scopes: ["fingerprint" as const] };
const ACCOUNT = { name: "42", tier: "pro", overrides: null, created: "2026-11-10T00:00:00.000Z" };

async function openKeys(records = new MemoryRecords(), pepper?: string) {
  const keys = new ApiKeys({ records, pepper, clock: () => NOW });
  await keys.accounts.setTier("42", "pro");
  return { records, keys };
}

/** Makes a key, of which the text is wanted only. */
async function make(keys: ApiKeys, account = "42"): Promise<string> {
  return (await keys.create("live", { ...OWNER, account })).key;
}

describe("a new key", () => {
  it("has the documented form, and a checksum of what stands before it", async () => {
    const { keys } = await openKeys();
    const key = await make(keys);
    expect(key).toMatch(/^fpk_live_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}$/);
    expect(isWellFormed(key)).toBe(true);
  });

  it("is like no other", async () => {
    const { keys } = await openKeys();
    const made: string[] = [];
    for (let index = 0; index < 200; index++) {
      made.push(await make(keys));
      await keys.revokeAccount("42");
    }
    expect(new Set(made).size).toBe(200);
  });

  it("is found with its owner", async () => {
    const { keys } = await openKeys();
    const key = await make(keys);
    expect(keys.find(key)).toEqual({ id: expect.any(String), account: ACCOUNT, scopes: ["fingerprint"] });
  });

  it("is nowhere in the records, in whole or in part", async () => {
    const { keys, records } = await openKeys();
    const key = await make(keys);
    const stored = JSON.stringify(records.list(""));
    expect(stored).not.toContain(key.slice(9, 25));
    expect(stored).not.toContain(key.slice(30, 50));
  });
});

describe("a key", () => {
  it("with one character changed is refused without a look-up", async () => {
    const { keys } = await openKeys();
    const key = await make(keys);
    const looked: string[] = [];
    const records = new MemoryRecords();
    const get = (name: string) => void looked.push(name);
    const watching = new ApiKeys({ records: Object.assign(records, { get }), pepper: "a pepper" });
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
    const key = await make(keys);
    expect((await openKeys()).keys.find(key)).toBeUndefined();
    expect((await openKeys(records, "another pepper")).keys.find(key)).toBeUndefined();
    expect((await openKeys(records)).keys.find(key)).toBeDefined();
  });

  it("of an account that was revoked is refused, and others are not", async () => {
    const { keys } = await openKeys();
    const first = await make(keys);
    const second = await make(keys);
    await keys.accounts.setTier("43", "free");
    const other = await make(keys, "43");
    expect(await keys.revokeAccount("42")).toBe(2);
    expect(await keys.revokeAccount("42")).toBe(0);
    expect([first, second, other].map((key) => keys.find(key)?.account.name)).toEqual([undefined, undefined, "43"]);
  });
});

describe("a key that was found", () => {
  /** Keys with a clock, and the number of look-ups so far. */
  async function watched() {
    const records = new MemoryRecords();
    const clock = { nowMs: NOW };
    const keys = new ApiKeys({ records, pepper: "a pepper", clock: () => clock.nowMs });
    await keys.accounts.setTier("42", "pro");
    const lookedUp = vi.spyOn(records, "get");
    const lookUps = () => lookedUp.mock.calls.filter(([name]) => name.startsWith("key:")).length;
    return { keys, records, clock, lookUps };
  }

  it("is looked up again only after two seconds", async () => {
    const { keys, clock, lookUps } = await watched();
    const key = await make(keys);
    for (let call = 0; call < 5; call++) keys.find(key);
    expect(lookUps()).toBe(1);
    clock.nowMs += 2000;
    keys.find(key);
    expect(lookUps()).toBe(2);
  });

  it("is refused at once where it is revoked, and after two seconds where that is not told", async () => {
    const { keys, records, clock } = await watched();
    const key = await make(keys);
    expect(keys.find(key)?.account.name).toBe("42");
    vi.spyOn(records, "version", "get").mockReturnValue(records.version);
    await keys.revokeAccount("42");
    expect(keys.find(key)?.account.name).toBe("42");
    clock.nowMs += 2000;
    expect(keys.find(key)).toBeUndefined();
    vi.restoreAllMocks();
    const next = await make(keys);
    expect(keys.find(next)).toBeDefined();
    await keys.revokeAccount("42");
    expect(keys.find(next)).toBeUndefined();
  });

  it("has its account's tier and limits as they are now: tier frozen at first sight", async () => {
    const { keys } = await watched();
    const key = await make(keys);
    expect(keys.find(key)?.account).toMatchObject({ tier: "pro", overrides: null });
    await keys.accounts.setTier("42", "free");
    await keys.accounts.setOverrides("42", { minute: { limit: 5 } });
    expect(keys.find(key)?.account).toMatchObject({ tier: "free", overrides: { minute: { limit: 5 } } });
  });

  it("is not pushed out by keys that are made up: an LRU that an attacker flushes", async () => {
    const { keys, lookUps } = await watched();
    const stranger = (await openKeys()).keys;
    const key = await make(keys);
    keys.find(key);
    for (let call = 0; call < 10_001; call++) keys.find(call === 0 ? await make(stranger) : `x${call}`);
    const before = lookUps();
    keys.find(key);
    expect(lookUps()).toBe(before);
  });

  it("makes room for others, so that memory is bounded", async () => {
    const { keys, records, lookUps } = await watched();
    vi.spyOn(records, "list").mockReturnValue([]); // Nobody counts the keys of the account, or it could not have so many.
    const made: string[] = [];
    for (let index = 0; index <= 10_000; index++) made.push(await make(keys));
    for (const key of made) keys.find(key);
    const before = lookUps();
    keys.find(made[10_000] ?? "");
    expect(lookUps()).toBe(before);
    keys.find(made[0] ?? "");
    expect(lookUps()).toBe(before + 1);
  });
});

describe("an account", () => {
  it("has at most two good keys: one in use, and one to change to", async () => {
    const { keys } = await openKeys();
    const made = await Promise.allSettled([1, 2, 3].map(() => keys.create("live", OWNER)));
    expect(made.map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "rejected"]);
    await expect(make(keys)).rejects.toThrow(expect.objectContaining({ code: "ERR_KEY_LIMIT" }));
    const { items } = keys.list(10, { account: "42" });
    expect(items).toHaveLength(2);
    expect(await keys.revoke(items[0]?.id ?? "")).toMatchObject({ revoked: "2026-11-10T00:00:00.000Z" });
    await make(keys);
    expect(keys.list(10, { account: "42" }).items.filter(({ revoked }) => revoked === null)).toHaveLength(2);
  });

  it("is to be there before its keys", async () => {
    const { keys } = await openKeys();
    await expect(make(keys, "nobody")).rejects.toThrow(expect.objectContaining({ code: "ERR_ACCOUNT_UNKNOWN" }));
  });
});

it("isFirst tells the first who asks of a store that never had a key, and nobody else", async () => {
  const { keys, records } = await openKeys();
  const other = (await openKeys(records)).keys;
  expect([await keys.isFirst(), await other.isFirst()]).toEqual([true, false]);
  const { keys: later } = await openKeys();
  await make(later);
  await later.revokeAccount("42");
  expect(await later.isFirst()).toBe(false);
});
