import type { Tier } from "../engine/tier.js";
import { TollkeeperError } from "../errors.js";
import type { Command, Known, Reply, Surroundings } from "../store/protocol.js";
import type { Session, SessionState } from "../store/session.js";
import { Lease, type Owed, type Parcel, type Waiter } from "./lease.js";
import type { LeaseTable } from "./lease-table.js";
import { type OutagePolicies, Share } from "./share.js";
import type { SharedCorrection, SharedJudge } from "./shared-judge.js";
import { spentAt, type View, viewOf } from "./view.js";

/** Keys told or charged at once when a store has come back. */
const BATCH = 256;

/** How limits are shared. */
export interface LeaseOptions {
  readonly mode: "leased" | "exact";
  /** How long, in ms, tokens taken ahead may be handed out. */
  readonly leaseMs: number;
  readonly policies: OutagePolicies;
  /** The time to decide by, if not the store's own. */
  readonly clock: (() => number) | undefined;
}

/** What could not be decided, since the store is away and the policy is `closed`. */
export const CLOSED = Symbol("closed");

/** Decides calls from what is leased, what the store grants, and, while that is away, by the outage policy. */
export class Leases {
  readonly table: LeaseTable;
  readonly #options: LeaseOptions;
  readonly #session: Session;
  readonly #around: Surroundings;
  /** Leases that hold tokens. */
  readonly #live = new Set<Lease>();
  /** Leases that owe the store something, or decided without it. */
  readonly #behind = new Set<Lease>();
  /** What the keys share, per tier, that found no room while the store is away. */
  readonly #overflow = new Map<Tier, Share>();
  #number = 0;
  /** The store's time less this process's clock. */
  #ahead: number | undefined;

  constructor(table: LeaseTable, session: Session, around: Surroundings, options: LeaseOptions) {
    this.table = table;
    this.#session = session;
    this.#around = around;
    this.#options = options;
  }

  /** The store's time, as near as can be told. */
  storeMs(): number {
    const { clock } = this.#options;
    if (clock !== undefined) return clock();
    return this.#ahead === undefined ? this.#around.wall() : Math.floor(this.#around.now() + this.#ahead);
  }

  /** Spends a cost above 0 of a tier that has limits. */
  consume(key: string, judge: SharedJudge, costMilli: number): View | typeof CLOSED | Promise<View | typeof CLOSED> {
    const lease = this.#enter(key, judge);
    const nowMs = this.#around.now();
    if (lease.use(costMilli, nowMs)) {
      this.#prefetch(lease, nowMs);
      return { ...lease.view(0, nowMs, this.storeMs()), denied: 0 };
    }
    if (this.#session.state !== "together") return this.#without(lease, costMilli, true);
    if (this.#options.mode === "exact") return this.#exactly(lease, judge, costMilli);
    if (nowMs < lease.believeUntilMs) {
      const view = lease.view(costMilli, nowMs, this.storeMs());
      if (view.denied > 0) return view;
    }
    return new Promise((resolve) => {
      lease.waiters.push({
        judge,
        costMilli,
        decided: resolve,
        failed: () => resolve(this.#without(lease, costMilli, true)),
      });
      if (!lease.taking) this.#takeSoon(lease);
    });
  }

  /** What `consume` would say. */
  peek(key: string, judge: SharedJudge, costMilli: number): View | typeof CLOSED | Promise<View | typeof CLOSED> {
    const nowMs = this.#around.now();
    const storeMs = this.storeMs();
    const present = this.table.get(key);
    const lease = present?.judge === judge ? present : undefined;
    if (this.#session.state !== "together") return this.#without(lease ?? new Lease(key, judge), costMilli, false);
    const isFresh = lease?.known !== undefined && nowMs - lease.learnedMs < this.#options.leaseMs;
    if (lease !== undefined && isFresh && lease.parcels.length > 0 && !lease.owes) {
      return lease.view(costMilli, nowMs, storeMs);
    }
    const paid = present?.owes ? this.#settle(present) : Promise.resolve();
    const asked = paid.then(() => this.#run({ op: "peek", ...this.#about(key, judge, lease?.known), need: costMilli }));
    return asked.then(
      ({ nowMs: atMs, spent }) => {
        const known = { epoch: "", atMs, spent };
        const held = lease?.held(this.#around.now()) ?? 0;
        return viewOf(judge.tier, spentAt(judge.tier, known, atMs, held), costMilli, atMs);
      },
      () => this.#without(lease ?? new Lease(key, judge), costMilli, false),
    );
  }

  /** Forgets a key everywhere. */
  async reset(key: string, judge: SharedJudge): Promise<void> {
    const lease = this.table.get(key);
    if (lease !== undefined) this.#forget(lease);
    await this.#run({ op: "reset", ...this.#about(key, judge, undefined) });
  }

  /** Corrects a decision, now or when the store is back. */
  correct(key: string, judge: SharedJudge, { deltaMilli, atMs, quotasOnly }: SharedCorrection): void {
    const lease = this.table.enter(key, judge);
    const deltas = judge.tier.limits.map(() => deltaMilli);
    this.#owe(lease, { judge, deltas, atMs, quotasOnly, tell: deltaMilli < 0, number: undefined });
  }

  /** Somebody else has changed the key. */
  changed(key: string, isReset: boolean): void {
    const lease = this.table.get(key);
    if (lease === undefined) return;
    if (isReset) {
      this.#forget(lease);
    } else {
      this.#giveBack(lease, this.#takeAll(lease));
      lease.believeUntilMs = 0;
    }
  }

  entered(state: SessionState): void {
    if (state !== "together") return;
    this.#overflow.clear();
    void this.#settleAll();
  }

  knows(): boolean {
    return this.table.size > 0;
  }

  /** Tells a server that may have lost it what is known of every key. */
  async tell(): Promise<void> {
    const known = [...this.table.values()].filter((lease) => lease.known !== undefined);
    for (let at = 0; at < known.length; at += BATCH) {
      await Promise.all(known.slice(at, at + BATCH).map((lease) => this.#tellOf(lease)));
    }
  }

  /** A take that was given up was granted after all: nobody will use it. */
  late(command: Command, reply: Reply): void {
    if (command.op !== "take" || reply.granted === 0) return;
    const deltas = command.tier.limits.map(() => -reply.granted);
    void this.#run({
      ...command,
      op: "adjust",
      deltas,
      atMs: reply.nowMs,
      quotasOnly: false,
      tell: false,
      number: undefined,
    }).catch(() => undefined);
  }

  /** Gives back what has expired or lies idle. Called a few times in `leaseMs`. */
  sweep(): void {
    const nowMs = this.#around.now();
    for (const lease of this.#live) this.#giveBack(lease, lease.expired(nowMs, this.#options.leaseMs / 2));
  }

  /** Gives back everything, and waits until it has arrived. */
  async drain(): Promise<void> {
    const given = [...this.#live].map((lease) => this.#give(lease, this.#takeAll(lease)));
    if (this.#session.state === "together") given.push([this.#settleAll()]);
    await Promise.allSettled(given.flat());
  }

  /** Tokens held ahead, and tokens admitted that the store has not heard of, in thousandths. */
  outstanding(): { leased: number; unreconciled: number } {
    const nowMs = this.#around.now();
    let leased = 0;
    let unreconciled = 0;
    for (const lease of this.#live) leased += lease.held(nowMs);
    for (const { owed, share } of this.#behind) {
      for (const { deltas } of owed) unreconciled += Math.max(0, ...deltas);
      unreconciled += share?.admitted ?? 0;
    }
    return { leased, unreconciled };
  }

  #enter(key: string, judge: SharedJudge): Lease {
    const lease = this.table.enter(key, judge);
    if (lease.judge !== judge) {
      this.#giveBack(lease, this.#takeAll(lease));
      this.#settleShare(lease);
      lease.judge = judge;
      lease.known = undefined;
      lease.believeUntilMs = 0;
    }
    return lease;
  }

  #forget(lease: Lease): void {
    lease.parcels = [];
    this.#live.delete(lease);
    lease.known = undefined;
    lease.share = undefined;
    lease.believeUntilMs = 0;
  }

  async #exactly(lease: Lease, judge: SharedJudge, costMilli: number): Promise<View | typeof CLOSED> {
    // Whoever has not answered once in time is not waited for again.
    if (lease.owes && !(await this.#isSettled(lease))) return this.#without(lease, costMilli, true);
    try {
      const about = this.#about(lease.key, judge, lease.known);
      const reply = await this.#run({ op: "take", ...about, need: costMilli, want: 0, divisor: 1 });
      if (lease.judge === judge) lease.learn(reply, this.#around.now());
      return { denied: reply.denied, waitMs: 0, nowMs: reply.nowMs, spent: [...reply.spent] };
    } catch {
      return this.#without(lease, costMilli, true);
    }
  }

  /** Decides by the outage policy. */
  #without(lease: Lease, costMilli: number, spends: boolean): View | typeof CLOSED {
    const { policies } = this.#options;
    const { tier } = lease.judge;
    if (tier.limits.some(({ rule }) => policies[rule.type] === "closed")) return CLOSED;
    const storeMs = this.storeMs();
    const fresh = () => new Share(tier, lease.known, this.#session.replicas, policies, storeMs);
    if (!spends) return (lease.share ?? fresh()).decide(costMilli, storeMs, false);
    if (!this.table.keeps(lease)) {
      const shared = this.#overflow.get(tier) ?? fresh();
      this.#overflow.set(tier, shared);
      return shared.decide(costMilli, storeMs, true);
    }
    lease.share ??= fresh();
    this.#behind.add(lease);
    return lease.share.decide(costMilli, storeMs, true);
  }

  /** Asks for more when this turn of the event loop is over, so that all who come in it are counted. */
  #takeSoon(lease: Lease): void {
    lease.taking = true;
    this.#around.soon(() => {
      const [first] = lease.waiters;
      if (first === undefined) lease.taking = false;
      else void this.#take(lease, first.judge, first.costMilli);
    });
  }

  #prefetch(lease: Lease, nowMs: number): void {
    const { leaseMs, mode } = this.#options;
    if (mode === "exact" || lease.taking || nowMs < lease.noPrefetchUntilMs) return;
    const low = lease.demand(leaseMs / 4, nowMs);
    if (low < 2000 || lease.held(nowMs + leaseMs / 4) >= low || this.#session.state !== "together") return;
    lease.taking = true;
    void this.#take(lease, lease.judge, 0);
  }

  async #take(lease: Lease, judge: SharedJudge, need: number): Promise<void> {
    const { leaseMs } = this.#options;
    const sentMs = this.#around.now();
    const waiting = lease.waiters.reduce((sum, { costMilli }) => sum + costMilli, 0);
    const ahead = Math.max(0, lease.demand(leaseMs, sentMs) - lease.held(sentMs + leaseMs / 4));
    const want = Math.max(need, waiting, ahead);
    const isSettled = !lease.owes || (await this.#isSettled(lease));
    try {
      if (!isSettled) throw new TollkeeperError("ERR_STORE_UNAVAILABLE", "Redis has not heard what is owed");
      const known = lease.judge === judge ? lease.known : undefined;
      const divisor = 2 * this.#session.replicas;
      const reply = await this.#run({ op: "take", ...this.#about(lease.key, judge, known), need, want, divisor });
      this.#took(lease, judge, need, sentMs, reply);
    } catch {
      lease.taking = false;
      for (const waiter of lease.waiters.splice(0)) waiter.failed();
      return;
    }
    lease.taking = false;
    this.#serve(lease);
  }

  #took(lease: Lease, judge: SharedJudge, need: number, sentMs: number, reply: Reply): void {
    const nowMs = this.#around.now();
    if (reply.granted > 0) {
      const lastsMs = Math.min(this.#options.leaseMs, ...periodEnds(judge, reply.nowMs));
      const parcel = { milli: reply.granted, expiresMs: sentMs + lastsMs, takenMs: reply.nowMs };
      if (lease.judge === judge) {
        lease.parcels.push(parcel);
        this.#live.add(lease);
      } else {
        void this.#returned(lease, judge, parcel);
      }
    } else {
      lease.noPrefetchUntilMs = nowMs + this.#options.leaseMs / 4;
    }
    if (lease.judge !== judge) return;
    lease.learn(reply, nowMs);
    if (reply.denied > 0) {
      lease.believe(viewOf(judge.tier, [...reply.spent], need, reply.nowMs).waitMs, nowMs);
      // The answer is for the first, whatever is held by now.
      const first = lease.waiters.shift();
      first?.decided({ ...lease.view(first.costMilli, nowMs, reply.nowMs), denied: reply.denied });
    }
  }

  /** Decides those who wait, in their order, as far as what is held and known goes; the rest wait on. */
  #serve(lease: Lease): void {
    const nowMs = this.#around.now();
    const storeMs = this.storeMs();
    const waiting: Waiter[] = [];
    for (const waiter of lease.waiters.splice(0)) {
      if (waiter.judge === lease.judge && lease.use(waiter.costMilli, nowMs)) {
        waiter.decided({ ...lease.view(0, nowMs, storeMs), denied: 0 });
        continue;
      }
      const view = lease.view(waiter.costMilli, nowMs, storeMs);
      if (waiter.judge === lease.judge && nowMs < lease.believeUntilMs && view.denied > 0) waiter.decided(view);
      else waiting.push(waiter);
    }
    lease.waiters.push(...waiting);
    if (lease.waiters.length > 0) this.#takeSoon(lease);
  }

  #takeAll(lease: Lease): Parcel[] {
    const parcels = lease.parcels.filter(({ milli }) => milli > 0);
    lease.parcels = [];
    return parcels;
  }

  #giveBack(lease: Lease, parcels: readonly Parcel[]): void {
    if (lease.parcels.length === 0) this.#live.delete(lease);
    for (const given of this.#give(lease, parcels)) given.catch(() => undefined);
  }

  #give(lease: Lease, parcels: readonly Parcel[]): Promise<void>[] {
    return parcels.map((parcel) => this.#returned(lease, lease.judge, parcel));
  }

  /** Gives a parcel back; what is lost on the way stays spent, and is not sent again, so that it never counts twice. */
  async #returned(lease: Lease, judge: SharedJudge, { milli, takenMs }: Parcel): Promise<void> {
    const deltas = judge.tier.limits.map(() => -milli);
    if (this.#session.state !== "together") {
      this.#owe(lease, { judge, deltas, atMs: takenMs, quotasOnly: false, tell: false, number: undefined });
      return;
    }
    const about = this.#about(lease.key, judge, undefined);
    await this.#run({
      op: "adjust",
      ...about,
      deltas,
      atMs: takenMs,
      quotasOnly: false,
      tell: false,
      number: undefined,
    }).catch(() => undefined);
  }

  async #tellOf(lease: Lease): Promise<void> {
    const { judge, key, known } = lease;
    const deltas = judge.tier.limits.map(() => 0);
    const about = this.#about(key, judge, known);
    const atMs = known?.atMs ?? 0;
    const reply = await this.#run({
      op: "adjust",
      ...about,
      deltas,
      atMs,
      quotasOnly: false,
      tell: false,
      number: undefined,
    });
    if (lease.judge === judge) lease.learn(reply, this.#around.now());
  }

  /** Turns what was decided without the store into a debt. */
  #settleShare(lease: Lease): void {
    const { share, judge } = lease;
    lease.share = undefined;
    const debts = share?.debts(this.storeMs());
    if (debts === undefined) return;
    const owed = { judge, ...debts, quotasOnly: false, tell: false, number: undefined };
    // Or a key whose node is away would owe once per call, and all who come later wait for each.
    if (!lease.merge(owed)) lease.owed.push(owed);
    this.#behind.add(lease);
  }

  #owe(lease: Lease, owed: Owed): void {
    if (!this.table.keeps(lease) && this.#session.state !== "together") return;
    if (!lease.merge(owed)) lease.owed.push(owed);
    this.#behind.add(lease);
    if (this.#session.state === "together") void this.#settle(lease);
  }

  /** Has the store hear of every debt of a key, or as many as it will hear of; never rejects. */
  #settle(lease: Lease): Promise<void> {
    this.#settleShare(lease);
    lease.paying ??= this.#pay(lease).finally(() => {
      lease.paying = undefined;
    });
    return lease.paying;
  }

  async #isSettled(lease: Lease): Promise<boolean> {
    await this.#settle(lease);
    return !lease.owes;
  }

  async #settleAll(): Promise<void> {
    const behind = [...this.#behind];
    for (let at = 0; at < behind.length && this.#session.state === "together"; at += BATCH) {
      await Promise.all(behind.slice(at, at + BATCH).map((lease) => this.#settle(lease)));
    }
  }

  /** One debt at a time, each under its number until it is acknowledged, so that each counts once. */
  async #pay(lease: Lease): Promise<void> {
    while (this.#session.state === "together") {
      const [owed] = lease.owed;
      if (owed === undefined) break;
      owed.number ??= ++this.#number;
      const { judge, ...what } = owed;
      const known = lease.judge === judge ? lease.known : undefined;
      try {
        const reply = await this.#run({ op: "adjust", ...this.#about(lease.key, judge, known), ...what });
        if (lease.judge === judge) lease.learn(reply, this.#around.now());
        lease.owed.shift();
      } catch {
        this.#around.after(this.#options.leaseMs / 4, () => void this.#settle(lease));
        return;
      }
    }
    if (!lease.owes) this.#behind.delete(lease);
  }

  #about(key: string, { tier }: SharedJudge, known: Known | undefined) {
    return { key, tier, known, nowMs: this.#options.clock?.() };
  }

  async #run(command: Command): Promise<Reply> {
    const reply = await this.#session.run(command);
    this.#ahead = reply.nowMs - this.#around.now();
    return reply;
  }
}

/** How long the periods of a tier's quotas still last. */
function periodEnds({ tier }: SharedJudge, nowMs: number): number[] {
  return tier.limits.flatMap(({ rule }) => (rule.type === "quota" ? [rule.resetMs(nowMs)] : []));
}
