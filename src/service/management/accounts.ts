import type { Overrides, RecordStore } from "tollkeeper";
import { ServiceError } from "../errors.js";
import { ACCOUNT_NAME, type Account, type AccountProfile, type AccountState, isDemo } from "./account.js";
import { AccountIndex, type AccountQuery } from "./account-index.js";
import { type MetadataChange, mergedMetadata, type Possibly, profileOf } from "./account-profile.js";
import { AccountRecords, type FoundAccount } from "./account-records.js";
import { ExternalIds } from "./external-ids.js";
import { ahead } from "./instant.js";
import type { Page } from "./page.js";
import type { HeldSince, PlanTerms, ScheduledPlan } from "./plan.js";
import { Turns } from "./turns.js";

/** What an account is made with. */
export interface NewAccount extends Partial<Omit<AccountProfile, "source">> {
  plan: string;
  scheduled?: ScheduledPlan | null;
}

/** What is to become different about an account; the rest stays as it is. */
export interface AccountChange extends Possibly<Omit<AccountProfile, "source" | "metadata">> {
  /** From now on; what was scheduled goes, unless `scheduled` is given too. */
  plan?: string | undefined;
  scheduled?: ScheduledPlan | null | undefined;
  metadata?: MetadataChange;
}

/** Accounts remembered, and for how long, in ms: what another thread has changed in the file is seen after that. */
const CACHE_ACCOUNTS = 10_000;
const CACHE_MS = 2000;
/** Names read at a time while the index is made. */
const PART = 1000;

/** The accounts of a service, each on a plan. */
export class Accounts {
  readonly #records: AccountRecords;
  readonly #index = new AccountIndex((name) => this.#readForIndex(name));
  readonly #externalIds: ExternalIds;
  readonly #clock: () => number;
  readonly #takesDemo: boolean;
  readonly #found = new Map<string, { account: Account | undefined; untilMs: number }>();
  /** The changes of an account come one after another: each reads what the one before has written. */
  readonly #turns = new Turns();

  /**
   * @param clock Gives ms since the epoch.
   * @param takesDemo Whether demo accounts are taken; where they are not, it is as if there were none.
   */
  constructor(records: RecordStore, clock: () => number = Date.now, takesDemo = true) {
    this.#records = new AccountRecords(records);
    this.#externalIds = new ExternalIds(records, (id) => this.#index.ofExternalId(id), clock);
    this.#clock = clock;
    this.#takesDemo = takesDemo;
    this.#records.watch((name) => {
      this.#found.delete(name);
      this.#index.note(name);
    });
    for (let after = ""; ; ) {
      const names = this.#records.names(PART, after);
      for (const name of names) this.#index.note(name);
      if (names.length < PART) break;
      after = names.at(-1) ?? "";
    }
  }

  /**
   * Undefined if there is no such account. What was found is remembered for two seconds, until one of its records changes,
   * or until something of it changes by itself.
   */
  get(name: string, nowMs = this.#clock()): Account | undefined {
    const found = this.#found.get(name);
    if (found !== undefined && nowMs < found.untilMs) return found.account;
    this.#found.delete(name);
    const { account, untilMs = Infinity } = this.#read(name, nowMs) ?? {};
    if (this.#found.size === CACHE_ACCOUNTS) this.#found.delete(this.#found.keys().next().value ?? "");
    this.#found.set(name, { account, untilMs: Math.min(untilMs, nowMs + CACHE_MS) });
    return account;
  }

  /** The plans that an account was on in the last thirteen months, is on, and is to be, each since when; none if there is no account. */
  history(name: string): HeldSince[] {
    return this.#takes(name) ? this.#records.history(name) : [];
  }

  /** At most `size` accounts, from after `after` on; a page may be short though there is a next one. */
  find(query: AccountQuery, size: number, after = ""): Page<Account> {
    const nowMs = this.#clock();
    const { items, next } = this.#index.page(query, size, after, new Date(nowMs).toISOString());
    return { items: items.flatMap((name) => this.#read(name, nowMs)?.account ?? []), next };
  }

  /**
   * Makes an account, on its plan from now on.
   *
   * @throws {ServiceError} `ERR_ACCOUNT_EXISTS`, `ERR_EXTERNAL_ID_TAKEN`, `ERR_ACCOUNT_INVALID`
   */
  create(name: string, { plan, scheduled = null, ...profile }: NewAccount): Promise<Account> {
    return this.#turns.take(name, async () => {
      this.#checkName(name);
      const now = this.#now();
      const next = this.#ahead(scheduled);
      const isNew = this.get(name) === undefined && (await this.#records.make(name, plan, now));
      if (!isNew) throw exists(this.get(name) ?? { name, state: "active" });
      const made = this.#known(name);
      try {
        await this.#setProfile(made, profile);
        if (next !== null) await this.#records.setPlan(name, { plan, from: made.from, scheduled: next }, now);
      } catch (error) {
        // If it can't be taken back either, why it could not be made is still what is wrong.
        await this.#records.delete(name).catch(() => undefined);
        throw error;
      }
      return this.#known(name);
    });
  }

  /**
   * Changes what is given of an account, from its next call on.
   *
   * @throws {ServiceError} `ERR_ACCOUNT_UNKNOWN`, `ERR_EXTERNAL_ID_TAKEN`, `ERR_ACCOUNT_INVALID`
   */
  change(name: string, { plan, scheduled, metadata, ...profile }: AccountChange): Promise<Account> {
    return this.#turns.take(name, async () => {
      const account = this.#known(name);
      const terms = this.#changedTerms(account, plan, scheduled);
      await this.#setProfile(account, { ...profile, metadata: mergedMetadata(account.metadata, metadata) });
      if (terms !== undefined) await this.#records.setPlan(name, terms, this.#now());
      return this.#known(name);
    });
  }

  /**
   * Puts an account on a tier from its next call on, and drops what was scheduled; makes the account if it is new.
   *
   * @throws {ServiceError} `ERR_ACCOUNT_INVALID`
   */
  setTier(name: string, tier: string): Promise<Account> {
    return this.#turns.take(name, async () => {
      this.#checkName(name);
      const now = this.#now();
      if (this.get(name) === undefined && (await this.#records.make(name, tier, now))) return this.#known(name);
      const present = this.#known(name);
      const from = present.tier === tier ? present.from : now;
      await this.#records.setPlan(name, { plan: tier, from, scheduled: null }, now);
      return this.#known(name);
    });
  }

  /**
   * Has an account be on the plan that a gateway's group names; makes the account if it is new. One that was made otherwise
   * is left alone, and whether it may call stays as it is.
   *
   * @throws {ServiceError} `ERR_ACCOUNT_INVALID`
   */
  follow(name: string, plan: string): Promise<void> {
    return this.#turns.take(name, async () => {
      this.#checkName(name);
      const now = this.#now();
      const account = this.get(name);
      if (account === undefined) {
        if (await this.#records.make(name, plan, now)) await this.#setProfile(this.#known(name), { source: "gateway" });
      } else if (account.source === "gateway" && account.tier !== plan) {
        await this.#records.setPlan(name, { plan, from: now, scheduled: null }, now);
      }
    });
  }

  /**
   * Gives an account limits of its own from its next call on, in place of those that it had; null for none.
   *
   * @param until When they end, in ISO 8601; null if they don't.
   * @throws {ServiceError} `ERR_ACCOUNT_UNKNOWN`, `ERR_OVERRIDES_INVALID`
   */
  setOverrides(name: string, overrides: Overrides | null, until: string | null = null): Promise<Account> {
    return this.#turns.take(name, async () => {
      this.#known(name);
      const end = until === null ? null : ahead(until, "until", this.#clock(), "ERR_OVERRIDES_INVALID");
      const isNone = overrides === null || Object.keys(overrides).length === 0;
      await this.#records.setOverrides(name, isNone ? null : overrides, isNone ? null : end);
      return this.#known(name);
    });
  }

  /**
   * @throws {ServiceError} `ERR_ACCOUNT_UNKNOWN`; `ERR_ACCOUNT_STATE` where an archived account would be suspended
   */
  setState(name: string, state: AccountState): Promise<Account> {
    return this.#turns.take(name, async () => {
      const account = this.#known(name);
      if (account.state === state) return account;
      if (account.state === "archived" && state === "suspended") {
        const reason = "its calls are refused as it is, and suspending it would bring it back";
        throw new ServiceError("ERR_ACCOUNT_STATE", `account ${name} is archived: ${reason}`);
      }
      await this.#records.setState(name, state, this.#now());
      return this.#known(name);
    });
  }

  /** Deletes all that is known of an account, but for its keys; its name may then be used again. */
  delete(name: string): Promise<void> {
    return this.#turns.take(name, async () => {
      const { externalId } = this.#known(name);
      await this.#records.delete(name);
      if (externalId !== null) await this.#externalIds.release(externalId, name);
    });
  }

  #takes(name: string): boolean {
    return this.#takesDemo || !isDemo(name);
  }

  #read(name: string, nowMs: number) {
    return this.#takes(name) ? this.#records.read(name, nowMs) : undefined;
  }

  /** Nothing of a record that something else has overwritten: that fails the account alone. */
  #readForIndex(name: string): FoundAccount | undefined {
    try {
      return this.#takes(name) ? this.#records.find(name, this.#clock()) : undefined;
    } catch {
      return undefined;
    }
  }

  #known(name: string): Account {
    const account = this.get(name);
    if (account === undefined) throw new ServiceError("ERR_ACCOUNT_UNKNOWN", `there is no account ${name}`);
    return account;
  }

  async #setProfile(account: Account, change: Possibly<AccountProfile>): Promise<void> {
    const { name } = account;
    const [before, after] = [profileOf(account, {}), profileOf(account, change)];
    const given = after.externalId === before.externalId ? null : after.externalId;
    if (given !== null) await this.#externalIds.claim(given, name);
    if (JSON.stringify(after) !== JSON.stringify(before)) await this.#records.setProfile(name, after);
    if (given !== null) {
      try {
        this.#externalIds.confirm(given, name);
      } catch (error) {
        await this.#records.setProfile(name, before);
        throw error;
      }
    }
    if (before.externalId !== null && before.externalId !== after.externalId) {
      await this.#externalIds.release(before.externalId, name);
    }
  }

  /** Undefined if the terms stay as they are. */
  #changedTerms(account: Account, plan = account.tier, scheduled?: ScheduledPlan | null): PlanTerms | undefined {
    const { tier, from } = account;
    if (plan !== tier) return { plan, from: this.#now(), scheduled: this.#ahead(scheduled ?? null) };
    return scheduled === undefined ? undefined : { plan, from, scheduled: this.#ahead(scheduled) };
  }

  #ahead(scheduled: ScheduledPlan | null): ScheduledPlan | null {
    if (scheduled === null) return null;
    return { plan: scheduled.plan, at: ahead(scheduled.at, "then.at", this.#clock(), "ERR_ACCOUNT_INVALID") };
  }

  #now(): string {
    return new Date(this.#clock()).toISOString();
  }

  #checkName(name: string): void {
    if (!ACCOUNT_NAME.test(name)) throw invalid(name, "1 to 128 visible ASCII characters, no spaces");
    if (this.#takes(name)) return;
    throw invalid(name, "another: this name is kept for demo keys, which RATE_LIMIT_DEMO_KEYS=never refuses");
  }
}

function exists({ name, state }: Pick<Account, "name" | "state">): ServiceError {
  const what = state === "active" ? "" : `, ${state}`;
  return new ServiceError("ERR_ACCOUNT_EXISTS", `there is an account ${name} already${what}`);
}

function invalid(name: string, mayBe: string): ServiceError {
  return new ServiceError("ERR_ACCOUNT_INVALID", `the account is ${JSON.stringify(name)}; it may be ${mayBe}`);
}
