import { ServiceError } from "../errors.js";
import {
  type AccountPlaces,
  archiveAccount,
  changeAccount,
  createAccount,
  deleteAccount,
} from "../management/account-changes.js";
import { type AccountInfo, accountChange, accountQuery, infoOf, newAccount } from "../management/account-schemas.js";
import type { AccountStore } from "./accounts.js";
import { checked } from "./checked.js";
import type { ServiceClient } from "./service.js";

const PATH = "/api/v1/accounts";

/** The accounts of a running service. */
export function accountsOfService(service: ServiceClient): AccountStore {
  const pathOf = (account: string, rest = "") => `${PATH}/${encodeURIComponent(account)}${rest}`;
  return {
    list: (query) => service.all(PATH, new URLSearchParams({ limit: "100", ...query }).toString()),
    show: (account) => service.call("GET", pathOf(account)),
    create: (fields) => service.call("POST", PATH, fields),
    change: (account, fields) => service.call("PATCH", pathOf(account), fields),
    move: (account, action) => service.call("POST", pathOf(account, `/${action}`)),
    delete: (account, force) => service.call("DELETE", pathOf(account, force ? "?force=true" : "")),
  };
}

/** Those of one that is stopped, or that shares its Redis; what may be asked is the same. */
export function storedAccounts(places: AccountPlaces): AccountStore {
  const { accounts } = places.keys;
  return {
    async list(query) {
      const { limit, after: first, ...rest } = checked(accountQuery, query);
      const found: AccountInfo[] = [];
      for (let after = first; ; ) {
        const { items, next } = accounts.find(rest, limit, after);
        found.push(...items.map(infoOf));
        if (next === null) return found;
        after = next;
      }
    },
    async show(account) {
      const found = accounts.get(account);
      if (found === undefined) throw new ServiceError("ERR_ACCOUNT_UNKNOWN", `there is no account ${account}`);
      return infoOf(found);
    },
    create: async (fields) => infoOf(await createAccount(places, checked(newAccount, fields))),
    change: async (account, fields) => infoOf(await changeAccount(places, account, checked(accountChange, fields))),
    async move(account, action) {
      if (action === "archive") return infoOf(await archiveAccount(places, account));
      return infoOf(await accounts.setState(account, action === "suspend" ? "suspended" : "active"));
    },
    delete: (account, force) => deleteAccount(places, account, force),
  };
}
