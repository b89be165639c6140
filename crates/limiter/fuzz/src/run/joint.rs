//! Calls of several subjects.

use tollkeeper_limiter::{KeyHash, Outcome, Subject, SubjectError, TierId, TierSpec, Verdict};

use super::decisions::refusal;
use super::{KEYS, Run};
use crate::charge::Charge;
use crate::expected::Expected;
use crate::input::{Input, TIERS};

impl Run {
    pub(super) fn consume_together(&mut self, first: KeyHash, input: &mut Input) {
        let others = 1 + input.index(4);
        let keys = std::iter::once(first).chain((0..others).map(|_| KEYS[input.index(KEYS.len())]));
        let keys: Vec<_> = keys.collect();
        let subject = |key| Subject {
            key,
            tier: input.index(TIERS.len()) as TierId,
            cost_milli: input.cost_milli(),
        };
        let subjects: Vec<_> = keys.into_iter().map(subject).collect();
        let decided = self.limiter.consume_together(&subjects, self.given_ms);
        let mut tiers = Vec::new();
        for (index, subject) in subjects.iter().enumerate() {
            let tier = self.tier(subject.tier);
            if let Some(error) = refusal(tier.as_ref(), subject.cost_milli) {
                assert_eq!(decided, Err(SubjectError { index, error }));
                return;
            }
            tiers.extend(tier);
        }
        let outcomes = decided.expect("nothing is wrong with it");
        let is_allowed = outcomes.iter().all(allows);
        let denied = outcomes.iter().filter(|outcome| !allows(outcome)).count();
        self.decisions += if is_allowed { subjects.len() } else { denied } as u64;
        let calls = subjects.iter().zip(&tiers).zip(&outcomes);
        let spends = |((subject, tier), _): &((&Subject, &TierSpec), &Outcome)| {
            subject.cost_milli > 0 && !tier.limits.is_empty()
        };
        for ((subject, tier), outcome) in calls.clone().filter(|call| !spends(call)) {
            assert_eq!(outcome.verdict, Verdict::Allowed);
            if !tier.limits.is_empty() {
                self.check_unspent(subject.key, tier, 0, outcome);
            }
        }
        let calls: Vec<_> = calls.filter(spends).collect();
        let keys = calls.iter().map(|((subject, _), _)| subject.key);
        let newcomers: Vec<_> = keys.filter(|key| !self.table.knows(*key)).collect();
        self.notice_evictions(&newcomers);
        for ((subject, tier), _) in &calls {
            if !self.table.knows(subject.key) && !self.table.is_full() {
                self.table.own(subject.key, tier, self.now());
            }
        }
        for ((subject, tier), outcome) in &calls {
            self.check_joint(subject, tier, outcome, is_allowed);
        }
        for ((subject, tier), outcome) in &calls {
            if !is_allowed && allows(outcome) {
                let now_ms = self.now();
                let model = if outcome.overflow {
                    self.table.shared(subject.tier, tier, now_ms)
                } else {
                    self.table.own(subject.key, tier, now_ms)
                };
                model.correct(tier, -subject.cost_milli.cast_signed(), outcome.now_ms, false);
            }
        }
    }

    /// Checks what is said of one subject, and spends it in the model if it would pass by itself.
    fn check_joint(&mut self, subject: &Subject, tier: &TierSpec, outcome: &Outcome, is_allowed: bool) {
        let Subject {
            key,
            tier: id,
            cost_milli,
        } = *subject;
        let now_ms = self.now();
        let overflow = !self.table.knows(key);
        assert_eq!(outcome.overflow, overflow);
        let model = if overflow {
            self.table.shared(id, tier, now_ms)
        } else {
            self.table.own(key, tier, now_ms)
        };
        model.bring_to(tier, now_ms);
        let before = model.standings(tier, cost_milli);
        let unspent = model.clone();
        if allows(outcome) {
            model.charge(tier, cost_milli);
        }
        let after = if is_allowed { &*model } else { &unspent };
        let expected = Expected::new(cost_milli, before, after, tier, now_ms);
        expected.check(outcome, &self.limiter.tier(id).expect("it decided"));
        assert_eq!(outcome.version, self.versions.version());
        if !overflow {
            let admitted_milli = if is_allowed { cost_milli } else { 0 };
            self.histories.note(key, id, admitted_milli, outcome.now_ms);
        }
        if is_allowed {
            self.charges.push(Charge {
                key,
                tier: id,
                cost_milli,
                at_ms: outcome.now_ms,
                overflow,
                version: outcome.version,
            });
        }
    }
}

fn allows(outcome: &Outcome) -> bool {
    outcome.verdict == Verdict::Allowed
}
