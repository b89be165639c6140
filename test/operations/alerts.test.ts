import { afterAll, beforeAll, expect, test } from "vitest";
import { ruleGroups } from "../../scripts/operations/rules.mjs";
import { type Scene, startScene, until } from "../../scripts/operations/scene.mjs";
import { ROOT } from "./checkout.js";

let scene: Scene;
beforeAll(async () => {
  // As deployed, but for their patience: promtool's tests are about that.
  const groups = Object.values(ruleGroups(ROOT)).flat();
  const impatient = groups.map((group) => ({ ...group, rules: group.rules.map((rule) => ({ ...rule, for: "1s" })) }));
  scene = await startScene(impatient);
});
afterAll(() => scene.stop());

test("RateLimitingRedisDown fires once Redis has stopped, and the app's own alert with it", async () => {
  expect(await scene.firing()).not.toContain("RateLimitingRedisDown");
  await scene.stopRedis();
  await until("both fire", async () => {
    const firing = await scene.firing();
    return ["RateLimitingRedisDown", "TollkeeperStoreCircuitOpen"].every((alert) => firing.includes(alert));
  });
});
