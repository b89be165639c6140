import { createHash } from "node:crypto";
import { describe, expect, it, vi } from "vitest";
import type { RecordStore } from "../../../../src/engine/record-store.js";
import { MemoryRecords } from "../../../../src/engine/records.js";
import { ApiKeys } from "../../../../src/service/management/api-keys.js";
import { isWellFormed } from "../../../../src/service/management/key-text.js";
import { KeyUses } from "../../../../src/service/management/key-uses.js";

const NOW = Date.UTC(2026, 10, 10);
const OWNER = { account: "42", scopes: ["fingerprint" as const] };
const ACCOUNT = { name: "42", tier: "pro", overrides: null, created: "2026-11-10T00:00:00.000Z", state: "active" };

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
    expect(keys.verify(key)).toMatchObject({ id: expect.any(String), account: ACCOUNT, scopes: ["fingerprint"] });
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
      expect(watching.verify(changed)).toBeUndefined();
    }
    expect(looked).toEqual([]);
    expect(watching.verify(key)).toBeUndefined();
    expect(looked).toHaveLength(1);
  });

  it.each(["", "fpk_", "fpk_live__", "Bearer x", "fpk_live_é", " ", "x".repeat(100_000)])("%j is none", (text) => {
    expect(isWellFormed(text)).toBe(false);
  });

  it("is unknown to another store, and under another pepper", async () => {
    const { keys, records } = await openKeys();
    const key = await make(keys);
    expect((await openKeys()).keys.verify(key)).toBeUndefined();
    expect((await openKeys(records, "another pepper")).keys.verify(key)).toBeUndefined();
    expect((await openKeys(records)).keys.verify(key)).toBeDefined();
  });

  it("of an account that was revoked is refused, and others are not", async () => {
    const { keys } = await openKeys();
    const first = await make(keys);
    const second = await make(keys);
    await keys.accounts.setTier("43", "free");
    const other = await make(keys, "43");
    expect(await keys.revokeAccount("42")).toBe(2);
    expect(await keys.revokeAccount("42")).toBe(0);
    expect([first, second, other].map((key) => keys.verify(key)?.account.name)).toEqual([undefined, undefined, "43"]);
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
    for (let call = 0; call < 5; call++) keys.verify(key);
    expect(lookUps()).toBe(1);
    clock.nowMs += 2000;
    keys.verify(key);
    expect(lookUps()).toBe(2);
  });

  it("is refused at once where it is revoked, and after two seconds where that is not told", async () => {
    const { keys, records, clock } = await watched();
    const key = await make(keys);
    // As in another thread that has the same file.
    vi.spyOn(records, "watch").mockReturnValue(undefined);
    const untold = new ApiKeys({ records, pepper: "a pepper", clock: () => clock.nowMs });
    for (const each of [keys, untold]) expect(each.verify(key)?.account.name).toBe("42");
    await keys.revokeAccount("42");
    expect(keys.verify(key)).toBeUndefined();
    expect(untold.verify(key)?.account.name).toBe("42");
    clock.nowMs += 2000;
    expect(untold.verify(key)).toBeUndefined();
  });

  it("has its account's tier and limits as they are now: tier frozen at first sight", async () => {
    const { keys } = await watched();
    const key = await make(keys);
    expect(keys.verify(key)?.account).toMatchObject({ tier: "pro", overrides: null });
    await keys.accounts.setTier("42", "free");
    await keys.accounts.setOverrides("42", { minute: { limit: 5 } });
    expect(keys.verify(key)?.account).toMatchObject({ tier: "free", overrides: { minute: { limit: 5 } } });
  });

  it("is not pushed out by keys that are made up: an LRU that an attacker flushes", async () => {
    const { keys, lookUps } = await watched();
    const stranger = (await openKeys()).keys;
    const key = await make(keys);
    keys.verify(key);
    for (let call = 0; call < 10_001; call++) keys.verify(call === 0 ? await make(stranger) : `x${call}`);
    const before = lookUps();
    keys.verify(key);
    expect(lookUps()).toBe(before);
  });

  it("makes room for others, so that memory is bounded", { timeout: 30_000 }, async () => {
    const { keys, lookUps } = await watched();
    const made: string[] = [];
    for (let index = 0; index <= 10_000; index++) {
      const account = `${index >> 1}`;
      await keys.accounts.setTier(account, "pro");
      made.push(await make(keys, account));
    }
    for (const key of made) keys.verify(key);
    const before = lookUps();
    keys.verify(made[10_000] ?? "");
    expect(lookUps()).toBe(before);
    keys.verify(made[0] ?? "");
    expect(lookUps()).toBe(before + 1);
  });
});

describe("a key that expires", () => {
  const HOUR = 3_600_000;
  const at = (ms: number) => new Date(NOW + ms).toISOString();

  function withClock(records = new MemoryRecords()) {
    const clock = { nowMs: NOW };
    return { records, clock, keys: new ApiKeys({ records, pepper: "a pepper", clock: () => clock.nowMs }) };
  }

  it("is good to its last millisecond, and then refused for that, though it was just found", async () => {
    const { keys, clock } = withClock();
    await keys.accounts.setTier("42", "pro");
    const { key, id, ...made } = await keys.create("live", { ...OWNER, name: "CI", expires: at(1500) });
    expect(made).toMatchObject({ account: "42", name: "CI", expires: at(1500), revoked: null, lastUsed: null });
    clock.nowMs = NOW + 1499;
    expect([keys.verify(key)?.id, keys.isExpired(key)]).toEqual([id, false]);
    clock.nowMs++;
    expect([keys.verify(key)?.id, keys.isExpired(key)]).toEqual([undefined, true]);
    await keys.revoke(id);
    expect([keys.verify(key)?.id, keys.isExpired(key)]).toEqual([undefined, false]);
    expect([keys.isExpired("made-up"), keys.isExpired(await make((await openKeys()).keys))]).toEqual([false, false]);
  });

  it("makes room for another one, of the two that an account may have", async () => {
    const { keys, clock, records } = withClock();
    await keys.accounts.setTier("42", "pro");
    await keys.create("live", { ...OWNER, expires: at(HOUR) });
    await make(keys);
    await expect(make(keys)).rejects.toThrow(expect.objectContaining({ code: "ERR_KEY_LIMIT" }));
    clock.nowMs += HOUR;
    const third = await make(keys);
    expect(keys.verify(third)).toBeDefined();
    expect(keys.live("42")).toBe(2);
    const read = new ApiKeys({ records, pepper: "a pepper", clock: () => clock.nowMs });
    expect(read.live("42")).toBe(2);
    expect(await keys.revokeAccount("42")).toBe(2);
    expect(keys.list(10, { account: "42" }).items.filter(({ revoked }) => revoked === null)).toHaveLength(1);
  });

  it.each([
    at(0),
    at(-1),
    "2020-01-01T00:00:00Z",
    "2026-11-10T00:59:59+01:00",
    "2027-02-30T00:00:00Z",
    "2027-01-01",
    "2027-01-01T00:00:00",
    "never",
    "",
  ])("does not do so at %j", async (expires) => {
    const { keys } = await openKeys();
    const making = keys.create("live", { ...OWNER, expires });
    await expect(making).rejects.toThrow(expect.objectContaining({ code: "ERR_EXPIRY_INVALID" }));
    expect(keys.live("42")).toBe(0);
  });

  it("of an earlier release never does, and has no name", async () => {
    const { keys, records } = await openKeys();
    const key = await make(keys);
    const [[name, value] = ["", ""]] = records.page("key:", 1);
    const { account, scopes, created, revoked } = JSON.parse(value);
    await records.put(name, JSON.stringify({ account, scopes, created, revoked }));
    expect(keys.verify(key)).toBeDefined();
    expect(keys.list(1).items).toMatchObject([{ name: null, expires: null, lastUsed: null }]);
  });
});

describe("the last use of a key", () => {
  /** Two replicas over the same records, and the writes of uses so far. */
  async function used() {
    const records = new MemoryRecords();
    const clock = { nowMs: NOW + 59_999 };
    const open = () => new ApiKeys({ records, pepper: "a pepper", clock: () => clock.nowMs });
    const replicas = [open(), open()] as const;
    const [keys] = replicas;
    await keys.accounts.setTier("42", "pro");
    const { key, id } = await keys.create("live", OWNER);
    const put = vi.spyOn(records, "put");
    const writes = () => put.mock.calls.filter(([name]) => name === `key-used:${id}`).map(([, value]) => value);
    const settled = () => new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    const use = async () => {
      for (const replica of replicas) {
        replica.verify(key);
        await settled();
      }
    };
    const told = () => keys.list(1).items[0]?.lastUsed;
    return { keys, records, clock, key, id, put, writes, use, told, settled };
  }
  const at = (ms: number) => new Date(NOW + ms).toISOString();

  it("is told to the minute, and written once an hour by all replicas together", async () => {
    const { clock, writes, use, told } = await used();
    expect(told()).toBeNull();
    for (let call = 0; call < 1000; call++) await use();
    expect([told(), writes()]).toEqual([at(0), [at(0)]]);
    for (let minute = 1; minute < 60; minute++) {
      clock.nowMs = NOW + minute * 60_000;
      await use();
    }
    expect(writes()).toEqual([at(0)]);
    clock.nowMs = NOW + 3_600_000;
    await use();
    expect([told(), writes()]).toEqual([at(3_600_000), [at(0), at(3_600_000)]]);
  });

  it("is not in the way: a call that notes it has its answer before anything is written, and keeps what was found", async () => {
    const { keys, key, writes, settled } = await used();
    const found = keys.verify(key);
    expect([found?.account.name, writes()]).toEqual(["42", []]);
    await settled();
    expect(writes()).toHaveLength(1);
    expect(keys.verify(key)).toBe(found);
  });

  it("that could not be written is written at a later use, and no call fails of it", async () => {
    const { put, clock, use, told } = await used();
    put.mockRejectedValue(new Error("away"));
    await use();
    put.mockRestore();
    expect(told()).toBeNull();
    clock.nowMs += 2000;
    await use();
    expect(told()).toBe(at(60_000));
  });

  it("of more keys than can wait while the store is away is written for each that is used after that", async () => {
    const { records, put, settled } = await used();
    const uses = new KeyUses(records);
    put.mockRejectedValue(new Error("away"));
    for (let each = 0; each < 10_001; each++) uses.note(`key${each}`, NOW);
    await settled();
    put.mockRestore();
    uses.note("key20000", NOW);
    await settled();
    uses.note("key20000", NOW);
    await vi.waitFor(() => expect(uses.lastOf("key20000")).toBe(at(0)));
  });

  it("is gone with the key", async () => {
    const { keys, records, use } = await used();
    await use();
    expect(records.page("key-used:", 10)).toHaveLength(1);
    expect(await keys.deleteAccount("42")).toBe(1);
    expect([...records.page("key-used:", 10), ...records.page("key:", 10)]).toEqual([]);
  });

  it("of a key that is refused is none", async () => {
    const { keys, key, id, writes, settled } = await used();
    await keys.revoke(id);
    keys.verify(key);
    await settled();
    expect(writes()).toEqual([]);
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

describe("20,000 keys", { timeout: 30_000 }, () => {
  /** Keys of as many accounts, two each but for one that has had many, and a count of the records that are touched. */
  async function many() {
    const records = new MemoryRecords();
    const names = Array.from(
      { length: 20_000 },
      (_, index) => `key:${createHash("sha256").update(`${index}`).digest("hex")}`,
    );
    for (const [index, name] of names.entries()) {
      const account = index < 1000 ? "busy" : `account-${index >> 1}`;
      const revoked = index < 1000 ? "2026-11-10T00:00:00.000Z" : null;
      await records.put(name, JSON.stringify({ account, scopes: ["fingerprint"], created: "", revoked }));
    }
    let touched = 0;
    const counted: RecordStore = {
      isFresh: true,
      loss: undefined,
      get version() {
        return records.version;
      },
      get: (name) => {
        touched++;
        return records.get(name);
      },
      list: (prefix) => counted.page(prefix, Number.POSITIVE_INFINITY),
      page: (prefix, size, after) => {
        const page = records.page(prefix, size, after);
        touched += page.length;
        return page;
      },
      watch: (listener) => records.watch(listener),
      put: (name, value) => records.put(name, value),
      putNew: (name, value) => records.putNew(name, value),
    };
    const keys = new ApiKeys({ records: counted, pepper: "a pepper", clock: () => NOW });
    const work = async <T>(call: () => T | Promise<T>): Promise<[touched: number, result: T]> => {
      touched = 0;
      const result = await call();
      return [touched, result];
    };
    return { keys, work, ids: names.map((name) => name.slice(4, 20)).sort() };
  }

  it("are listed by the page, of all or of one account, made and revoked, at the cost of what is shown", async () => {
    const { keys, work, ids } = await many();
    // Of each key its record, and its last use.
    const rows: [string, number, () => unknown][] = [
      ["the first page", 202, () => keys.list(100)],
      ["a page in the middle", 202, () => keys.list(100, { after: ids[10_000] ?? "" })],
      ["the last page", 202, () => keys.list(100, { after: ids[19_990] ?? "" })],
      ["an account's page", 202, () => keys.list(100, { account: "busy" })],
      ["an account's two", 4, () => keys.list(100, { account: "account-5000" })],
      ["nobody's", 0, () => keys.list(100, { account: "nobody" })],
      ["a revocation", 4, () => keys.revoke(ids[14_000] ?? "")],
      ["one of an id that is none", 4, () => keys.revoke("0")],
      ["an account's revocation", 8, () => keys.revokeAccount("account-9000")],
      ["whether there are any", 2, () => keys.isFirst()],
      [
        "a new key",
        20,
        () =>
          keys.accounts
            .setTier("busy", "pro")
            .then(() => keys.create("live", { account: "busy", scopes: ["fingerprint"] })),
      ],
    ];
    for (const [what, most, call] of rows) expect((await work(call))[0], what).toBeLessThanOrEqual(most);
    const { items, next } = keys.list(100, { after: ids[10_000] ?? "" });
    expect(items.map(({ id }) => id)).toEqual(ids.slice(10_001, 10_101));
    expect(next).toBe(ids[10_100]);
  });

  it("are each on one page, whatever is made and revoked between two pages", async () => {
    const { keys, ids } = await many();
    await keys.accounts.setTier("new", "pro");
    const seen: string[] = [];
    for (let after: string | null = ""; after !== null; ) {
      const page: { items: { id: string }[]; next: string | null } = keys.list(100, { after });
      seen.push(...page.items.map(({ id }) => id));
      after = page.next;
      if (seen.length % 2000 === 0) {
        await keys.create("live", { account: "new", scopes: ["fingerprint"] });
        await keys.revokeAccount("new");
        await keys.revoke(seen.at(-1) ?? "");
      }
    }
    expect(seen.length).toBe(new Set(seen).size);
    expect(seen).toEqual([...seen].sort());
    const had = new Set(seen);
    expect(ids.every((id) => had.has(id))).toBe(true);
  });
});
