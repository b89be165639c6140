import { type Overrides, overriddenTier, type Tiers } from "tollkeeper";
import type { ScheduledPlan } from "./plan.js";

/** Whether an account may call: it may; not until it is resumed; not any more, its keys being revoked. */
export const ACCOUNT_STATES = ["active", "suspended", "archived"] as const;
export type AccountState = (typeof ACCOUNT_STATES)[number];

/** Who made an account: somebody who manages the service, or a gateway, by calling for it. */
export type AccountSource = "management" | "gateway";

/** What is told of an account, and decides nothing. */
export interface AccountProfile {
  /** For people; null if it has none. */
  displayName: string | null;
  /** Under which another system knows it; no other account has the same. */
  externalId: string | null;
  metadata: Readonly<Record<string, string>>;
  /** The day of the month on which its billing period begins, 1 to 31; in a shorter month the last. */
  anchorDay: number;
  source: AccountSource;
}

/** Whose quota calls spend, whichever of its keys they show; as it was when it was looked up. */
export interface Account extends AccountProfile {
  name: string;
  /** Its plan. */
  tier: string;
  /** Since when it is on that, in ISO 8601. */
  from: string;
  /** The change of plan that is ahead; null if there is none. */
  scheduled: ScheduledPlan | null;
  /** Limits of its own; null if it has none. */
  overrides: Overrides | null;
  /** When they end, in ISO 8601; null if they don't. */
  overridesUntil: string | null;
  state: AccountState;
  /** Since when it is in that state, in ISO 8601. */
  since: string;
  /** ISO 8601. */
  created: string;
}

/** Of an address, and of an account whose tier is not configured any more. */
export const LEAST_TIER = "anonymous";

/** Tiers that get a demo account, in the order in which their keys are shown. */
export const DEMO_TIERS = ["free", "pro", "enterprise", "partner"] as const;

/** Name of the demo account of a tier. */
export function demoAccount(tier: (typeof DEMO_TIERS)[number]): string {
  return `demo-${tier}`;
}

export function isDemo(name: string): boolean {
  return DEMO_TIERS.some((tier) => name === demoAccount(tier));
}

/** The tier by whose limits an account is decided: its own, unless that is not configured any more. */
export function tierInForce({ tier }: Pick<Account, "tier">, tiers: Tiers): string {
  return Object.hasOwn(tiers, tier) ? tier : LEAST_TIER;
}

/** The same with the account's overrides, as the limiter takes it. */
export function limiterTierOf(account: Account, tiers: Tiers): string {
  return overriddenTier(tierInForce(account, tiers), account.overrides);
}

/** The limiter's key of an account. */
export function limiterKeyOf(name: string): string {
  return `acct:${name}`;
}

/**
 * What the name of an account may be: 1 to 128 visible ASCII characters. Others are told apart differently by versions of
 * Unicode, and by people.
 */
export const ACCOUNT_NAME = /^[!-~]{1,128}$/;
