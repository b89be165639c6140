import type { z } from "zod";
import type { AccountInfo, deletedAccount } from "../management/account-schemas.js";
import { columns, type Output } from "./output.js";

/** Which accounts are listed. */
export interface AccountFilter {
  plan?: string;
  state?: string;
  search?: string;
  externalId?: string;
}

/** Where accounts are managed: a running service, or what it stores. Fields are those of the routes. */
export interface AccountStore {
  list(filter: AccountFilter): Promise<AccountInfo[]>;
  show(account: string): Promise<AccountInfo>;
  create(fields: object): Promise<AccountInfo>;
  change(account: string, fields: object): Promise<AccountInfo>;
  move(account: string, action: "suspend" | "resume" | "archive"): Promise<AccountInfo>;
  delete(account: string, force: boolean): Promise<z.infer<typeof deletedAccount>>;
}

/** Prints accounts, one a line. */
export function printAccounts(accounts: readonly AccountInfo[], json: boolean, output: Output): void {
  if (json) {
    output.print(JSON.stringify(accounts, undefined, 2));
    return;
  }
  const rows = accounts.map(({ account, plan, state, source, externalId, displayName }) => [
    account,
    plan,
    state,
    source,
    externalId ?? "-",
    displayName ?? "-",
  ]);
  for (const line of columns([["ACCOUNT", "PLAN", "STATE", "SOURCE", "EXTERNAL ID", "DISPLAY NAME"], ...rows])) {
    output.print(line);
  }
}

/** Prints an account, one field a line. */
export function printAccount(account: AccountInfo, json: boolean, output: Output): void {
  if (json) {
    output.print(JSON.stringify(account, undefined, 2));
    return;
  }
  const { then, metadata, overrides, overridesUntil } = account;
  const entries = Object.entries(metadata).map(([name, text]) => `${name}=${text}`);
  const limits = overrides === null ? "-" : JSON.stringify(overrides);
  const rows = [
    ["account", account.account],
    ["plan", `${account.plan} since ${account.from}${then === null ? "" : `, ${then.plan} from ${then.at} on`}`],
    ["state", `${account.state} since ${account.since}`],
    ["display name", account.displayName ?? "-"],
    ["external id", account.externalId ?? "-"],
    ["metadata", entries.join(", ") || "-"],
    ["anchor day", String(account.anchorDay)],
    ["own limits", overridesUntil === null ? limits : `${limits} until ${overridesUntil}`],
    ["source", account.source],
    ["created", account.created],
  ];
  for (const line of columns(rows)) output.print(line);
}

/** Prints what has become of an account that was deleted. */
export function printDeleted(
  deleted: Awaited<ReturnType<AccountStore["delete"]>>,
  json: boolean,
  output: Output,
): void {
  if (json) {
    output.print(JSON.stringify(deleted, undefined, 2));
    return;
  }
  const { account, keys } = deleted;
  output.print(
    `deleted ${account} with its keys (${keys}); its limits begin anew, its usage is kept until its retention ends`,
  );
}
