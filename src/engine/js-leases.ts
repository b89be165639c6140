import { TollkeeperError } from "../errors.js";
import { areSameRules, CountedRuleSets, type CountedRules } from "./counted-rules.js";
import { type Frame, OUTCOME } from "./frame.js";
import { Lease, type LeaseSnapshot } from "./lease.js";
import type { CountedRule, LeaseCounts, LeaseEngine, LeaseEngineOptions } from "./lease-engine.js";
import { APPLIED, LEASE_FRAME, LEASE_OUTCOME } from "./lease-frame.js";
import { LeaseRows } from "./lease-rows.js";
import { LeaseTable } from "./lease-table.js";
import { maxKeysOf } from "./max-keys.js";
import type { TierSpec, Tiers } from "./spec.js";
import { StoreClock } from "./store-clock.js";
import type { TierLimit } from "./tier.js";
import { countDecision, type TierEntry, TierVersions } from "./tier-versions.js";

/** UTF-16 units of a key at most: one of 512, of which any may be doubled, and the name of a shadow limit. */
const MAX_KEY = 1057;
/** Servers told apart by number. */
const MAX_SERVERS = 2 ** 13;
type Entry = TierEntry<CountedRules>;

/** The engine of leases in TypeScript: the same decisions as the native one, and a table of its own in every limiter. */
export class JsLeases implements LeaseEngine {
  readonly kind = "js";
  readonly frame: Frame = new Float64Array(LEASE_FRAME.ROWS * LEASE_FRAME.ROW);
  readonly #rows = new LeaseRows(this.frame);
  readonly replica: string;
  readonly lane = 0;
  readonly users = 1;
  readonly #leaseMs: number;
  readonly #timeoutMs: number;
  readonly #quarterMs: number;
  readonly #sixteenthMs: number;
  readonly #tiers: TierVersions<CountedRules>;
  readonly #table: LeaseTable;
  readonly #clock = new StoreClock();
  readonly #servers: string[] = [];
  #report: Iterator<[key: string, lease: Lease]> | undefined;
  #overflow = 0;

  /** @throws {TollkeeperError} `ERR_TIERS_INVALID`, `ERR_OPTION_INVALID` */
  static open(options: LeaseEngineOptions): JsLeases {
    return new JsLeases(options);
  }

  private constructor({ tiers, maxKeys, leaseMs, timeoutMs, replica }: LeaseEngineOptions) {
    if (maxKeys > maxKeysOf("js")) {
      throw new TollkeeperError(
        "ERR_OPTION_INVALID",
        `maxKeys is ${maxKeys}; with the JavaScript engine it may be at most ${maxKeysOf("js")}`,
      );
    }
    const ruleSets = new CountedRuleSets();
    this.#tiers = new TierVersions(tiers, (tier) => ruleSets.of(tier));
    this.#table = new LeaseTable(maxKeys, leaseMs);
    this.#leaseMs = leaseMs;
    this.#timeoutMs = timeoutMs;
    this.#quarterMs = Math.floor(leaseMs / 4);
    this.#sixteenthMs = Math.floor(leaseMs / 16);
    this.replica = replica;
  }

  get version(): number {
    return this.#tiers.version;
  }

  tiersOf(version: number): Tiers {
    return this.#tiers.tiersOf(version);
  }

  tierId(name: string): number {
    return this.#tiers.tierId(name);
  }

  overrideTier(version: number, tier: number, name: string, spec: TierSpec): number {
    return this.#tiers.overrideTier(version, tier, name, spec);
  }

  reload(tiers: Tiers): void {
    this.#tiers.reload(tiers);
  }

  consume(key: string): void {
    this.#rows.write(0, LEASE_FRAME.CODE, this.#consume(key));
  }

  peek(key: string): void {
    this.#rows.write(0, LEASE_FRAME.CODE, this.#peek(key));
  }

  #consume(key: string): number {
    if (this.#rows.read(0, LEASE_FRAME.KEY_LENGTH) < 0 && key.includes("\0")) return LEASE_OUTCOME.NUL;
    const entry = this.#entryFor(key);
    if (typeof entry === "number") return entry;
    const monoMs = this.#clock.mono(this.#rows.read(0, LEASE_FRAME.MONO));
    const storeMs = this.#clock.store(this.#rows.read(0, LEASE_FRAME.NOW), monoMs);
    if (entry.tier.limits.length === 0) {
      countDecision(entry, 0);
      return this.#unlimited(storeMs);
    }
    const costMilli = this.#rows.read(0, LEASE_FRAME.COST);
    const lease = this.#table.get(key);
    if (costMilli === 0 || lease === undefined) return LEASE_OUTCOME.ASK;
    if (!areSameRules(lease.rules, entry.rules)) {
      const hasHeld = this.#table.giveBack(key, lease);
      lease.bringUnder(entry.rules, storeMs, monoMs);
      return LEASE_OUTCOME.ASK | (hasHeld ? LEASE_OUTCOME.RETURNS : 0);
    }
    if (lease.use(costMilli, monoMs)) {
      let low = 0;
      if (lease.runsLow(this.#quarterMs, monoMs)) {
        lease.askedUntilMs = monoMs + this.#sixteenthMs + this.#timeoutMs;
        low = LEASE_OUTCOME.LOW;
      }
      countDecision(entry, 0);
      return low | this.#stand(lease, entry, 0, storeMs, monoMs);
    }
    if (monoMs >= lease.denyUntilMs) return LEASE_OUTCOME.ASK;
    const outcome = this.#stand(lease, entry, costMilli, storeMs, monoMs);
    const denied = outcome & OUTCOME.LIMIT_MASK;
    if (denied === 0 || this.#wouldBlock(entry, costMilli)) return LEASE_OUTCOME.ASK;
    countDecision(entry, denied);
    return outcome;
  }

  #peek(key: string): number {
    const entry = this.#entryFor(key);
    if (typeof entry === "number") return entry;
    const monoMs = this.#clock.mono(this.#rows.read(0, LEASE_FRAME.MONO));
    const storeMs = this.#clock.store(this.#rows.read(0, LEASE_FRAME.NOW), monoMs);
    if (entry.tier.limits.length === 0) return this.#unlimited(storeMs);
    const lease = this.#leaseUnder(key, entry);
    if (lease === undefined || lease.held(monoMs) === 0) return LEASE_OUTCOME.ASK;
    if (storeMs - lease.snapshot.atMs >= this.#leaseMs) return LEASE_OUTCOME.ASK;
    return this.#stand(lease, entry, this.#rows.read(0, LEASE_FRAME.COST), storeMs, monoMs);
  }

  /** The tier that the first row asks for, and its version; or what is wrong with the call. */
  #entryFor(key: string): Entry | number {
    const costMilli = this.#rows.read(0, LEASE_FRAME.COST);
    if (!isKey(key)) return OUTCOME.KEY_INVALID;
    if (!(costMilli >= 0)) return OUTCOME.COST_INVALID;
    const entry = this.#tiers.inForce(this.#rows.read(0, LEASE_FRAME.TIER));
    if (entry === undefined) return OUTCOME.TIER_UNKNOWN;
    if (costMilli > entry.tier.maxCostMilli) return OUTCOME.COST_EXCEEDS_CAPACITY;
    this.#rows.write(0, LEASE_FRAME.VERSION, this.version);
    return entry;
  }

  #unlimited(storeMs: number): number {
    this.#rows.write(0, LEASE_FRAME.NOW, storeMs);
    return 0;
  }

  /** The lease of a key, if it is under a tier's rules. */
  #leaseUnder(key: string, { rules }: Entry): Lease | undefined {
    const lease = this.#table.get(key);
    return lease !== undefined && areSameRules(lease.rules, rules) ? lease : undefined;
  }

  /** Writes where a key stands, and for how long a call of that cost is denied. */
  #stand(lease: Lease, { tier }: Entry, costMilli: number, storeMs: number, monoMs: number): number {
    const nowMs = Math.max(storeMs, lease.snapshot.atMs);
    const lagMs = nowMs - storeMs;
    const held = lease.held(monoMs);
    let denied = 0;
    let waitMs = 0;
    for (let index = 0; index < tier.limits.length; index++) {
      const limit = tier.limits[index] as TierLimit;
      const spent = lease.standing(limit, nowMs, held);
      this.#rows.write(0, LEASE_FRAME.SPENT + index, spent);
      const wait = costMilli === 0 ? 0 : limit.rule.waitMs(spent, costMilli, nowMs);
      if (wait <= waitMs) continue;
      waitMs = wait;
      denied = index + 1;
    }
    this.#rows.write(0, LEASE_FRAME.NOW, nowMs);
    let code = denied;
    if (lagMs > 0) {
      this.#rows.write(0, LEASE_FRAME.BEHIND, lagMs);
      code |= OUTCOME.BEHIND;
    }
    const backMs = lease.backUntilMs - monoMs;
    if (denied > 0 && backMs > 0 && backMs < waitMs + lagMs) {
      this.#rows.write(0, LEASE_FRAME.WAIT, backMs);
      code |= LEASE_OUTCOME.WAIT | LEASE_OUTCOME.PROVISIONAL;
    }
    return code;
  }

  /** Whether a denial by what stands in the first row begins a block, which is for the store to do. */
  #wouldBlock({ tier }: Entry, costMilli: number): boolean {
    if (!tier.blocks) return false;
    return tier.limits.some(({ rule }, index) => {
      const spent = this.#rows.read(0, LEASE_FRAME.SPENT + index);
      return rule.type === "bucket" && rule.afterDenial(spent, costMilli) !== spent;
    });
  }

  ask(key: string): void {
    const { lease, monoMs } = this.#look(key);
    if (lease === undefined) return;
    const ahead = lease.demand(this.#leaseMs, monoMs) - lease.usable(monoMs);
    this.#rows.write(0, LEASE_FRAME.AHEAD, Math.max(0, ahead));
    lease.askedUntilMs = monoMs + this.#timeoutMs;
  }

  look(key: string): void {
    this.#look(key);
  }

  /** Writes what is held and known of a key under the tier of the first row. */
  #look(key: string): { lease: Lease | undefined; monoMs: number } {
    const monoMs = this.#clock.mono(this.#rows.read(0, LEASE_FRAME.MONO));
    const entry = isKey(key) ? this.#tiers.inForce(this.#rows.read(0, LEASE_FRAME.TIER)) : undefined;
    if (entry === undefined) {
      this.#rows.write(0, LEASE_FRAME.CODE, isKey(key) ? OUTCOME.TIER_UNKNOWN : OUTCOME.KEY_INVALID);
      return { lease: undefined, monoMs };
    }
    const lease = this.#leaseUnder(key, entry);
    this.#rows.write(0, LEASE_FRAME.CODE, 0);
    this.#rows.write(0, LEASE_FRAME.VERSION, this.version);
    this.#rows.write(0, LEASE_FRAME.HELD, lease?.held(monoMs) ?? 0);
    this.#rows.write(0, LEASE_FRAME.AHEAD, 0);
    this.#rows.write(0, LEASE_FRAME.SERVER, -1);
    if (lease !== undefined) {
      this.#rows.tellSnapshot(
        0,
        lease.snapshot,
        entry.tier.limits.map(({ slot }) => slot),
      );
    }
    return { lease, monoMs };
  }

  apply(keys: string, count: number): void {
    let start = 0;
    for (let at = 0; at < count * LEASE_FRAME.ROW; at += LEASE_FRAME.ROW) {
      const end = start + this.#rows.read(at, LEASE_FRAME.KEY_LENGTH);
      this.#rows.write(at, LEASE_FRAME.CODE, this.#apply(keys.slice(start, end), at));
      start = end;
    }
  }

  #apply(key: string, at: number): number {
    const monoMs = this.#clock.mono(this.#rows.read(at, LEASE_FRAME.MONO));
    const nowMs = this.#rows.read(at, LEASE_FRAME.NOW);
    this.#clock.heard(nowMs - this.#rows.read(at, LEASE_FRAME.LAG), monoMs);
    if (!isKey(key)) return OUTCOME.KEY_INVALID;
    const entry = this.#tiers.of(this.#rows.read(at, LEASE_FRAME.VERSION), this.#rows.read(at, LEASE_FRAME.TIER));
    let lease = this.#table.get(key);
    const teaches = this.#rows.read(at, LEASE_FRAME.SERVER) >= 0;
    if (entry === undefined) {
      if (teaches) lease?.disbelieve();
      return APPLIED.UNKNOWN;
    }
    const snapshot = this.#snapshotAt(at, entry);
    const isTake = this.#rows.read(at, LEASE_FRAME.COST) >= 0;
    if (lease === undefined) {
      if (!isTake) return APPLIED.KEPT;
      lease = this.#made(key, entry, snapshot, monoMs);
      if (lease === undefined) return APPLIED.FULL;
    }
    if (!areSameRules(lease.rules, entry.rules)) {
      if (teaches) lease.disbelieve();
      return APPLIED.STALE;
    }
    lease.learn(snapshot, this.#rows.read(at, LEASE_FRAME.RACES) > 0);
    if (isTake) this.#took(key, lease, at, monoMs);
    const waitMs = this.#rows.read(at, LEASE_FRAME.WAIT);
    if (waitMs > 0) lease.rememberDenial(waitMs, this.#rows.read(at, LEASE_FRAME.IS_PROVISIONAL) === 1, monoMs);
    else if (waitMs === 0 && isTake) lease.disbelieve();
    return APPLIED.KEPT;
  }

  /** A new key's lease; undefined if there is no room for it, or nothing known that it could be kept by. */
  #made(key: string, { rules }: Entry, snapshot: LeaseSnapshot, monoMs: number): Lease | undefined {
    if (snapshot.server < 0) return undefined;
    const lease = new Lease(rules, snapshot, monoMs);
    if (this.#table.add(key, lease, monoMs)) return lease;
    this.#overflow++;
    return undefined;
  }

  /** Takes in what a take has brought. */
  #took(key: string, lease: Lease, at: number, monoMs: number): void {
    lease.askedUntilMs = 0;
    const milli = this.#rows.read(at, LEASE_FRAME.HELD);
    const lastsMs = this.#rows.read(at, LEASE_FRAME.AHEAD);
    if (milli > 0) {
      const grant = { milli, takenMs: this.#rows.read(at, LEASE_FRAME.NOW), expiresMs: monoMs + lastsMs };
      if (lastsMs > 0) this.#table.hold(key, lease, grant, monoMs);
      else this.#table.returns.add(key, lease.rules, [grant]);
    }
    const isInVain = this.#rows.read(at, LEASE_FRAME.COST) === 0;
    // It was asked for what the key will use as it goes: that of one more call says nothing new.
    lease.noPrefetchUntilMs = Math.max(
      lease.noPrefetchUntilMs,
      monoMs + (isInVain ? this.#quarterMs : this.#sixteenthMs),
    );
  }

  /** What the row at `at` says that the store has said. */
  #snapshotAt(at: number, { tier }: Entry): LeaseSnapshot {
    const spent: (number | undefined)[] = [];
    for (let index = 0; index < tier.limits.length; index++) {
      const amount = this.#rows.read(at, LEASE_FRAME.SPENT + index);
      if (!Number.isNaN(amount)) spent[(tier.limits[index] as TierLimit).slot] = amount;
    }
    return {
      server: this.#rows.read(at, LEASE_FRAME.SERVER),
      epoch: this.#rows.read(at, LEASE_FRAME.EPOCH),
      atMs: this.#rows.read(at, LEASE_FRAME.NOW),
      spent,
    };
  }

  forget(key: string): void {
    this.#table.delete(key);
  }

  giveBack(key: string, again: boolean): void {
    const lease = this.#table.get(key);
    if (lease === undefined) return;
    this.#table.giveBack(key, lease);
    if (again) lease.disbelieve();
    else lease.noPrefetchUntilMs = this.#clock.mono(this.#rows.read(0, LEASE_FRAME.MONO)) + this.#quarterMs;
  }

  sweep(nowMs: number, monoMs: number): boolean {
    const mono = this.#clock.mono(monoMs);
    const store = this.#clock.store(nowMs, mono);
    return this.#table.sweep(store, mono);
  }

  drain(): void {
    this.#table.drain();
  }

  takeReturns(): { count: number; keys: string } {
    const returned = this.#table.returns.take(LEASE_FRAME.ROWS);
    returned.forEach(({ key, grant, rules }, row) => {
      const at = row * LEASE_FRAME.ROW;
      this.#rows.tellKey(at, key, rules);
      this.#rows.write(at, LEASE_FRAME.HELD, grant.milli);
      this.#rows.write(at, LEASE_FRAME.NOW, grant.takenMs);
    });
    return { count: returned.length, keys: returned.map(({ key }) => key).join("") };
  }

  startReport(): void {
    this.#report = this.#table.entries();
  }

  nextReport(): { count: number; keys: string } {
    const keys: string[] = [];
    while (keys.length < LEASE_FRAME.ROWS) {
      const next = this.#report?.next();
      if (next === undefined || next.done) break;
      const [key, { rules, snapshot }] = next.value;
      const at = keys.length * LEASE_FRAME.ROW;
      this.#rows.tellKey(at, key, rules);
      this.#rows.tellSnapshot(at, snapshot, rules.toldSlots);
      keys.push(key);
    }
    return { count: keys.length, keys: keys.join("") };
  }

  rulesOf(number: number): readonly CountedRule[] {
    return this.#rows.rulesOf(number);
  }

  serverId(name: string): number {
    const id = this.#servers.indexOf(name);
    if (id >= 0) return id;
    return this.#servers.length < MAX_SERVERS ? this.#servers.push(name) - 1 : -1;
  }

  serverName(id: number): string {
    return this.#servers[id] ?? "";
  }

  storeMs(monoMs: number): number {
    return this.#clock.store(-1, this.#clock.mono(monoMs));
  }

  count(version: number, tier: number, denied: number): void {
    const entry = this.#tiers.of(version, tier);
    if (entry !== undefined) countDecision(entry, denied & OUTCOME.LIMIT_MASK);
  }

  stats(): LeaseCounts {
    const { size: keys, evictions, heldMilli: held } = this.#table;
    return { keys, evictions, tiers: this.#tiers.read(), held, overflow: this.#overflow };
  }

  keepDebt(): void {
    // Nobody shares the table, who could inherit it.
  }

  inherit(): readonly string[] {
    return [];
  }

  leave(): boolean {
    return true;
  }

  close(): void {
    this.#table.clear();
    this.#report = undefined;
    this.#tiers.clearOverridden();
  }

  abandon(): void {
    this.close();
  }
}

function isKey(key: unknown): key is string {
  return typeof key === "string" && key.length > 0 && key.length <= MAX_KEY;
}
