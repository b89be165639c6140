import type { Tiers } from "tollkeeper";
import type { z } from "zod";
import { ServiceError } from "../errors.js";
import { type Account, limiterKeyOf } from "./account.js";
import type { accountChange, deletedAccount, newAccount } from "./account-schemas.js";
import type { ApiKeys } from "./api-keys.js";

/** What is changed, and by which tiers. */
export interface AccountPlaces {
  keys: ApiKeys;
  tiers: Tiers;
  /** Forgets what the limiter has counted of a key. */
  reset(key: string): Promise<void> | void;
}

/** @throws {ServiceError} as `Accounts.create` does; `ERR_TIER_UNKNOWN` */
export async function createAccount(
  { keys, tiers }: AccountPlaces,
  { account, plan, then: scheduled, ...profile }: z.infer<typeof newAccount>,
): Promise<Account> {
  checkPlans([plan, scheduled?.plan], tiers);
  return keys.accounts.create(account, { plan, scheduled, ...profile });
}

/** @throws {ServiceError} as `Accounts.change` does; `ERR_TIER_UNKNOWN` */
export async function changeAccount(
  { keys, tiers }: AccountPlaces,
  account: string,
  { plan, then: scheduled, anchorDay, ...profile }: z.infer<typeof accountChange>,
): Promise<Account> {
  checkPlans([plan, scheduled?.plan], tiers);
  const day = anchorDay === null ? 1 : anchorDay;
  return keys.accounts.change(account, { plan, scheduled, anchorDay: day, ...profile });
}

/** Ends an account whose name stays taken: none of its calls are served, its keys are revoked. */
export async function archiveAccount({ keys }: AccountPlaces, account: string): Promise<Account> {
  const archived = await keys.accounts.setState(account, "archived");
  await keys.revokeAccount(account);
  return archived;
}

/**
 * Deletes an account, and what its limits have counted.
 *
 * @param force Whether one that is not archived may be deleted, too.
 * @throws {ServiceError} `ERR_ACCOUNT_UNKNOWN`, `ERR_ACCOUNT_STATE`
 */
export async function deleteAccount(
  { keys, reset }: AccountPlaces,
  account: string,
  force: boolean,
): Promise<z.infer<typeof deletedAccount>> {
  const present = keys.accounts.get(account);
  if (present === undefined) throw new ServiceError("ERR_ACCOUNT_UNKNOWN", `there is no account ${account}`);
  if (present.state !== "archived" && !force) {
    const instead = "archive it first, or say force";
    throw new ServiceError("ERR_ACCOUNT_STATE", `account ${account} is ${present.state}: ${instead}`);
  }
  // In this order nothing of it is served, whatever fails in between; and it can be deleted again.
  await keys.accounts.setState(account, "archived");
  const deleted = await keys.deleteAccount(account);
  await reset(limiterKeyOf(account));
  await keys.accounts.delete(account);
  return { account, keys: deleted, quota: "reset", usage: "kept" };
}

function checkPlans(plans: readonly (string | undefined)[], tiers: Tiers): void {
  for (const tier of plans) {
    if (tier === undefined || Object.hasOwn(tiers, tier)) continue;
    const shown = tier.length > 64 ? `${tier.slice(0, 63)}…` : tier;
    throw new ServiceError("ERR_TIER_UNKNOWN", `plan is ${shown}; it may be one of ${Object.keys(tiers).join(", ")}`);
  }
}
