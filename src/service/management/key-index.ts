import type { RecordStore } from "tollkeeper";

/** Records read at a time while the index is made. */
const PART = 1000;

/** The names of key records by account, so that nobody has to go through all keys for one account's. */
export class KeyIndex {
  readonly #accounts = new Map<string, string>();
  /** In order: an account has few enough for one more to move the others. */
  readonly #all = new Map<string, string[]>();
  /** Those that were not revoked, with when they expire, in ms since the epoch. */
  readonly #live = new Map<string, Map<string, number>>();

  /** Made of the records whose names begin with `prefix`; it follows their changes from then on. */
  constructor(records: RecordStore, prefix: string) {
    records.watch((name, value) => {
      if (name.startsWith(prefix)) this.#note(name, value);
    });
    let after = "";
    for (;;) {
      const part = records.page(prefix, PART, after);
      for (const [name, value] of part) this.#note(name, value);
      if (part.length < PART) return;
      after = part.at(-1)?.[0] ?? "";
    }
  }

  /** At most `size` names of an account's records, in order, after `after`. */
  page(account: string, size: number, after: string): string[] {
    const names = this.#all.get(account) ?? [];
    const first = indexIn(names, after);
    const from = names[first] === after ? first + 1 : first;
    return names.slice(from, from + size);
  }

  /** Those of its keys that were not revoked, and have not expired at an instant. */
  liveOf(account: string, nowMs: number): string[] {
    const live = this.#live.get(account) ?? new Map<string, number>();
    return [...live].flatMap(([name, endMs]) => (nowMs < endMs ? [name] : []));
  }

  #note(name: string, value: string | undefined): void {
    const before = this.#accounts.get(name);
    const { account, revoked, expires } = value === undefined ? {} : ownerOf(value);
    if (before !== undefined && before !== account) this.#forget(name, before);
    if (account === undefined) return;
    this.#accounts.set(name, account);
    const all = this.#all.get(account) ?? [];
    const index = indexIn(all, name);
    if (all[index] !== name) all.splice(index, 0, name);
    this.#all.set(account, all);
    const live = this.#live.get(account) ?? new Map<string, number>();
    if (revoked === null) live.set(name, expires ? Date.parse(expires) : Number.POSITIVE_INFINITY);
    else live.delete(name);
    if (live.size > 0) this.#live.set(account, live);
    else this.#live.delete(account);
  }

  #forget(name: string, account: string): void {
    this.#accounts.delete(name);
    const all = this.#all.get(account) ?? [];
    const index = indexIn(all, name);
    if (all[index] === name) all.splice(index, 1);
    this.#live.get(account)?.delete(name);
  }
}

/** Where a name stands, or would stand, among names that are in order. */
function indexIn(names: readonly string[], name: string): number {
  let [low, high] = [0, names.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((names[middle] ?? "") < name) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Nothing of a record that something else has overwritten: that fails the key alone. */
function ownerOf(value: string): { account?: string; revoked?: string | null; expires?: string | null } {
  try {
    return JSON.parse(value) ?? {};
  } catch {
    return {};
  }
}
