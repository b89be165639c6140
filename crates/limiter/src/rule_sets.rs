//! Every plan that a key or a tier is under.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use dashmap::DashMap;

use crate::plan::{MAX_PLANS, Plan, PlanId, PlanRules};

/// So many plans are kept without a look whether they are used.
const SPARE_PLANS: usize = 1 << 12;
/// Rounds after which a plan that was used in none of them has gone.
const ROUNDS: u64 = 3;

/// Plans by number and by their rules. Those that are used no more are found in rounds over all keys, a few keys at a
/// time: a plan goes when no tier holds it, and no key had it in the last round nor in the one before.
///
/// Two rounds, since a key may come under a plan behind the back of one.
#[derive(Debug)]
pub(crate) struct Plans {
    by_id: DashMap<PlanId, Arc<Plan>>,
    by_rules: DashMap<PlanRules, PlanId>,
    round: AtomicU64,
    /// How many are kept without a look: twice those that were used, so that a look costs no more than the making.
    spare: AtomicUsize,
    /// Held while a plan is made: the number that is tried next, and how many were ever made.
    next: Mutex<(PlanId, u64)>,
}

impl Default for Plans {
    fn default() -> Self {
        Self {
            by_id: DashMap::new(),
            by_rules: DashMap::new(),
            round: AtomicU64::new(0),
            spare: AtomicUsize::new(SPARE_PLANS),
            next: Mutex::default(),
        }
    }
}

impl Plans {
    pub(crate) fn get(&self, id: PlanId) -> Option<Arc<Plan>> {
        self.by_id.get(&id).map(|plan| Arc::clone(&plan))
    }

    /// The plan of some rules, which is made if there is none; None if there are too many at once.
    pub(crate) fn of(&self, rules: PlanRules) -> Option<Arc<Plan>> {
        if let Some(plan) = self.known(&rules) {
            return Some(plan);
        }
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = self.known(&rules) {
            return Some(plan);
        }
        if self.by_id.len() >= MAX_PLANS {
            return None;
        }
        let (mut id, serial) = *next;
        while self.by_id.contains_key(&id) {
            id = following(id);
        }
        *next = (following(id), serial + 1);
        let plan = Arc::new(Plan::new(id, serial, rules));
        plan.seen.store(self.round.load(Ordering::Relaxed), Ordering::Relaxed);
        self.by_id.insert(id, Arc::clone(&plan));
        self.by_rules.insert(rules, id);
        Some(plan)
    }

    fn known(&self, rules: &PlanRules) -> Option<Arc<Plan>> {
        let id = *self.by_rules.get(rules)?;
        // It may have been forgotten just now, and its number given to another.
        let plan = self.get(id).filter(|plan| plan.rules() == *rules)?;
        self.see(&plan);
        Some(plan)
    }

    /// Whether there are so many that it pays to look which are used.
    pub(crate) fn are_many(&self) -> bool {
        self.by_id.len() > self.spare.load(Ordering::Relaxed)
    }

    /// Notes that a key is under a plan.
    pub(crate) fn note(&self, id: PlanId) {
        if let Some(plan) = self.get(id) {
            self.see(&plan);
        }
    }

    fn see(&self, plan: &Plan) {
        plan.seen.store(self.round.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Ends a round in which every key was looked at, and forgets what is used no more.
    pub(crate) fn end_round(&self) {
        let round = self.round.load(Ordering::Relaxed);
        let is_unused = |plan: &Arc<Plan>| {
            if Arc::strong_count(plan) > 1 {
                plan.seen.store(round, Ordering::Relaxed);
            }
            plan.seen.load(Ordering::Relaxed) + 1 < round
        };
        let unused: Vec<_> = self
            .by_id
            .iter()
            .filter(|plan| is_unused(plan))
            .map(|plan| (plan.id, plan.rules()))
            .collect();
        for (id, rules) in unused {
            // Nobody takes it up in between, since that is looked at under the map's own lock.
            if self.by_id.remove_if(&id, |_, plan| is_unused(plan)).is_some() {
                self.by_rules.remove_if(&rules, |_, of_rules| *of_rules == id);
            }
        }
        self.round.store(round + 1, Ordering::Relaxed);
        if (round + 1).is_multiple_of(ROUNDS) {
            let spare = SPARE_PLANS.max(2 * self.by_id.len());
            self.spare.store(spare, Ordering::Relaxed);
        }
    }
}

fn following(id: PlanId) -> PlanId {
    if id as usize + 1 == MAX_PLANS { 0 } else { id + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Rule;
    use crate::period::Period;

    fn rules(limit_milli: u64) -> PlanRules {
        let rule = Rule::Quota {
            limit_milli,
            period: Period::Day,
        };
        [Some(rule), None, None, None]
    }

    #[test]
    fn a_plan_goes_when_neither_a_tier_nor_a_key_has_it_and_its_number_is_not_given_at_once() {
        let plans = Plans::default();
        let held = plans.of(rules(1)).unwrap();
        let [noted, unused] = [2, 3].map(|limit| plans.of(rules(limit)).unwrap().id);
        for _ in 0..3 {
            plans.note(noted);
            plans.end_round();
        }
        let there = |id| plans.get(id).is_some();
        assert_eq!([there(held.id), there(noted), there(unused)], [true, true, false]);
        assert_ne!(plans.of(rules(3)).unwrap().id, unused);
        assert_eq!(plans.of(rules(2)).unwrap().id, noted);
        drop(held);
        for _ in 0..3 {
            plans.end_round();
        }
        assert_eq!((plans.by_id.len(), plans.by_rules.len()), (0, 0));
    }
}
