//! What is to be given back to the store. Filled by whoever takes grants out of leases, emptied by the crossing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::grants::Grant;
use crate::key_text::KeyText;
use crate::origin::Origin;
use crate::rule_set::{HeldRuleSet, RuleSet, RuleSetId};
use crate::tier_versions::TierVersions;

/// Tokens that are to be given back to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// The key, in UTF-16 units.
    pub key: Box<[u16]>,
    /// Thousandths.
    pub milli: u64,
    /// When they were taken, by the store's time.
    pub taken_ms: u64,
    /// The rules under which they were taken; see [`Leases::named_rules`](crate::Leases::named_rules).
    pub rules: HeldRuleSet,
}

/// The same with the key as its lease kept it.
#[derive(Debug)]
struct Return {
    key: KeyText,
    milli: u64,
    taken_ms: u64,
    rules: Arc<RuleSet>,
}

/// Takes note of grants as they leave their leases, under a shard's lock.
#[derive(Debug)]
pub(crate) struct Expelled<'a> {
    tiers: &'a TierVersions,
    /// The last that was looked up, since many keys are under the same.
    rules: Option<Arc<RuleSet>>,
    returns: Vec<Return>,
}

impl<'a> Expelled<'a> {
    pub(crate) fn new(tiers: &'a TierVersions) -> Self {
        Self {
            tiers,
            rules: None,
            returns: Vec::new(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.returns.is_empty()
    }

    pub(crate) fn add_grant(&mut self, key: &KeyText, rules: RuleSetId, grant: Grant, origin: Origin) {
        self.add(key, rules, grant.milli.into(), origin.store_at(grant.taken));
    }

    pub(crate) fn add(&mut self, key: &KeyText, id: RuleSetId, milli: u64, taken_ms: u64) {
        if milli == 0 {
            return;
        }
        if let Some(rules) = self.rules(id).map(Arc::clone) {
            self.returns.push(Return {
                key: key.clone(),
                milli,
                taken_ms,
                rules,
            });
        }
    }

    /// The rules of a lease.
    pub(crate) fn rules(&mut self, id: RuleSetId) -> Option<&Arc<RuleSet>> {
        if self.rules.as_ref().is_none_or(|rules| rules.id != id) {
            self.rules = self.tiers.rule_set(id);
        }
        self.rules.as_ref()
    }
}

/// What is to be given back, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct Returns(Mutex<VecDeque<Return>>);

impl Returns {
    /// Adds what was taken out; under no lock.
    pub(crate) fn add(&self, expelled: Expelled<'_>) {
        if !expelled.is_empty() {
            self.lock().extend(expelled.returns);
        }
    }

    pub(crate) fn take(&self, max: usize) -> Vec<Returned> {
        let taken: Vec<Return> = {
            let mut queue = self.lock();
            let count = max.min(queue.len());
            let taken = queue.drain(..count).collect();
            if queue.is_empty() {
                *queue = VecDeque::new();
            }
            taken
        };
        taken
            .into_iter()
            .map(|returned| Returned {
                key: returned.key.units(),
                milli: returned.milli,
                taken_ms: returned.taken_ms,
                rules: HeldRuleSet(returned.rules),
            })
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Return>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
