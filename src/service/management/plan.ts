/** A change of plan that is ahead: that of a customer who has ordered another, or the end of a trial. */
export interface ScheduledPlan {
  plan: string;
  /** From when on, in ISO 8601, UTC. */
  at: string;
}

/** A plan, and since when it was held, in ISO 8601, UTC. */
export interface HeldSince {
  plan: string;
  from: string;
}

/** What an account is on, and what it is to be on. A plan is a tier's plain name, without overrides. */
export interface PlanTerms {
  plan: string;
  /** Since when, in ISO 8601, UTC. */
  from: string;
  /** `then`, as the API calls it. */
  scheduled: ScheduledPlan | null;
}

/** The terms at an instant, in ms since the epoch: what was scheduled is in force from its time on, whoever looks. */
export function planAt(terms: PlanTerms, nowMs: number): PlanTerms {
  const { scheduled } = terms;
  if (scheduled === null || nowMs < Date.parse(scheduled.at)) return terms;
  return { plan: scheduled.plan, from: scheduled.at, scheduled: null };
}
