import { describe, expect, it } from "vitest";
import type { Account } from "../../../../src/service/management/account.js";
import { AccountIndex, type AccountQuery } from "../../../../src/service/management/account-index.js";
import { planAt } from "../../../../src/service/management/plan.js";

const START = Date.UTC(2026, 10, 10);
const iso = (ms: number) => new Date(ms).toISOString();

function accountOf(name: string, fields: Partial<Account> = {}): Account {
  const nothing = { scheduled: null, overrides: null, overridesUntil: null, displayName: null, externalId: null };
  const since = iso(START);
  const rest = { from: since, since, created: since, metadata: {}, anchorDay: 1, source: "management" } as const;
  return { name, tier: "free", state: "active", ...nothing, ...rest, ...fields };
}

/** An index of accounts that are kept in a map, and the same found by going through all of them. */
function indexed() {
  const accounts = new Map<string, Account>();
  const clock = { nowMs: START };
  const now = (name: string): Account | undefined => {
    const account = accounts.get(name);
    if (account === undefined) return undefined;
    const { plan, from, scheduled } = planAt({ ...account, plan: account.tier }, clock.nowMs);
    return { ...account, tier: plan, from, scheduled };
  };
  const index = new AccountIndex(now);
  const put = (account: Account | undefined, name = account?.name ?? "") => {
    if (account === undefined) accounts.delete(name);
    else accounts.set(name, account);
    index.note(name);
  };
  const all = (query: AccountQuery, size: number) => {
    const names: string[] = [];
    let after: string | null = "";
    while (after !== null) {
      const page: { items: string[]; next: string | null } = index.page(query, size, after, iso(clock.nowMs));
      expect(page.items.length).toBeLessThanOrEqual(size);
      names.push(...page.items);
      after = page.next;
    }
    return names;
  };
  const byLooking = ({ plan, state, search, externalId }: AccountQuery) =>
    [...accounts.keys()].sort().filter((name) => {
      const account = now(name);
      const begins = (text: string | null) => text?.toLowerCase().startsWith(search?.toLowerCase() ?? "") === true;
      return (
        account !== undefined &&
        (plan === undefined || account.tier === plan) &&
        (state === undefined ? account.state !== "archived" : account.state === state) &&
        (externalId === undefined || account.externalId === externalId) &&
        (search === undefined || [name, account.displayName, account.externalId].some(begins))
      );
    });
  return { put, all, byLooking, clock, index, accounts };
}

/** Numbers that look random and are the same each time. */
function random(seed: number) {
  let state = seed;
  return (below: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe("an index of accounts", () => {
  it.each([1, 2, 3, 4, 5])("finds what going through all finds, whatever has changed: seed %i", (seed) => {
    const { put, all, byLooking, clock, accounts } = indexed();
    const below = random(seed);
    const pick = <T>(...choices: T[]): T => choices[below(choices.length)] as T;
    const word = () => pick("a", "A", "ab", "Ä", "b", "ba", "~", "Z") + pick("", "a", "B", "-1", "/x");
    for (let step = 0; step < 300; step++) {
      const name = `${pick("a", "B", "ab", "z")}${below(40)}`;
      const soon = { plan: pick("free", "pro"), at: iso(clock.nowMs + below(5000)) };
      const account = accountOf(name, {
        tier: pick("free", "pro", "enterprise"),
        state: pick("active", "active", "suspended", "archived"),
        displayName: pick(null, word(), `${word()} ${word()}`),
        externalId: pick(null, `${word()}${below(30)}`),
        scheduled: pick(null, soon),
      });
      put(below(8) === 0 ? undefined : account, name);
      clock.nowMs += below(200);
      if (step % 10 !== 0) continue;
      const one = pick(...accounts.values()) as Account | undefined;
      for (const query of [
        {},
        { plan: "pro" },
        { state: "archived" },
        { state: "suspended", plan: "free" },
        { externalId: one?.externalId ?? "none" },
        { externalId: one?.externalId ?? "none", plan: "pro" },
      ] as AccountQuery[]) {
        expect(all(query, 1 + below(7)), JSON.stringify(query)).toEqual(byLooking(query));
      }
      for (const search of ["a", "AB", "ä", "b1", "none", "~"]) {
        const query = { search, plan: pick(undefined, "pro"), state: pick(undefined, "active") } as AccountQuery;
        const found = all(query, 1 + below(7));
        expect(new Set(found).size).toBe(found.length);
        expect(found.sort(), JSON.stringify(query)).toEqual(byLooking(query));
      }
    }
  });

  it("goes on after an account that is gone, and shows each that stays once, whatever comes and goes", () => {
    const { put, index, clock } = indexed();
    for (let each = 0; each < 1000; each++) put(accountOf(`n${each}`, { displayName: `Name ${each % 7}` }));
    for (const query of [{}, { search: "name" }]) {
      const seen: string[] = [];
      for (let after: string | null = ""; after !== null; ) {
        const page: { items: string[]; next: string | null } = index.page(query, 10, after, iso(clock.nowMs));
        seen.push(...page.items);
        put(undefined, page.items.at(-1) ?? "");
        put(accountOf(`m${seen.length}`));
        after = page.next;
      }
      expect(new Set(seen).size).toBe(seen.length);
      for (const name of seen) put(accountOf(name, { displayName: "Name 1" }));
      expect(seen.filter((name) => name.startsWith("n"))).toHaveLength(1000);
    }
  });
});

describe("50,000 accounts", () => {
  const { put, index, clock } = indexed();
  for (let each = 0; each < 50_000; each++) {
    const tier = each % 1000 === 0 ? "enterprise" : "free";
    put(accountOf(`account-${each}`, { tier, displayName: `Customer ${each}`, externalId: `crm-${each}` }));
  }
  /** How many other accounts are looked at, told by their terms being read. */
  const page = (query: AccountQuery, after = "") => index.page(query, 100, after, iso(clock.nowMs));

  it("are paged by plan, state, search and external id at the cost of what is shown", () => {
    expect(page({ plan: "enterprise" }).items).toHaveLength(50);
    expect(page({ search: "customer 4999" }).items).toHaveLength(11);
    expect(page({ externalId: "crm-777" })).toEqual({ items: ["account-777"], next: null });
    expect(page({ state: "archived" })).toEqual({ items: [], next: null });
    expect(page({}, "account-49998").items[0]).toBe("account-49999");
  });

  it("of which few match two things at once come in short pages, each of which looks at 2,000", () => {
    const found: string[] = [];
    let pages = 0;
    for (let after: string | null = ""; after !== null; pages++) {
      const part: { items: string[]; next: string | null } = page({ search: "customer", plan: "enterprise" }, after);
      found.push(...part.items);
      after = part.next;
    }
    expect(found).toHaveLength(50);
    expect(pages).toBe(25);
  });
});
