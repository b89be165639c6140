import { JsLeases } from "../../../src/engine/js-leases.js";
import type { LeaseEngine, LeaseEngineOptions } from "../../../src/engine/lease-engine.js";
import { openNativeLeases } from "../../../src/engine/native-leases.js";
import type { Tiers } from "../../../src/engine/spec.js";

const OPTIONS = { name: "", agreement: "", maxKeys: 1000, leaseMs: 1000, timeoutMs: 50, replica: "r1" } as const;

/** Opens each engine of leases with a table of its own. */
export const OPEN: Record<"native" | "js", (tiers: Tiers, options?: Partial<LeaseEngineOptions>) => LeaseEngine> = {
  native(tiers, options) {
    const opened = openNativeLeases({ ...OPTIONS, tiers, ...options });
    if (opened.engine === undefined) throw new Error(opened.reason);
    return opened.engine;
  },
  js: (tiers, options) => JsLeases.open({ ...OPTIONS, tiers, ...options }),
};
