//! Calls that are decided.

use tollkeeper_limiter::{Costs, Error, KeyHash, Outcome, TierId, TierSpec, Verdict};

use super::Run;
use crate::charge::Charge;
use crate::cost::Cost;
use crate::expected::Expected;
use crate::input::TIERS;
use crate::key::Key;
use crate::slot::{capacity_milli, most_milli};

impl Run {
    pub(super) fn consume(&mut self, key: KeyHash, id: TierId, cost: Cost) {
        let tier = self.tier(id);
        let version = self.versions.version();
        let decided = match cost {
            Cost::Every(milli) => self.limiter.consume(key, id, milli, self.given_ms),
            Cost::Each(milli) => {
                let costs = Costs { version, milli };
                self.check_other_versions(key, id, costs);
                self.limiter.consume_each(key, id, &costs, self.given_ms)
            }
        };
        let Some((outcome, tier)) = unless_refused(decided, tier, cost) else {
            return;
        };
        let now_ms = self.now();
        self.decisions += 1;
        if tier.limits.is_empty() {
            assert_eq!(outcome.verdict, Verdict::Allowed);
            return;
        }
        if cost.is_nothing(&tier) {
            self.check_unspent(key, &tier, cost, &outcome);
            return;
        }
        if !self.table.knows(key) {
            self.notice_evictions(&[key]);
        }
        let overflow = self.table.is_full() && !self.table.knows(key);
        assert_eq!(
            outcome.overflow,
            overflow,
            "{} of {} keys",
            self.table.len(),
            self.table.max_keys()
        );
        let model = if overflow {
            self.table.shared(id, &tier, now_ms)
        } else {
            self.table.own(key, &tier, now_ms)
        };
        model.bring_to(&tier, now_ms);
        let before = model.standings(&tier, cost);
        let allowed = outcome.verdict == Verdict::Allowed;
        if allowed {
            model.charge(&tier, cost);
            assert_eq!(model.take(&tier, cost, outcome.place), outcome.place > 0);
        } else {
            model.deny(&tier, cost);
        }
        let expected = Expected::new(cost, before, model, &tier, now_ms);
        expected.check(&outcome, &self.limiter.tier(id).expect("it decided"));
        assert_eq!(outcome.version, self.versions.version());
        if !overflow {
            let admitted = if allowed { cost } else { Cost::Every(0) };
            self.histories.note(key, id, admitted, outcome.now_ms);
        }
        if allowed {
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

    pub(super) fn peek(&mut self, key: KeyHash, id: TierId, cost: Cost) {
        let tier = self.tier(id);
        let version = self.versions.version();
        let decided = match cost {
            Cost::Every(milli) => self.limiter.peek(key, id, milli, self.given_ms),
            Cost::Each(milli) => self
                .limiter
                .peek_each(key, id, &Costs { version, milli }, self.given_ms),
        };
        if let Some((outcome, tier)) = unless_refused(decided, tier, cost) {
            self.check_unspent(key, &tier, cost, &outcome);
        }
    }

    /// Costs in the order of another version are of no tier.
    fn check_other_versions(&self, key: KeyHash, id: TierId, costs: Costs) {
        let version = costs.version + 1;
        let other = Costs { version, ..costs };
        let decided = self.limiter.consume_each(key, id, &other, self.given_ms);
        assert_eq!(decided, Err(Error::TierUnknown));
    }

    pub(super) fn tier(&self, id: TierId) -> Option<TierSpec> {
        let tier = self.versions.tier(self.versions.version(), id);
        assert_eq!(self.limiter.tier_id(TIERS[id as usize]), tier.map(|_| id));
        tier.cloned()
    }

    pub(super) fn check_unspent(&mut self, key: KeyHash, tier: &TierSpec, cost: Cost, outcome: &Outcome) {
        let now_ms = self.now();
        let id = self.limiter.tier_id(&tier.name).expect("it decided");
        let known = self.table.key(key);
        let lacks_room = self.table.is_full() && known.is_none() && !tier.limits.is_empty();
        if outcome.overflow {
            assert!(lacks_room);
        } else if lacks_room {
            let one_may_go = self.table.keys().any(|(_, other)| other.may_be_idle(now_ms));
            assert!(one_may_go, "there is no room for {key:?}");
        }
        let shared = self.table.overflow(id).filter(|_| outcome.overflow);
        let mut model = known.or(shared).cloned().unwrap_or_else(|| Key::new(tier, now_ms));
        model.bring_to(tier, now_ms);
        let before = if cost.is_nothing(tier) {
            Vec::new()
        } else {
            model.standings(tier, cost)
        };
        let expected = Expected::new(cost, before, &model, tier, now_ms);
        expected.check(outcome, &self.limiter.tier(id).expect("it decided"));
    }
}

/// What was decided, and under which tier; None if it was refused as it had to be.
fn unless_refused(decided: Result<Outcome, Error>, tier: Option<TierSpec>, cost: Cost) -> Option<(Outcome, TierSpec)> {
    if let Some(error) = refusal(tier.as_ref(), cost) {
        assert_eq!(decided, Err(error));
        return None;
    }
    match (decided, tier) {
        (Ok(outcome), Some(tier)) => Some((outcome, tier)),
        (decided, _) => panic!("{decided:?}"),
    }
}

/// What is expected instead of a decision.
pub(super) fn refusal(tier: Option<&TierSpec>, cost: Cost) -> Option<Error> {
    let Some(tier) = tier else {
        return Some(Error::TierUnknown);
    };
    let most_milli = match cost {
        Cost::Every(milli) => most_milli(tier).filter(|most| milli > *most),
        Cost::Each(milli) => {
            let capacities = tier.limits.iter().map(|limit| match capacity_milli(limit.rule) {
                0 => 1 << 62,
                most => most,
            });
            let exceeded = capacities.zip(milli).find(|(most, milli)| milli > most);
            exceeded.map(|(most, _)| most)
        }
    }?;
    Some(Error::CostExceedsCapacity { most_milli })
}
