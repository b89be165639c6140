//! What keys share that found no room in the table: one state for each tier.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;

use crate::rule_set::RuleSetId;
use crate::state::State;
use crate::tier::Tier;
use crate::tier_versions::TierVersions;

/// So many overflow buckets are kept, as a rule more than there are tiers.
const SPARE_OVERFLOW: usize = 1 << 8;

/// One state for all keys of a tier that found no room.
pub(crate) type Shared<const N: usize> = Arc<Mutex<State<N>>>;

/// The overflow buckets.
#[derive(Debug)]
pub(crate) struct Overflow<const N: usize> {
    /// By the tier's name.
    buckets: DashMap<String, Shared<N>>,
    /// So many of these are kept without a look whether they are used.
    spare: AtomicUsize,
}

impl<const N: usize> Default for Overflow<N> {
    fn default() -> Self {
        Self {
            buckets: DashMap::new(),
            spare: AtomicUsize::new(SPARE_OVERFLOW),
        }
    }
}

impl<const N: usize> Overflow<N> {
    /// That of a tier, if there is one.
    pub(crate) fn get(&self, tier: &str) -> Option<Shared<N>> {
        self.buckets.get(tier).map(|shared| Arc::clone(&shared))
    }

    /// The rule sets that they are under.
    pub(crate) fn rule_sets(&self) -> Vec<RuleSetId> {
        let buckets = self.buckets.iter();
        buckets.map(|entry| lock(entry.value()).rule_set()).collect()
    }

    /// What the keys of a tier share that found no room; begins as `new`.
    pub(crate) fn shared(&self, tiers: &TierVersions, tier: &Tier, new: State<N>, now_ms: u64) -> Shared<N> {
        let name = &tier.spec().name;
        if let Some(shared) = self.buckets.get(name).map(|shared| Arc::clone(&shared)) {
            return shared;
        }
        self.forget_idle(tiers, now_ms);
        let shared = self
            .buckets
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Mutex::new(new)));
        Arc::clone(&shared)
    }

    /// Forgets the overflow buckets that are full, if there are many.
    fn forget_idle(&self, tiers: &TierVersions, now_ms: u64) {
        if self.buckets.len() < self.spare.load(Ordering::Relaxed) {
            return;
        }
        let all: Vec<_> = self
            .buckets
            .iter()
            .map(|entry| (entry.key().clone(), *lock(entry.value())))
            .collect();
        for (name, state) in all.iter().filter(|(_, state)| state.is_idle(tiers, now_ms, None)) {
            self.buckets.remove_if(name, |_, shared| {
                Arc::strong_count(shared) == 1 && *lock(shared) == *state
            });
        }
        let spare = SPARE_OVERFLOW.max(2 * self.buckets.len());
        self.spare.store(spare, Ordering::Relaxed);
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
