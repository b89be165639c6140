import type { SimulatedTime } from "../../bench/simulated-time.js";
import { SharedLimiter, type SharedSettings } from "../../src/shared/shared-limiter.js";
import type { Link } from "../../src/store/protocol.js";

/** A limiter on a simulated store, with one tier of one quota, that asks for every call; or with what differs. */
export function limiterOn(link: Link, time: SimulatedTime, differs: Partial<SharedSettings> = {}): SharedLimiter {
  return new SharedLimiter({
    tiers: { paid: { limits: [{ name: "day", type: "quota", limit: 100, period: "day" }] } },
    maxKeys: 10,
    mode: "exact",
    leaseMs: 1000,
    timeoutMs: 50,
    policies: { bucket: "share", quota: "share" },
    clock: undefined,
    link,
    runtime: time.runtime(),
    ...differs,
  });
}
