import type { Decision, LimitState } from "tollkeeper";
import { type Event, eventOf } from "../webhooks/event.js";

/** What of a decision is looked at; it may be read later. */
export type WatchedDecision = Pick<
  Decision,
  "allowed" | "deniedBy" | "isProvisional" | "limits" | "tier" | "tierSpec" | "clockMs"
>;

/** What an account was told. */
interface Noted {
  readonly decision: WatchedDecision;
  /** Whether the call was denied until the period ends: not let through in shadow mode, and by what other replicas do not give back. */
  readonly isDenied: boolean;
}

/** Has an event told to whoever wants it. */
export type Publish = (event: Event) => Promise<void>;

/** Events remembered as told, so that each is published once by this replica; others that forget it are told again, in vain. */
const REMEMBERED = 100_000;
/** Accounts looked at in one go. */
const PART = 500;

/**
 * Tells of quotas that accounts use up. A call costs it a note of its decision; what that says is worked out once a second, for
 * each account that has called since.
 */
export class QuotaWatch {
  readonly #thresholds: () => readonly number[];
  readonly #publish: Publish;
  #noted = new Map<string, Noted>();
  readonly #told = new Set<string>();
  #looking: Promise<void> | undefined;

  /** `thresholds` are percentages of a quota; `publish` may be told of the same event again, also by other replicas. */
  constructor(thresholds: () => readonly number[], publish: Publish) {
    this.#thresholds = thresholds;
    this.#publish = publish;
  }

  /** Notes what an account was told last; a denial stays until it was looked at. In shadow mode none denies. */
  note(account: string, decision: WatchedDecision, isShadow = false): void {
    this.#note(account, { decision, isDenied: !decision.allowed && !decision.isProvisional && !isShadow });
  }

  #note(account: string, noted: Noted): void {
    if (this.#noted.get(account)?.isDenied !== true || noted.isDenied) this.#noted.set(account, noted);
  }

  /** Publishes what follows from what was noted; what can't be published is tried at the next look. Rejects with why it can't. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  async #look(): Promise<void> {
    const noted = [...this.#noted];
    this.#noted = new Map();
    for (let at = 0; at < noted.length; at += PART) {
      const part = noted.slice(at, at + PART);
      try {
        await Promise.all(part.flatMap((one) => this.#eventsOf(...one)).map((event) => this.#tell(event)));
      } catch (error) {
        // What was noted meanwhile is newer; a denial stays all the same.
        const newer = this.#noted;
        this.#noted = new Map(noted.slice(at));
        for (const [account, one] of newer) this.#note(account, one);
        throw error;
      }
      if (at + PART < noted.length) await new Promise(setImmediate);
    }
  }

  async #tell(event: Event): Promise<void> {
    if (this.#told.has(event.id)) return;
    await this.#publish(event);
    this.#told.add(event.id);
    if (this.#told.size > REMEMBERED) this.#told.delete(this.#told.values().next().value as string);
  }

  #eventsOf(account: string, { decision, isDenied }: Noted): Event[] {
    const { limits, deniedBy, tier: plan, tierSpec, clockMs } = decision;
    return limits.flatMap((state, index) => {
      if (tierSpec.limits[index]?.type !== "quota" || state.limit === 0) return [];
      const about = { account, plan, ...standingOf(state, clockMs) };
      const of = [account, state.name, about.period_end ?? "never"];
      const untilMs = about.period_end === null ? Infinity : Date.parse(about.period_end);
      const used = (100 * about.used) / state.limit;
      const reached = this.#thresholds().filter((threshold) => used >= threshold);
      const events = reached.map((threshold) => {
        return eventOf("usage.threshold", [...of, threshold], clockMs, { ...about, threshold }, untilMs);
      });
      if ((state.overage ?? 0) > 0) events.push(eventOf("usage.overage_started", of, clockMs, about, untilMs));
      if (isDenied && deniedBy === state.name) events.push(eventOf("quota.exhausted", of, clockMs, about, untilMs));
      return events;
    });
  }
}

/** Where a quota stands; its period ends at a whole second. */
function standingOf({ name, limit, remaining, overage = 0, resetMs }: LimitState, nowMs: number) {
  const endMs = Math.round((nowMs + resetMs) / 1000) * 1000;
  return {
    limit_name: name,
    limit,
    used: Math.round((limit - remaining + overage) * 1000) / 1000,
    period_end: Number.isFinite(endMs) ? new Date(endMs).toISOString() : null,
  };
}
