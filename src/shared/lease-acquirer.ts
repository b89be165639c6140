import type { CostMilli } from "../engine/cost.js";
import { MAX_HELD } from "../engine/lease.js";
import { APPLIED, LEASE_OUTCOME } from "../engine/lease-frame.js";
import type { BoundTier } from "../limiter/bound-tier.js";
import type { Reply } from "../store/protocol.js";
import type { Standing } from "./lease-decider.js";
import type { LeaseReleaser } from "./lease-releaser.js";
import type { OpenKey, PendingCall } from "./open-key.js";
import type { Outbox } from "./outbox.js";
import { allowedOutcome, type Outcome, outcomeOf, spentAt } from "./outcome.js";
import type { Parts } from "./parts.js";

// Own constants of a module, as in limiter.ts.
const { LOW, RETURNS, ASK } = LEASE_OUTCOME;

/** Takes in vain after which a call asks for itself alone. */
const MISSES = 3;

/** How many sixteenths of `leaseMs` a key that runs low is waited for at most: it lasts four. */
const MOST_WAITED_PARTS = 3;

/** How often in the time of a lease what has expired is given back. */
export const SWEEPS = 4;

/** What is asked for one key. */
interface Take {
  readonly open: OpenKey;
  readonly boundTier: BoundTier;
  readonly standing: Standing;
  readonly need: number;
  readonly want: number;
}

/** Takes tokens ahead, and decides those who wait for them. */
export class LeaseAcquirer {
  readonly #parts: Parts;
  readonly #outbox: Outbox;
  readonly #releaser: LeaseReleaser;
  /** Keys that are asked about when this turn of the event loop is over. */
  #next: OpenKey[] = [];
  /** Keys of which what is held will run out soon. */
  #low: { readonly key: string; readonly boundTier: BoundTier }[] = [];
  /** Takes that are scheduled or under way, and who waits for the last of them. */
  #underway = 0;
  #ended: (() => void) | undefined;
  #isEnding = false;

  constructor(parts: Parts, outbox: Outbox, releaser: LeaseReleaser) {
    this.#parts = parts;
    this.#outbox = outbox;
    this.#releaser = releaser;
  }

  /** Has a call wait for tokens of the next take. */
  wait(open: OpenKey, call: PendingCall): void {
    open.bringTo(call.boundTier);
    open.pending.push(call);
    if (!open.isTaking) this.#takeSoon(open);
  }

  /**
   * Asks for more before it is needed: not at once, but with other keys that run low within a part of the time left. Threads
   * that share a table have fewer such keys each, and wait for longer, so that they send no more commands than one would.
   */
  prefetch(key: string, boundTier: BoundTier): void {
    if (this.#low.push({ key, boundTier }) > 1) return;
    const { engine, options, runtime } = this.#parts;
    const parts = Math.min(engine.users, MOST_WAITED_PARTS);
    runtime.after((parts * options.leaseMs) / 16, () => this.#prefetchAll());
  }

  /** Takes nothing ahead any more; resolves when no take is under way. */
  async end(): Promise<void> {
    this.#isEnding = true;
    if (this.#underway === 0) return;
    await new Promise<void>((resolve) => {
      this.#ended = resolve;
    });
  }

  /** Asks for more when this turn of the event loop is over, so that all who come in it are counted. */
  #takeSoon(open: OpenKey): void {
    this.#begin(open);
    if (this.#next.push(open) > 1) return;
    this.#parts.runtime.soon(() => this.#takeAll(this.#next.splice(0), false));
  }

  #prefetchAll(): void {
    const { openKeys, session, clocks } = this.#parts;
    const low = this.#low.splice(0);
    if (this.#isEnding || !session.isReady) return;
    const ahead: OpenKey[] = [];
    for (const { key, boundTier } of low) {
      const open = openKeys.obtain(key);
      if (open.isTaking || clocks.nowMs() < open.brokenUntilMs) continue;
      open.bringTo(boundTier);
      this.#begin(open);
      ahead.push(open);
    }
    this.#takeAll(ahead, true);
  }

  #begin(open: OpenKey): void {
    open.isTaking = true;
    this.#underway++;
  }

  #end(open: OpenKey): void {
    open.isTaking = false;
    this.#underway--;
    if (open.pending.length > 0) this.#takeSoon(open);
    if (this.#underway === 0) this.#ended?.();
  }

  /** Takes for keys, each once the store has heard of what it admitted before: below that it would count from less. */
  #takeAll(keys: readonly OpenKey[], isAhead: boolean): void {
    const takes: Take[] = [];
    for (const open of keys) {
      if (!open.hasUnreconciled) {
        takes.push(...this.#prepare(open, isAhead));
      } else {
        void this.#outbox.isFlushed(open).then((isFlushed) => {
          if (isFlushed) this.#takeAll([open], isAhead);
          else this.#fail(open);
        });
      }
    }
    // What has expired is still spent in the store, by us, and would be denied for good.
    if (takes.some(({ standing }) => standing.heldMilli === 0)) void this.#releaser.release();
    for (const take of takes) this.#send(take);
  }

  /** What is to be taken for a key; nothing if nobody wants it any more. */
  #prepare(open: OpenKey, isAhead: boolean): Take[] {
    const { decider } = this.#parts;
    // What is taken now is of the present tier.
    for (const call of open.stalePending.splice(0)) call.alone();
    const { boundTier, key, pending } = open;
    const standing = boundTier && decider.ask(boundTier, key);
    const isWanted = pending.length > 0 || (isAhead && standing !== undefined && standing.aheadMilli > 0);
    if (boundTier === undefined || standing === undefined || !isWanted) {
      for (const call of pending.splice(0)) call.alone();
      this.#end(open);
      return [];
    }
    // Never put together with what is held, such a call is taken for as a whole.
    const held = isBeyondLeases(pending[0]) ? { ...standing, heldMilli: 0 } : standing;
    if (held.heldMilli === 0) decider.giveBack(key, true);
    return [{ open, boundTier, standing: held, ...amountsOf(pending, held) }];
  }

  #send({ open, boundTier, standing, need, want }: Take): void {
    const { engine, session, clocks, options } = this.#parts;
    const sentMs = clocks.nowMs();
    const { resets } = open;
    // Until the sweep after it has expired, and then until it has arrived.
    const outMs = Math.ceil(options.leaseMs * (1 + 1 / SWEEPS) + options.timeoutMs);
    const asked = session.run({
      op: "take",
      ...this.#parts.about(open.key, boundTier.tier, standing.snapshot),
      ...{ need, want, divisor: 2 * session.replicas, outMs, isShared: engine.users > 1 },
    });
    asked.then(
      (reply) => {
        // Taken of what was counted before the key was reset, on the same connection.
        if (open.resets !== resets) this.#serveAll(open);
        else this.#took(open, boundTier, need, sentMs, reply);
      },
      (error: unknown) => {
        open.failed(error, clocks.nowMs());
        this.#fail(open);
      },
    );
  }

  #fail(open: OpenKey): void {
    for (const call of [...open.stalePending.splice(0), ...open.pending.splice(0)]) call.failed();
    this.#end(open);
  }

  #took(open: OpenKey, boundTier: BoundTier, need: number, sentMs: number, reply: Reply): void {
    const { replies, clocks } = this.#parts;
    const { key } = open;
    const nowMs = clocks.nowMs();
    const lastsMs =
      Math.min(this.#parts.options.leaseMs, ...periodEnds(boundTier, reply.nowMs)) - Math.ceil(nowMs - sentMs);
    const denial = deniedOf(reply, () => denialOf(open, boundTier, reply, need, 0, nowMs));
    let left = reply.granted;
    replies.add({
      ...{ key, boundTier, reply, teaches: true, denial },
      taken: {
        grantedMilli: reply.granted,
        heldMilli: () => {
          left = this.#serveStale(open, boundTier, reply);
          if (isBeyondLeases(open.pending[0])) left = this.#serveFirst(open, boundTier, reply, left);
          return left;
        },
        lastsMs,
      },
      applied: (code) => {
        if (code !== APPLIED.KEPT && left > 0) this.#handOut(open, boundTier, reply, left);
        if (denial !== undefined && open.boundTier === boundTier) this.#deny(open, boundTier, reply, denial);
        if (!reply.isExact || denial !== undefined) return this.#serveAll(open);
        this.#serve(open);
        // Takes one after the other would bring each of them its own tokens only.
        for (const call of open.pending.splice(0)) call.alone();
        this.#end(open);
      },
    });
  }

  #serveAll(open: OpenKey): void {
    this.#serve(open);
    this.#end(open);
  }

  /** The answer is for the first, whatever is held by now. */
  #deny(open: OpenKey, boundTier: BoundTier, reply: Reply, denial: Outcome): void {
    const first = open.pending.shift();
    if (first === undefined) return;
    const { decider, clocks } = this.#parts;
    const held = decider.look(boundTier, open.key)?.heldMilli ?? 0;
    const outcome = denialOf(open, boundTier, reply, first.costMilli, held, clocks.nowMs());
    const told = outcome.denied > 0 ? outcome : { ...denial, spent: outcome.spent };
    first.decided(decider.conclude(boundTier, open.key, first.costMilli, told, true));
  }

  /** Decides those who waited when another tier came in, by what was taken for them; returns what is left of it. */
  #serveStale(open: OpenKey, boundTier: BoundTier, reply: Reply): number {
    const alone: PendingCall[] = [];
    const left = this.#serveOf(open, boundTier, reply, reply.granted, open.stalePending.splice(0), alone);
    // Asked for when what is left is on its way back.
    if (alone.length > 0) this.#parts.runtime.soon(() => alone.forEach((call) => void call.alone()));
    return left;
  }

  /** Serves the first of those who wait, as many as it is enough for; returns what is left. */
  #serveFirst(open: OpenKey, boundTier: BoundTier, reply: Reply, grantedMilli: number): number {
    let sum = 0;
    const sums = open.pending.map(({ costMilli }) => {
      sum += costMilli;
      return sum;
    });
    const first = open.pending.splice(0, sums.filter((upTo) => upTo <= grantedMilli).length);
    const unserved: PendingCall[] = [];
    const left = this.#serveOf(open, boundTier, reply, grantedMilli, first, unserved);
    open.pending.unshift(...unserved);
    return left;
  }

  /** Hands out what can't be held here to those who wait for it, and gives the rest back. */
  #handOut(open: OpenKey, boundTier: BoundTier, reply: Reply, grantedMilli: number): void {
    const unserved: PendingCall[] = [];
    const milli = this.#serveOf(open, boundTier, reply, grantedMilli, open.pending.splice(0), unserved);
    open.pending.unshift(...unserved);
    const { tier } = boundTier;
    if (milli > 0) void this.#releaser.give({ key: open.key, tier, boundTier, milli, takenMs: reply.nowMs });
  }

  /** Serves calls of a tier from what was granted; returns what is left. */
  #serveOf(
    { key }: OpenKey,
    boundTier: BoundTier,
    reply: Reply,
    grantedMilli: number,
    calls: readonly PendingCall[],
    unserved: PendingCall[],
  ): number {
    let left = grantedMilli;
    for (const call of calls) {
      if (call.boundTier !== boundTier || call.costMilli > left) {
        unserved.push(call);
        continue;
      }
      left -= call.costMilli;
      const snapshot = { epoch: "", atMs: reply.nowMs, spent: reply.spent };
      const outcome = allowedOutcome(reply, spentAt(boundTier.tier, snapshot, reply.nowMs, left));
      call.decided(this.#parts.decider.conclude(boundTier, key, call.costMilli, outcome, true));
    }
    return left;
  }

  /** Decides those who wait, in their order, as far as what is held and known goes; the rest wait on. */
  #serve(open: OpenKey): void {
    const { decider } = this.#parts;
    const waiting: PendingCall[] = [];
    for (const call of open.pending.splice(0)) {
      const { boundTier, costMilli } = call;
      const code = decider.consume(boundTier, open.key, costMilli);
      if (code < 0 || (code & ASK) !== 0) {
        waiting.push(call);
      } else {
        try {
          call.decided(decider.decision(boundTier, open.key, costMilli, true));
        } catch (error) {
          call.rejected(error); // Another thread has just reloaded the tiers, and this one is no more.
        }
      }
      if (code >= 0 && (code & LOW) !== 0) this.prefetch(open.key, boundTier);
      if (code >= 0 && (code & RETURNS) !== 0) void this.#releaser.release();
    }
    // Whatever has become of the take: nobody asks for ever.
    const [first] = waiting;
    if (first !== undefined && ++first.misses === MISSES) waiting.shift()?.alone();
    open.pending.unshift(...waiting);
  }
}

/** Whether a call costs more than is ever held. */
function isBeyondLeases(call: PendingCall | undefined): boolean {
  return call !== undefined && call.costMilli > MAX_HELD;
}

/** What a take for those who wait is to bring at least, and what could be used. */
function amountsOf(
  pending: readonly PendingCall[],
  { heldMilli, aheadMilli }: Standing,
): { need: number; want: number } {
  // What is held counts, or the last tokens would lie here and there in parts that nobody can use.
  const need = Math.max(0, (pending[0]?.costMilli ?? 0) - heldMilli);
  const waiting = pending.reduce((sum, { costMilli }) => sum + costMilli, 0);
  if (isBeyondLeases(pending[0])) return { need, want: waiting };
  return { need, want: Math.max(need, Math.min(Math.max(waiting - heldMilli, aheadMilli), MAX_HELD - heldMilli)) };
}

/** A denial, if the store says that it is one and its amounts bear that out. */
export function deniedOf({ denied }: Reply, denial: () => Outcome): Outcome | undefined {
  const outcome = denied === 0 ? undefined : denial();
  return outcome?.denied === 0 ? undefined : outcome;
}

/** What the store's answer means for a call, less what is held here, and by what may still come back. */
export function denialOf(
  { lateUntilMs }: Pick<OpenKey, "lateUntilMs">,
  { tier }: BoundTier,
  reply: Reply,
  costMilli: CostMilli,
  heldMilli: number,
  nowMs: number,
): Outcome {
  const snapshot = { epoch: "", atMs: reply.nowMs, spent: reply.spent };
  const backMs = Math.max(reply.backMs, Math.ceil(lateUntilMs - nowMs));
  return outcomeOf(tier, spentAt(tier, snapshot, reply.nowMs, heldMilli), costMilli, { ...reply, backMs });
}

/** How long the periods of a tier's quotas still last. */
function periodEnds({ tier }: BoundTier, nowMs: number): number[] {
  return tier.limits.flatMap(({ rule }) => (rule.type === "quota" ? [rule.resetMs(nowMs)] : []));
}
