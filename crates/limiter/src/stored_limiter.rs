//! What the limiter tells storage, and takes up from it.

use crate::MAX_LIMITS;
use crate::credit::Credit;
use crate::error::Error;
use crate::key::KeyHash;
use crate::limiter::{Limiter, keyspace};
use crate::rule_set::HeldRuleSet;
use crate::snapshot::{AdoptedRuleSet, Change, NamedRule};

impl Limiter {
    /// Every key that has changed since the last call, in order. What is not stored after all goes to
    /// [`give_back_changed`](Self::give_back_changed).
    #[must_use]
    pub fn drain_changed(&self) -> Vec<KeyHash> {
        keyspace!(self, space => space.drain_changed())
    }

    /// Every key that is held, in order, for [`changes`](Self::changes) to tell all that is to be stored.
    #[must_use]
    pub fn keys(&self) -> Vec<KeyHash> {
        keyspace!(self, space => space.keys())
    }

    /// What has become of keys that were drained. It is to be stored, or the keys given back: what changes from now on is a
    /// change again.
    #[must_use]
    pub fn changes(&self, keys: &[KeyHash]) -> Vec<Change> {
        keyspace!(self, space => space.changes(&self.core.tiers, keys))
    }

    /// Notes keys again whose changes could not be stored.
    pub fn give_back_changed(&self, keys: &[KeyHash]) {
        keyspace!(self, space => space.give_back_changed(keys));
    }

    /// The limits that a rule set stands for.
    #[must_use]
    pub fn named_rules(&self, rule_set: &HeldRuleSet) -> Vec<NamedRule> {
        self.core.tiers.named_rules(rule_set)
    }

    /// Makes a stored rule set known.
    ///
    /// # Errors
    /// [`Error::TooManyRuleSets`] if too many different ones are stored.
    pub fn adopt(&self, limits: &[NamedRule]) -> Result<AdoptedRuleSet, Error> {
        self.core.tiers.adopt(limits)
    }

    /// Takes up the state of a stored key, which is then not a change: what was used and granted, by the slots of the rule
    /// set as it was stored.
    ///
    /// # Errors
    /// [`Error::TooManyKeys`]
    pub fn restore(
        &self,
        key: KeyHash,
        at_ms: u64,
        rule_set: &AdoptedRuleSet,
        used: [u64; MAX_LIMITS],
        credits: [Credit; MAX_LIMITS],
    ) -> Result<(), Error> {
        keyspace!(self, space => space.restore(key, at_ms, rule_set, used, credits))
    }
}
