import { describe, expect, it } from "vitest";
import { createLimiter } from "../../../../src/index.js";
import { QuotaWatch } from "../../../../src/service/alerts/quota-watch.js";
import { TrialWatch } from "../../../../src/service/alerts/trial-watch.js";
import type { Event } from "../../../../src/service/webhooks/event.js";

const NOON = Date.UTC(2026, 10, 30, 12);
const DAY_MS = 86_400_000;

/** A watch of accounts on a plan of 10 a month and 1,000 a minute. */
function watched(thresholds = [80, 100], overage?: { max: number }) {
  const clock = { nowMs: NOON };
  const limiter = createLimiter({
    tiers: {
      free: {
        limits: [
          { name: "minute", type: "bucket", limit: 1000, windowSeconds: 60, burst: 1 },
          { name: "month", type: "quota", limit: 10, period: "month", ...(overage && { overage }) },
        ],
      },
    },
    engine: "js",
    clock: () => clock.nowMs,
  });
  const published: Event[] = [];
  let fault: Error | undefined;
  const watch = new QuotaWatch(
    () => thresholds,
    async (event) => {
      if (fault !== undefined) throw fault;
      published.push(event);
    },
  );
  const consume = (account: string, cost = 1) => limiter.consume(`acct:${account}`, "free", cost);
  const call = (account: string, cost = 1, isShadow = false) => watch.note(account, consume(account, cost), isShadow);
  const told = () => published.map(({ type, data }) => `${type} ${data["account"]} ${data["threshold"] ?? ""}`.trim());
  const fail = (error: Error | undefined) => {
    fault = error;
  };
  return { clock, watch, consume, call, told, published, fail };
}

describe("a quota", () => {
  it("is told of at each threshold once, whatever the steps, and when it denies", async () => {
    const { watch, call, told, published } = watched();
    call("acme", 7.999);
    await watch.look();
    expect(told()).toEqual([]);
    call("acme", 0.001);
    call("acme", 0.5);
    await watch.look();
    call("acme");
    await watch.look();
    expect(told()).toEqual(["usage.threshold acme 80"]);
    expect(published[0]?.untilMs).toBe(Date.UTC(2026, 11));
    expect(published[0]?.data).toEqual({
      ...{ account: "acme", plan: "free", limit_name: "month", limit: 10, used: 8.5, threshold: 80 },
      period_end: "2026-12-01T00:00:00.000Z",
    });
    call("acme", 0.5);
    await watch.look();
    for (let again = 0; again < 3; again++) {
      call("acme");
      await watch.look();
    }
    expect(told()).toEqual(["usage.threshold acme 80", "usage.threshold acme 100", "quota.exhausted acme"]);
  });

  it("is told of at several thresholds at once where one call passes them, and anew in the next period", async () => {
    const { clock, watch, call, told } = watched();
    call("acme", 10);
    await watch.look();
    clock.nowMs += DAY_MS;
    call("acme", 1);
    await watch.look();
    expect(told()).toEqual(["usage.threshold acme 80", "usage.threshold acme 100"]);
    call("acme", 9);
    await watch.look();
    expect(told()).toHaveLength(4);
  });

  it("goes on into its overage, of which is told when it begins, and denies at its end", async () => {
    const { watch, call, told, published } = watched([100, 120], { max: 2 });
    for (const cost of [10, 0.5, 1.5, 1]) {
      call("acme", cost);
      await watch.look();
    }
    expect(told()).toEqual([
      "usage.threshold acme 100",
      "usage.overage_started acme",
      "usage.threshold acme 120",
      "quota.exhausted acme",
    ]);
    expect(published.map(({ data }) => data["used"])).toEqual([10, 10.5, 12, 12]);
  });

  it("that has denied is told of, also if a cheaper call passes before it is looked at", async () => {
    const { watch, call, told } = watched([]);
    call("acme", 6);
    call("acme", 6);
    call("acme", 1);
    await watch.look();
    expect(told()).toEqual(["quota.exhausted acme"]);
  });

  it("that denies in shadow mode is not told of as one that denies", async () => {
    const { watch, call, told } = watched([80]);
    call("acme", 9, true);
    call("acme", 2, true);
    await watch.look();
    expect(told()).toEqual(["usage.threshold acme 80"]);
  });

  it("that denies until other replicas give something back is not told of as one that denies till its period ends", async () => {
    const { watch, consume, told } = watched([]);
    consume("acme", 10);
    const { allowed, deniedBy, limits, tier, tierSpec, clockMs } = consume("acme");
    watch.note("acme", { allowed, deniedBy, limits, tier, tierSpec, clockMs, isProvisional: true });
    await watch.look();
    expect(told()).toEqual([]);
  });

  it("is told of later where it can't be told of now", async () => {
    const { watch, call, told, fail } = watched();
    call("acme", 8);
    call("other", 8);
    fail(new Error("the records are away"));
    await expect(watch.look()).rejects.toThrow("the records are away");
    fail(undefined);
    await watch.look();
    await watch.look();
    expect(told().sort()).toEqual(["usage.threshold acme 80", "usage.threshold other 80"]);
  });

  it("is told of by what came last, also if that came while it could not be told of", async () => {
    const { watch, call, told, fail } = watched();
    call("acme", 8);
    fail(new Error("the records are away"));
    const looked = watch.look();
    call("acme", 2);
    await expect(looked).rejects.toThrow("the records are away");
    fail(undefined);
    await watch.look();
    expect(told()).toEqual(["usage.threshold acme 80", "usage.threshold acme 100"]);
  });

  it("has the same id on every replica", async () => {
    const [one, other] = [watched(), watched()];
    for (const { watch, call, clock } of [one, other]) {
      clock.nowMs += Math.random() * 1000;
      call("acme", 8);
      await watch.look();
    }
    expect(one.published.map(({ id }) => id)).toEqual(other.published.map(({ id }) => id));
  });
});

describe("a change of plan", () => {
  it("is told of some days before, once it is near, and not when it is over", async () => {
    const at = new Date(NOON).toISOString();
    const items = [
      { name: "acme", tier: "trial", scheduled: { plan: "free", at } },
      { name: "other", tier: "pro", scheduled: null },
    ];
    const told: string[] = [];
    const watch = new TrialWatch(
      (size, after) => {
        const part = items.filter(({ name }) => name > after).slice(0, 1);
        return { items: part, next: part[0]?.name === "acme" && size > 0 ? "acme" : null };
      },
      3,
      async ({ id, type, data }) => void told.push(`${id} ${type} ${data["account"]}`),
    );
    for (const days of [4, 3, 1, 0, -1]) await watch.look(NOON - days * DAY_MS);
    expect(told).toHaveLength(1);
    expect(told[0]).toMatch(/^evt_\w+ trial.ending acme$/);
  });
});
