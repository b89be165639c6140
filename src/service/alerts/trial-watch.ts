import { type Event, eventOf } from "../webhooks/event.js";
import type { Publish } from "./quota-watch.js";

/** An account whose plan is to change. */
export interface ScheduledAccount {
  readonly name: string;
  readonly tier: string;
  readonly scheduled: { readonly plan: string; readonly at: string } | null;
}

/** Gives a page of accounts, after the one named. */
export type PageOfAccounts = (size: number, after: string) => { items: ScheduledAccount[]; next: string | null };

const DAY_MS = 86_400_000;
/** Accounts read in one go. */
const PART = 200;
/** Events remembered as told, so that each is published once by this replica; others that forget it are told again, in vain. */
const REMEMBERED = 100_000;

/** Tells of changes of plan that are near, as the end of a trial. */
export class TrialWatch {
  readonly #page: PageOfAccounts;
  readonly #noticeDays: number;
  readonly #publish: Publish;
  readonly #told = new Set<string>();

  /** `noticeDays` is how many days ahead it tells. */
  constructor(page: PageOfAccounts, noticeDays: number, publish: Publish) {
    this.#page = page;
    this.#noticeDays = noticeDays;
    this.#publish = publish;
  }

  /** Goes through all accounts, a part at a time. Rejects with why an event can't be published; the next look tries it again. */
  async look(nowMs: number): Promise<void> {
    for (let after: string | null = ""; after !== null; ) {
      const { items, next } = this.#page(PART, after);
      for (const { name: account, tier: plan, scheduled } of items) {
        if (scheduled === null) continue;
        const inMs = Date.parse(scheduled.at) - nowMs;
        if (inMs <= 0 || inMs > this.#noticeDays * DAY_MS) continue;
        const data = { account, plan, then: { plan: scheduled.plan, at: scheduled.at } };
        await this.#tell(eventOf("trial.ending", [account, scheduled.plan, scheduled.at], nowMs, data, nowMs + inMs));
      }
      after = next;
      await new Promise(setImmediate);
    }
  }

  async #tell(event: Event): Promise<void> {
    if (this.#told.has(event.id)) return;
    await this.#publish(event);
    this.#told.add(event.id);
    if (this.#told.size > REMEMBERED) this.#told.delete(this.#told.values().next().value as string);
  }
}
