import type { Tiers } from "tollkeeper";
import type { AddressIdentity } from "tollkeeper/http";
import { z } from "zod";
import { ACCOUNT_NAME, type Account, limiterKeyOf, limiterTierOf } from "./account.js";
import type { Accounts } from "./accounts.js";

/** Whose limits are meant: an account, or an address. */
export const subjectName = z
  .string()
  .min(1)
  .max(300)
  .meta({
    description: "An account, with or without `acct:` before it, or `ip:` and an address.",
    examples: ["acct:42"],
  });

/** Somebody who has limits. */
export interface Subject {
  /** The limiter's key. */
  key: string;
  /** The limiter's tier; undefined if it is not known. */
  tier: string | undefined;
  /** Name of the account; undefined for an address. */
  name: string | undefined;
  account: Account | undefined;
}

/** Where subjects are looked up. */
interface Places {
  accounts: Accounts;
  addresses: AddressIdentity;
  tiers: Tiers;
}

/** Who is meant; undefined if it is nobody that there could be. */
export function subjectOf(text: string, { accounts, addresses, tiers }: Places): Subject | undefined {
  if (text.startsWith("ip:")) {
    const [address = ""] = text.slice(3).split("/");
    const identity = addresses.ofText(address);
    return "key" in identity ? { ...identity, name: undefined, account: undefined } : undefined;
  }
  const name = text.startsWith("acct:") ? text.slice(5) : text;
  if (!ACCOUNT_NAME.test(name)) return undefined;
  const account = accounts.get(name);
  const tier = account && limiterTierOf(account, tiers);
  return { key: limiterKeyOf(name), tier, name, account };
}
