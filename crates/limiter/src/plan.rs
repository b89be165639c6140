//! Plans: which limits govern what a key has spent.

use crate::MAX_LIMITS;
use crate::limit::{Limit, Rule};
use crate::tier::Tier;

/// Stands for the limits that govern a key's slots, as long as the limiter lives; 20 bits.
pub type PlanId = u32;
pub(crate) const MAX_PLANS: usize = 1 << 20;

/// The rule of each slot; two plans of the same rules are the same.
pub(crate) type PlanRules = [Option<Rule>; MAX_LIMITS];

/// Which limit governs each slot of a key: those of its last tier, and older ones where that tier has none.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) slots: [Option<PlanSlot>; MAX_LIMITS],
}

impl Plan {
    /// A rule that is out of range governs nothing.
    pub(crate) fn new(rules: PlanRules) -> Self {
        let slot = |rule: Rule| {
            Some(PlanSlot {
                rule,
                limit: Limit::new(rule)?,
            })
        };
        Self {
            slots: rules.map(|rule| rule.and_then(slot)),
        }
    }

    /// Whether every limit of a tier is the one that governs its slot.
    pub(crate) fn covers(&self, tier: &Tier) -> bool {
        let governs = |slot: usize, rule: Rule| self.slots[slot].as_ref().is_some_and(|present| present.rule == rule);
        tier.limits
            .iter()
            .zip(&tier.spec().limits)
            .all(|(limit, spec)| governs(limit.slot, spec.rule))
    }
}

#[derive(Debug)]
pub(crate) struct PlanSlot {
    pub(crate) rule: Rule,
    pub(crate) limit: Limit,
}
