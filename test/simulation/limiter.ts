import type { SimulatedTime } from "../../bench/simulated-time.js";
import { JsLeases } from "../../src/engine/js-leases.js";
import type { LeaseEngine } from "../../src/engine/lease-engine.js";
import { splitTiers } from "../../src/engine/shadow-tiers.js";
import type { Tiers } from "../../src/index.js";
import { SharedLimiter, type SharedSettings } from "../../src/shared/shared-limiter.js";
import type { Link } from "../../src/store/protocol.js";

const PAID: Tiers = { paid: { limits: [{ name: "day", type: "quota", limit: 100, period: "day" }] } };

/** What a replica of a simulation holds. */
export function leasesOf(
  tiers: Tiers,
  settings: Pick<SharedSettings, "leaseMs" | "timeoutMs" | "maxKeys">,
): LeaseEngine {
  return JsLeases.open({ name: "", agreement: "", tiers: splitTiers(tiers), replica: "simulated", ...settings });
}

/** A limiter on a simulated store, with one tier of one quota, that asks for every call; or with what differs. */
export function limiterOn(
  link: Link,
  time: SimulatedTime,
  { tiers = PAID, ...differs }: Partial<SharedSettings> & { tiers?: Tiers } = {},
): SharedLimiter {
  const settings = { maxKeys: 10, leaseMs: 1000, timeoutMs: 50, ...differs };
  return new SharedLimiter({
    engine: leasesOf(tiers, settings),
    mode: "exact",
    policies: { bucket: "share", quota: "share" },
    clock: undefined,
    link,
    runtime: time.runtime(),
    ...settings,
  });
}
