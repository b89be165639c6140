import { createHmac, randomBytes, randomUUID } from "node:crypto";
import type { RecordStore, TollkeeperError } from "tollkeeper";
import { ServiceError } from "../errors.js";
import type { Account } from "./account.js";
import { Accounts } from "./accounts.js";
import { ahead } from "./instant.js";
import { KeyIndex } from "./key-index.js";
import { isWellFormed, newKeyText } from "./key-text.js";
import { KeyUses } from "./key-uses.js";
import type { Page } from "./page.js";

/**
 * What an API key may be used for: the fingerprint routes; reading limits, and how they fare; reading what was served;
 * prices, adjustments and exports of it; everything about keys and accounts.
 */
export const SCOPES = ["fingerprint", "quota:read", "usage:read", "billing", "admin"] as const;
export type Scope = (typeof SCOPES)[number];

/** What is known of an API key: never the key itself. */
export interface KeyInfo {
  /** Names the key where it is managed; it is no secret. */
  id: string;
  account: string;
  /** For people; null if it has none. */
  name: string | null;
  scopes: Scope[];
  /** ISO 8601. */
  created: string;
  /** ISO 8601: from when on it is refused; null if that is never. */
  expires: string | null;
  /** ISO 8601, to the minute and up to an hour late; null if no use is known. */
  lastUsed: string | null;
  /** ISO 8601, once the key is no longer good. */
  revoked: string | null;
}

/** A key that is good: whose it is, and what for. */
export interface VerifiedKey {
  readonly id: string;
  readonly account: Account;
  readonly scopes: readonly Scope[];
}

/** Keys of an account that are good at a time: one in use, and one to change to. */
const LIVE_KEYS = 2;

const PEPPER = "key-pepper";
const FIRST = "key-first";
const RECORD_PREFIX = "key:";
const ID_LENGTH = 16;
/** Good keys remembered, and for how long, in ms: what another thread has changed in the file is seen after that. */
const CACHE_KEYS = 10_000;
const CACHE_MS = 2000;

/** What is kept of a key; an earlier release writes neither a name nor when it expires. */
type KeyRecord = Omit<KeyInfo, "id" | "lastUsed" | "name" | "expires"> & Partial<Pick<KeyInfo, "name" | "expires">>;

/** What a key is made with. */
export type NewKey = Pick<KeyInfo, "account" | "scopes"> & Partial<Pick<KeyInfo, "name" | "expires">>;

/** How the keys are opened. */
export interface ApiKeysOptions {
  /** Where keys and accounts are kept. */
  records: RecordStore;
  /** Under which keys are hashed; kept in the records too, and made with the first key, if not given. */
  pepper?: string | undefined;
  /** Gives ms since the epoch. */
  clock?: () => number;
  /** Whether the keys of demo accounts are good, by default; where they are not, they are as if never made. */
  takesDemo?: boolean;
}

/**
 * The API keys of a service. They are kept as HMAC-SHA-256 under a pepper, so that neither what is stored nor its
 * backups hold one.
 *
 * A key that was found is remembered for two seconds, or until a key or its account changes, since the look-up takes longer
 * than everything else about a call. Others are not, so nobody can fill the memory, or push good keys out of it, by making
 * keys up.
 */
export class ApiKeys {
  readonly accounts: Accounts;
  readonly #records: RecordStore;
  readonly #index: KeyIndex;
  readonly #uses: KeyUses;
  #pepper: string | undefined;
  readonly #clock: () => number;
  readonly #found = new Map<string, { key: VerifiedKey; untilMs: number }>();
  /** The version of the records at which no key was without a pepper. */
  #wholeAt = -1;
  /** Keys are made one after another, so that they are counted. */
  #making: Promise<unknown> = Promise.resolve();

  constructor({ records, pepper, clock = Date.now, takesDemo = true }: ApiKeysOptions) {
    this.accounts = new Accounts(records, clock, takesDemo);
    this.#records = records;
    this.#index = new KeyIndex(records, RECORD_PREFIX);
    this.#uses = new KeyUses(records);
    this.#pepper = pepper;
    this.#clock = clock;
    records.watch((name) => {
      if (name.startsWith(RECORD_PREFIX) || name === PEPPER) this.#found.clear();
    });
  }

  /**
   * Makes a key of an account, which can't be shown again.
   *
   * @param environment Shown in the key, to tell a test key at sight: 1 to 16 letters a–z.
   * @throws {ServiceError} `ERR_ACCOUNT_UNKNOWN`, `ERR_ACCOUNT_STATE`; `ERR_KEY_LIMIT` if the account has two that are
   * good; `ERR_EXPIRY_INVALID`, `ERR_RECORDS_LOST`, `ERR_OPTION_INVALID`
   */
  create(environment: string, key: NewKey): Promise<KeyInfo & { key: string }> {
    const making = this.#making.then(() => this.#create(environment, key));
    this.#making = making.catch(() => undefined);
    return making;
  }

  /** The key that a text is; undefined if it is malformed, unknown, revoked or expired, or of no account. */
  verify(text: string): VerifiedKey | undefined {
    const nowMs = this.#clock();
    const found = this.#found.get(text);
    // Of an account that has changed there is another.
    const isGood = found !== undefined && nowMs < found.untilMs;
    if (isGood && this.accounts.get(found.key.account.name, nowMs) === found.key.account) return found.key;
    this.#found.delete(text);
    const known = this.#lookUp(text);
    const key = known === undefined ? undefined : this.#verified(known, nowMs);
    if (known === undefined || key === undefined) return undefined;
    this.#uses.note(key.id, nowMs);
    if (this.#found.size === CACHE_KEYS) this.#found.delete(this.#found.keys().next().value ?? "");
    this.#found.set(text, { key, untilMs: Math.min(nowMs + CACHE_MS, endOf(known)) });
    return key;
  }

  /** Whether a text is a key that would be good, had it not expired. */
  isExpired(text: string): boolean {
    const known = this.#lookUp(text);
    return known !== undefined && known.revoked === null && endOf(known) <= this.#clock();
  }

  /** Keys by id, from the one after `after` on; of one account, or of all. Looks at no more than it gives, and one. */
  list(size: number, { after = "", account }: { after?: string; account?: string | undefined } = {}): Page<KeyInfo> {
    // An id is how a name begins, and no name has a sign in it that comes after this one.
    const past = after === "" ? "" : `${RECORD_PREFIX}${after}~`;
    const found =
      account === undefined
        ? this.#records.page(RECORD_PREFIX, size + 1, past).map(([name, value]) => this.#infoOf(name, value))
        : this.#read(this.#index.page(account, size + 1, past)).map(({ info }) => info);
    const items = found.slice(0, size);
    return { items, next: found.length > size ? (items.at(-1)?.id ?? null) : null };
  }

  /** Refuses a key from now on; undefined if there is none of that id. */
  async revoke(id: string): Promise<KeyInfo | undefined> {
    const [[name, value] = ["", ""]] = this.#records.page(RECORD_PREFIX + id, 1);
    const info = name === "" ? undefined : this.#infoOf(name, value);
    if (info?.id !== id) return undefined;
    if (info.revoked !== null) return info;
    return this.#put(name, { ...info, revoked: this.#now() });
  }

  /** How many keys of an account are good. */
  live(account: string): number {
    return this.#index.liveOf(account, this.#clock()).length;
  }

  /** Refuses every key of an account from now on; returns how many those were. */
  async revokeAccount(account: string): Promise<number> {
    const live = this.#read(this.#index.liveOf(account, this.#clock()));
    for (const { name, info } of live) await this.#put(name, { ...info, revoked: this.#now() });
    return live.length;
  }

  /** Deletes every key of an account, good or not; returns how many those were. */
  async deleteAccount(account: string): Promise<number> {
    const names = this.#index.page(account, Number.POSITIVE_INFINITY, "");
    for (const name of names) {
      await this.#uses.forget(idOf(name));
      await this.#records.put(name, undefined);
    }
    return names.length;
  }

  /** Whether it can be told which keys are good; not while those that the replicas share were never read, or are lost. */
  get isFresh(): boolean {
    return this.#records.isFresh && this.loss === undefined;
  }

  /** `ERR_RECORDS_LOST` while keys, or the pepper under which they are hashed, are known to be lost. */
  get loss(): ServiceError | TollkeeperError | undefined {
    if (this.#pepper !== undefined || this.#records.loss !== undefined) return this.#records.loss;
    const { version } = this.#records;
    if (this.#wholeAt !== version) {
      if (this.#records.get(PEPPER) === undefined && this.#records.page(RECORD_PREFIX, 1).length > 0)
        return pepperLost();
      this.#wholeAt = version;
    }
    return undefined;
  }

  /** Whether no key was made yet, and none of the replicas that start together has asked this before. */
  async isFirst(): Promise<boolean> {
    if (this.#records.page(RECORD_PREFIX, 1).length > 0) return false;
    const starter = randomUUID();
    return (await this.#records.putNew(FIRST, starter)) === starter;
  }

  async #create(environment: string, { account, scopes, name: label = null, expires = null }: NewKey) {
    if (!/^[a-z]{1,16}$/.test(environment)) throw invalid("environment", environment, "1 to 16 letters a to z");
    if (scopes.length === 0) throw invalid("scopes", "empty", `some of ${SCOPES.join(", ")}`);
    const owner = this.accounts.get(account);
    if (owner === undefined) {
      throw new ServiceError("ERR_ACCOUNT_UNKNOWN", `there is no account ${account}; with a tier it is made`);
    }
    if (owner.state === "archived") {
      throw new ServiceError("ERR_ACCOUNT_STATE", `account ${account} is archived: it has no keys until it is resumed`);
    }
    const end = expires === null ? null : ahead(expires, "expires", this.#clock(), "ERR_EXPIRY_INVALID");
    if (this.live(account) >= LIVE_KEYS) throw tooMany(account);
    const key = newKeyText(environment);
    // Under a second one all keys that there are would be unknown.
    if (this.loss !== undefined) throw this.loss;
    this.#pepper ??= await this.#records.putNew(PEPPER, randomBytes(32).toString("base64url"));
    const name = nameOf(key, this.#pepper);
    const made = { account, name: label, scopes, created: this.#now(), expires: end, revoked: null };
    const info = await this.#put(name, made);
    // Another replica may have made one meanwhile. Of those who find one too many, each takes its own back.
    if (this.live(account) > LIVE_KEYS) {
      await this.#records.put(name, undefined);
      throw tooMany(account);
    }
    return { ...info, key };
  }

  #lookUp(text: string): KeyInfo | undefined {
    if (!isWellFormed(text)) return undefined;
    this.#pepper ??= this.#records.get(PEPPER);
    if (this.#pepper === undefined) return undefined;
    const name = nameOf(text, this.#pepper);
    const value = this.#records.get(name);
    return value === undefined ? undefined : this.#infoOf(name, value);
  }

  #verified(known: KeyInfo, nowMs: number): VerifiedKey | undefined {
    if (known.revoked !== null || endOf(known) <= nowMs) return undefined;
    const account = this.accounts.get(known.account, nowMs);
    return account === undefined ? undefined : { id: known.id, account, scopes: known.scopes };
  }

  #read(names: readonly string[]): { name: string; info: KeyInfo }[] {
    return names.flatMap((name) => {
      const value = this.#records.get(name);
      return value === undefined ? [] : [{ name, info: this.#infoOf(name, value) }];
    });
  }

  async #put(recordName: string, { account, name, scopes, created, expires, revoked }: KeyRecord): Promise<KeyInfo> {
    const value = JSON.stringify({ account, name, scopes, created, expires, revoked });
    await this.#records.put(recordName, value);
    return this.#infoOf(recordName, value);
  }

  #infoOf(recordName: string, value: string): KeyInfo {
    const id = idOf(recordName);
    const { account, name = null, scopes, created, expires = null, revoked } = JSON.parse(value) as KeyRecord;
    return { id, account, name, scopes, created, expires, lastUsed: this.#uses.lastOf(id), revoked };
  }

  #now(): string {
    return new Date(this.#clock()).toISOString();
  }
}

function nameOf(key: string, pepper: string): string {
  return RECORD_PREFIX + createHmac("sha256", pepper).update(key).digest("hex");
}

function idOf(recordName: string): string {
  return recordName.slice(RECORD_PREFIX.length, RECORD_PREFIX.length + ID_LENGTH);
}

/** When a key expires, in ms since the epoch. */
function endOf({ expires }: Pick<KeyInfo, "expires">): number {
  return expires === null ? Number.POSITIVE_INFINITY : Date.parse(expires);
}

function pepperLost(): ServiceError {
  return new ServiceError(
    "ERR_RECORDS_LOST",
    `there are API keys, and the pepper under which they were hashed is gone: set RATE_LIMIT_KEY_PEPPER to what it was, ` +
      `or restore the record ${PEPPER} from a backup`,
  );
}

function tooMany(account: string): ServiceError {
  return new ServiceError(
    "ERR_KEY_LIMIT",
    `account ${account} has ${LIVE_KEYS} keys that are good, which is all that it may have; revoke one first`,
  );
}

function invalid(option: string, was: unknown, mayBe: string): ServiceError {
  return new ServiceError("ERR_OPTION_INVALID", `${option} is ${String(was)}; it may be ${mayBe}`);
}
