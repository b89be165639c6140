import type { RecordStore } from "../engine/types.js";
import { TollkeeperError } from "../errors.js";
import type { Overrides } from "../limiter/overrides.js";
import { type Page, pageOf } from "./page.js";

/** Whose quota calls spend, whichever of its keys they show. */
export interface Account {
  name: string;
  tier: string;
  /** Limits of its own; null if it has none. */
  overrides: Overrides | null;
  /** ISO 8601. */
  created: string;
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
  readonly #found = new Map<string, { account: Account | undefined; untilMs: number }>();
  /** The version of the records that what was found is of. */
  #version = -1;

  /** `clock` gives ms since the epoch. */
  constructor(records: RecordStore, clock: () => number = Date.now) {
    this.#records = records;
    this.#clock = clock;
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
    const record = this.#records.get(ACCOUNT + name);
    const account = record === undefined ? undefined : this.#accountOf(name, record);
    if (this.#found.size === CACHE_ACCOUNTS) this.#found.delete(this.#found.keys().next().value ?? "");
    this.#found.set(name, { account, untilMs: nowMs + CACHE_MS });
    return account;
  }

  /** Accounts by name, from the one after `after` on. */
  list(size: number, after = ""): Page<Account> {
    const records = this.#records.list(ACCOUNT);
    const page = pageOf(records, ([name]) => name.slice(ACCOUNT.length), size, after);
    return { ...page, items: page.items.map(([name, value]) => this.#accountOf(name.slice(ACCOUNT.length), value)) };
  }

  /**
   * Puts an account on a tier from its next call on; makes the account if it is new.
   *
   * @throws {TollkeeperError} `ERR_ACCOUNT_INVALID`
   */
  async setTier(name: string, tier: string): Promise<Account> {
    const { created } = this.get(checkedName(name)) ?? { created: new Date(this.#clock()).toISOString() };
    await this.#records.put(ACCOUNT + name, JSON.stringify({ tier, created }));
    return this.#known(name);
  }

  /**
   * Gives an account limits of its own from its next call on, in place of those that it had; null for none.
   *
   * @throws {TollkeeperError} `ERR_ACCOUNT_UNKNOWN`
   */
  async setOverrides(name: string, overrides: Overrides | null): Promise<Account> {
    this.#known(name);
    const isNone = overrides === null || Object.keys(overrides).length === 0;
    await this.#records.put(OVERRIDES + name, isNone ? undefined : JSON.stringify(overrides));
    return this.#known(name);
  }

  #known(name: string): Account {
    const account = this.get(name);
    if (account === undefined) throw new TollkeeperError("ERR_ACCOUNT_UNKNOWN", `there is no account ${name}`);
    return account;
  }

  #accountOf(name: string, record: string): Account {
    const { tier, created } = JSON.parse(record) as Pick<Account, "tier" | "created">;
    const overrides = this.#records.get(OVERRIDES + name);
    return { name, tier, overrides: overrides === undefined ? null : (JSON.parse(overrides) as Overrides), created };
  }
}

/**
 * What the name of an account may be: 1 to 128 visible ASCII characters. Others are told apart differently by versions of
 * Unicode, and by people.
 */
export const ACCOUNT_NAME = /^[!-~]{1,128}$/;

function checkedName(name: string): string {
  if (ACCOUNT_NAME.test(name)) return name;
  const mayBe = "1 to 128 visible ASCII characters, no spaces";
  throw new TollkeeperError("ERR_ACCOUNT_INVALID", `the account is ${JSON.stringify(name)}; it may be ${mayBe}`);
}
