//! Calls that are decided, and what a take would say.

use tollkeeper_limiter::{
    Asked, CLOCK_LAG_MS, Error, LeaseOutcome, LeaseVerdict, MAX_LIMITS, Snapshot, TierId, TierSpec, Times,
};

use super::super::entry::{Entry, blocks, denial, rules_of};
use super::{Run, units};
use crate::slot::most_milli;

impl Run {
    pub(super) fn consume(&mut self, key: usize, id: TierId, cost_milli: u64) {
        let mut outcome = LeaseOutcome::default();
        let decided = self
            .leases
            .consume(&units(key), id, cost_milli, self.times, &mut outcome);
        self.check_decision(key, id, cost_milli, (self.times, 0), decided, &outcome);
    }

    /// By a clock that lags, and the one that does not.
    pub(super) fn consume_by(&mut self, key: usize, id: TierId, cost_milli: u64, lag_ms: u64) {
        let lag_ms = lag_ms.min(self.times.mono_ms);
        let (mut outcome, better) = (LeaseOutcome::default(), self.times);
        let cheap = Times {
            store_ms: better.store_ms - lag_ms,
            mono_ms: better.mono_ms - lag_ms,
        };
        let decided = self
            .leases
            .consume_by(&units(key), id, cost_milli, cheap, || better, &mut outcome);
        self.check_decision(key, id, cost_milli, (cheap, CLOCK_LAG_MS.into()), decided, &outcome);
    }

    fn check_decision(
        &mut self,
        key: usize,
        id: TierId,
        cost_milli: u64,
        cheap: (Times, u64),
        decided: Result<(), Error>,
        outcome: &LeaseOutcome,
    ) {
        let Some(tier) = self.unless_refused(decided, id, cost_milli) else {
            return;
        };
        assert_eq!(outcome.version, self.versions.version());
        let expected = self.expect_decision(key, &tier, cost_milli, cheap);
        if expected.verdict != LeaseVerdict::Ask {
            self.decisions += 1;
        }
        check(outcome, &expected);
    }

    fn expect_decision(
        &mut self,
        key: usize,
        tier: &TierSpec,
        cost_milli: u64,
        (cheap, lag_ms): (Times, u64),
    ) -> LeaseOutcome {
        let (times, spans) = (self.times, self.spans);
        let mut expected = LeaseOutcome::default();
        if tier.limits.is_empty() {
            expected.verdict = LeaseVerdict::Allowed;
            expected.now_ms = cheap.store_ms;
            return expected;
        }
        let Some(entry) = self.entries.get_mut(&key).filter(|_| cost_milli > 0) else {
            return expected;
        };
        if entry.rules != rules_of(tier) {
            let before = entry.rules.clone();
            let gone = entry.bring_over(tier, times.store_ms, times.mono_ms);
            expected.has_returns = !gone.is_empty();
            self.give_up(key, &before, gone);
            return expected;
        }
        for (at, ends_ms) in [(cheap, cheap.mono_ms + lag_ms), (times, times.mono_ms)] {
            entry.used_ms = entry.used_ms.max(at.mono_ms);
            if entry.spend(cost_milli, ends_ms) {
                expected.verdict = LeaseVerdict::Allowed;
                expected.is_low = entry.is_low(at.mono_ms, spans);
                stand(entry, tier, at.store_ms, ends_ms, &mut expected);
                self.spent_milli += cost_milli;
                return expected;
            }
        }
        if times.mono_ms < entry.deny_until_ms {
            stand(entry, tier, times.store_ms, times.mono_ms, &mut expected);
            verdict(entry, tier, cost_milli, times.mono_ms, &mut expected);
            if blocks(tier, &expected.spent, cost_milli) {
                expected.verdict = LeaseVerdict::Ask;
            }
        }
        expected
    }

    pub(super) fn peek(&mut self, key: usize, id: TierId, cost_milli: u64) {
        let decided = self.leases.peek(&units(key), id, cost_milli, self.times);
        let outcome = decided.as_ref().ok().copied();
        let Some(tier) = self.unless_refused(decided.map(|_| ()), id, cost_milli) else {
            return;
        };
        let times = self.times;
        let mut expected = LeaseOutcome {
            now_ms: times.store_ms,
            ..LeaseOutcome::default()
        };
        let entry = self.entries.get(&key).filter(|entry| {
            let heard_ms = times.store_ms.saturating_sub(entry.at_ms);
            entry.rules == rules_of(&tier) && entry.held(times.mono_ms) > 0 && heard_ms < self.spans.lease_ms
        });
        if tier.limits.is_empty() {
            expected.verdict = LeaseVerdict::Allowed;
        } else if let Some(entry) = entry {
            stand(entry, &tier, times.store_ms, times.mono_ms, &mut expected);
            expected.verdict = LeaseVerdict::Allowed;
            if cost_milli > 0 && denial(&tier, &expected.spent, cost_milli, expected.now_ms).is_some() {
                verdict(entry, &tier, cost_milli, times.mono_ms, &mut expected);
            }
        }
        check(&outcome.expect("it was not refused"), &expected);
    }

    pub(super) fn ask(&mut self, key: usize, id: TierId) {
        let asked = self.leases.ask(&units(key), id, self.times.mono_ms);
        let (mono_ms, spans) = (self.times.mono_ms, self.spans);
        let Some(tier) = self.tier(id) else {
            assert_eq!(asked, Err(Error::TierUnknown));
            return;
        };
        let mut expected = self.expect_look(key, &tier);
        if expected.snapshot.is_some()
            && let Some(entry) = self.entries.get_mut(&key)
        {
            let demand = entry.demand(spans.lease_ms, mono_ms);
            expected.ahead_milli = demand.saturating_sub(entry.usable(mono_ms));
            entry.asked_until_ms = mono_ms + spans.timeout_ms;
        }
        assert_eq!(asked, Ok(expected));
    }

    pub(super) fn look(&self, key: usize, id: TierId) {
        let looked = self.leases.look(&units(key), id, self.times.mono_ms);
        let expected = self.tier(id).map(|tier| self.expect_look(key, &tier));
        assert_eq!(looked, expected.ok_or(Error::TierUnknown));
    }

    fn expect_look(&self, key: usize, tier: &TierSpec) -> Asked {
        let entry = self.entries.get(&key).filter(|entry| entry.rules == rules_of(tier));
        Asked {
            version: self.versions.version(),
            held_milli: entry.map_or(0, |entry| entry.held(self.times.mono_ms)),
            ahead_milli: 0,
            snapshot: entry.map(|entry| {
                let mut spent = [None; MAX_LIMITS];
                for (amount, limit) in spent.iter_mut().zip(&tier.limits) {
                    *amount = entry.spent.get(&limit.name).copied().flatten();
                }
                Snapshot {
                    epoch: entry.epoch,
                    at_ms: entry.at_ms,
                    spent,
                }
            }),
        }
    }

    /// The tier of a decision; None if it was refused as it had to be.
    fn unless_refused(&self, decided: Result<(), Error>, id: TierId, cost_milli: u64) -> Option<TierSpec> {
        let Some(tier) = self.tier(id) else {
            assert_eq!(decided, Err(Error::TierUnknown));
            return None;
        };
        if let Some(most_milli) = most_milli(&tier).filter(|most| cost_milli > *most) {
            assert_eq!(decided, Err(Error::CostExceedsCapacity { most_milli }));
            return None;
        }
        assert_eq!(decided, Ok(()));
        Some(tier)
    }
}

/// Where a key stands, less what is held after an instant.
fn stand(entry: &Entry, tier: &TierSpec, store_ms: u64, ends_ms: u64, outcome: &mut LeaseOutcome) {
    outcome.now_ms = store_ms.max(entry.at_ms);
    outcome.behind_ms = outcome.now_ms - store_ms;
    let spent = entry.standing(tier, outcome.now_ms, entry.held(ends_ms));
    outcome.spent[..spent.len()].copy_from_slice(&spent);
}

/// Denies a call, if where the key stands does.
fn verdict(entry: &Entry, tier: &TierSpec, cost_milli: u64, mono_ms: u64, outcome: &mut LeaseOutcome) {
    if let Some((limit, wait_ms)) = denial(tier, &outcome.spent, cost_milli, outcome.now_ms) {
        outcome.verdict = LeaseVerdict::Denied { limit };
        let back_ms = entry.back_until_ms.saturating_sub(mono_ms);
        if back_ms > 0 && back_ms < wait_ms.saturating_add(outcome.behind_ms) {
            outcome.back_ms = back_ms;
        }
    }
}

fn check(outcome: &LeaseOutcome, expected: &LeaseOutcome) {
    assert_eq!(outcome.verdict, expected.verdict);
    assert_eq!(outcome.has_returns, expected.has_returns);
    if expected.verdict != LeaseVerdict::Ask {
        let expected = LeaseOutcome {
            version: outcome.version,
            ..*expected
        };
        assert_eq!(*outcome, expected);
    }
}
