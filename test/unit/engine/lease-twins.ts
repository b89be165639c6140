import { JsLeases } from "../../../src/engine/js-leases.js";
import type { LeaseEngine, LeaseEngineOptions } from "../../../src/engine/lease-engine.js";
import type { Tiers } from "../../../src/engine/spec.js";

/** How the engines under test are made. */
export const OPTIONS = { name: "", agreement: "", maxKeys: 1000, leaseMs: 1000, timeoutMs: 50, replica: "r1" } as const;

/** The engines of leases, each with a table of its own. */
export const OPEN: Record<"native" | "js", (tiers: Tiers, options?: Partial<LeaseEngineOptions>) => LeaseEngine> = {
  native: (tiers, options) => JsLeases.open({ ...OPTIONS, tiers, ...options }),
  js: (tiers, options) => JsLeases.open({ ...OPTIONS, tiers, ...options }),
};
