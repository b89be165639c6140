import { createHmac, randomBytes } from "node:crypto";
import { crc32 } from "node:zlib";
import type { RecordStore } from "../engine/types.js";

/** What an API key may be used for. */
export type Scope = "fingerprint" | "quota:read" | "admin";

/** What is kept of an API key: never the key itself. */
export interface KeyRecord {
  /** Whose quota a call spends; an account may have several keys. */
  account: string;
  tier: string;
  scopes: Scope[];
  /** ISO 8601. */
  created: string;
  /** ISO 8601; set once the key is no longer good. */
  revoked?: string;
}

const PEPPER = "key-pepper";
const RECORD_PREFIX = "key:";
const SECRET_BYTES = 32;
const SECRET_LENGTH = 43; // 62^43 is the first power of 62 above 2^256.
const CHECKSUM_LENGTH = 6; // 62^6 is the first one above 2^32.
/** Good keys remembered, and for how long, in ms: a key revoked in another thread is refused after that at the latest. */
const CACHE_KEYS = 10_000;
const CACHE_MS = 10_000;
const FORM = /^(fpk_[a-z]{1,16}_[0-9A-Za-z]{43})_([0-9A-Za-z]{6})$/;

/**
 * The API keys of a service: `fpk_<env>_<32 random bytes, base62>_<checksum>`, where the checksum is the CRC-32 of what
 * stands before it, in base62. They are kept as HMAC-SHA-256 under a pepper, so that neither the storage file nor its
 * backups hold one.
 *
 * A key that was found is remembered for ten seconds, since the look-up takes longer than everything else about a call.
 * Others are not, so nobody can fill the memory, or push good keys out of it, by making keys up.
 */
export class ApiKeys {
  readonly #records: RecordStore;
  readonly #pepper: string;
  readonly #clock: () => number;
  readonly #found = new Map<string, { record: KeyRecord; untilMs: number }>();

  /** `clock` gives ms since the epoch. */
  private constructor(records: RecordStore, pepper: string, clock: () => number) {
    this.#records = records;
    this.#pepper = pepper;
    this.#clock = clock;
  }

  /** Opens the keys in a record store. The pepper is kept there too, made at the first opening, unless it is given. */
  static async open(records: RecordStore, pepper?: string, clock: () => number = Date.now): Promise<ApiKeys> {
    let known = pepper ?? records.get(PEPPER);
    if (known === undefined) {
      known = randomBytes(32).toString("base64url");
      await records.put(PEPPER, known);
    }
    return new ApiKeys(records, known, clock);
  }

  /**
   * Makes a key, which can't be shown again.
   *
   * @param environment Shown in the key, to tell a test key at sight: 1 to 16 letters a–z.
   */
  async create(environment: string, owner: Pick<KeyRecord, "account" | "tier" | "scopes">): Promise<string> {
    const text = `fpk_${environment}_${base62(BigInt(`0x${randomBytes(SECRET_BYTES).toString("hex")}`), SECRET_LENGTH)}`;
    const key = `${text}_${checksum(text)}`;
    const { account, tier, scopes } = owner;
    await this.#put(this.#nameOf(key), { account, tier, scopes, created: this.#now() });
    return key;
  }

  /** The record of a key that is good; undefined if it is malformed, unknown or revoked. */
  find(key: string): KeyRecord | undefined {
    const nowMs = this.#clock();
    const found = this.#found.get(key);
    if (found !== undefined && nowMs < found.untilMs) return found.record;
    this.#found.delete(key);
    const record = isWellFormed(key) ? this.#get(this.#nameOf(key)) : undefined;
    if (record === undefined || record.revoked !== undefined) return undefined;
    if (this.#found.size === CACHE_KEYS) this.#found.delete(this.#found.keys().next().value ?? "");
    this.#found.set(key, { record, untilMs: nowMs + CACHE_MS });
    return record;
  }

  /** Refuses every key of an account from now on; returns how many those were. */
  async revokeAccount(account: string): Promise<number> {
    const live = this.#list().filter(([, record]) => record.account === account && record.revoked === undefined);
    for (const [name, record] of live) await this.#put(name, { ...record, revoked: this.#now() });
    return live.length;
  }

  /** Whether no key was ever made. */
  get isEmpty(): boolean {
    return this.#records.list(RECORD_PREFIX).length === 0;
  }

  #nameOf(key: string): string {
    return RECORD_PREFIX + createHmac("sha256", this.#pepper).update(key).digest("hex");
  }

  #get(name: string): KeyRecord | undefined {
    const value = this.#records.get(name);
    return value === undefined ? undefined : (JSON.parse(value) as KeyRecord);
  }

  #list(): [name: string, record: KeyRecord][] {
    return this.#records.list(RECORD_PREFIX).map(([name, value]) => [name, JSON.parse(value) as KeyRecord]);
  }

  async #put(name: string, record: KeyRecord): Promise<void> {
    await this.#records.put(name, JSON.stringify(record));
    this.#found.clear();
  }

  #now(): string {
    return new Date(this.#clock()).toISOString();
  }
}

/** Whether a text can be a key at all: its checksum tells most typing errors without a look-up. */
export function isWellFormed(key: string): boolean {
  const [, text, sum] = FORM.exec(key) ?? [];
  return text !== undefined && sum === checksum(text);
}

function checksum(text: string): string {
  return base62(BigInt(crc32(text)), CHECKSUM_LENGTH);
}

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

function base62(value: bigint, length: number): string {
  let text = "";
  for (let rest = value; text.length < length; rest /= 62n) text = DIGITS.charAt(Number(rest % 62n)) + text;
  return text;
}
