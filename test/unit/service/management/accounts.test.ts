import { describe, expect, it, vi } from "vitest";
import { MemoryRecords } from "../../../../src/engine/records.js";
import { Accounts } from "../../../../src/service/management/accounts.js";

const START = Date.UTC(2026, 10, 10);
const DAY = 86_400_000;
const iso = (ms: number) => new Date(ms).toISOString();
const failure = (code: string) => expect.objectContaining({ code });

function opened(records = new MemoryRecords(), clock = { nowMs: START }) {
  return { records, clock, accounts: new Accounts(records, () => clock.nowMs) };
}

/** What a release writes that knows of nothing but tier and overrides. */
function earlierRelease(records: MemoryRecords) {
  return {
    setTier: (name: string, tier: string) => {
      const { created } = JSON.parse(records.get(`account:${name}`) ?? `{"created":"${iso(START)}"}`);
      return records.put(`account:${name}`, JSON.stringify({ tier, created }));
    },
    setOverrides: (name: string, overrides: object | null) =>
      records.put(`overrides:${name}`, overrides === null ? undefined : JSON.stringify(overrides)),
    tierOf: (name: string) => JSON.parse(records.get(`account:${name}`) ?? "{}").tier,
  };
}

describe("an account", () => {
  it("has what it was made with, and defaults for the rest", async () => {
    const { accounts } = opened();
    const made = await accounts.create("acme", { plan: "pro", displayName: "ACME Ltd", metadata: { region: "eu" } });
    expect(made).toEqual({
      name: "acme",
      tier: "pro",
      from: iso(START),
      scheduled: null,
      overrides: null,
      overridesUntil: null,
      state: "active",
      since: iso(START),
      displayName: "ACME Ltd",
      externalId: null,
      metadata: { region: "eu" },
      anchorDay: 1,
      source: "management",
      created: iso(START),
    });
    expect(accounts.get("acme")).toEqual(made);
  });

  it("is made once, also when it is made twice at once", async () => {
    const { accounts } = opened();
    const made = await Promise.allSettled([1, 2, 3].map(() => accounts.create("acme", { plan: "pro" })));
    expect(made.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected"]);
    await expect(accounts.create("acme", { plan: "pro" })).rejects.toThrow(failure("ERR_ACCOUNT_EXISTS"));
    await accounts.setState("acme", "archived");
    await expect(accounts.create("acme", { plan: "pro" })).rejects.toThrow(
      /there is an account acme already, archived/,
    );
  });

  it("is changed by what is given, and null takes away", async () => {
    const { accounts } = opened();
    await accounts.create("acme", { plan: "pro", displayName: "ACME", externalId: "e1", metadata: { a: "1", b: "2" } });
    expect(await accounts.change("acme", { metadata: { a: null, c: "3" }, anchorDay: 31 })).toMatchObject({
      displayName: "ACME",
      externalId: "e1",
      metadata: { b: "2", c: "3" },
      anchorDay: 31,
    });
    const { metadata } = await accounts.change("acme", { displayName: null, externalId: null, metadata: null });
    expect(metadata).toEqual({});
    expect(accounts.get("acme")).toMatchObject({ displayName: null, externalId: null, anchorDay: 31 });
    await expect(accounts.change("nobody", {})).rejects.toThrow(failure("ERR_ACCOUNT_UNKNOWN"));
  });

  it("has at most 20 entries of metadata, however they were put there", async () => {
    const { accounts } = opened();
    const entries = (from: number, count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, index) => [`entry${from + index}`, "x"]));
    await accounts.create("acme", { plan: "pro", metadata: entries(0, 20) });
    await expect(accounts.change("acme", { metadata: entries(20, 1) })).rejects.toThrow(failure("ERR_ACCOUNT_INVALID"));
    await accounts.change("acme", { metadata: { entry0: null, ...entries(20, 1) } });
    expect(Object.keys(accounts.get("acme")?.metadata ?? {})).toHaveLength(20);
  });

  it("loses nothing when all its changes come at once, however long each takes", async () => {
    const { accounts, records } = opened();
    const put = records.put.bind(records);
    vi.spyOn(records, "put").mockImplementation(async (...record) => {
      await new Promise((resolve) => setImmediate(resolve));
      await put(...record);
    });
    await accounts.create("acme", { plan: "pro" });
    await Promise.all([
      accounts.change("acme", { displayName: "ACME" }),
      accounts.change("acme", { metadata: { a: "1" } }),
      accounts.setState("acme", "suspended"),
      accounts.setOverrides("acme", { minute: { limit: 5 } }),
      accounts.change("acme", { metadata: { b: "2" }, plan: "free" }),
    ]);
    expect(accounts.get("acme")).toMatchObject({
      tier: "free",
      displayName: "ACME",
      metadata: { a: "1", b: "2" },
      state: "suspended",
      overrides: { minute: { limit: 5 } },
    });
  });

  it("that is not read yet is neither made anew nor changed by what is, in the order of the log: a view that is half read", async () => {
    const whole = opened();
    await whole.accounts.create("acme", { plan: "pro", displayName: "ACME" });
    await whole.accounts.setState("acme", "suspended");
    await whole.accounts.setTier("acme", "free");
    // The store gives what it has when something new is to be written, as the one over Redis does.
    const records = new MemoryRecords();
    for (const [name, value] of whole.records.list("account-")) await records.put(name, value);
    const putNew = records.putNew.bind(records);
    vi.spyOn(records, "putNew").mockImplementation(async (...record) => {
      for (const [name, value] of whole.records.list("")) await records.put(name, value);
      return putNew(...record);
    });
    const { accounts } = opened(records);
    await accounts.follow("acme", "enterprise");
    const all = { tier: "free", displayName: "ACME", state: "suspended", source: "management" };
    expect(accounts.get("acme")).toMatchObject(all);
  });

  it("that is deleted leaves nothing to one that gets its name, wherever the deletion ended", async () => {
    const names = [
      "overrides:acme",
      "overrides-end:acme",
      "account-plan:acme",
      "account-profile:acme",
      "account-state:acme",
    ];
    const whole = opened();
    const at = iso(START + DAY);
    const fields = { plan: "pro", scheduled: { plan: "free", at }, displayName: "ACME", externalId: "e1" };
    await whole.accounts.create("acme", fields);
    await whole.accounts.setOverrides("acme", { minute: { limit: 5 } }, at);
    await whole.accounts.setState("acme", "suspended");
    expect(names.map((name) => whole.records.get(name) !== undefined)).toEqual(names.map(() => true));
    for (let writes = 0; writes <= 8; writes++) {
      const { records, accounts, clock } = opened();
      for (const [name, value] of whole.records.list("")) await records.put(name, value);
      const put = records.put.bind(records);
      let left = writes;
      vi.spyOn(records, "put").mockImplementation((...change) => {
        if (left-- === 0) throw new Error("killed");
        return put(...change);
      });
      const isDone = await accounts.delete("acme").then(
        () => true,
        () => false,
      );
      vi.restoreAllMocks();
      expect(isDone).toBe(writes >= 7);
      // Until it is gone its calls stay refused.
      if (accounts.get("acme") !== undefined) {
        expect(accounts.get("acme")?.state).toBe("suspended");
        await accounts.delete("acme");
      }
      clock.nowMs++;
      const next = await accounts.create("acme", { plan: "free" });
      expect(next).toMatchObject({
        tier: "free",
        overrides: null,
        scheduled: null,
        displayName: null,
        state: "active",
      });
    }
  });
});

describe("the plan of an account", () => {
  it("changes at its time, to the millisecond, though it was just looked up", async () => {
    const { accounts, clock } = opened();
    const at = iso(START + 1500);
    await accounts.create("acme", { plan: "pro", scheduled: { plan: "free", at } });
    clock.nowMs = START + 1499;
    expect(accounts.get("acme")).toMatchObject({ tier: "pro", from: iso(START), scheduled: { plan: "free", at } });
    clock.nowMs++;
    expect(accounts.get("acme")).toMatchObject({ tier: "free", from: at, scheduled: null });
    expect(accounts.find({ plan: "free" }, 10).items).toHaveLength(1);
    expect(accounts.find({ plan: "pro" }, 10).items).toHaveLength(0);
  });

  it("that is chosen drops what was scheduled, unless that is given too", async () => {
    const { accounts, clock } = opened();
    const later = (days: number) => ({ plan: "free", at: iso(START + days * DAY) });
    await accounts.create("acme", { plan: "pro", scheduled: later(14) });
    expect(await accounts.change("acme", { displayName: "ACME" })).toMatchObject({ scheduled: later(14) });
    expect(await accounts.change("acme", { scheduled: later(7) })).toMatchObject({ tier: "pro", scheduled: later(7) });
    expect(await accounts.change("acme", { plan: "enterprise" })).toMatchObject({ scheduled: null });
    expect(await accounts.change("acme", { plan: "pro", scheduled: later(3) })).toMatchObject({ scheduled: later(3) });
    expect(await accounts.change("acme", { scheduled: null })).toMatchObject({ tier: "pro", scheduled: null });
    await accounts.change("acme", { scheduled: later(3) });
    clock.nowMs += DAY;
    expect(await accounts.setTier("acme", "pro")).toMatchObject({ tier: "pro", from: iso(START), scheduled: null });
  });

  it("can be followed by another once it has changed", async () => {
    const { accounts, clock } = opened();
    await accounts.create("acme", { plan: "pro", scheduled: { plan: "free", at: iso(START + DAY) } });
    clock.nowMs += 2 * DAY;
    const next = { plan: "enterprise", at: iso(START + 3 * DAY) };
    expect(await accounts.change("acme", { scheduled: next })).toMatchObject({
      tier: "free",
      from: iso(START + DAY),
      scheduled: next,
    });
    clock.nowMs += 2 * DAY;
    expect(accounts.get("acme")).toMatchObject({ tier: "enterprise", from: next.at });
  });

  it.each([
    iso(START - 1),
    iso(START),
    "2026-11-09T23:59:59+00:00",
    "2026-11-10T13:59:00+14:00",
    "2026-02-30T00:00:00Z",
    "2026-12-01",
    "2026-12-01T00:00:00",
    "tomorrow",
    "",
    "9".repeat(1000),
  ])("can't change at %j", async (at) => {
    const { accounts } = opened();
    const scheduled = { plan: "free", at };
    await expect(accounts.create("acme", { plan: "pro", scheduled })).rejects.toThrow(failure("ERR_ACCOUNT_INVALID"));
    expect(accounts.get("acme")).toBeUndefined();
  });

  it("is scheduled in UTC, whatever the offset", async () => {
    const { accounts } = opened();
    const at = "2026-11-10T02:00:00.000+01:00";
    const { scheduled } = await accounts.create("acme", { plan: "pro", scheduled: { plan: "free", at } });
    expect(scheduled?.at).toBe("2026-11-10T01:00:00.000Z");
  });
});

describe("limits of an account's own", () => {
  it("end at their time, after which it is as if there were none", async () => {
    const { accounts, clock } = opened();
    await accounts.create("acme", { plan: "pro" });
    const until = iso(START + 1500);
    await accounts.setOverrides("acme", { minute: { limit: 5 } }, until);
    clock.nowMs = START + 1499;
    expect(accounts.get("acme")).toMatchObject({ overrides: { minute: { limit: 5 } }, overridesUntil: until });
    clock.nowMs++;
    expect(accounts.get("acme")).toMatchObject({ overrides: null, overridesUntil: null });
    await accounts.setOverrides("acme", { minute: { limit: 7 } });
    expect(accounts.get("acme")).toMatchObject({ overrides: { minute: { limit: 7 } }, overridesUntil: null });
    await expect(accounts.setOverrides("acme", {}, until)).rejects.toThrow(failure("ERR_OVERRIDES_INVALID"));
  });
});

describe("beside a replica of an earlier release", () => {
  it("its accounts are read as they are", async () => {
    const { records } = opened();
    await earlierRelease(records).setTier("acme", "pro");
    await earlierRelease(records).setOverrides("acme", { minute: { limit: 5 } });
    const { accounts } = opened(records);
    expect(accounts.get("acme")).toMatchObject({
      tier: "pro",
      from: iso(START),
      scheduled: null,
      overrides: { minute: { limit: 5 } },
      overridesUntil: null,
      state: "active",
      anchorDay: 1,
      source: "management",
      created: iso(START),
    });
    expect(accounts.find({ plan: "pro", search: "ac" }, 10).items).toHaveLength(1);
  });

  it("what it puts an account on holds, also on the same plan, and nothing else is lost", async () => {
    for (const tier of ["free", "pro"]) {
      const { records, accounts, clock } = opened();
      const scheduled = { plan: "free", at: iso(START + DAY) };
      const profile = { displayName: "ACME", externalId: "e1", metadata: { a: "1" }, anchorDay: 15 };
      await accounts.create("acme", { plan: "pro", scheduled, ...profile });
      await accounts.setState("acme", "suspended");
      expect(earlierRelease(records).tierOf("acme")).toBe("pro");
      await earlierRelease(records).setTier("acme", tier);
      expect(accounts.get("acme")).toMatchObject({ tier, scheduled: null, ...profile, state: "suspended" });
      clock.nowMs += 2 * DAY;
      expect(accounts.get("acme")).toMatchObject({ tier });
    }
  });

  it("the limits that it sets do not end when those ended that they replace", async () => {
    const { records, accounts, clock } = opened();
    await accounts.create("acme", { plan: "pro" });
    await accounts.setOverrides("acme", { minute: { limit: 5 } }, iso(START + DAY));
    await earlierRelease(records).setOverrides("acme", { minute: { limit: 9 } });
    clock.nowMs += 2 * DAY;
    expect(accounts.get("acme")).toMatchObject({ overrides: { minute: { limit: 9 } }, overridesUntil: null });
  });

  it("the plan that it sees of an account is the one that was set last", async () => {
    const { records, accounts, clock } = opened();
    await accounts.create("acme", { plan: "pro", scheduled: { plan: "free", at: iso(START + DAY) } });
    clock.nowMs += 2 * DAY;
    await accounts.change("acme", { scheduled: { plan: "enterprise", at: iso(START + 3 * DAY) } });
    expect(earlierRelease(records).tierOf("acme")).toBe("free");
  });
});

describe("an external id", () => {
  it("is one account's: a second is refused, and nothing of it stays", async () => {
    const { accounts } = opened();
    await accounts.create("acme", { plan: "pro", externalId: "e1" });
    const second = accounts.create("other", { plan: "pro", externalId: "e1" });
    await expect(second).rejects.toThrow(failure("ERR_EXTERNAL_ID_TAKEN"));
    await expect(second).rejects.toThrow("account acme has the external id e1 already");
    expect(accounts.get("other")).toBeUndefined();
    await accounts.create("other", { plan: "pro", displayName: "Other" });
    const third = accounts.change("other", { externalId: "e1", displayName: "Changed" });
    await expect(third).rejects.toThrow(failure("ERR_EXTERNAL_ID_TAKEN"));
    expect(accounts.get("other")).toMatchObject({ externalId: null, displayName: "Other" });
    expect(accounts.find({ externalId: "e1" }, 10).items.map(({ name }) => name)).toEqual(["acme"]);
  });

  it("is free again once its account has another, none, or is gone", async () => {
    const { accounts } = opened();
    await accounts.create("a", { plan: "pro", externalId: "e1" });
    await accounts.change("a", { externalId: "e2" });
    await accounts.create("b", { plan: "pro", externalId: "e1" });
    await accounts.change("a", { externalId: null });
    await accounts.change("b", { externalId: "e2" });
    await accounts.delete("b");
    await accounts.create("c", { plan: "pro", externalId: "e2" });
    await accounts.change("a", { externalId: "e1" });
    expect(accounts.find({}, 10).items.map(({ name, externalId }) => [name, externalId])).toEqual([
      ["a", "e1"],
      ["c", "e2"],
    ]);
  });

  it("goes to one of two replicas that give it away at once, and both agree which", async () => {
    for (let round = 0; round < 20; round++) {
      const { records, accounts } = opened();
      const other = opened(records).accounts;
      const made = await Promise.allSettled([
        accounts.create("a", { plan: "pro", externalId: "e1" }),
        other.create("b", { plan: "pro", externalId: "e1" }),
      ]);
      expect(made.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
      const holders = [accounts, other].map((each) =>
        each.find({ externalId: "e1" }, 10).items.map(({ name }) => name),
      );
      expect(holders).toEqual([[made[0]?.status === "fulfilled" ? "a" : "b"], holders[0]]);
    }
  });

  it("that was claimed by whoever ended before it was given is free again after a minute", async () => {
    const { records, accounts, clock } = opened();
    await records.put("external-id:e1", JSON.stringify({ account: "gone", atMs: START }));
    const create = () => accounts.create("acme", { plan: "pro", externalId: "e1" });
    clock.nowMs += 59_999;
    await expect(create()).rejects.toThrow(failure("ERR_EXTERNAL_ID_TAKEN"));
    clock.nowMs++;
    expect(await create()).toMatchObject({ externalId: "e1" });
  });
});

describe("an account that follows a gateway", () => {
  it("is made on the plan of the group, and follows it", async () => {
    const { accounts, clock } = opened();
    await accounts.follow("42", "free");
    expect(accounts.get("42")).toMatchObject({ tier: "free", source: "gateway", state: "active" });
    clock.nowMs += DAY;
    await accounts.follow("42", "pro");
    expect(accounts.get("42")).toMatchObject({ tier: "pro", from: iso(START + DAY), created: iso(START) });
  });

  it("stays suspended, or archived, whatever its group", async () => {
    const { accounts } = opened();
    for (const state of ["suspended", "archived"] as const) {
      await accounts.follow(state, "free");
      await accounts.setState(state, state);
      await accounts.follow(state, "pro");
      expect(accounts.get(state)).toMatchObject({ tier: "pro", state });
    }
  });

  it("is left alone if somebody made it", async () => {
    const { accounts } = opened();
    await accounts.create("42", { plan: "enterprise" });
    await accounts.follow("42", "free");
    expect(accounts.get("42")).toMatchObject({ tier: "enterprise", source: "management" });
  });
});
