/** What the service has served, as reports and metrics tell it: by meter, plan and account, and of no address. */
import { describe, expect, it } from "vitest";
import { batch, compare, identify, startService, type TestService } from "./service.js";

const NOVEMBER = "from=2026-11-01&to=2026-12-01";

async function get({ app }: TestService, url: string, key: string) {
  const { statusCode, body } = await app.inject({ url, headers: { authorization: `Bearer ${key}` } });
  expect(statusCode, body).toBe(200);
  return JSON.parse(body);
}

/** Some calls of each kind; returns once all are counted. */
async function startUsed(): Promise<TestService> {
  const service = await startService({ RATE_LIMIT_IP_FALLBACK_LIMIT: "2" });
  const { app, free, pro, enterprise } = service;
  const unversioned = { ...identify(free), url: "/identify" };
  const broken = { ...identify(free), payload: { fingerprint: 17 } };
  const calls = [
    identify(free),
    unversioned,
    compare(free),
    batch(3, free),
    broken,
    compare(pro),
    identify(enterprise),
  ];
  for (const call of calls) await app.inject(call);
  for (const address of ["198.51.100.1", "198.51.100.2", "198.51.100.2", "198.51.100.2"]) {
    await app.inject(identify(undefined, address));
  }
  await expect
    .poll(async () => (await get(service, `/api/v1/usage?${NOVEMBER}&by=month&group=`, service.admin)).items)
    .toMatchObject([{ calls: 9, denied: 1 }]);
  return service;
}

describe("what was served", () => {
  it("is told of an account, by meter, whichever address a route was called by", async () => {
    const service = await startUsed();
    const report = await get(service, `/api/v1/accounts/test-free/usage?${NOVEMBER}&by=month`, service.admin);
    const month = { from: "2026-11-01T00:00:00.000Z", to: "2026-12-01T00:00:00.000Z" };
    expect(report).toEqual({
      account: "test-free",
      ...month,
      by: "month",
      complete: false,
      bound: { calls: 0, units: 0 },
      items: [
        { ...month, meter: "batch", calls: 1, units: 3, denied: 0, refunded: 0, revision: 0 },
        { ...month, meter: "compare", calls: 1, units: 2, denied: 0, refunded: 0, revision: 0 },
        { ...month, meter: "identify", calls: 2, units: 2, denied: 0, refunded: 1, revision: 0 },
      ],
      next: null,
    });
  });

  it("is told to the account itself, by any of its keys", async () => {
    const service = await startUsed();
    const own = await get(service, `/v1/usage?${NOVEMBER}&by=month`, service.free);
    expect(own).toEqual(await get(service, `/api/v1/accounts/test-free/usage?${NOVEMBER}&by=month`, service.admin));
    expect((await get(service, `/v1/usage?${NOVEMBER}&by=month`, service.enterprise)).items).toMatchObject([
      { meter: "identify", calls: 1, units: 1 },
    ]);
  });

  it("is told of all accounts, and of callers without one together, by plan", async () => {
    const service = await startUsed();
    const { items } = await get(service, `/api/v1/usage?${NOVEMBER}&by=month&group=account,plan`, service.admin);
    const told = items.map(({ account, plan, calls, denied }: Record<string, unknown>) => [
      account,
      plan,
      calls,
      denied,
    ]);
    expect(told).toEqual([
      [null, "anonymous", 3, 1],
      ["test-enterprise", "enterprise", 1, 0],
      ["test-free", "free", 4, 0],
      ["test-pro", "pro", 1, 0],
    ]);
  });

  it("is told part by part, and the sum of its hours is that of its days and of the month", async () => {
    const service = await startUsed();
    const sumOf = async (query: string): Promise<number[]> => {
      const sum = [0, 0, 0, 0];
      for (let after = ""; ; ) {
        const page = await get(service, `/api/v1/usage?${NOVEMBER}&${query}&limit=2&after=${after}`, service.admin);
        expect(page.items.length).toBeLessThanOrEqual(2);
        for (const { calls, units, denied, refunded } of page.items) {
          for (const [index, number] of [calls, units, denied, refunded].entries())
            sum[index] = (sum[index] ?? 0) + number;
        }
        if (page.next === null) return sum;
        after = page.next;
      }
    };
    for (const by of ["hour", "day", "month"]) {
      for (const group of ["", "account", "account,meter", "account,meter,plan", "meter"]) {
        expect(await sumOf(`by=${by}&group=${group}`), `${by} ${group}`).toEqual([9, 13, 1, 1]);
      }
    }
  });

  it("is told of the largest, by tokens or calls, of a meter or all", async () => {
    const service = await startUsed();
    const namesOf = async (query: string) => {
      const { items } = await get(service, `/api/v1/usage/top?${NOVEMBER}&${query}`, service.admin);
      return items.map(({ account }: { account: string | null }) => account);
    };
    expect(await namesOf("size=2")).toEqual(["test-free", null]);
    expect(await namesOf("meter=compare")).toEqual(["test-free", "test-pro"]);
    expect(await namesOf("meter=identify&by=calls&size=1")).toEqual([null]);
  });

  it("is told by months that begin on the account's own day", async () => {
    const service = await startUsed();
    const path = "/api/v1/accounts/test-free";
    const authorization = `Bearer ${service.admin}`;
    const payload = { anchorDay: 10 };
    const changed = await service.app.inject({ method: "PATCH", url: path, payload, headers: { authorization } });
    expect(changed.statusCode, changed.body).toBe(200);
    const asked = "from=2026-10-01&to=2026-12-31&by=month&group=";
    const from = async (url: string, key: string) => (await get(service, url, key)).items[0].from;
    expect(await from(`${path}/usage?${asked}`, service.admin)).toBe("2026-11-10T00:00:00.000Z");
    expect(await from(`/v1/usage?${asked}`, service.free)).toBe("2026-11-10T00:00:00.000Z");
    expect(await from(`${path}/usage?${asked}&anchorDay=1`, service.admin)).toBe("2026-11-01T00:00:00.000Z");
  });

  it("is told as metrics, of meters and no account, and holds no address", async () => {
    const service = await startUsed();
    const { body } = await service.app.inject("/metrics");
    expect(body).toContain('tollkeeper_ledger_counted_total{meter="identify",outcome="served"} 6');
    expect(body).toContain('tollkeeper_ledger_counted_total{meter="identify",outcome="denied"} 1');
    expect(body).toContain('tollkeeper_ledger_counted_total{meter="identify",outcome="refunded"} 1');
    expect(body).toMatch(/^tollkeeper_ledger_cells [1-9]/m);
    const all = await get(
      service,
      `/api/v1/usage?${NOVEMBER}&by=hour&group=account,meter,plan&limit=1000`,
      service.admin,
    );
    expect(`${body}${JSON.stringify(all)}`).not.toContain("198.51.100");
  });
});

it("is not counted where that is turned off, and there are no routes of it", async () => {
  const service = await startService({ RATE_LIMIT_USAGE: "off" });
  expect((await service.app.inject(identify(service.free))).statusCode).toBe(200);
  for (const url of ["/v1/usage", "/api/v1/usage", "/api/v1/usage/top", "/api/v1/accounts/test-free/usage"]) {
    const answer = await service.app.inject({ url, headers: { authorization: `Bearer ${service.admin}` } });
    expect([answer.statusCode, answer.json().code], url).toEqual([404, "not_found"]);
  }
  expect((await service.app.inject("/metrics")).body).not.toContain("tollkeeper_ledger");
});

it("is asked for by nobody without an account, and by none too often", async () => {
  const service = await startService();
  const answer = await service.app.inject("/v1/usage");
  expect([answer.statusCode, answer.json().code]).toEqual([401, "authentication_required"]);
  const look = { url: "/v1/usage", headers: { authorization: `Bearer ${service.free}` } };
  const statuses: number[] = [];
  for (let looks = 0; looks < 61; looks++) statuses.push((await service.app.inject(look)).statusCode);
  expect(statuses).toEqual([...Array(60).fill(200), 429]);
});

describe.each([
  ["free", [4, 2, 1]],
  ["charged", [4, 4, 4]],
] as const)("items of a batch that fail are %s", (batchFailedItems, costs) => {
  it("by the configuration, but for one of each batch", async () => {
    const service = await startService({ RATE_LIMIT_BATCH_FAILED_ITEMS: batchFailedItems });
    const { app, free, limiter } = service;
    for (const [index, failing] of [0, 2, 4].entries()) {
      const call = batch(4, free);
      const { items: good } = call.payload as { items: object[] };
      const items = good.map((item, at) => (at < failing ? { ...item, fingerprint: 17 } : item));
      const answer = await app.inject({ ...call, payload: { items } });
      expect(answer.json()).toMatchObject({ cost: costs[index] });
      expect(answer.json().results.filter((result: object) => "problem" in result)).toHaveLength(failing);
    }
    const paid = costs.reduce<number>((sum, cost) => sum + cost, 0);
    const left = await limiter.peek("acct:test-free", "free", 0);
    expect(left.limits.map(({ limit, remaining }) => limit - remaining)).toEqual([paid, paid]);
    await expect
      .poll(async () => (await get(service, `/api/v1/usage?${NOVEMBER}&by=month`, service.admin)).items)
      .toMatchObject([{ meter: "batch", calls: 3, units: paid, refunded: 12 - paid }]);
  });
});
