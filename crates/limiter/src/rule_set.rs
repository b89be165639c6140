//! Which limits govern what a key has spent: named by each key's state, and looked up when its tier or a period
//! changes.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::MAX_LIMITS;
use crate::limit::{Limit, Rule};

/// Stands for the limits that govern a key's slots, as long as a tier or a key is under them; 20 bits.
pub(crate) type RuleSetId = u32;
pub(crate) const MAX_RULE_SETS: usize = 1 << 20;

/// The rule of each slot; two rule sets of the same rules are the same.
pub(crate) type Rules = [Option<Rule>; MAX_LIMITS];

/// Which limit governs each slot of a key: those of its last tier, and older ones where that tier has none.
#[derive(Debug)]
pub(crate) struct RuleSet {
    pub(crate) id: RuleSetId,
    /// Counts the rule sets of a limiter, so that no two ever have the same.
    serial: u64,
    pub(crate) slots: [Option<SlotLimit>; MAX_LIMITS],
    /// The last round in which a tier or a key had it.
    pub(crate) seen: AtomicU64,
}

impl RuleSet {
    /// A rule that is out of range governs nothing.
    pub(crate) fn new(id: RuleSetId, serial: u64, rules: &Rules) -> Self {
        let slot = |&rule: &Rule| {
            Some(SlotLimit {
                rule,
                limit: Limit::new(rule)?,
            })
        };
        Self {
            id,
            serial,
            slots: std::array::from_fn(|number| rules[number].as_ref().and_then(slot)),
            seen: AtomicU64::new(0),
        }
    }

    /// Whether nothing is counted of a key under it, which holds places at most.
    pub(crate) fn counts_nothing(&self) -> bool {
        self.slots.iter().flatten().all(|slot| !slot.rule.is_kept())
    }

    pub(crate) fn rules(&self) -> Rules {
        std::array::from_fn(|slot| self.slots[slot].as_ref().map(|slot| slot.rule))
    }
}

#[derive(Debug)]
pub(crate) struct SlotLimit {
    pub(crate) rule: Rule,
    pub(crate) limit: Limit,
}

/// A rule set that somebody outside of the limiter holds, which keeps it.
#[derive(Debug, Clone)]
pub struct HeldRuleSet(pub(crate) Arc<RuleSet>);

impl HeldRuleSet {
    /// Stands for the rule set as long as the limiter lives; never given to another.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.0.serial
    }
}

impl PartialEq for HeldRuleSet {
    fn eq(&self, other: &Self) -> bool {
        self.serial() == other.serial()
    }
}

impl Eq for HeldRuleSet {}
