import type { SimulatedTime } from "../../bench/simulated-time.js";
import { JsLeases } from "../../src/engine/js-leases.js";
import { splitTiers } from "../../src/engine/shadow-tiers.js";
import type { Tiers } from "../../src/index.js";
import { SharedLimiter, type SharedSettings } from "../../src/shared/shared-limiter.js";
import type { Link } from "../../src/store/protocol.js";
import type { Spoil } from "./engine-mutations.js";

/** What may differ in a limiter on a simulated store. */
export interface Differs extends Partial<Omit<SharedSettings, "engine">> {
  readonly tiers?: Tiers;
  /** Breaks the engine of leases. */
  readonly spoil?: Spoil;
}

/** A limiter on a simulated store, with one tier of one quota, that asks for every call; or with what differs. */
export function limiterOn(link: Link, time: SimulatedTime, { spoil, ...differs }: Differs = {}): SharedLimiter {
  const {
    tiers = { paid: { limits: [{ name: "day", type: "quota", limit: 100, period: "day" }] } },
    maxKeys = 10,
    leaseMs = 1000,
    timeoutMs = 50,
    ...others
  } = differs;
  const engine = JsLeases.open({
    name: "",
    agreement: "",
    tiers: splitTiers(tiers),
    ...{ maxKeys, leaseMs, timeoutMs, replica: "replica" },
  });
  return new SharedLimiter({
    engine: spoil?.(engine, {}, leaseMs) ?? engine,
    ...{ maxKeys, mode: "exact", leaseMs, timeoutMs, link },
    policies: { bucket: "share", quota: "share", concurrency: "share" },
    clock: undefined,
    runtime: time.runtime(),
    ...others,
  });
}
