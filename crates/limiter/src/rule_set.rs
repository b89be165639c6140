//! Plans: which limits govern what a key has spent.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::MAX_LIMITS;
use crate::limit::{Limit, Rule};
use crate::tier::Tier;

/// Stands for the limits that govern a key's slots, as long as a tier or a key is under them; 20 bits.
pub(crate) type PlanId = u32;
pub(crate) const MAX_PLANS: usize = 1 << 20;

/// The rule of each slot; two plans of the same rules are the same.
pub(crate) type PlanRules = [Option<Rule>; MAX_LIMITS];

/// Which limit governs each slot of a key: those of its last tier, and older ones where that tier has none.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) id: PlanId,
    /// Counts the plans of a limiter, so that no two ever have the same.
    serial: u64,
    pub(crate) slots: [Option<PlanSlot>; MAX_LIMITS],
    /// The last round in which a tier or a key had it.
    pub(crate) seen: AtomicU64,
}

impl Plan {
    /// A rule that is out of range governs nothing.
    pub(crate) fn new(id: PlanId, serial: u64, rules: PlanRules) -> Self {
        let slot = |rule: Rule| {
            Some(PlanSlot {
                rule,
                limit: Limit::new(rule)?,
            })
        };
        Self {
            id,
            serial,
            slots: rules.map(|rule| rule.and_then(slot)),
            seen: AtomicU64::new(0),
        }
    }

    pub(crate) fn rules(&self) -> PlanRules {
        std::array::from_fn(|slot| self.slots[slot].as_ref().map(|slot| slot.rule))
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

/// A plan that somebody outside of the limiter holds, which keeps it.
#[derive(Debug, Clone)]
pub struct HeldPlan(pub(crate) Arc<Plan>);

impl HeldPlan {
    /// Stands for the plan as long as the limiter lives; never given to another.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.0.serial
    }
}

impl PartialEq for HeldPlan {
    fn eq(&self, other: &Self) -> bool {
        self.serial() == other.serial()
    }
}

impl Eq for HeldPlan {}
