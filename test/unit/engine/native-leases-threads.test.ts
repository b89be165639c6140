import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { describe, expect, it, onTestFinished } from "vitest";
import type { LeaseEngineOptions } from "../../../src/engine/lease-engine.js";
import { LEASE_OUTCOME } from "../../../src/engine/lease-frame.js";
import { openNative } from "../../../src/engine/native.js";
import { openNativeLeases } from "../../../src/engine/native-leases.js";
import { LeaseCaller, type NumberedTier } from "./lease-caller.js";
import { fieldsOf, gateFor, LeaseWorker, MODULE, PROGRAM } from "./lease-worker.js";

const NOON = Date.UTC(2026, 5, 15, 12);
const AT = { now: NOON, mono: 5000 };
const PRO: NumberedTier = { version: 0, id: 0, limits: 1 };
const SPEND = { TIER: 0, COST: 1000, NOW: AT.now, MONO: AT.mono };
/** Five tokens of the key "hot", as a row of `apply` has them. */
const GRANT = {
  ...{ TIER: 0, VERSION: 0, KEY_LENGTH: 3, COST: 5000, HELD: 5000, AHEAD: 1000, SPENT: 5000 },
  ...{ SERVER: 0, EPOCH: 7, NOW: NOON, LAG: 0, WAIT: 0, IS_PROVISIONAL: 0, RACES: 1, MONO: AT.mono },
};

function optionsFor(name: string, more: Partial<LeaseEngineOptions> = {}): LeaseEngineOptions {
  const month = { name: "month", type: "quota", limit: 1_000_000, period: "month" } as const;
  const tiers = { pro: { limits: [month] } };
  return { name, agreement: "redis a", tiers, maxKeys: 100, leaseMs: 1000, timeoutMs: 50, replica: "first", ...more };
}

function open(name: string, more: Partial<LeaseEngineOptions> = {}): LeaseCaller {
  const opened = openNativeLeases(optionsFor(name, more));
  if (opened.engine === undefined) throw new Error(opened.reason);
  const { engine } = opened;
  onTestFinished(() => engine.close());
  return new LeaseCaller(engine);
}

/** Has tokens of the key "hot" held, in thousandths. */
function hold(caller: LeaseCaller, held: number): void {
  const answer = { key: "hot", tier: PRO, granted: held, held, lasts: 1000, server: 0, epoch: 7, at: NOON, lag: 0 };
  expect(caller.apply([{ ...answer, spent: [held], wait: 0, isProvisional: false, races: true }], AT)).toEqual([0]);
}

describe("threads of one name", () => {
  it("spend one grant to the last token, and what is left of it is given back once", async () => {
    const caller = open("one grant");
    const workers = await Promise.all([1, 2].map(() => LeaseWorker.start(optionsFor("one grant"))));
    for (let round = 0; round < 20; round++) {
      hold(caller, 4_000_000);
      const gate = gateFor(2);
      const calls = round % 2 === 0 ? 2500 : 1500;
      const spending = { method: "consume", args: ["hot"], row: SPEND, times: calls } as const;
      const done = await Promise.all(workers.map((worker) => worker.do(spending, gate)));
      const asked = done.reduce((sum, { codes }) => sum + (codes[LEASE_OUTCOME.ASK] ?? 0), 0);
      expect(asked).toBe(Math.max(0, 2 * calls - 4000));
      caller.engine.drain();
      const returned = Object.values(caller.returns());
      expect(returned).toEqual(2 * calls < 4000 ? [4_000_000 - 2 * calls * 1000] : []);
    }
    expect(caller.engine.stats().tiers).toMatchObject([{ tier: "pro", allowed: 10 * 4000 + 10 * 3000 }]);
  });

  it("are one replica in lanes of their own, and give a server one number", async () => {
    const caller = open("lanes");
    const worker = await LeaseWorker.start(optionsFor("lanes", { replica: "second" }));
    expect([caller.engine.replica, (await worker.do({ method: "replica" })).result]).toEqual(["first", "first"]);
    expect([caller.engine.lane, (await worker.do({ method: "lane" })).result]).toEqual([0, 1]);
    expect([caller.engine.users, (await worker.do({ method: "users" })).result]).toEqual([2, 2]);
    const { result: id } = await worker.do({ method: "serverId", args: ["run b"] });
    expect([caller.engine.serverId("run a"), caller.engine.serverId("run b")]).toEqual([1, id]);
    expect((await worker.do({ method: "serverName", args: [1] })).result).toBe("run a");
  });

  it("decide by the tiers that one of them has reloaded", async () => {
    const caller = open("reload");
    const worker = await LeaseWorker.start(optionsFor("reload"));
    caller.engine.reload({ max: { limits: [] } });
    expect((await worker.do({ method: "version" })).result).toBe(1);
    expect((await worker.do({ method: "tierId", args: ["max"] })).result).toBe(1);
    expect((await worker.do({ method: "tiersOf", args: [1] })).result).toEqual({ max: { limits: [] } });
    expect((await worker.do({ method: "consume", args: ["hot"], row: SPEND })).codes).toEqual({ "-2": 1 });
    expect((await worker.do({ method: "consume", args: ["hot"], row: { ...SPEND, TIER: 1 } })).codes).toEqual({ 0: 1 });
    // As all others did, or as it is now.
    await LeaseWorker.start(optionsFor("reload"));
    await LeaseWorker.start(optionsFor("reload", { tiers: { max: { limits: [] } } }));
    expect(caller.engine.users).toBe(4);
  });
});

describe("a thread that ends without closing", () => {
  it.each(["terminate", "exit", "end"] as const)("leaves what it owes to the others: %s", async (how) => {
    const caller = open(`ends by ${how}`);
    const worker = await LeaseWorker.start(optionsFor(`ends by ${how}`));
    await worker.do({ method: "keepDebt", args: [7, "settled"] });
    await worker.do({ method: "keepDebt", args: [8, "before"] });
    await worker.do({ method: "keepDebt", args: [8, "a half \ud800 of a pair"] });
    await worker.do({ method: "keepDebt", args: [7, undefined] });
    expect([caller.engine.users, caller.engine.inherit()]).toEqual([2, []]);
    await worker.end(how);
    expect(caller.engine.users).toBe(1);
    expect([caller.engine.inherit(), caller.engine.inherit()]).toEqual([["a half \ud800 of a pair"], []]);
    expect(caller.engine.leave()).toBe(true);
  });

  it("as the last of its name leaves all to the next, even if only workers have loaded the binary", async () => {
    const program = `
      const { Worker } = require("node:worker_threads");
      const { once } = require("node:events");
      const PROGRAM = ${JSON.stringify(PROGRAM)};
      const workerData = ${JSON.stringify({ module: MODULE, options: optionsFor("workers only") })};
      const start = async () => {
        const worker = new Worker(PROGRAM, { eval: true, workerData });
        await once(worker, "message");
        return async (method, args = [], fields = []) => {
          worker.postMessage(method === "exit" ? "exit" : { method, args, fields, times: 1 });
          return method === "exit" ? once(worker, "exit") : (await once(worker, "message"))[0];
        };
      };
      (async () => {
        const first = await start();
        await first("apply", ["hot", 1], ${JSON.stringify(fieldsOf(GRANT))});
        await first("keepDebt", [1, "owed"]);
        await first("exit");
        const second = await start();
        const spent = await second("consume", ["hot"], ${JSON.stringify(fieldsOf({ ...SPEND, COST: 5000 }))});
        const told = [];
        for (const what of ["lane", "users", "replica", "inherit", "leave"]) told.push((await second(what)).result);
        await second("exit");
        console.log(JSON.stringify({ codes: spent.codes, told }));
      })();
    `;
    const { stdout } = await promisify(execFile)(process.execPath, ["-e", program]);
    expect(JSON.parse(stdout)).toEqual({ codes: { 0: 1 }, told: [1, 1, "first", ["owed"], true] });
  });
});

describe("a name", () => {
  it.each<Partial<LeaseEngineOptions>>([
    { agreement: "redis b" },
    { maxKeys: 99 },
    { leaseMs: 999 },
    { timeoutMs: 51 },
    { tiers: { pro: { limits: [] } } },
  ])("is not shared by those who don't agree: %o", (other) => {
    const caller = open("agreed");
    const conflict = expect.objectContaining({ code: "ERR_NAME_CONFLICT", message: expect.stringContaining("agreed") });
    expect(() => openNativeLeases(optionsFor("agreed", other))).toThrow(conflict);
    expect(caller.engine.users).toBe(1);
  });

  it("is not shared with a limiter that has no store, and is free once all have left", async () => {
    const { tiers, maxKeys } = optionsFor("both");
    const conflict = expect.objectContaining({ code: "ERR_NAME_CONFLICT" });
    const first = open("both");
    expect(() => openNative({ name: "both", tiers, maxKeys })).toThrow(conflict);
    const second = open("both");
    expect([first.engine.leave(), second.engine.leave(), first.engine.leave()]).toEqual([false, true, false]);
    const local = openNative({ name: "both", tiers, maxKeys }).engine;
    onTestFinished(() => local?.close());
    expect(() => openNativeLeases(optionsFor("both"))).toThrow(conflict);
  });

  it("is another replica once the last has left, who goes on with what was theirs until they close", () => {
    const before = open("again");
    hold(before, 3000);
    before.engine.keepDebt(1, "mine");
    expect([before.engine.leave(), before.engine.users]).toEqual([true, 0]);
    const after = open("again", { replica: "second" });
    expect([after.engine.replica, after.engine.lane, after.engine.users]).toEqual(["second", 0, 1]);
    expect(before.consume("hot", PRO, 1000, AT).code).toBe(0);
    expect(after.consume("hot", PRO, 1000, AT).code).toBe(LEASE_OUTCOME.ASK);
    before.engine.close();
    expect(before.consume("hot", PRO, 1000, AT).code).toBe(-6);
    expect([after.engine.inherit(), after.engine.users]).toEqual([[], 1]);
  });

  it("has those who stay inherit what one who closes still owes, and not before", () => {
    const [stays, goes] = [open("closes"), open("closes")];
    goes.engine.keepDebt(1, "not settled");
    expect([goes.engine.leave(), stays.engine.inherit()]).toEqual([false, []]);
    goes.engine.close();
    goes.engine.close();
    expect([stays.engine.inherit(), stays.engine.users]).toEqual([["not settled"], 1]);
  });

  it("stays with what is held and owed when the last lets go of it, for the next who opens it", () => {
    const before = open("left");
    hold(before, 3000);
    before.engine.keepDebt(1, "owed");
    before.engine.abandon();
    before.engine.abandon();
    before.engine.close();
    expect(before.consume("hot", PRO, 1000, AT).code).toBe(-6);
    const after = open("left", { replica: "second" });
    expect([after.engine.replica, after.engine.lane, after.engine.users]).toEqual(["first", 1, 1]);
    expect([after.engine.inherit(), after.engine.inherit()]).toEqual([["owed"], []]);
    expect(after.consume("hot", PRO, 3000, AT).code).toBe(0);
    expect(after.engine.leave()).toBe(true);
  });

  it("that nobody has any more gives way to who opens it with something else, who owes what it owed to the same store", () => {
    const before = open("gives way");
    before.engine.keepDebt(1, "owed");
    before.engine.abandon();
    const after = open("gives way", { replica: "second", maxKeys: 7 });
    expect([after.engine.replica, after.engine.lane, after.engine.users]).toEqual(["first", 1, 1]);
    expect(() => open("gives way")).toThrow(expect.objectContaining({ code: "ERR_NAME_CONFLICT" }));
    after.engine.keepDebt(1, "still owed");
    after.engine.abandon();
    const elsewhere = open("gives way", { replica: "third", agreement: "redis b" });
    expect([elsewhere.engine.replica, elsewhere.engine.lane]).toEqual(["third", 0]);
    expect(elsewhere.engine.inherit()).toEqual([]);
  });

  it("that is empty is shared with nobody", () => {
    const [one, other] = [open(""), open("")];
    hold(one, 3000);
    expect(other.consume("hot", PRO, 1000, AT).code).toBe(LEASE_OUTCOME.ASK);
    one.engine.keepDebt(1, "owed");
    expect([one.engine.users, other.engine.users, one.engine.leave()]).toEqual([1, 1, true]);
    one.engine.close();
    expect(other.engine.inherit()).toEqual([]);
  });
});
