//! What storage is told, and a limiter that begins with it.

use tollkeeper_limiter::{Change, KeyHash, Limiter, Rule, TierId};

use super::{Run, limiter};
use crate::input::TIERS;
use crate::tier_versions::TierVersions;

impl Run {
    /// After a call that may have made room for `newcomer`.
    pub(super) fn notice_evictions(&mut self, newcomers: &[KeyHash]) {
        if self.limiter.stats().evictions != self.evictions {
            self.evictions = self.limiter.stats().evictions;
            self.record_changes(newcomers);
        }
    }

    /// Takes the changes as storage does.
    pub(super) fn save(&mut self) {
        self.evictions = self.limiter.stats().evictions;
        self.record_changes(&[]);
    }

    /// Takes the changes, and gives them back: some of them were looked at before it failed.
    pub(super) fn fail_to_save(&self) {
        let drained = self.limiter.drain_changed();
        let _ = self.limiter.changes(&drained[..drained.len() / 2]);
        self.limiter.give_back_changed(&drained);
    }

    /// A key that was forgotten had to be idle, and a key that is stored has to be known.
    fn record_changes(&mut self, newcomers: &[KeyHash]) {
        let now_ms = self.now();
        for Change { key, state } in self.limiter.changes(&self.limiter.drain_changed()) {
            match state {
                Some(snapshot) => {
                    assert!(self.table.knows(key) || newcomers.contains(&key));
                    let limits = self.limiter.named_rules(&snapshot.rule_set);
                    self.stored.insert(key, (snapshot, limits));
                }
                None => {
                    self.stored.remove(&key);
                    // Of places nothing is stored.
                    let holds_places = self.table.key(key).is_some_and(|model| !model.is_stored);
                    if holds_places && self.limiter.keys().contains(&key) {
                        continue;
                    }
                    if let Some(model) = self.table.remove(key) {
                        assert!(model.may_be_idle(now_ms), "{key:?} was forgotten: {model:?}");
                        self.histories.note_forgotten(key, now_ms);
                    }
                }
            }
        }
    }

    /// Another limiter, from what is stored, says the same of every key. It takes over if it numbers the tiers as the
    /// model does.
    pub(super) fn restart(&mut self) {
        self.save();
        let mut kept = 0;
        for (key, _) in self.table.keys().filter(|(_, model)| model.is_stored) {
            assert!(self.stored.contains_key(&key), "{key:?} was never stored");
            kept += 1;
        }
        assert_eq!(self.stored.len(), kept);
        let other = self.restored();
        self.drop_limits();
        self.compare(&other);
        // Numbers of tiers begin anew, and with them the overflow buckets.
        let tiers = self.versions.in_force();
        if tiers.iter().zip(TIERS).all(|(tier, name)| tier.name == name) {
            self.versions = TierVersions::new(tiers.to_vec());
            self.limiter = other;
            self.table.clear_overflow();
            self.table.retain(|model| model.is_stored);
            for (_, model) in self.table.keys_mut() {
                model.forget_places();
            }
            self.evictions = 0;
            self.decisions = 0;
            self.charges.clear();
        }
    }

    fn restored(&self) -> Limiter {
        // The names of the limits of dropped tiers took the slots of this one, never the other way round.
        let other = limiter(self.versions.in_force().to_vec(), self.table.max_keys())
            .expect("the tiers in force are good for another limiter");
        for (key, (snapshot, limits)) in &self.stored {
            let rule_set = other.adopt(limits).expect("there are few rule sets");
            other
                .restore(*key, snapshot.at_ms, &rule_set, snapshot.used, snapshot.credits)
                .expect("they were as many before");
        }
        other
    }

    /// A slot of a limit that no tier has any more is lost by a restart.
    fn drop_limits(&mut self) {
        let tiers = self.versions.in_force();
        for (key, (_, limits)) in &mut self.stored {
            limits.retain(|limit| {
                let mut in_force = tiers.iter().flat_map(|tier| &tier.limits);
                let kept = in_force.any(|known| known.name == limit.name);
                if !kept && let Some(model) = self.table.key_mut(*key) {
                    model.drop_limit(&limit.name);
                }
                kept
            });
        }
    }

    fn compare(&self, other: &Limiter) {
        let now_ms = self.now();
        for tier in self.versions.in_force() {
            let number = |limiter: &Limiter| limiter.tier_id(&tier.name).expect("in force");
            let (id, other_id) = (number(&self.limiter), number(other));
            for (key, model) in self.table.keys().filter(|(_, model)| model.is_stored) {
                let says = |limiter: &Limiter, id: TierId| {
                    let outcome = limiter.peek(key, id, 0, now_ms).expect("it costs nothing");
                    let mut reports = outcome.report(&limiter.tier(id).expect("in force"));
                    // What ran runs no more.
                    reports.retain(|report| {
                        let mut limits = tier.limits.iter();
                        limits.all(|limit| limit.name != report.name || !matches!(limit.rule, Rule::Concurrency { .. }))
                    });
                    (outcome.now_ms, outcome.behind_ms, reports)
                };
                assert_eq!(
                    says(&self.limiter, id),
                    says(other, other_id),
                    "{key:?} under {}: {:?} {model:?}",
                    tier.name,
                    self.stored[&key]
                );
            }
        }
    }
}
