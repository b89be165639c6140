import { type Overrides, overriddenTier, type RecordStore, type Tiers } from "tollkeeper";
import { ServiceError } from "../errors.js";

/** Whose quota calls spend, whichever of its keys they show. */
export interface Account {
  name: string;
  tier: string;
  /** Limits of its own; null if it has none. */
  overrides: Overrides | null;
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

function isDemo(name: string): boolean {
  return DEMO_TIERS.some((tier) => name === demoAccount(tier));
}

const ACCOUNT = "account:";
const OVERRIDES = "overrides:";
/** Accounts remembered, and for how long, in ms: what another thread has changed in the file is seen after that. */
const CACHE_ACCOUNTS = 10_000;
const CACHE_MS = 2000;

/**
 * The accounts of a service, each of a tier. The tier and the overrides are records of their own, so that whoever writes
 * one does not undo what another replica has just written into the other.
 */
export class Accounts {
  readonly #records: RecordStore;
  readonly #clock: () => number;
  readonly #takesDemo: boolean;
  readonly #found = new Map<string, { account: Account | undefined; untilMs: number }>();
  /** The version of the records that what was found is of. */
  #version = -1;

  /**
   * @param clock Gives ms since the epoch.
   * @param takesDemo Whether demo accounts are taken; where they are not, it is as if there were none.
   */
  constructor(records: RecordStore, clock: () => number = Date.now, takesDemo = true) {
    this.#records = records;
    this.#clock = clock;
    this.#takesDemo = takesDemo;
  }

  /** Undefined if there is no such account. What was found is remembered for two seconds, or until a record changes. */
  get(name: string): Account | undefined {
    const nowMs = this.#clock();
    const { version } = this.#records;
    if (version !== this.#version) {
      this.#found.clear();
      this.#version = version;
    }
    const found = this.#found.get(name);
    if (found !== undefined && nowMs < found.untilMs) return found.account;
    this.#found.delete(name);
    const record = this.#takes(name) ? this.#records.get(ACCOUNT + name) : undefined;
    const account = record === undefined ? undefined : this.#accountOf(name, record);
    if (this.#found.size === CACHE_ACCOUNTS) this.#found.delete(this.#found.keys().next().value ?? "");
    this.#found.set(name, { account, untilMs: nowMs + CACHE_MS });
    return account;
  }

  /**
   * Puts an account on a tier from its next call on; makes the account if it is new.
   *
   * @throws {ServiceError} `ERR_ACCOUNT_INVALID`
   */
  async setTier(name: string, tier: string): Promise<Account> {
    checkName(name);
    if (!this.#takes(name)) {
      const reason = "this name is kept for demo keys, which RATE_LIMIT_DEMO_KEYS=never refuses";
      throw new ServiceError("ERR_ACCOUNT_INVALID", `the account is ${name}; it may be another: ${reason}`);
    }
    const { created } = this.get(name) ?? { created: new Date(this.#clock()).toISOString() };
    await this.#records.put(ACCOUNT + name, JSON.stringify({ tier, created }));
    return this.#known(name);
  }

  /**
   * Gives an account limits of its own from its next call on, in place of those that it had; null for none.
   *
   * @throws {ServiceError} `ERR_ACCOUNT_UNKNOWN`
   */
  async setOverrides(name: string, overrides: Overrides | null): Promise<Account> {
    this.#known(name);
    const isNone = overrides === null || Object.keys(overrides).length === 0;
    await this.#records.put(OVERRIDES + name, isNone ? undefined : JSON.stringify(overrides));
    return this.#known(name);
  }

  #takes(name: string): boolean {
    return this.#takesDemo || !isDemo(name);
  }

  #known(name: string): Account {
    const account = this.get(name);
    if (account === undefined) throw new ServiceError("ERR_ACCOUNT_UNKNOWN", `there is no account ${name}`);
    return account;
  }

  #accountOf(name: string, record: string): Account {
    const { tier, created } = JSON.parse(record) as Pick<Account, "tier" | "created">;
    const overrides = this.#records.get(OVERRIDES + name);
    return { name, tier, overrides: overrides === undefined ? null : (JSON.parse(overrides) as Overrides), created };
  }
}

/** The tier by whose limits an account is decided: its own, unless that is not configured any more. */
export function tierInForce({ tier }: Pick<Account, "tier">, tiers: Tiers): string {
  return Object.hasOwn(tiers, tier) ? tier : LEAST_TIER;
}

/** The same with the account's overrides, as the limiter takes it. */
export function limiterTierOf(account: Account, tiers: Tiers): string {
  return overriddenTier(tierInForce(account, tiers), account.overrides);
}

/**
 * What the name of an account may be: 1 to 128 visible ASCII characters. Others are told apart differently by versions of
 * Unicode, and by people.
 */
export const ACCOUNT_NAME = /^[!-~]{1,128}$/;

function checkName(name: string): void {
  if (ACCOUNT_NAME.test(name)) return;
  const mayBe = "1 to 128 visible ASCII characters, no spaces";
  throw new ServiceError("ERR_ACCOUNT_INVALID", `the account is ${JSON.stringify(name)}; it may be ${mayBe}`);
}
