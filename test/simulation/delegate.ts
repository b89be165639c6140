import type { Frame } from "../../src/engine/frame.js";
import type { CountedRule, LeaseCounts, LeaseEngine } from "../../src/engine/lease-engine.js";
import type { TierSpec, Tiers } from "../../src/index.js";

/** Rows that an engine has told, and their keys. */
export interface Told {
  readonly count: number;
  readonly keys: string;
}

/** A lease engine that does what another does, for those that differ in something. */
export class Delegate implements LeaseEngine {
  readonly kind: LeaseEngine["kind"];
  readonly frame: Frame;
  protected readonly inner: LeaseEngine;

  constructor(inner: LeaseEngine) {
    this.inner = inner;
    this.kind = inner.kind;
    this.frame = inner.frame;
  }

  get replica(): string {
    return this.inner.replica;
  }

  get lane(): number {
    return this.inner.lane;
  }

  get users(): number {
    return this.inner.users;
  }

  get version(): number {
    return this.inner.version;
  }

  tiersOf(version: number): Tiers {
    return this.inner.tiersOf(version);
  }

  tierId(name: string): number {
    return this.inner.tierId(name);
  }

  overrideTier(version: number, tier: number, name: string, spec: TierSpec): number {
    return this.inner.overrideTier(version, tier, name, spec);
  }

  reload(tiers: Tiers): void {
    this.inner.reload(tiers);
  }

  consume(key: string): void {
    this.inner.consume(key);
  }

  peek(key: string): void {
    this.inner.peek(key);
  }

  ask(key: string): void {
    this.inner.ask(key);
  }

  look(key: string): void {
    this.inner.look(key);
  }

  apply(keys: string, count: number): void {
    this.inner.apply(keys, count);
  }

  forget(key: string): void {
    this.inner.forget(key);
  }

  giveBack(key: string, again: boolean): void {
    this.inner.giveBack(key, again);
  }

  sweep(nowMs: number, monoMs: number): boolean {
    return this.inner.sweep(nowMs, monoMs);
  }

  drain(): void {
    this.inner.drain();
  }

  takeReturns(): Told {
    return this.inner.takeReturns();
  }

  startReport(): void {
    this.inner.startReport();
  }

  nextReport(): Told {
    return this.inner.nextReport();
  }

  rulesOf(number: number): readonly CountedRule[] {
    return this.inner.rulesOf(number);
  }

  serverId(name: string): number {
    return this.inner.serverId(name);
  }

  serverName(id: number): string {
    return this.inner.serverName(id);
  }

  storeMs(monoMs: number): number {
    return this.inner.storeMs(monoMs);
  }

  count(version: number, tier: number, denied: number): void {
    this.inner.count(version, tier, denied);
  }

  stats(): LeaseCounts {
    return this.inner.stats();
  }

  keepDebt(id: number, text: string | undefined): void {
    this.inner.keepDebt(id, text);
  }

  inherit(): readonly string[] {
    return this.inner.inherit();
  }

  leave(): boolean {
    return this.inner.leave();
  }

  close(): void {
    this.inner.close();
  }

  abandon(): void {
    this.inner.abandon();
  }
}
