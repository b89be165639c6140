import type { ServerResponse } from "node:http";
import { Webhook as Verifier } from "standardwebhooks";
import { describe, expect, it } from "vitest";
import { MemoryRecords } from "../../../../src/engine/records.js";
import { Courier, WAITS_MS } from "../../../../src/service/webhooks/courier.js";
import { CLAIM_MS, Deliveries, KEPT_MS } from "../../../../src/service/webhooks/deliveries.js";
import { eventOf } from "../../../../src/service/webhooks/event.js";
import { Receivers } from "../../../../src/service/webhooks/receiver.js";
import { Webhooks } from "../../../../src/service/webhooks/webhooks.js";
import { HookServer } from "./hook-server.js";

const HOUR_MS = 3_600_000;

/** Replicas that share records and a clock. */
function replicas(count: number) {
  const records = new MemoryRecords();
  const clock = { nowMs: Date.now() };
  const now = () => clock.nowMs;
  const receivers = new Receivers(["127.0.0.0/8"]);
  const webhooks = new Webhooks(records, receivers, now);
  const outcomes: string[] = [];
  const errors: unknown[] = [];
  const couriers = Array.from({ length: count }, (_, replica) => {
    const deliveries = new Deliveries(records, `replica${replica}`, now);
    const courier = new Courier({
      ...{ webhooks, deliveries, receivers, userAgent: "test/1", clock: now, random: () => 0.5 },
      onAttempt: (_pending, { outcome }, isGivenUp) => void outcomes.push(isGivenUp ? `${outcome}, given up` : outcome),
      onError: (error) => void errors.push(error),
    });
    return { courier, deliveries };
  });
  const [first] = couriers;
  if (first === undefined) throw new Error("there is none");
  const look = async () => {
    for (const { courier } of couriers) {
      await courier.look();
      await courier.settled();
    }
  };
  return { ...first, couriers, records, clock, webhooks, outcomes, errors, look };
}

const event = (account = "acme") =>
  eventOf("usage.threshold", [account, "month", "2026-11", 80], Date.UTC(2026, 10, 30), { account, threshold: 80 });

async function withHook(count = 1) {
  const hooks = await HookServer.start();
  const all = replicas(count);
  const webhook = await all.webhooks.create({ url: hooks.url, events: ["usage.threshold"] });
  return { hooks, webhook, ...all };
}

describe("an event", () => {
  it("is posted with a signature that another library verifies", async () => {
    const { hooks, webhook, courier } = await withHook();
    await courier.publish(event());
    await courier.settled();
    const [heard] = hooks.heard;
    expect(new Verifier(webhook.secret).verify(heard?.body ?? "", heard?.headers as never)).toEqual({
      type: "usage.threshold",
      timestamp: "2026-11-30T00:00:00.000Z",
      data: { account: "acme", threshold: 80 },
    });
    expect(heard?.headers["webhook-id"]).toBe(event().id);
    expect(() => new Verifier(webhook.secret).verify(`${heard?.body} `, heard?.headers as never)).toThrow();
  });

  it("that three replicas notice at once is posted once", async () => {
    const { hooks, couriers, look } = await withHook(3);
    await Promise.all(couriers.map(({ courier }) => courier.publish(event())));
    await Promise.all(couriers.map(({ courier }) => courier.settled()));
    await look();
    for (const { courier } of couriers) await courier.publish(event());
    await look();
    expect(hooks.heard).toHaveLength(1);
  });

  it("whose replica ends before it has posted it is posted by another, with the same id and body", async () => {
    const { hooks, couriers, webhooks, clock, look } = await withHook(3);
    const [dying] = couriers.splice(0, 1);
    // Written down and claimed, and then its process ends.
    await dying?.deliveries.add(
      event(),
      webhooks.list().map(({ id }) => id),
    );
    await look();
    expect(hooks.heard).toEqual([]);
    clock.nowMs += CLAIM_MS + 10_000;
    await look();
    await look();
    expect(hooks.heard.map(({ headers }) => headers["webhook-id"])).toEqual([event().id]);
  });

  it("goes to the webhooks that want its type, and are enabled", async () => {
    const { hooks, webhook, webhooks, courier } = await withHook();
    const other = await HookServer.start();
    await webhooks.create({ url: other.url, events: ["quota.exhausted"] });
    await webhooks.change(webhook.id, { enabled: false });
    await courier.publish(event());
    await webhooks.change(webhook.id, { enabled: true });
    await courier.publish(event("other"));
    await courier.settled();
    expect([hooks.heard.length, other.heard.length]).toEqual([1, 0]);
  });
});

describe("a delivery that fails", () => {
  it("is tried again after growing waits of three days in all, and then given up and kept", async () => {
    const { hooks, courier, deliveries, clock, look, outcomes, errors } = await withHook();
    hooks.answer = (response) => void response.writeHead(500).end();
    await courier.publish(event());
    await courier.settled();
    for (const [index, waitMs] of WAITS_MS.entries()) {
      clock.nowMs += waitMs - 1000;
      await look();
      expect(hooks.heard).toHaveLength(index + 1);
      clock.nowMs += 1000;
      await look();
      expect(hooks.heard).toHaveLength(index + 2);
    }
    expect(WAITS_MS.reduce((sum, waitMs) => sum + waitMs, 0)).toBeGreaterThan(72 * HOUR_MS);
    expect(outcomes.at(-1)).toBe("500, given up");
    expect(deliveries.counts).toEqual({ pending: 0, dead: 1 });
    const [dead] = deliveries.page(10, "", () => true);
    expect(dead).toMatchObject({ state: "dead", attempts: 10, outcome: "500", next: null });
    expect(new Set(hooks.heard.map(({ headers, body }) => `${headers["webhook-id"]} ${body}`)).size).toBe(1);
    expect(errors).toEqual([]);
  });

  it("is sent again when somebody asks, and forgotten after 35 days", async () => {
    const { hooks, courier, deliveries, clock, look, records } = await withHook();
    hooks.answer = (response) => void response.writeHead(410).end();
    await courier.publish(event());
    await courier.settled();
    const [dead] = deliveries.page(10, "", () => true);
    expect(await deliveries.redeliver(dead?.id ?? "")).toBe(true);
    expect(await deliveries.redeliver(dead?.id ?? "")).toBe(false);
    await look();
    clock.nowMs += KEPT_MS + 1000;
    await look();
    expect(records.list("webhook-delivery:")).toEqual([]);
  });

  it.each([
    ["a year", 300 * 24 * HOUR_MS],
    ["for ever", Number.POSITIVE_INFINITY],
  ])("is not forgotten while the same may be noticed again, which is %s", async (_, forMs) => {
    const { hooks, courier, couriers, clock, look, records } = await withHook(2);
    const yearly = { ...event(), untilMs: clock.nowMs + forMs };
    await courier.publish(yearly);
    await courier.settled();
    clock.nowMs += KEPT_MS + 1000;
    await look();
    // As a replica does that was started meanwhile.
    await couriers[1]?.courier.publish(yearly);
    await couriers[1]?.courier.settled();
    expect(hooks.heard).toHaveLength(1);
    clock.nowMs += 300 * 24 * HOUR_MS;
    await look();
    expect(records.list("webhook-delivery:")).toHaveLength(Number.isFinite(forMs) ? 0 : 1);
  });

  it.each<[name: string, answer: HookServer["answer"], outcome: RegExp]>([
    [
      "redirects inside",
      (response) => void response.writeHead(302, { location: "http://127.0.0.1:1/" }).end(),
      /^302, and redirects/,
    ],
    ["breaks off", (response) => void response.destroy(), /ECONNRESET/],
    [
      "wants another protocol",
      ({ socket }) =>
        void socket?.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: a\r\n\r\n"),
      /^101$/,
    ],
    ["refuses", (response) => void response.writeHead(404).end(), /^404$/],
  ])("where the receiver %s says so", async (_, answer, outcome) => {
    const { hooks, courier, deliveries } = await withHook();
    hooks.answer = answer;
    await courier.publish(event());
    await courier.settled();
    expect(deliveries.page(1, "", () => true)[0]).toMatchObject({ state: "pending", attempts: 1 });
    expect(deliveries.page(1, "", () => true)[0]?.outcome).toMatch(outcome);
    expect(hooks.heard).toHaveLength(1);
  });

  it.each<[after: string | ((nowMs: number) => string), waitMs: number]>([
    ["3600", HOUR_MS],
    ["999999999", 24 * HOUR_MS],
    ["Fri, 31 Dec 9999 23:59:59 GMT", 24 * HOUR_MS],
    [(nowMs) => new Date(Math.ceil(nowMs / 1000) * 1000 + HOUR_MS).toUTCString(), HOUR_MS],
    ["Thu, 01 Jan 1970 00:00:00 GMT", WAITS_MS[0]],
    ["Xyz, 99 Jan 2026 00:00:00 GMT", WAITS_MS[0]],
    ["-1", WAITS_MS[0]],
    ["soon", WAITS_MS[0]],
  ])("waits as long as the receiver wants, up to a day: %s", async (after, waitMs) => {
    const { hooks, courier, deliveries, clock } = await withHook();
    clock.nowMs = Math.ceil(clock.nowMs / 1000) * 1000;
    const wanted = typeof after === "string" ? after : after(clock.nowMs);
    hooks.answer = (response) => void response.writeHead(429, { "retry-after": wanted }).end();
    await courier.publish(event());
    await courier.settled();
    const next = Date.parse(deliveries.page(1, "", () => true)[0]?.next ?? "");
    expect(next - clock.nowMs).toBe(waitMs);
  });
});

describe("a receiver", () => {
  it("that answers a gigabyte is delivered to, and read no further than its status", async () => {
    const { hooks, courier, deliveries } = await withHook();
    let written = 0;
    hooks.answer = (response) => {
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(1 << 16))) written += 1 << 16;
      };
      response.on("drain", more).on("error", () => undefined);
      more();
    };
    await courier.publish(event());
    await courier.settled();
    expect(deliveries.page(1, "", () => true)[0]?.state).toBe("delivered");
    expect(written).toBeLessThan(64 << 20);
  });

  it("that is gone is told nothing more, until somebody enables it", async () => {
    const { hooks, webhook, webhooks, courier, deliveries } = await withHook();
    hooks.answer = (response) => void response.writeHead(410).end();
    await courier.publish(event());
    await courier.settled();
    expect(webhooks.get(webhook.id)).toMatchObject({
      enabled: false,
      disabled_because: "the receiver answered 410 Gone",
    });
    expect(deliveries.counts).toEqual({ pending: 0, dead: 1 });
    expect(await webhooks.change(webhook.id, { enabled: true })).toMatchObject({
      enabled: true,
      disabled_because: null,
    });
  });

  it("that never answers keeps no other one waiting", async () => {
    const { hooks, webhooks, courier } = await withHook();
    hooks.answer = () => undefined;
    const other = await HookServer.start();
    await webhooks.create({ url: other.url, events: ["usage.threshold"] });
    for (let account = 0; account < 40; account++) await courier.publish(event(`account ${account}`));
    await expect.poll(() => other.heard.length).toBe(40);
    expect(hooks.heard.length).toBe(4);
  });
});

describe("receivers that never answer", () => {
  it("keep none waiting, however many they are", async () => {
    const { hooks, webhooks, courier } = await withHook();
    hooks.answer = () => undefined;
    for (let more = 0; more < 4; more++) {
      await webhooks.create({ url: `${hooks.url}/${more}`, events: ["usage.threshold"] });
    }
    const other = await HookServer.start();
    await webhooks.create({ url: other.url, events: ["usage.threshold"] });
    for (let account = 0; account < 8; account++) await courier.publish(event(`account ${account}`));
    await expect.poll(() => other.heard.length).toBe(8);
  });

  it("keep nobody waiting whose delivery is tried again", async () => {
    const { hooks, webhooks, courier, clock } = await withHook();
    const other = await HookServer.start();
    hooks.answer = other.answer = (response) => void response.writeHead(503).end();
    for (let account = 0; account < 200; account++) await courier.publish(event(`account ${account}`));
    await courier.settled();
    await webhooks.create({ url: other.url, events: ["usage.threshold"] });
    clock.nowMs += 10;
    await courier.publish(event("acme"));
    await courier.settled();
    expect(other.heard).toHaveLength(1);
    hooks.answer = () => undefined;
    clock.nowMs += WAITS_MS[0];
    await courier.look();
    await expect.poll(() => other.heard.length).toBe(2);
  });

  it("are not begun with so late that another would begin as well", async () => {
    const { hooks, courier, clock } = await withHook();
    const open: ServerResponse[] = [];
    hooks.answer = (response) => void open.push(response);
    for (let account = 0; account < 5; account++) await courier.publish(event(`account ${account}`));
    await expect.poll(() => open.length).toBe(4);
    // The fifth is claimed still, and would not be for as long as an attempt takes.
    clock.nowMs += CLAIM_MS - 1;
    for (const response of open) response.end();
    await courier.settled();
    expect(hooks.heard).toHaveLength(4);
    clock.nowMs += 1;
    await courier.look();
    await expect.poll(() => open.length).toBe(5);
    open[4]?.end();
    await courier.settled();
  });

  it("are looked for once, by whoever looks at the same moment", async () => {
    const { hooks, courier, clock } = await withHook();
    hooks.answer = (response) => void response.writeHead(503).end();
    await courier.publish(event());
    await courier.settled();
    clock.nowMs += WAITS_MS[0];
    await Promise.all([courier.look(), courier.look()]);
    await courier.settled();
    expect(hooks.heard).toHaveLength(2);
  });
});

describe("a secret", () => {
  it("is rotated without a delivery that the old or the new one refuses", async () => {
    const { hooks, webhook, webhooks, courier, clock } = await withHook();
    const rotated = await webhooks.rotate(webhook.id, HOUR_MS);
    await courier.publish(event("in between"));
    await courier.settled();
    const verify = (secret = "", index = 0) =>
      new Verifier(secret).verify(hooks.heard[index]?.body ?? "", hooks.heard[index]?.headers as never);
    expect(verify(webhook.secret)).toEqual(verify(rotated?.secret));
    clock.nowMs += HOUR_MS;
    expect(webhooks.get(webhook.id)?.previous_secret_until).toBeNull();
    expect(webhooks.secrets(webhook.id)).toEqual([rotated?.secret]);
  });

  it("that is rotated twice is good for as long as was said when it was rotated first", async () => {
    const { webhook, webhooks, clock } = await withHook();
    const second = await webhooks.rotate(webhook.id, 2 * HOUR_MS);
    const third = await webhooks.rotate(webhook.id, HOUR_MS);
    expect(webhooks.secrets(webhook.id)).toEqual([third?.secret, second?.secret, webhook.secret]);
    const until = new Date(clock.nowMs + 2 * HOUR_MS).toISOString();
    expect(webhooks.get(webhook.id)?.previous_secret_until).toBe(until);
    clock.nowMs += HOUR_MS;
    expect(webhooks.secrets(webhook.id)).toEqual([third?.secret, webhook.secret]);
    for (let more = 0; more < 8; more++) await webhooks.rotate(webhook.id, HOUR_MS);
    expect(webhooks.secrets(webhook.id)).toHaveLength(5);
    const last = await webhooks.rotate(webhook.id, 0);
    expect(webhooks.secrets(webhook.id)).toEqual([last?.secret]);
  });
});

/** Records that are written as late as those of a server are. */
class LateRecords extends MemoryRecords {
  override async put(name: string, value: string | undefined): Promise<void> {
    await new Promise(setImmediate);
    await super.put(name, value);
  }
}

describe("webhooks", () => {
  it("are at most 20, also if all are made at once", async () => {
    const webhooks = new Webhooks(new LateRecords(), new Receivers());
    const wanted = { url: "https://example.com/", events: ["webhook.test" as const] };
    const made = await Promise.allSettled(Array.from({ length: 40 }, () => webhooks.create(wanted)));
    expect(made.filter(({ status }) => status === "fulfilled")).toHaveLength(20);
    expect(webhooks.list()).toHaveLength(20);
  });
});
