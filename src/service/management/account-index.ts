import { ACCOUNT_STATES, type AccountState } from "./account.js";
import type { FoundAccount } from "./account-records.js";
import type { Page } from "./page.js";
import { merged, SortedTexts } from "./sorted-texts.js";

/** Which accounts are wanted. */
export interface AccountQuery {
  /** On this plan at the time. */
  plan?: string | undefined;
  /** Only those; all but archived ones if left out. */
  state?: AccountState | undefined;
  /** How a name, a display name or an external id begins, in letters of either case. */
  search?: string | undefined;
  externalId?: string | undefined;
}

/** Of an account, what it is found by. */
interface Noted {
  state: AccountState;
  plan: string;
  /** Name, display name and external id, folded, in order. */
  terms: string[];
  externalId: string | null;
  /** When its plan changes by itself. */
  due: string | null;
}

/** UTF-16 units of a term that are looked at. */
const TERM = 128;
/** Entries that one page of a search looks at; it may then be short, and the next goes on from there. */
const MOST_LOOKED_AT = 2000;
const SHOWN: readonly AccountState[] = ["active", "suspended"];

/**
 * The accounts in order, by what they are looked for. A page is found without going through the others: by state, plan and
 * beginning of a term; only a search among those of one plan looks at others, and at no more than 2,000 a page.
 */
export class AccountIndex {
  readonly #read: (name: string) => FoundAccount | undefined;
  readonly #noted = new Map<string, Noted>();
  /** Names by state, and by state and plan. */
  readonly #names = new Map<string, SortedTexts>();
  /** Terms by state, each with the name behind it. */
  readonly #terms = new Map<AccountState, SortedTexts>(ACCOUNT_STATES.map((state) => [state, new SortedTexts()]));
  readonly #externalIds = new Map<string, Set<string>>();
  /** Instants at which plans change, with the name behind each. */
  readonly #due = new SortedTexts();

  /** @param read Gives an account as it is at the time. */
  constructor(read: (name: string) => FoundAccount | undefined) {
    this.#read = read;
  }

  /** Looks at an account again, of which something may have changed. */
  note(name: string): void {
    const after = this.#look(name);
    const before = this.#noted.get(name);
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(after)) return;
    if (before !== undefined) this.#forget(name, before);
    if (after !== undefined) this.#add(name, after);
  }

  /** Names of accounts that have an external id: one, or while two replicas disagree more. */
  ofExternalId(externalId: string): string[] {
    return [...(this.#externalIds.get(externalId) ?? [])].sort();
  }

  /**
   * At most `size` names, after `after`: in the order of the names, or of what a search has found.
   *
   * @param now ISO 8601.
   */
  page(query: AccountQuery, size: number, after: string, now: string): Page<string> {
    this.#catchUp(now);
    if (query.externalId !== undefined) {
      const names = this.ofExternalId(query.externalId).filter((name) => name > after && this.#matches(name, query));
      return pageOf(names.slice(0, size), names.length > size);
    }
    return query.search === undefined ? this.#list(query, size, after) : this.#search(query, query.search, size, after);
  }

  #list({ state, plan }: AccountQuery, size: number, after: string): Page<string> {
    const states = state === undefined ? SHOWN : [state];
    const sets = states.flatMap((each) => this.#names.get(keyOf(each, plan)) ?? []);
    const names: string[] = [];
    for (const name of merged(sets, after)) {
      if (name === after) continue;
      if (names.length === size) return pageOf(names, true);
      names.push(name);
    }
    return pageOf(names, false);
  }

  #search(query: AccountQuery, search: string, size: number, after: string): Page<string> {
    const beginning = folded(search);
    const states = query.state === undefined ? SHOWN : [query.state];
    const sets = states.flatMap((state) => this.#terms.get(state) ?? []);
    const past = Buffer.from(after, "base64url").toString();
    const [first = ""] = [beginning, past].sort().reverse();
    const items: string[] = [];
    let last = past;
    let looked = 0;
    for (const entry of merged(sets, first)) {
      if (entry === past) continue;
      if (!entry.startsWith(beginning)) break;
      if (items.length === size || looked++ === MOST_LOOKED_AT) {
        return { items, next: Buffer.from(last).toString("base64url") };
      }
      last = entry;
      const [term, name = ""] = entry.split("\0");
      // Whoever is found by several terms is shown at the first.
      const isFirst = this.#noted.get(name)?.terms.find((each) => each.startsWith(beginning)) === term;
      if (isFirst && (query.plan === undefined || this.#noted.get(name)?.plan === query.plan)) items.push(name);
    }
    return { items, next: null };
  }

  #matches(name: string, { plan, state, search }: AccountQuery): boolean {
    const noted = this.#noted.get(name);
    if (noted === undefined || (plan !== undefined && noted.plan !== plan)) return false;
    if (state === undefined ? !SHOWN.includes(noted.state) : noted.state !== state) return false;
    return search === undefined || noted.terms.some((term) => term.startsWith(folded(search)));
  }

  /** Looks again at those whose plans have changed by themselves. */
  #catchUp(now: string): void {
    const come: string[] = [];
    for (const entry of this.#due.from("")) {
      if (entry.slice(0, now.length) > now) break;
      come.push(entry);
    }
    for (const entry of come) this.note(entry.slice(entry.indexOf("\0") + 1));
  }

  #look(name: string): Noted | undefined {
    const account = this.#read(name);
    if (account === undefined) return undefined;
    const { state, tier, displayName, externalId, scheduled } = account;
    const terms = [name, displayName, externalId].flatMap((text) => (text === null ? [] : [folded(text)]));
    return { state, plan: tier, terms: [...new Set(terms)].sort(), externalId, due: scheduled?.at ?? null };
  }

  #add(name: string, noted: Noted): void {
    this.#noted.set(name, noted);
    for (const key of [keyOf(noted.state), keyOf(noted.state, noted.plan)]) {
      const names = this.#names.get(key) ?? new SortedTexts();
      names.add(name);
      this.#names.set(key, names);
    }
    for (const term of noted.terms) this.#terms.get(noted.state)?.add(`${term}\0${name}`);
    if (noted.due !== null) this.#due.add(`${noted.due}\0${name}`);
    if (noted.externalId !== null) {
      const names = this.#externalIds.get(noted.externalId) ?? new Set();
      this.#externalIds.set(noted.externalId, names.add(name));
    }
  }

  #forget(name: string, noted: Noted): void {
    this.#noted.delete(name);
    for (const key of [keyOf(noted.state), keyOf(noted.state, noted.plan)]) this.#names.get(key)?.delete(name);
    for (const term of noted.terms) this.#terms.get(noted.state)?.delete(`${term}\0${name}`);
    if (noted.due !== null) this.#due.delete(`${noted.due}\0${name}`);
    if (noted.externalId === null) return;
    const names = this.#externalIds.get(noted.externalId);
    names?.delete(name);
    if (names?.size === 0) this.#externalIds.delete(noted.externalId);
  }
}

function keyOf(state: AccountState, plan?: string): string {
  return plan === undefined ? state : `${state} ${plan}`;
}

/** A text as it is compared: whether in capitals or not, and however its accents are written. */
function folded(text: string): string {
  const cut = text.normalize("NFKC").toLowerCase().slice(0, TERM);
  return cut.replace(/[\ud800-\udbff]$/, ""); // Half of a pair would not outlast the way to the client and back.
}

function pageOf(names: string[], hasMore: boolean): Page<string> {
  return { items: names, next: hasMore ? (names.at(-1) ?? null) : null };
}
