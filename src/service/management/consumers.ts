import type { Accounts } from "./accounts.js";

/** How long, in ms, what was noted of a consumer is not noted again: groups that go back and forth are few writes. */
const REST_MS = 60_000;
/** Consumers of whom that is remembered, and that wait to be written; others are noted when they call later. */
const MOST = 10_000;

/**
 * Has consumers of a gateway become accounts, on the plan that their group names: when they are first seen, and when the group
 * has changed since. They are written one after another once the call is on its way; whatever fails is tried again when the
 * consumer calls a minute later.
 */
export class Consumers {
  readonly #accounts: Accounts;
  readonly #clock: () => number;
  /** Plans by name of the account. */
  readonly #waiting = new Map<string, string>();
  /** By name, until when nothing is noted. */
  readonly #noted = new Map<string, number>();
  #isWriting = false;

  /** @param clock Gives ms since the epoch. */
  constructor(accounts: Accounts, clock: () => number = Date.now) {
    this.#accounts = accounts;
    this.#clock = clock;
  }

  /** Notes that a consumer calls whose group names a plan that its account is not on, or that has none. */
  note(name: string, plan: string): void {
    const nowMs = this.#clock();
    if (nowMs < (this.#noted.get(name) ?? 0) || this.#waiting.size === MOST) return;
    this.#noted.delete(name);
    if (this.#noted.size === MOST) this.#noted.delete(this.#noted.keys().next().value ?? "");
    this.#noted.set(name, nowMs + REST_MS);
    this.#waiting.set(name, plan);
    if (this.#isWriting) return;
    this.#isWriting = true;
    setImmediate(() => void this.#write());
  }

  async #write(): Promise<void> {
    for (const [name, plan] of this.#waiting) {
      this.#waiting.delete(name);
      await this.#accounts.follow(name, plan).catch(() => undefined);
    }
    this.#isWriting = false;
  }
}
