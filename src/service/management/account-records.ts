import type { Overrides, RecordStore } from "tollkeeper";
import type { Account, AccountProfile, AccountState } from "./account.js";
import { type HeldSince, type PlanTerms, planAt } from "./plan.js";

/** Tier and beginning; all that releases know that came before the other records, which rewrite it without `from`. */
const ACCOUNT = "account:";
const OVERRIDES = "overrides:";
const OVERRIDES_END = "overrides-end:";
const PLAN = "account-plan:";
const PAST = "account-past:";
const PROFILE = "account-profile:";
const STATE = "account-state:";
const ALL = [ACCOUNT, OVERRIDES, OVERRIDES_END, PLAN, PAST, PROFILE, STATE];
/** Plans that are remembered of an account: the latest, of the last thirteen months. */
const MOST_PAST = 100;
const PAST_MS = 400 * 86_400_000;

interface AccountRecord {
  tier: string;
  created: string;
  from?: string;
}

/** Of the account that was made then, and of no other that has got its name since. */
interface RecordBeside {
  created: string;
}

/** What is scheduled for an account that is on its plan since then; void if somebody has put it on one since. */
interface PlanRecord extends RecordBeside {
  from: string;
  scheduled: PlanTerms["scheduled"];
}

/** The plans that an account was on, before that on which it is. */
interface PastRecord extends RecordBeside {
  plans: HeldSince[];
}

/** When the overrides of that text end; void if they were replaced since. */
interface OverridesEndRecord extends RecordBeside {
  of: string;
  until: string;
}

interface StateRecord extends RecordBeside {
  state: AccountState;
  since: string;
}

type ProfileRecord = RecordBeside & Partial<AccountProfile>;

/** What an account without a profile has, such as one of an earlier release. */
const NO_PROFILE: AccountProfile = {
  displayName: null,
  externalId: null,
  metadata: {},
  anchorDay: 1,
  source: "management",
};

export type FoundAccount = Omit<Account, "overrides" | "overridesUntil">;

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

  read(name: string, nowMs: number): ReadAccount | undefined {
    const found = this.find(name, nowMs);
    if (found === undefined) return undefined;
    const { overrides, overridesUntil } = this.#overridesOf(name, found.created, nowMs);
    const ends = [found.scheduled?.at, overridesUntil].map((end) => (end ? Date.parse(end) : Infinity));
    return { account: { ...found, overrides, overridesUntil }, untilMs: Math.min(...ends) };
  }

  /** The same without its limits, by which nobody is found. */
  find(name: string, nowMs: number): FoundAccount | undefined {
    const record = this.#get<AccountRecord>(ACCOUNT, name);
    if (record === undefined) return undefined;
    const { created } = record;
    const { plan: tier, from, scheduled } = planAt(this.#termsOf(name, record), nowMs);
    const { state, since } = this.#beside<StateRecord>(STATE, name, created) ?? { state: "active", since: created };
    const profile = { ...NO_PROFILE, ...this.#beside<ProfileRecord>(PROFILE, name, created) };
    return { name, tier, from, scheduled, state, since, ...profile, created };
  }

  /** Writes an account that is on a plan from now on; gives whether it was new. */
  async make(name: string, plan: string, now: string): Promise<boolean> {
    // Two that are made at once are told apart.
    const text = JSON.stringify({ tier: plan, created: now, from: now, made: crypto.randomUUID() });
    return (await this.#records.putNew(ACCOUNT + name, text)) === text;
  }

  /** Puts an account on a plan, with what is to come after it. */
  async setPlan(name: string, { plan, from, scheduled }: PlanTerms, now: string): Promise<void> {
    const record = this.#get<AccountRecord>(ACCOUNT, name);
    // First: should the next one fail, it is on the plan that was asked for.
    if (record?.tier !== plan || record.from !== from) {
      if (record !== undefined) await this.#remember(name, record, now);
      await this.#put(ACCOUNT, name, { tier: plan, created: record?.created ?? now, from });
    }
    if (scheduled !== null || this.#get(PLAN, name) !== undefined) {
      await this.#putBeside<PlanRecord>(PLAN, name, scheduled === null ? undefined : { from, scheduled });
    }
  }

  async setOverrides(name: string, overrides: Overrides | null, until: string | null): Promise<void> {
    const of = overrides === null ? undefined : JSON.stringify(overrides);
    await this.#records.put(OVERRIDES + name, of);
    if (until !== null || this.#get(OVERRIDES_END, name) !== undefined) {
      const end = of === undefined || until === null ? undefined : { of, until };
      await this.#putBeside<OverridesEndRecord>(OVERRIDES_END, name, end);
    }
  }

  async setProfile(name: string, profile: AccountProfile): Promise<void> {
    await this.#putBeside<ProfileRecord>(PROFILE, name, profile);
  }

  async setState(name: string, state: AccountState, since: string): Promise<void> {
    await this.#putBeside<StateRecord>(STATE, name, { state, since });
  }

  /**
   * Deletes an account: its limits first, which the next one of the name would take for its own; last what keeps its calls
   * out, so that nothing of it ever counts without that.
   */
  async delete(name: string): Promise<void> {
    for (const prefix of [OVERRIDES, OVERRIDES_END, PLAN, PAST, PROFILE, ACCOUNT, STATE]) {
      if (this.#records.get(prefix + name) !== undefined) await this.#put(prefix, name, undefined);
    }
  }

  /** The plans that an account was on, that on which it is, and that on which it is to be, each since when. */
  history(name: string): HeldSince[] {
    const record = this.#get<AccountRecord>(ACCOUNT, name);
    return record === undefined ? [] : this.#held(name, record, "9");
  }

  /** Those of them that have begun before an instant. */
  #held(name: string, record: AccountRecord, before: string): HeldSince[] {
    const { plans = [] } = this.#beside<PastRecord>(PAST, name, record.created) ?? {};
    const { plan, from, scheduled } = this.#termsOf(name, record);
    const present = [{ plan, from }, ...(scheduled === null ? [] : [{ plan: scheduled.plan, from: scheduled.at }])];
    // What an earlier release has written has no beginning but that of the account.
    const past = plans.filter((one) => one.from < from);
    return [...past, ...present.filter((one) => one.from < before)];
  }

  /** Notes the plans up to now, of which the account is about to leave the last. */
  async #remember(name: string, record: AccountRecord, now: string): Promise<void> {
    const held = this.#held(name, record, now);
    const oldest = new Date(Date.parse(now) - PAST_MS).toISOString();
    // One that was held into the time that is remembered has to be known.
    const plans = held.filter((_, index) => (held[index + 1]?.from ?? now) > oldest).slice(-MOST_PAST);
    await this.#putBeside<PastRecord>(PAST, name, { plans });
  }

  #termsOf(name: string, { tier, created, from }: AccountRecord): PlanTerms {
    const ahead = this.#beside<PlanRecord>(PLAN, name, created);
    const scheduled = ahead !== undefined && ahead.from === from ? ahead.scheduled : null;
    return { plan: tier, from: from ?? created, scheduled };
  }

  #overridesOf(name: string, created: string, nowMs: number): Pick<Account, "overrides" | "overridesUntil"> {
    const text = this.#records.get(OVERRIDES + name);
    const nothing = { overrides: null, overridesUntil: null };
    if (text === undefined) return nothing;
    const end = this.#beside<OverridesEndRecord>(OVERRIDES_END, name, created);
    const overridesUntil = end?.of === text ? end.until : null;
    if (overridesUntil !== null && nowMs >= Date.parse(overridesUntil)) return nothing;
    return { overrides: JSON.parse(text) as Overrides, overridesUntil };
  }

  #get<T>(prefix: string, name: string): T | undefined {
    const text = this.#records.get(prefix + name);
    return text === undefined ? undefined : (JSON.parse(text) as T);
  }

  #beside<T extends RecordBeside>(prefix: string, name: string, created: string): T | undefined {
    const record = this.#get<T>(prefix, name);
    return record?.created === created ? record : undefined;
  }

  async #putBeside<T extends RecordBeside>(
    prefix: string,
    name: string,
    value: Omit<T, "created"> | undefined,
  ): Promise<void> {
    const created = this.#get<AccountRecord>(ACCOUNT, name)?.created;
    await this.#put(prefix, name, value === undefined ? undefined : { created, ...value });
  }

  async #put(prefix: string, name: string, value: object | undefined): Promise<void> {
    await this.#records.put(prefix + name, value === undefined ? undefined : JSON.stringify(value));
  }
}
