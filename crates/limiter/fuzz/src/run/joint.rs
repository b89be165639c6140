//! Calls of several subjects.

use tollkeeper_limiter::{Costs, KeyHash, Outcome, Subject, SubjectError, TierId, TierSpec, Verdict};

use super::decisions::refusal;
use super::{KEYS, Run};
use crate::charge::Charge;
use crate::cost::Cost;
use crate::expected::Expected;
use crate::input::{Input, TIERS};

/// Stands for the places of calls that come back, since another of them was denied.
const UNDONE: u64 = u64::MAX;

/// What is asked of one subject.
#[derive(Clone, Copy)]
struct Asked {
    key: KeyHash,
    tier: TierId,
    cost: Cost,
}

impl Asked {
    /// As the limiter is told it, under a version of the tiers.
    fn subject(self, version: usize) -> Subject {
        let Self { key, tier, cost } = self;
        let cost = match cost {
            Cost::Every(milli) => tollkeeper_limiter::Cost::Every(milli),
            Cost::Each(milli) => tollkeeper_limiter::Cost::Each(Costs { version, milli }),
        };
        Subject { key, tier, cost }
    }
}

impl Run {
    pub(super) fn consume_together(&mut self, first: KeyHash, input: &mut Input) {
        let others = 1 + input.index(4);
        let keys = std::iter::once(first).chain((0..others).map(|_| KEYS[input.index(KEYS.len())]));
        let keys: Vec<_> = keys.collect();
        let ask = |key| {
            let choice = input.byte();
            Asked {
                key,
                tier: TierId::from(choice) % TIERS.len() as TierId,
                cost: input.cost(choice >= 0xC0),
            }
        };
        let asked: Vec<_> = keys.into_iter().map(ask).collect();
        let version = self.versions.version();
        let subjects: Vec<_> = asked.iter().map(|asked| asked.subject(version)).collect();
        let decided = self.limiter.consume_together(&subjects, self.given_ms);
        let mut tiers = Vec::new();
        for (index, Asked { tier, cost, .. }) in asked.iter().enumerate() {
            let tier = self.tier(*tier);
            if let Some(error) = refusal(tier.as_ref(), *cost) {
                assert_eq!(decided, Err(SubjectError { index, error }));
                return;
            }
            tiers.extend(tier);
        }
        let outcomes = decided.expect("nothing is wrong with it");
        let is_allowed = outcomes.iter().all(allows);
        let denied = outcomes.iter().filter(|outcome| !allows(outcome)).count();
        self.decisions += if is_allowed { asked.len() } else { denied } as u64;
        let calls = asked.iter().zip(&tiers).zip(&outcomes);
        let spends = |((asked, tier), _): &((&Asked, &TierSpec), &Outcome)| {
            !tier.limits.is_empty() && !asked.cost.is_nothing(tier)
        };
        for ((asked, tier), outcome) in calls.clone().filter(|call| !spends(call)) {
            assert_eq!(outcome.verdict, Verdict::Allowed);
            if !tier.limits.is_empty() {
                self.check_unspent(asked.key, tier, asked.cost, outcome);
            }
        }
        let calls: Vec<_> = calls.filter(spends).collect();
        let keys = calls.iter().map(|((asked, _), _)| asked.key);
        let newcomers: Vec<_> = keys.filter(|key| !self.table.knows(*key)).collect();
        self.notice_evictions(&newcomers);
        for ((asked, tier), _) in &calls {
            if !self.table.knows(asked.key) && !self.table.is_full() {
                self.table.own(asked.key, tier, self.now());
            }
        }
        for ((asked, tier), outcome) in &calls {
            self.check_joint(asked, tier, outcome, is_allowed);
        }
        for ((asked, tier), outcome) in &calls {
            if !is_allowed && allows(outcome) {
                let now_ms = self.now();
                let model = if outcome.overflow {
                    self.table.shared(asked.tier, tier, now_ms)
                } else {
                    self.table.own(asked.key, tier, now_ms)
                };
                model.correct(tier, asked.cost.given_back(), outcome.now_ms, false);
                let _ = model.release(UNDONE, 0);
            }
        }
    }

    /// Checks what is said of one subject, and spends it in the model if it would pass by itself.
    fn check_joint(&mut self, asked: &Asked, tier: &TierSpec, outcome: &Outcome, is_allowed: bool) {
        let Asked { key, tier: id, cost } = *asked;
        let now_ms = self.now();
        let overflow = !self.table.knows(key);
        assert_eq!(outcome.overflow, overflow);
        let model = if overflow {
            self.table.shared(id, tier, now_ms)
        } else {
            self.table.own(key, tier, now_ms)
        };
        model.bring_to(tier, now_ms);
        let before = model.standings(tier, cost);
        let unspent = model.clone();
        if allows(outcome) {
            model.charge(tier, cost);
            let number = if is_allowed { outcome.place } else { UNDONE };
            assert_eq!(model.take(tier, cost, number) && is_allowed, outcome.place > 0);
        } else {
            model.deny(tier, cost);
        }
        let comes_back = allows(outcome) && !is_allowed;
        let after = if comes_back { &unspent } else { &*model };
        let expected = Expected::new(cost, before, after, tier, now_ms);
        expected.check(outcome, &self.limiter.tier(id).expect("it decided"));
        assert_eq!(outcome.version, self.versions.version());
        if !overflow {
            let admitted = if is_allowed { cost } else { Cost::Every(0) };
            self.histories.note(key, id, admitted, outcome.now_ms);
        }
        if is_allowed {
            self.charges.push(Charge {
                key,
                tier: id,
                cost,
                at_ms: outcome.now_ms,
                overflow,
                version: outcome.version,
                place: outcome.place,
            });
        }
    }
}

fn allows(outcome: &Outcome) -> bool {
    outcome.verdict == Verdict::Allowed
}
