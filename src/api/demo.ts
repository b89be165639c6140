import type { ApiKeys } from "./keys.js";

/** Tiers that get a demo account, in the order in which their keys are shown. */
const DEMO_TIERS = ["free", "pro", "enterprise", "partner"] as const;

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
  // Without the keys that there are it can't be told whether there are any.
  if (when === "never" || !keys.isFresh || (when === "once" && !(await keys.isFirst()))) return [];
  const made: DemoKey[] = [];
  for (const tier of DEMO_TIERS) {
    const account = `demo-${tier}`;
    await keys.revokeAccount(account);
    await keys.accounts.setTier(account, tier);
    const { key } = await keys.create("demo", { account, scopes: ["fingerprint"] });
    made.push({ tier, key });
  }
  return made;
}
