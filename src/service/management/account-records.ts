import type { Overrides, RecordStore } from "tollkeeper";
import type { Account, AccountProfile, AccountState } from "./account.js";
import { type PlanTerms, planAt } from "./plan.js";

/** Tier and beginning; all that releases know that came before the other records, which rewrite it without `from`. */
const ACCOUNT = "account:";
const OVERRIDES = "overrides:";
const OVERRIDES_END = "overrides-end:";
const PLAN = "account-plan:";
const PROFILE = "account-profile:";
const STATE = "account-state:";
const BESIDE = [OVERRIDES, OVERRIDES_END, PLAN, PROFILE, STATE];
const ALL = [ACCOUNT, ...BESIDE];

interface AccountRecord {
  tier: string;
  created: string;
  from?: string;
}

/** What is scheduled for an account that is on its plan since then; void if somebody has put it on one since. */
interface PlanRecord {
  from: string;
  scheduled: PlanTerms["scheduled"];
}

/** When the overrides of that text end; void if they were replaced since. */
interface OverridesEndRecord {
  of: string;
  until: string;
}

interface StateRecord {
  state: AccountState;
  since: string;
}

/** What an account without a profile has, such as one of an earlier release. */
const NO_PROFILE: AccountProfile = {
  displayName: null,
  externalId: null,
  metadata: {},
  anchorDay: 1,
  source: "management",
};

/** An account as it is at an instant, and until when it stays so by itself, in ms since the epoch. */
export interface ReadAccount {
  account: Account;
  untilMs: number;
}

/**
 * How accounts lie in the records: what is changed for itself is a record for itself, so that whoever writes one undoes
 * nothing that another replica has just written into another. Releases before this one know the first two; what they write
 * there is newer than what stands beside it, and makes that void where it was said of something else.
 */
export class AccountRecords {
  readonly #records: RecordStore;

  constructor(records: RecordStore) {
    this.#records = records;
  }

  /** Has somebody told the name of each account of which a record changes. */
  watch(listener: (name: string) => void): void {
    this.#records.watch((record) => {
      const prefix = ALL.find((each) => record.startsWith(each));
      if (prefix !== undefined) listener(record.slice(prefix.length));
    });
  }

  /** At most `size` names in order, after `after`. */
  names(size: number, after: string): string[] {
    const past = after === "" ? "" : ACCOUNT + after;
    return this.#records.page(ACCOUNT, size, past).map(([record]) => record.slice(ACCOUNT.length));
  }

  has(name: string): boolean {
    return this.#records.get(ACCOUNT + name) !== undefined;
  }

  read(name: string, nowMs: number): ReadAccount | undefined {
    const record = this.#get<AccountRecord>(ACCOUNT, name);
    if (record === undefined) return undefined;
    const terms = planAt(this.#termsOf(name, record), nowMs);
    const { overrides, overridesUntil } = this.#overridesOf(name, nowMs);
    const { state, since } = this.#get<StateRecord>(STATE, name) ?? { state: "active", since: record.created };
    const profile = { ...NO_PROFILE, ...this.#get<Partial<AccountProfile>>(PROFILE, name) };
    const { plan: tier, from, scheduled } = terms;
    const { created } = record;
    const account = { name, tier, from, scheduled, overrides, overridesUntil, state, since, ...profile, created };
    const untilMs = Math.min(...[scheduled?.at, overridesUntil].map((end) => (end ? Date.parse(end) : Infinity)));
    return { account, untilMs };
  }

  /** Writes an account that is on a plan from now on; gives whether it was new. */
  async make(name: string, plan: string, now: string): Promise<boolean> {
    // What a deletion has left that did not come to its end.
    await this.clear(name);
    // Two that are made at once are told apart.
    const text = JSON.stringify({ tier: plan, created: now, from: now, made: crypto.randomUUID() });
    return (await this.#records.putNew(ACCOUNT + name, text)) === text;
  }

  /** Puts an account on a plan, with what is to come after it. */
  async setPlan(name: string, { plan, from, scheduled }: PlanTerms, now: string): Promise<void> {
    const record = this.#get<AccountRecord>(ACCOUNT, name);
    // First: should the next one fail, it is on the plan that was asked for.
    if (record?.tier !== plan || record.from !== from) {
      await this.#put(ACCOUNT, name, { tier: plan, created: record?.created ?? now, from });
    }
    if (scheduled !== null || this.#get(PLAN, name) !== undefined) {
      await this.#put(PLAN, name, scheduled === null ? undefined : ({ from, scheduled } satisfies PlanRecord));
    }
  }

  async setOverrides(name: string, overrides: Overrides | null, until: string | null): Promise<void> {
    const of = overrides === null ? undefined : JSON.stringify(overrides);
    await this.#records.put(OVERRIDES + name, of);
    if (until !== null || this.#get(OVERRIDES_END, name) !== undefined) {
      await this.#put(OVERRIDES_END, name, of === undefined || until === null ? undefined : { of, until });
    }
  }

  async setProfile(name: string, profile: AccountProfile): Promise<void> {
    await this.#put(PROFILE, name, profile);
  }

  async setState(name: string, state: AccountState, since: string): Promise<void> {
    await this.#put(STATE, name, { state, since } satisfies StateRecord);
  }

  /** Deletes an account: last what keeps its calls out, so that nothing of it ever counts without that. */
  async delete(name: string): Promise<void> {
    for (const prefix of [OVERRIDES, OVERRIDES_END, PLAN, PROFILE, ACCOUNT, STATE]) await this.#delete(prefix, name);
  }

  /** Deletes what stands beside an account that there is not. */
  async clear(name: string): Promise<void> {
    if (this.has(name)) return;
    for (const prefix of BESIDE) await this.#delete(prefix, name);
  }

  #termsOf(name: string, { tier, created, from }: AccountRecord): PlanTerms {
    const ahead = this.#get<PlanRecord>(PLAN, name);
    const scheduled = ahead !== undefined && ahead.from === from ? ahead.scheduled : null;
    return { plan: tier, from: from ?? created, scheduled };
  }

  #overridesOf(name: string, nowMs: number): Pick<Account, "overrides" | "overridesUntil"> {
    const text = this.#records.get(OVERRIDES + name);
    const nothing = { overrides: null, overridesUntil: null };
    if (text === undefined) return nothing;
    const end = this.#get<OverridesEndRecord>(OVERRIDES_END, name);
    const overridesUntil = end?.of === text ? end.until : null;
    if (overridesUntil !== null && nowMs >= Date.parse(overridesUntil)) return nothing;
    return { overrides: JSON.parse(text) as Overrides, overridesUntil };
  }

  #get<T>(prefix: string, name: string): T | undefined {
    const text = this.#records.get(prefix + name);
    return text === undefined ? undefined : (JSON.parse(text) as T);
  }

  async #put(prefix: string, name: string, value: object | undefined): Promise<void> {
    await this.#records.put(prefix + name, value === undefined ? undefined : JSON.stringify(value));
  }

  async #delete(prefix: string, name: string): Promise<void> {
    if (this.#records.get(prefix + name) !== undefined) await this.#put(prefix, name, undefined);
  }
}
