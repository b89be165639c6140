//! Every rule set that a key or a tier is under. Asked when a key's state is converted, stored or restored; swept when
//! there are many.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use dashmap::DashMap;

use crate::rule_set::{MAX_RULE_SETS, RuleSet, RuleSetId, Rules};

/// So many rule sets are kept without a look whether they are used.
const SPARE_RULE_SETS: usize = 1 << 12;
/// Rounds after which a rule set that was used in none of them has gone.
const ROUNDS: u64 = 3;

/// Rule sets by number and by their rules. Those that are used no more are found in rounds over all keys, a few keys at a
/// time: a rule set goes when no tier holds it, and no key had it in the last round nor in the one before.
///
/// Two rounds, since a key may come under a rule set behind the back of one.
#[derive(Debug)]
pub(crate) struct RuleSets {
    by_id: DashMap<RuleSetId, Arc<RuleSet>>,
    by_rules: DashMap<Rules, RuleSetId>,
    round: AtomicU64,
    /// How many are kept without a look: twice those that were used, so that a look costs no more than the making.
    spare: AtomicUsize,
    /// Held while a rule set is made: the number that is tried next, and how many were ever made.
    next: Mutex<(RuleSetId, u64)>,
}

impl Default for RuleSets {
    fn default() -> Self {
        Self {
            by_id: DashMap::new(),
            by_rules: DashMap::new(),
            round: AtomicU64::new(0),
            spare: AtomicUsize::new(SPARE_RULE_SETS),
            next: Mutex::default(),
        }
    }
}

impl RuleSets {
    pub(crate) fn get(&self, id: RuleSetId) -> Option<Arc<RuleSet>> {
        self.by_id.get(&id).map(|rule_set| Arc::clone(&rule_set))
    }

    /// The rule set of some rules, which is made if there is none; None if there are too many at once.
    pub(crate) fn of(&self, rules: &Rules) -> Option<Arc<RuleSet>> {
        if let Some(rule_set) = self.find(rules) {
            return Some(rule_set);
        }
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rule_set) = self.find(rules) {
            return Some(rule_set);
        }
        if self.by_id.len() >= MAX_RULE_SETS {
            return None;
        }
        let (mut id, serial) = *next;
        while self.by_id.contains_key(&id) {
            id = following(id);
        }
        *next = (following(id), serial + 1);
        let rule_set = Arc::new(RuleSet::new(id, serial, rules));
        rule_set
            .seen
            .store(self.round.load(Ordering::Relaxed), Ordering::Relaxed);
        self.by_id.insert(id, Arc::clone(&rule_set));
        self.by_rules.insert(*rules, id);
        Some(rule_set)
    }

    fn find(&self, rules: &Rules) -> Option<Arc<RuleSet>> {
        let id = *self.by_rules.get(rules)?;
        // It may have been forgotten just now, and its number given to another.
        let rule_set = self.get(id).filter(|rule_set| rule_set.rules() == *rules)?;
        self.see(&rule_set);
        Some(rule_set)
    }

    /// Whether there are so many that it pays to look which are used.
    pub(crate) fn are_many(&self) -> bool {
        self.by_id.len() > self.spare.load(Ordering::Relaxed)
    }

    /// Notes that a key is under a rule set.
    pub(crate) fn mark_used(&self, id: RuleSetId) {
        if let Some(rule_set) = self.get(id) {
            self.see(&rule_set);
        }
    }

    fn see(&self, rule_set: &RuleSet) {
        rule_set
            .seen
            .store(self.round.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// Ends a round in which every key was looked at, and forgets what is used no more.
    pub(crate) fn end_round(&self) {
        let round = self.round.load(Ordering::Relaxed);
        let is_unused = |rule_set: &Arc<RuleSet>| {
            if Arc::strong_count(rule_set) > 1 {
                rule_set.seen.store(round, Ordering::Relaxed);
            }
            rule_set.seen.load(Ordering::Relaxed) + 1 < round
        };
        let unused: Vec<_> = self
            .by_id
            .iter()
            .filter(|rule_set| is_unused(rule_set))
            .map(|rule_set| (rule_set.id, rule_set.rules()))
            .collect();
        for (id, rules) in unused {
            // Nobody takes it up in between, since that is looked at under the map's own lock.
            if self.by_id.remove_if(&id, |_, rule_set| is_unused(rule_set)).is_some() {
                self.by_rules.remove_if(&rules, |_, of_rules| *of_rules == id);
            }
        }
        self.round.store(round + 1, Ordering::Relaxed);
        if (round + 1).is_multiple_of(ROUNDS) {
            let spare = SPARE_RULE_SETS.max(2 * self.by_id.len());
            self.spare.store(spare, Ordering::Relaxed);
        }
    }
}

fn following(id: RuleSetId) -> RuleSetId {
    if id as usize + 1 == MAX_RULE_SETS { 0 } else { id + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::Rule;
    use crate::period::Period;

    fn rules(limit_milli: u64) -> Rules {
        let rule = Rule::Quota {
            limit_milli,
            period: Period::Day,
        };
        let mut rules = Rules::default();
        rules[0] = Some(rule);
        rules
    }

    #[test]
    fn a_rule_set_goes_when_neither_a_tier_nor_a_key_has_it_and_its_number_is_not_given_at_once() {
        let rule_sets = RuleSets::default();
        let held = rule_sets.of(&rules(1)).unwrap();
        let [used, unused] = [2, 3].map(|limit| rule_sets.of(&rules(limit)).unwrap().id);
        for _ in 0..3 {
            rule_sets.mark_used(used);
            rule_sets.end_round();
        }
        let there = |id| rule_sets.get(id).is_some();
        assert_eq!([there(held.id), there(used), there(unused)], [true, true, false]);
        assert_ne!(rule_sets.of(&rules(3)).unwrap().id, unused);
        assert_eq!(rule_sets.of(&rules(2)).unwrap().id, used);
        drop(held);
        for _ in 0..3 {
            rule_sets.end_round();
        }
        assert_eq!((rule_sets.by_id.len(), rule_sets.by_rules.len()), (0, 0));
    }
}
