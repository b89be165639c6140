import type { Cost } from "../engine/cost.js";
import { TollkeeperError } from "../errors.js";
import type { Decision } from "../limiter/decision.js";
import type { JointDecision } from "../limiter/joint-decision.js";
import { plainTier } from "../limiter/overrides.js";
import type { Subject } from "../limiter/subjects.js";
import { type Answer, type Denial, denial, faultOf, PASS } from "./answer.js";
import {
  type Charged,
  costUnder,
  difference,
  exceededOf,
  exceedingOf,
  isAnyCost,
  isAtLeast,
  isNothing,
  summed,
} from "./costs.js";
import { denialFields, type Fields, stateFields, tighterOf } from "./headers.js";
import {
  type Caller,
  checkedCaller,
  type Identified,
  type Identity,
  type PayingSubject,
  type Refusal,
} from "./identity.js";
import type { Layer } from "./layer.js";
import { allOf, andThen, isThenable, type MaybePromise, mute } from "./maybe-promise.js";
import { costExceedsCapacity, quotaExceeded, temporaryReducedCapacity } from "./problem.js";
import { checkedCost, checkedTotal, type Toll } from "./toll.js";
import { type Amounts, amountsOf, askedAmounts, type CallUsage, NOTHING } from "./usage.js";

/** After how many seconds a call is worth trying again that could not be decided. */
const RETRY_AFTER: Fields = [["retry-after", "1"]];
const NO_FIELDS: Fields = [];

/**
 * One call at one layer of limits: it is charged before its body is read, charged whole once that is known, and gets back
 * what it should not have paid when it is answered. Adapters make one for every call, and do what it answers.
 *
 * Where a call passes several layers, each is told of the one before. What a denied call has spent at the others is given
 * back to it: all of it before its body is read, and later to the quotas only, or large bodies could be sent for nothing.
 */
export class Call<Request> {
  /** The decision on it; undefined where it cost nothing, or has not been made. Of several subjects, the one to be told. */
  declare decision: Decision | undefined;
  /** The decision on all of its subjects, where it is of several. */
  declare joint: JointDecision | undefined;
  /** What it was charged last, as its route has it. */
  declare private cost: Cost;
  /** What it costs that went on in shadow mode without spending it; there only then. */
  declare private unspent?: Cost;
  /** The limits that it passes. */
  declare readonly layer: Layer<Request>;
  /** The same call at the layer before, and at the next. */
  declare readonly previous: Call<Request> | undefined;
  declare private next: Call<Request> | undefined;
  declare private readonly request: Request;
  declare private readonly toll: Toll<Request>;
  declare private identity: Caller | undefined;
  declare private isLetIn: boolean;
  /** Whether its body is known, and so its whole cost. */
  declare isWhole: boolean;
  /** Whether it was good enough to be handled, and its whole cost spent. */
  declare private isHandled: boolean;
  /** Whether it runs no more: a place that it gets after that is nobody's. */
  declare isOver: boolean;
  /** Whether it is being decided just now, and what it costs is not known yet. */
  declare private isPending: boolean;
  /** Whether this layer has denied it. */
  declare wasDenied: boolean;
  /** Whether this layer's ledger has it. */
  declare isCounted: boolean;

  /** `previous` is this call at the layer before, if there are several. */
  constructor(layer: Layer<Request>, request: Request, toll: Toll<Request>, previous?: Call<Request>) {
    this.layer = layer;
    this.request = request;
    this.toll = toll;
    this.previous = previous;
    this.next = undefined;
    this.decision = undefined;
    this.joint = undefined;
    this.cost = 0;
    this.identity = undefined;
    this.isLetIn = false;
    this.isWhole = false;
    this.isHandled = false;
    this.isOver = false;
    this.isPending = false;
    this.wasDenied = false;
    this.isCounted = false;
    if (previous !== undefined) previous.next = this;
  }

  /** The same call at the last layer that it has come to. */
  get last(): Call<Request> {
    return this.next?.last ?? this;
  }

  /** Who calls, as `identify` has said; undefined where nobody was asked, or was refused. */
  get caller(): Identity | undefined {
    return this.isLetIn ? this.identity : undefined;
  }

  /** The same, also of a call that its limits deny. */
  get identified(): Identity | undefined {
    return this.identity?.refusal === undefined ? this.identity : undefined;
  }

  /**
   * Asks who calls, and charges whoever that is. Never throws or rejects.
   *
   * @param isWhole Whether the body is known already, and the whole cost is charged at once.
   */
  begin(isWhole = false): MaybePromise<Answer> {
    this.isWhole = isWhole;
    try {
      const identity = (this.toll.identify ?? this.layer.identify)(this.request);
      const answer = isThenable(identity) ? andThen(identity, (later) => this.enter(later)) : this.enter(identity);
      return isThenable(answer) ? this.awaited(answer, (answer) => answer) : answer;
    } catch (error) {
      return faultOf(error);
    }
  }

  /** Spends the whole cost in place of the first, once the body is known and before the call is handled. */
  complete(): MaybePromise<Answer> {
    if (this.toll.total === undefined || !this.isLetIn) {
      this.isHandled = true;
      return PASS;
    }
    this.isWhole = true;
    const handled = (answer: Answer): Answer => {
      this.isHandled = answer.type === "pass";
      return answer;
    };
    try {
      const answer = andThen(this.presentCaller(), (caller) => this.chargeWhole(caller));
      return isThenable(answer) ? this.awaited(answer, handled) : handled(answer);
    } catch (error) {
      return faultOf(error);
    }
  }

  /** An answer that comes later, be it a fault. */
  private awaited(answer: PromiseLike<Answer>, told: (answer: Answer) => Answer): PromiseLike<Answer> {
    this.isPending = true;
    const decided = (answer: Answer): Answer => {
      this.isPending = false;
      return answer;
    };
    return answer.then(
      (answer) => decided(told(answer)),
      (error: unknown) => decided(faultOf(error)),
    );
  }

  /** Has nothing given back for a fault of the call's own that it is refused for before it is handled. */
  keep(): void {
    this.isHandled = true;
  }

  /**
   * Gives back what the call should not have paid, now that its answer has been sent. Not to be told where the caller has
   * gone away: else a client could have all the work done and never pay.
   *
   * @throws {TollkeeperError} as `decision.refund` does, or what a function given as `refundOn` throws.
   */
  end(status: number): void {
    if (!this.isLetIn || (this.decision ?? this.unspent) === undefined) return;
    const part = this.partFor(status);
    mute(part);
    if (!part) return;
    this.refund(part);
    if (this.unspent !== undefined) this.unspent = 0;
  }

  /** Gives back what it has spent, of all subjects. */
  private refund(part: "all" | "quotas"): void {
    if (this.joint !== undefined) this.joint.refund(part);
    else this.decision?.refund(part);
  }

  /**
   * Gives back the places that the call holds of limits of concurrency: its answer has been sent, or the caller has gone.
   * Whether there were any.
   */
  release(): boolean {
    this.isOver = true;
    return (this.joint ?? this.decision)?.release() ?? false;
  }

  /**
   * What is to be counted of it, once its outcome is final; undefined where that is nothing, or not known yet.
   *
   * @param isDenied Whether some layer has denied it, this one or another.
   */
  usage(isDenied: boolean): CallUsage | undefined {
    const { identity, isPending } = this;
    const meter = this.toll.meter ?? this.layer.meter ?? false;
    if (isPending || meter === false || identity === undefined || identity.refusal !== undefined) return undefined;
    const { subjects, index = 0 } = identity;
    const payer = subjects === undefined ? identity : (subjects[index] as PayingSubject);
    const account = payer.account ?? payer.key;
    const name = typeof meter === "string" ? meter : meter.name;
    const plan = plainTier(payer.tier);
    if (isDenied) return { account, meter: name, plan, denied: true };
    if (!this.isLetIn) return undefined;
    const limit = typeof meter === "string" ? undefined : meter.limit;
    const { units, refunded } = this.amounts(limit, index, subjects?.[index]?.cost);
    return units === 0 && refunded === 0 ? undefined : { account, meter: name, plan, units, refunded };
  }

  /** What it has used, of a limit or of that of which it is most; `own` is what the subject that is counted costs by itself. */
  private amounts(limit: string | undefined, index: number, own: Cost | undefined): Amounts {
    const { joint, unspent } = this;
    if (unspent !== undefined) return askedAmounts(unspent === 0 ? 0 : (own ?? unspent), limit);
    const decision = joint === undefined ? this.decision : joint.decisions[index];
    return decision === undefined ? NOTHING : amountsOf(decision, own ?? this.cost, limit);
  }

  /** Whether it holds places of limits of concurrency, here or at a layer before: its end is to be told to each of these. */
  get holdsPlace(): boolean {
    return (this.joint ?? this.decision)?.holdsPlace === true || this.previous?.holdsPlace === true;
  }

  private partFor(status: number): "all" | "quotas" | false {
    const { isHandled } = this;
    const { refundOn } = this.layer;
    if (refundOn === "failure") return (status >= 500 || (status >= 400 && !isHandled)) && "quotas";
    if (refundOn === "success") return status < 400 && "all";
    return refundOn({ status, isHandled }, this.request);
  }

  private enter(identified: Identified): MaybePromise<Answer> {
    const identity = checkedCaller(identified);
    if (!("key" in identity)) return refused(identity, NO_FIELDS);
    this.identity = identity;
    const { costOf, total } = this.toll;
    const cost = costOf === undefined ? this.toll.cost : checkedCost(costOf(this.request), total !== undefined);
    if (!this.isWhole || total === undefined) return this.chargeFirst(identity, cost);
    const names = () => this.costNames(identity);
    return andThen(total(this.request), (whole) => this.chargeFirst(identity, checkedTotal(whole, cost, names)));
  }

  private chargeFirst(identity: Caller, cost: Cost): MaybePromise<Answer> {
    if (cost !== 0 && !isNothing(cost)) return this.charge(identity, cost);
    return identity.refusal ? this.charge(identity, 1) : this.admit(identity, NO_FIELDS);
  }

  /** The caller of a call whose body has come; asked again if a reload has taken its tier away meanwhile. */
  private presentCaller(): MaybePromise<Identified> {
    const { identity, layer, toll } = this;
    const isThere = ({ tier }: Subject) => Object.hasOwn(layer.limiter.tiers, plainTier(tier));
    if (identity !== undefined && subjectsOf(identity).every(isThere)) return identity.subjects ?? identity;
    return (toll.identify ?? layer.identify)(this.request);
  }

  private chargeWhole(identified: Identified): MaybePromise<Answer> {
    const identity = checkedCaller(identified);
    if (!("key" in identity) || identity.refusal) return refused(identity as Refusal, NO_FIELDS);
    this.identity = identity;
    return andThen(this.toll.total?.(this.request), (total) => this.chargeTotal(identity, total));
  }

  private chargeTotal(identity: Caller, given: unknown): MaybePromise<Answer> {
    const { decision, layer } = this;
    // In shadow mode a call goes on that was denied, and is not denied twice.
    if (decision === undefined || !decision.allowed) {
      if (layer.ledger !== undefined && isAnyCost(given)) this.unspent = given;
      return PASS;
    }
    if (identity.subjects !== undefined) return this.chargeTotalOfAll(identity, given);
    const { limiter } = layer;
    const { key, tier } = this.chargedTo(identity);
    const { cost } = decision;
    const names = () => limiter.costNames(tier);
    const asked = checkedTotal(given, cost, names);
    const total = costUnder(tier, asked, limiter);
    if (isAtLeast(cost, total, names)) {
      this.cost = asked;
      return PASS;
    }
    const most = exceededOf(tier, total, limiter);
    if (most !== undefined) return this.exceeded(tier, total, most, stateFields(decision, layer.fields, total), asked);
    // If it is to be denied, the first cost keeps its place in the rate; else large bodies could be sent for nothing.
    // Its own place would deny it, where there is but one; it takes one anew.
    decision.release();
    return andThen(limiter.peek(key, tier, difference(total, cost, names)), ({ allowed }) => {
      decision.refund(allowed ? "all" : "quotas");
      return this.charge(identity, asked);
    });
  }

  /** The same where several pay for the call. */
  private chargeTotalOfAll(caller: Caller, given: unknown): MaybePromise<Answer> {
    const { decision, cost, layer } = this;
    const { limiter } = layer;
    const names = () => this.costNames(caller);
    const total = checkedTotal(given, cost, names);
    if (isAtLeast(cost, total, names)) return PASS;
    const charged = this.sumsFor(caller, total);
    const over = exceedingOf(charged, limiter);
    if (over !== undefined) {
      const fields = stateFields(decision as Decision, layer.fields, total);
      return this.exceeded(over.tier, over.cost, over.most, fields, total);
    }
    this.joint?.release();
    const paid = this.sumsFor(caller, cost);
    const peeks = charged.map(({ key, tier, cost }, index) => {
      const rest = difference(cost, paid[index]?.cost ?? 0, () => limiter.costNames(tier));
      return limiter.peek(key, tier, rest);
    });
    return andThen(allOf(peeks), (peeked) => {
      this.refund(peeked.every(({ allowed }) => allowed) ? "all" : "quotas");
      return this.charge(caller, total);
    });
  }

  /** What the subjects of a call are charged if that costs so much: as much, unless one says itself what it costs. */
  private chargedFor(caller: Caller, asked: Cost): Charged[] {
    return subjectsOf(caller).map((subject) => {
      const { key, tier } = this.chargedTo(subject);
      return { key, tier, cost: costUnder(tier, subject.cost ?? asked, this.layer.limiter) };
    });
  }

  /** The same, with one for all that are of one key and tier. */
  private sumsFor(caller: Caller, asked: Cost): Charged[] {
    return summed(this.chargedFor(caller, asked), this.layer.limiter);
  }

  /** Limits that the call's cost may name. */
  private costNames(caller: Caller): readonly string[] {
    return subjectsOf(caller).flatMap((subject) => this.layer.limiter.costNames(this.chargedTo(subject).tier));
  }

  /**
   * Whose tokens are spent: those of the caller, or of the caller under the tier that the route names. A NUL in the caller's
   * key is doubled, so that no caller is another one under a route's tier.
   */
  private chargedTo(identity: Pick<Identity, "key" | "tier">): { key: string; tier: string } {
    const { key, tier } = identity;
    const own = this.toll.tier;
    const hasNul = key.includes("\0");
    if (own === undefined && !hasNul) return identity;
    const caller = hasNul ? key.replaceAll("\0", "\0\0") : key;
    return own === undefined ? { key: caller, tier } : { key: `${caller}\0${plainTier(own)}`, tier: own };
  }

  private charge(identity: Caller, asked: Cost): MaybePromise<Answer> {
    this.cost = asked;
    if (identity.subjects !== undefined) return this.chargeAll(identity, asked);
    const { key, tier } = this.chargedTo(identity);
    const { limiter } = this.layer;
    let cost = asked;
    try {
      cost = costUnder(tier, asked, limiter);
      const decision = limiter.consume(key, tier, cost);
      if (!isThenable(decision)) return this.conclude(identity, decision);
      return decision.then(
        (decided) => this.conclude(identity, decided),
        (error: unknown) => this.failed(error, tier, cost),
      );
    } catch (error) {
      return this.failed(error, tier, cost);
    }
  }

  private chargeAll(caller: Caller, asked: Cost): MaybePromise<Answer> {
    const { limiter } = this.layer;
    const charged = this.chargedFor(caller, asked);
    const failed = (error: unknown) => {
      const { tier, cost } = exceedingOf(summed(charged, limiter), limiter) ?? (charged[0] as Charged);
      return this.failed(error, tier, cost);
    };
    try {
      const joint = limiter.consumeAll(charged);
      if (!isThenable(joint)) return this.concludeAll(caller, charged, joint);
      return joint.then((decided) => this.concludeAll(caller, charged, decided), failed);
    } catch (error) {
      return failed(error);
    }
  }

  private concludeAll(caller: Caller, charged: readonly Subject[], joint: JointDecision): Answer {
    const { decisions, denied } = joint;
    this.joint = joint;
    const denier = decisions[denied === null ? -1 : charged.indexOf(denied)];
    return this.conclude(caller, denier ?? decisions.reduce((least, decision) => tighterOf(least, decision)));
  }

  private conclude(identity: Identity, decision: Decision): Answer {
    this.decision = decision;
    if (this.isOver) this.release();
    const { fields, limiter, isShadow } = this.layer;
    if (!decision.allowed) {
      if (!isShadow()) {
        const told = [...stateFields(decision, fields), ...denialFields(decision)];
        return this.deny(denial(quotaExceeded(decision, fields), told, { decision }));
      }
      limiter.countShadow(decision.tier, decision.deniedBy ?? "");
    }
    const isTold = (this.previous === undefined && this.next === undefined) || tightestOf(this, isTelling) === decision;
    return this.admit(identity, isTold ? stateFields(decision, fields) : NO_FIELDS);
  }

  /** Lets a call in that was charged, or refuses it all the same. */
  private admit(identity: Identity, fields: Fields): Answer {
    if (identity.refusal) return refused(identity as Refusal, fields);
    this.isLetIn = true;
    this.isHandled = this.isWhole;
    return { type: "pass", fields };
  }

  private failed(error: unknown, tier: string, cost: Cost): Answer {
    const code = error instanceof TollkeeperError ? error.code : undefined;
    const { limiter } = this.layer;
    if (code === "ERR_COST_EXCEEDS_CAPACITY") {
      return this.exceeded(tier, cost, exceededOf(tier, cost, limiter) ?? limiter.maxCost(tier), NO_FIELDS, this.cost);
    }
    if (code === "ERR_ENGINE_FAILED" || code === "ERR_LIMITER_CLOSED" || code?.startsWith("ERR_STORE_")) {
      return this.deny(denial(temporaryReducedCapacity(), RETRY_AFTER, { cause: error }));
    }
    throw error;
  }

  /** Answers a call that can never pass, and costs so much as its route has it. */
  private exceeded(tier: string, cost: Cost, most: Cost, fields: Fields, asked: Cost): Answer {
    const { limiter, isShadow, fields: told } = this.layer;
    const plain = plainTier(tier);
    if (!isShadow()) {
      const document = costExceedsCapacity(cost, most, told.tier ? plain : undefined);
      return this.deny(denial(document, fields));
    }
    limiter.countShadow(plain, "");
    this.unspent = asked;
    return this.isLetIn || this.identity === undefined ? PASS : this.admit(this.identity, NO_FIELDS);
  }

  /** Gives back what the call has spent at other layers. */
  private deny(answer: Denial): Denial {
    this.wasDenied = answer.problem.status !== 503; // What can't be decided is no denial.
    const part = this.isWhole ? "quotas" : "all";
    for (let call = this.previous; call !== undefined; call = call.previous) call.refund(part);
    for (let call = this.next; call !== undefined; call = call.next) call.refund(part);
    return answer;
  }
}

/** The decisions on a call at all layers, in the order of these. */
export function decisionsOf<Request>(last: Call<Request>): Decision[] {
  const decisions: Decision[] = [];
  for (let call: Call<Request> | undefined = last; call !== undefined; call = call.previous) {
    if (call.joint !== undefined) decisions.unshift(...new Set(call.joint.decisions));
    else if (call.decision !== undefined) decisions.unshift(call.decision);
  }
  return decisions;
}

/** The decision on a call that leaves least, over all layers that it has come to; of some of them, if `isMeant` is given. */
export function tightestOf<Request>(
  call: Call<Request>,
  isMeant: (call: Call<Request>) => boolean = () => true,
): Decision | undefined {
  if (call.previous === undefined && call["next"] === undefined) return call.decision;
  let at: Call<Request> | undefined = call.last;
  let least: Decision | undefined;
  for (; at !== undefined; at = at.previous) {
    if (at.decision !== undefined && isMeant(at)) least = least ? tighterOf(at.decision, least) : at.decision;
  }
  return least;
}

/** Whether its layer says how callers stand: one that does not is no reason for another to be silent. */
function isTelling<Request>({ layer: { fields } }: Call<Request>): boolean {
  return fields.draft !== false || fields.x !== undefined;
}

/** Those who pay for a call. */
function subjectsOf({ key, tier, subjects }: Caller): readonly Subject[] {
  return subjects ?? [{ key, tier }];
}

function refused({ refusal, headers = {} }: Refusal, fields: Fields): Denial {
  return denial(refusal, [...fields, ...Object.entries(headers)]);
}
