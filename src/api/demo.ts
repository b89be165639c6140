import type { ApiKeys } from "./keys.js";

/** Tiers that get a demo account, in the order in which their keys are shown. */
export const DEMO_TIERS = ["free", "pro", "enterprise", "partner"] as const;

/** A demo key, shown once. */
export interface DemoKey {
  tier: string;
  key: string;
}

/**
 * Makes an account and a key for each tier, `demo-free` and so on: where there are no keys yet (`once`), or in any case,
 * and then the demo accounts' older keys are revoked (`new`).
 *
 * @returns The keys made; empty if none were.
 */
export async function makeDemoKeys(keys: ApiKeys, when: "once" | "new" | "never"): Promise<DemoKey[]> {
  if (when === "never" || (when === "once" && !keys.isEmpty)) return [];
  const made: DemoKey[] = [];
  for (const tier of DEMO_TIERS) {
    const account = `demo-${tier}`;
    await keys.revokeAccount(account);
    made.push({ tier, key: await keys.create("demo", { account, tier, scopes: ["fingerprint"] }) });
  }
  return made;
}
