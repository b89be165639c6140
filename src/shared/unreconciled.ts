import type { Tier } from "../engine/tier.js";
import { compileTiers } from "../engine/tier.js";
import type { BoundTier } from "../limiter/bound-tier.js";
import type { Snapshot } from "../store/protocol.js";
import { spentAt } from "./outcome.js";

/** A charge or a return that the store must hear of exactly once. */
export interface Unreconciled {
  readonly tier: Tier;
  /** Who decides by that tier here; undefined if nobody does, and what is answered teaches nothing. */
  readonly boundTier: BoundTier | undefined;
  /** Thousandths per limit of the tier. */
  deltas: readonly number[];
  /** When what is corrected was decided, by the store's time. */
  readonly atMs: number;
  readonly quotasOnly: boolean;
  readonly tell: boolean;
  /** Whether what is given back was handed out to nobody. */
  readonly unused: boolean;
  /** Whether it was admitted while the store was away. */
  readonly duringOutage: boolean;
  sent: Sent | undefined;
  /** Under which it is kept for others, should this thread end. */
  debt?: number;
}

/** As what a correction was first sent. */
interface Sent {
  readonly lane: number;
  readonly sequence: number;
  /** What was known of the key. */
  readonly snapshot: Snapshot | undefined;
  /** By this process's clock. */
  readonly atMs: number;
}

/** A correction of which nothing was sent yet; what is not given is false. */
export function unreconciled(
  what: Pick<Unreconciled, "tier" | "boundTier" | "deltas" | "atMs"> & Partial<Unreconciled>,
): Unreconciled {
  return { quotasOnly: false, tell: false, unused: false, duringOutage: false, sent: undefined, ...what };
}

/** Adds one to the last that waits, if that was not sent yet and is of the same kind; returns whether it did. */
export function merge(last: Unreconciled | undefined, added: Unreconciled): boolean {
  if (last === undefined || last.sent !== undefined || last.tier !== added.tier) return false;
  for (const flag of ["quotasOnly", "tell", "unused", "duringOutage"] as const) {
    if (last[flag] !== added[flag]) return false;
  }
  const isSamePeriod = last.tier.limits.every(
    ({ rule }) => rule.type !== "quota" || rule.periodOf(added.atMs).startMs === rule.periodOf(last.atMs).startMs,
  );
  const isSameSign = added.deltas.every((delta, index) => Math.sign(delta) === Math.sign(last.deltas[index] ?? 0));
  if (!isSamePeriod || !isSameSign) return false;
  last.deltas = last.deltas.map((delta, index) => delta + (added.deltas[index] ?? 0));
  return true;
}

/** What a key has spent, as far as one replica can tell: what the store has told, and what it has not heard of yet. */
export function withUnreconciled(
  tier: Tier,
  snapshot: Snapshot | undefined,
  waiting: readonly Pick<Unreconciled, "tier" | "deltas" | "atMs" | "quotasOnly">[],
  nowMs: number,
): number[] {
  const spent = spentAt(tier, snapshot, nowMs, 0);
  for (const { tier: counted, deltas, atMs, quotasOnly } of waiting) {
    tier.limits.forEach(({ name, rule }, index) => {
      const at = counted.limits.findIndex((limit) => limit.name === name);
      const [from, delta = 0, before = 0] = [counted.limits[at]?.rule, deltas[at], spent[index]];
      if (rule.type === "quota") {
        // How far down a return may go the store alone can tell of what was granted.
        const grantedMilli = Math.max(0, 0 - before);
        if (atMs >= rule.periodOf(nowMs).startMs) spent[index] = rule.charged(before, delta, grantedMilli);
      } else if (rule.type === "bucket" && from?.type === "bucket" && !quotasOnly) {
        spent[index] = rule.charged(before, delta, from);
      }
    });
  }
  return spent;
}

/** One as text that holds all that another thread needs to send it, or to send it again as what it was. */
export function textOf(key: string, entry: Unreconciled, nowMs: number): string {
  const { tier, boundTier, sent, ...what } = entry;
  const { limits } = tier.spec;
  return JSON.stringify({
    key,
    name: boundTier?.name,
    limits,
    ...what,
    debt: undefined,
    sent: sent && aged(sent, nowMs),
  });
}

/** What such a text says, of which key; whoever is `ready` to decide by that tier learns from the answer. */
export function ofText(
  text: string,
  nowMs: number,
  ready: (name: string) => BoundTier | undefined,
): { readonly key: string; readonly entry: Unreconciled } {
  const { key, name, limits, sent, ...what } = JSON.parse(text);
  const named = name === undefined ? undefined : ready(name);
  const boundTier = JSON.stringify(named?.tier.spec.limits) === JSON.stringify(limits) ? named : undefined;
  const tier = boundTier?.tier ?? compileTiers({ counted: { limits } }, new Map()).get("counted");
  return { key, entry: { ...what, tier, boundTier, sent: sent && aged(sent, nowMs) } };
}

/** Clocks differ from thread to thread: between them an instant is told as by how much it is past. */
function aged<T extends { readonly atMs: number }>(sent: T, nowMs: number): T {
  return { ...sent, atMs: nowMs - sent.atMs };
}
