//! Tiers: which limits a key is under. Compiled when they are put in force; each decision is given one.

use std::ops::Deref;
use std::sync::Arc;

use crate::MAX_LIMITS;
use crate::cost::{Cost, Costs, Delta, SlotCost, SlotCosts};
use crate::error::Error;
use crate::limit::{Limit, LimitSpec, MOST_DENIED_MILLI, Rule, TierLimit};
use crate::rates::Rates;
use crate::rule_set::{RuleSet, RuleSetId};
use crate::verdict::Verdict;

/// Stands for a tier's name as long as the limiter lives; below 2¹⁵. Tiers with overrides have the numbers from there on,
/// each only once.
pub type TierId = u64;
pub(crate) const FIRST_OVERRIDDEN: TierId = 1 << 15;

/// A tier as configured: a named set of limits, none at all for unlimited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierSpec {
    /// Name of the tier.
    pub name: String,
    /// Its limits, in the order in which decisions report them.
    pub limits: Vec<LimitSpec>,
}

/// A tier, ready to decide.
#[derive(Debug)]
pub struct Tier {
    pub(crate) id: TierId,
    /// The tier under which its decisions are counted: itself, or the one that it overrides.
    pub(crate) counts_as: TierId,
    pub(crate) rule_set: RuleSetId,
    /// The same rule set, which is kept as long as the tier.
    pub(crate) held: Arc<RuleSet>,
    pub(crate) limits: Vec<TierLimit>,
    pub(crate) rates: Rates,
    /// Whether it is decided in the usual way: it has limits, and none is of concurrency.
    pub(crate) is_usual: bool,
    /// Of the limits that allow something.
    max_cost_milli: u64,
    /// Whether a denial may begin a block.
    pub(crate) blocks: bool,
    spec: TierSpec,
}

impl Tier {
    /// `counts_as` is the tier under which it is counted; `limits` are those of `spec`, in order.
    pub(crate) fn new(
        id: TierId,
        counts_as: TierId,
        held: Arc<RuleSet>,
        spec: TierSpec,
        limits: Vec<TierLimit>,
    ) -> Self {
        // What a limit of nothing denies is denied, and not refused as more than it can hold.
        let capacities = limits.iter().map(|limit| limit.limit.max_cost_milli());
        let most = capacities.filter(|&most| most > 0 && most < u64::MAX).min();
        let has_amounts = limits.iter().any(|limit| !matches!(limit.limit, Limit::Concurrency(_)));
        Self {
            id,
            counts_as,
            rule_set: held.id,
            held,
            rates: Rates::new(&limits),
            is_usual: !limits.is_empty() && !has_places(&limits),
            max_cost_milli: most.unwrap_or(if has_amounts { MOST_DENIED_MILLI } else { u64::MAX }),
            blocks: limits.iter().any(|limit| limit.limit.is_blocking()),
            limits,
            spec,
        }
    }

    /// The tier as configured.
    #[must_use]
    pub fn spec(&self) -> &TierSpec {
        &self.spec
    }

    /// Whether each of its limits is the one that governs its slot in a rule set.
    pub(crate) fn is_covered_by(&self, rule_set: &RuleSet) -> bool {
        let governs = |slot: usize, rule: Rule| {
            rule_set.slots[slot]
                .as_ref()
                .is_some_and(|present| present.rule == rule)
        };
        let mut limits = self.limits.iter().zip(&self.spec.limits);
        limits.all(|(limit, spec)| governs(limit.slot, spec.rule))
    }

    #[inline]
    pub(crate) fn check_cost(&self, cost_milli: u64) -> Result<(), Error> {
        if cost_milli > self.max_cost_milli {
            return Err(Error::CostExceedsCapacity {
                most_milli: self.max_cost_milli,
            });
        }
        Ok(())
    }

    /// Tells costs of the limits by slot, if they are of a version and can be held. `by_slot` is [nothing](SlotCosts::NOTHING)
    /// before: to copy what was just written waits until it is.
    #[inline]
    pub(crate) fn price(&self, costs: &Costs, version: usize, by_slot: &mut SlotCosts) -> Result<(), Error> {
        if costs.version != version {
            return Err(Error::TierUnknown);
        }
        let mut can_be_held = true;
        for ((slot, most_milli), cost_milli) in self.rates.in_order().zip(costs.milli) {
            by_slot.milli[slot] = cost_milli;
            by_slot.is_nothing &= cost_milli == 0;
            can_be_held &= cost_milli <= most_milli;
        }
        if can_be_held {
            Ok(())
        } else {
            Err(self.excess(&costs.milli))
        }
    }

    #[cold]
    fn excess(&self, costs: &[u64; MAX_LIMITS]) -> Error {
        let mut most = self.limits.iter().map(|limit| limit.limit.most_milli()).zip(costs);
        let exceeded = most.find(|(most_milli, cost)| *cost > most_milli);
        Error::CostExceedsCapacity {
            most_milli: exceeded.map_or(self.max_cost_milli, |(most_milli, _)| most_milli),
        }
    }

    /// What a call costs of each slot, as [`check_cost`](Self::check_cost) and [`price`](Self::price) have it.
    pub(crate) fn costs(&self, cost: &Cost, version: usize) -> Result<SlotCosts, Error> {
        let costs = match cost {
            Cost::Every(milli) => {
                self.check_cost(*milli)?;
                Costs {
                    version,
                    milli: [*milli; MAX_LIMITS],
                }
            }
            Cost::Each(costs) => *costs,
        };
        let mut by_slot = SlotCosts::NOTHING;
        self.price(&costs, version, &mut by_slot)?;
        Ok(by_slot)
    }

    /// What gives a cost back.
    pub(crate) fn given_back(&self, costs: &SlotCosts) -> Delta {
        let mut milli = [0; MAX_LIMITS];
        for (milli, TierLimit { slot, .. }) in milli.iter_mut().zip(&self.limits) {
            *milli = -costs.of_slot(*slot).cast_signed();
        }
        Delta::Each(milli)
    }

    /// The denying limit with the longest wait, if any denies.
    #[inline]
    pub(crate) fn verdict<const N: usize>(&self, spent: &[u64; N], cost: impl SlotCost, now_ms: u64) -> Verdict {
        // Waits take divisions, and most calls pass.
        if cost.fits(&self.rates, spent) {
            return Verdict::Allowed;
        }
        self.longest_wait(spent, cost, now_ms)
    }

    /// Begins the blocks that a denied call of this cost begins.
    #[cold]
    pub(crate) fn block(&self, spent: &mut [u64], cost: impl SlotCost) {
        for TierLimit { slot, limit } in &self.limits {
            spent[*slot] = limit.after_denial(spent[*slot], cost.of_slot(*slot));
        }
    }

    /// Whether a denied call of this cost would begin a block. Amounts are in the tier's order.
    pub(crate) fn would_block(&self, spent: &[u64], cost_milli: u64) -> bool {
        let begins = |(limit, &spent): (&TierLimit, &u64)| limit.limit.after_denial(spent, cost_milli) != spent;
        self.blocks && self.limits.iter().zip(spent).any(begins)
    }

    /// The same without the short way, by how limits of concurrency stand.
    #[cold]
    pub(crate) fn longest_wait(&self, spent: &[u64], cost: impl SlotCost, now_ms: u64) -> Verdict {
        let mut verdict = Verdict::Allowed;
        let mut longest = 0;
        for (limit, TierLimit { slot, limit: rule }) in (0..).zip(&self.limits) {
            let cost_milli = cost.of_slot(*slot);
            let wait = rule.wait_ms(spent[*slot], cost_milli, now_ms);
            if cost_milli > 0 && wait > longest {
                longest = wait;
                verdict = Verdict::Denied { limit };
            }
        }
        verdict
    }
}

fn has_places(limits: &[TierLimit]) -> bool {
    limits.iter().any(|limit| matches!(limit.limit, Limit::Concurrency(_)))
}

/// A tier, for as long as a call needs it.
#[derive(Debug)]
pub enum TierRef<'a> {
    /// One that is kept as long as the limiter.
    Configured(&'a Tier),
    /// One with overrides, which the limiter may forget meanwhile.
    Overridden(Arc<Tier>),
}

impl Deref for TierRef<'_> {
    type Target = Tier;

    #[inline]
    fn deref(&self) -> &Tier {
        match self {
            Self::Configured(tier) => tier,
            Self::Overridden(tier) => tier,
        }
    }
}
