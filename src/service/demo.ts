import { DEMO_TIERS, demoAccount } from "./management/account.js";
import type { ApiKeys } from "./management/api-keys.js";

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
    const account = demoAccount(tier);
    await keys.revokeAccount(account);
    await keys.accounts.setTier(account, tier);
    await keys.accounts.setState(account, "active");
    const { key } = await keys.create("demo", { account, scopes: ["fingerprint"] });
    made.push({ tier, key });
  }
  return made;
}

/** How many demo keys are stored that were not revoked, whether they are taken or not. */
export function storedDemoKeys(keys: ApiKeys): number {
  return DEMO_TIERS.reduce((count, tier) => count + keys.live(demoAccount(tier)), 0);
}
