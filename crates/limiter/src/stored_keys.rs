//! What the keyspace tells storage of its keys, and takes up from it.

use crate::MAX_LIMITS;
use crate::credit::{Credit, KeyCredits};
use crate::error::Error;
use crate::journal::Journal;
use crate::key::KeyHash;
use crate::keyspace::Keyspace;
use crate::limit::Limit;
use crate::rule_set::HeldRuleSet;
use crate::snapshot::{AdoptedRuleSet, Change, KeySnapshot};
use crate::state::State;
use crate::table::Full;
use crate::tier_versions::TierVersions;

impl<const N: usize> Keyspace<N> {
    pub(crate) fn drain_changed(&self) -> Vec<KeyHash> {
        let mut keys = self.journal.as_ref().map(Journal::drain).unwrap_or_default();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    pub(crate) fn keys(&self) -> Vec<KeyHash> {
        let mut keys = self.table.keys();
        keys.sort_unstable();
        keys
    }

    pub(crate) fn changes(&self, tiers: &TierVersions, keys: &[KeyHash]) -> Vec<Change> {
        keys.iter()
            .map(|&key| {
                let state = self.table.update(key, |state, credits| {
                    state.mark_clean();
                    let rule_set = tiers.rule_set(state.rule_set())?;
                    if rule_set.counts_nothing() {
                        return None;
                    }
                    let mut used = [0; MAX_LIMITS];
                    for ((used, spent), slot) in used.iter_mut().zip(state.spent).zip(&rule_set.slots) {
                        if slot.as_ref().is_none_or(|slot| slot.rule.is_kept()) {
                            *used = spent;
                        }
                    }
                    let mut all = [Credit::NONE; MAX_LIMITS];
                    if let Some(credits) = credits.find() {
                        all[..N].copy_from_slice(credits);
                        for (used, credit) in used.iter_mut().zip(&all) {
                            *used = credit.used(*used);
                        }
                    }
                    Some(KeySnapshot {
                        at_ms: state.at_ms(),
                        rule_set: HeldRuleSet(rule_set),
                        used,
                        credits: all,
                    })
                });
                let state = state.flatten();
                Change { key, state }
            })
            .collect()
    }

    pub(crate) fn give_back_changed(&self, keys: &[KeyHash]) {
        for key in keys {
            self.table.update(*key, |state, _| state.mark_dirty());
        }
        self.mark_forgotten(keys);
    }

    pub(crate) fn restore(
        &self,
        key: KeyHash,
        at_ms: u64,
        rule_set: &AdoptedRuleSet,
        used: [u64; MAX_LIMITS],
        credits: [Credit; MAX_LIMITS],
    ) -> Result<(), Error> {
        let mut slots = [0; N];
        let mut own = [Credit::NONE; N];
        let stored = rule_set.stored_slots.iter().zip(&rule_set.rule_set.0.slots);
        for ((slot, credit), (stored, present)) in slots.iter_mut().zip(&mut own).zip(stored) {
            let Some(stored) = *stored else { continue };
            // Of a bucket nobody can be granted anything, whatever a file says.
            if present
                .as_ref()
                .is_some_and(|present| matches!(present.limit, Limit::Quota(_)))
            {
                *credit = credits[stored];
            }
            *slot = credit.spent(used[stored]);
        }
        let state = State::stored(at_ms, rule_set.rule_set.0.id, slots);
        let give = |_: &mut State<N>, mut credits: KeyCredits<'_, N>, _| {
            if own.iter().any(|credit| !credit.is_none()) {
                *credits.obtain() = own;
            }
        };
        self.table
            .insert(key, state, u64::MAX, |_, _| false, &mut Vec::new(), give)
            .map_err(|Full| Error::TooManyKeys {
                max_keys: self.table.max_keys(),
            })
    }
}
