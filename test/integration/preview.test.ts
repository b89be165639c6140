import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { readConfiguration } from "../../src/service/config/read.js";
import { identify, startService } from "./service.js";

/** A file with a configuration. */
function fileOf(yaml: string): { RATE_LIMIT_CONFIG: string } {
  const folder = mkdtempSync(join(tmpdir(), "prices-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const RATE_LIMIT_CONFIG = join(folder, "tollkeeper.yaml");
  writeFileSync(RATE_LIMIT_CONFIG, yaml);
  return { RATE_LIMIT_CONFIG };
}

const PRICES = `
prices:
  pro:
    currency: EUR
    monthlyFee: "30"
    meters:
      identify: { model: per_unit, unitAmount: "0.10", included: 1, overage: { model: per_unit, unitAmount: "0.50" } }
tiers:
  pro:
    limits:
      - { name: month, type: quota, limit: 3, period: month, overage: { max: 2 } }
`;

it("previews an account's month by its plans and the prices of the configuration, overage apart", async () => {
  const { app, admin, pro, reader } = await startService(fileOf(PRICES));
  for (let call = 0; call < 5; call++) expect((await app.inject(identify(pro))).statusCode).toBe(200);
  expect((await app.inject(identify(pro))).statusCode).toBe(429);
  const preview = (key: string, at = "") =>
    app.inject({ url: `/api/v1/accounts/test-pro/preview${at}`, headers: { authorization: `Bearer ${key}` } });
  expect((await preview(reader)).statusCode).toBe(403);
  const told = (await preview(admin)).json();
  expect(told).toMatchObject({ account: "test-pro", complete: false, plans: [{ plan: "pro" }], unpriced: [] });
  const [fee, usage, overage] = told.lines;
  expect(fee).toMatchObject({ kind: "fee", plan: "pro", meter: null });
  expect(usage).toMatchObject({ kind: "usage", quantity: "3", currency: "EUR" });
  expect(overage).toMatchObject({ kind: "overage", quantity: "2", amount: "1.00" });
  expect((await preview(admin, "?at=2020-01-01")).json().totals).toEqual([]);
  expect((await preview(admin, "?at=never")).json()).toMatchObject({ code: "report_invalid" });
});

it("takes the limits of the account's own for what is overage", async () => {
  const { app, admin, pro, keys } = await startService(fileOf(PRICES));
  const linesOf = async () => {
    const headers = { authorization: `Bearer ${admin}` };
    const { lines } = (await app.inject({ url: "/api/v1/accounts/test-pro/preview", headers })).json();
    return lines.flatMap(({ kind, quantity }: { kind: string; quantity: string }) =>
      kind === "fee" ? [] : [`${kind} ${quantity}`],
    );
  };
  for (let call = 0; call < 5; call++) expect((await app.inject(identify(pro))).statusCode).toBe(200);
  expect(await linesOf()).toEqual(["usage 3", "overage 2"]);
  await keys.accounts.setOverrides("test-pro", { month: { limit: 4 } });
  expect(await linesOf()).toEqual(["usage 4", "overage 1"]);
  await keys.accounts.setOverrides("test-pro", { month: { overage: null } });
  expect(await linesOf()).toEqual(["usage 5"]);
});

it("tells a plan that was left in the month from the next one", async () => {
  const { app, admin, free, keys, clock } = await startService(fileOf(PRICES));
  expect((await app.inject(identify(free))).statusCode).toBe(200);
  clock.nowMs += 86_400_000;
  await keys.accounts.setTier("test-free", "pro");
  const headers = { authorization: `Bearer ${admin}` };
  const { plans, unpriced } = (await app.inject({ url: "/api/v1/accounts/test-free/preview", headers })).json();
  expect(plans.map(({ plan }: { plan: string }) => plan)).toEqual(["free", "pro"]);
  expect(unpriced).toEqual([{ plan: "free", meter: "identify", quantity: "1" }]);
});

it.each<[what: string, yaml: string, message: RegExp]>([
  [
    "a plan that there is not",
    "prices:\n  gold: { currency: EUR }",
    /:2: prices\.gold is of no plan; it may be one of free, pro/,
  ],
  [
    "a meter that there is not",
    "prices:\n  pro:\n    currency: EUR\n    meters: { search: { model: per_unit, unitAmount: '1' } }",
    /prices\.pro\.meters\.search/,
  ],
  [
    "a negative price",
    "prices:\n  pro:\n    currency: EUR\n    monthlyFee: '-1'",
    /:4: prices\.pro\.monthlyFee is "-1"; it may be/,
  ],
  ["no mapping", "prices: 5", /prices is 5; it may be a mapping of prices by plan/],
])("refuses prices with %s, and says where", (_, yaml, message) => {
  expect(() => readConfiguration(fileOf(yaml))).toThrow(message);
});
