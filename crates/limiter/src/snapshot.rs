//! What storage keeps of a key: handed out by each save, taken up by each load.

use crate::MAX_LIMITS;
use crate::credit::Credit;
use crate::key::KeyHash;
use crate::limit::Rule;
use crate::rule_set::HeldRuleSet;

/// What has become of a key since it was last stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The key.
    pub key: KeyHash,
    /// Its state now; None if it was forgotten, or nothing of it is stored.
    pub state: Option<KeySnapshot>,
}

/// The state of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySnapshot {
    /// The instant up to which buckets are refilled and quotas rolled, in milliseconds since the epoch.
    pub at_ms: u64,
    /// Stands for the limits in whose units `used` counts, in this limiter; see
    /// [`Limiter::named_rules`](crate::Limiter::named_rules).
    pub rule_set: HeldRuleSet,
    /// What is spent of a bucket and used of a quota, by slot; 0 in the slots that the rule set leaves out.
    pub used: [u64; MAX_LIMITS],
    /// What was granted, by slot.
    pub credits: [Credit; MAX_LIMITS],
}

/// One limit of a rule set, in terms that outlive the limiter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedRule {
    /// Index into [`KeySnapshot::used`].
    pub slot: usize,
    /// Name of the limit.
    pub name: String,
    /// The rule in whose units the slot counts.
    pub rule: Rule,
}

/// A rule set of an earlier limiter, in terms of this one; made by [`Limiter::adopt`](crate::Limiter::adopt).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdoptedRuleSet {
    pub(crate) rule_set: HeldRuleSet,
    /// By slot: where the stored state of this slot is.
    pub(crate) stored_slots: [Option<usize>; MAX_LIMITS],
}
