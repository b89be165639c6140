import type { Refusal } from "tollkeeper/fastify";
import { serviceProblem } from "../problem-codes.js";
import type { Account, AccountState } from "./account.js";

const REFUSALS: Record<AccountState, Refusal | undefined> = {
  active: undefined,
  suspended: { refusal: serviceProblem("account_suspended", "The account is suspended; its calls cost nothing.") },
  archived: { refusal: serviceProblem("account_archived", "The account is archived; its calls cost nothing.") },
};

/** Why an account may not call, at nobody's expense; undefined if it may, or if there is none. */
export function refusalOf(account: Account | undefined): Refusal | undefined {
  return account === undefined ? undefined : REFUSALS[account.state];
}
