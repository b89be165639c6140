/** That the comparison of both engines of leases sees a difference: faults planted in one of them. */
import { expect, it } from "vitest";
import { Lease } from "../../../src/engine/lease.js";
import { difference, runOf, shortened } from "./lease-comparison.js";

/** Runs in which a fault is found at the latest. */
const MOST_RUNS = 1000;

const { add, bringUnder, learn, rememberDenial, removeExpired, standing, usable, use, runsLow, isAsNew } =
  Lease.prototype;

const faults: Record<string, Partial<Lease> & ThisType<Lease>> = {
  "a grant outlives its end by a millisecond": {
    use(costMilli, monoMs) {
      const used = use.call(this, costMilli, monoMs - 1);
      this.usedMs = monoMs;
      return used;
    },
  },
  "what an answer has brought is held twice": {
    add(grant, monoMs) {
      return [...add.call(this, grant, monoMs), ...add.call(this, grant, monoMs)];
    },
  },
  "a third grant keeps its own end": {
    add(grant, monoMs) {
      const younger = this.grants[1];
      const gone = add.call(this, grant, monoMs);
      if (younger !== undefined && this.grants[1] === younger) younger.expiresMs = grant.expiresMs;
      return gone;
    },
  },
  "what has expired is lost": {
    removeExpired(monoMs) {
      removeExpired.call(this, monoMs);
      return [];
    },
  },
  "a conversion is skipped": {
    bringUnder(rules, storeMs, monoMs) {
      const { spent } = this.snapshot;
      bringUnder.call(this, rules, storeMs, monoMs);
      this.snapshot = { ...this.snapshot, spent };
    },
  },
  "a denial is believed under another tier": {
    bringUnder(rules, storeMs, monoMs) {
      const { denyUntilMs } = this;
      bringUnder.call(this, rules, storeMs, monoMs);
      this.denyUntilMs = denyUntilMs;
    },
  },
  "an answer from before what is known is believed": {
    learn(snapshot) {
      if (snapshot.server >= 0) this.snapshot = snapshot;
    },
  },
  "an answer of another epoch from before what is known is not believed": {
    learn(snapshot, races) {
      if (snapshot.atMs >= this.snapshot.atMs) learn.call(this, snapshot, races);
    },
  },
  "of two answers of one instant the last is believed, though they race": {
    learn(snapshot) {
      learn.call(this, snapshot, false);
    },
  },
  "of two answers of one instant the larger is believed, though they do not race": {
    learn(snapshot) {
      learn.call(this, snapshot, true);
    },
  },
  "a denial is believed for as long as it says": {
    rememberDenial(waitMs, isProvisional, monoMs) {
      rememberDenial.call(this, waitMs, isProvisional, monoMs);
      this.denyUntilMs = monoMs + waitMs;
    },
  },
  "every denial is final": {
    rememberDenial(waitMs, _, monoMs) {
      rememberDenial.call(this, waitMs, false, monoMs);
    },
  },
  "what is held counts as spent": {
    standing(limit, nowMs) {
      return standing.call(this, limit, nowMs, 0);
    },
  },
  "what will be used is rounded up": {
    usable(monoMs) {
      return usable.call(this, monoMs) + 1;
    },
  },
  "more is asked for a little earlier": {
    runsLow(ms, monoMs) {
      return runsLow.call(this, ms + 5, monoMs);
    },
  },
  "a key that believes a denial is forgotten": {
    isAsNew(storeMs, monoMs) {
      return isAsNew.call(Object.assign(Object.create(this), { denyUntilMs: 0 }), storeMs, monoMs);
    },
  },
};

it.each(Object.entries(faults))("sees that %s", (_, fault) => {
  const own = Object.fromEntries(Object.keys(fault).map((name) => [name, Lease.prototype[name as keyof Lease]]));
  Object.assign(Lease.prototype, fault);
  try {
    let seed = 1;
    while (seed <= MOST_RUNS && difference(runOf(seed)) === undefined) seed++;
    expect(seed).toBeLessThanOrEqual(MOST_RUNS);
    const found = runOf(seed);
    const shorter = shortened(found);
    expect(difference(shorter)).toBeDefined();
    expect(shorter.operations.length).toBeLessThan(Math.max(2, found.operations.length));
  } finally {
    Object.assign(Lease.prototype, own);
  }
});

it("finds no difference in the same runs without a fault", () => {
  for (let seed = 1; seed <= 60; seed++) expect(difference(runOf(seed)), `run ${seed}`).toBeUndefined();
});
