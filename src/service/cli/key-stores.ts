import type { AccountPlaces } from "../management/account-changes.js";
import { lineOf } from "../management/account-schemas.js";
import { type KeyInfo, SCOPES } from "../management/api-keys.js";
import { checked } from "./checked.js";
import { CommandError } from "./exit.js";
import type { KeyStore, NewKey } from "./keys.js";
import type { ServiceClient } from "./service.js";

/** Keys of one page. */
const PAGE = 100;

/** The keys of a running service. */
export function keysOfService(service: ServiceClient): KeyStore {
  return {
    create: (key) => service.call("POST", "/api/v1/keys", key),
    list: (account) =>
      service.all("/api/v1/keys", account === undefined ? "" : `account=${encodeURIComponent(account)}`),
    revoke: (id) => service.call("DELETE", `/api/v1/keys/${encodeURIComponent(id)}`),
  };
}

/** Those of one that is stopped, or that shares its Redis. */
export function storedKeys({ keys, tiers }: AccountPlaces): KeyStore {
  return {
    async create({ tier, environment, ...key }: NewKey) {
      const { account } = key;
      if (key.name !== undefined) checked(lineOf(128), key.name, "name");
      if (tier !== undefined && !Object.hasOwn(tiers, tier)) {
        const mayBe = Object.keys(tiers).join(", ");
        throw new CommandError("ERR_TIER_UNKNOWN", `tier is ${tier}; it may be one of ${mayBe}`);
      }
      const present = keys.accounts.get(account);
      if (tier !== undefined && present !== undefined && present.tier !== tier) {
        const instead = "a key does not change that, `tollkeeper accounts set --plan` does";
        throw new CommandError("tier_contradicts", `account ${account} is of tier ${present.tier}; ${instead}`);
      }
      if (tier !== undefined && present === undefined) await keys.accounts.setTier(account, tier);
      return keys.create(environment, key);
    },
    async list(account) {
      const found: KeyInfo[] = [];
      let after = "";
      for (;;) {
        const { items, next } = keys.list(PAGE, { after, account });
        found.push(...items);
        if (next === null) return found;
        after = next;
      }
    },
    async revoke(id) {
      const revoked = await keys.revoke(id);
      if (revoked === undefined) throw new CommandError("not_found", `there is no key ${id}`);
      return revoked;
    },
  };
}

/** The scopes that a key may have, for help. */
export const SCOPE_NAMES: readonly string[] = SCOPES;
