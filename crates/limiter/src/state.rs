//! What one key has spent. Each call brings it to its tier and instant, then spends of it or corrects it, under the
//! lock of its shard.

use std::sync::Arc;

use crate::correction::Correction;
use crate::credit::{Credit, Credits};
use crate::limit::{Limit, TierLimit};
use crate::rule_set::{RuleSet, RuleSetId, SlotLimit};
use crate::stamp::Stamp;
use crate::tier::Tier;
use crate::tier_versions::TierVersions;

/// What one key has spent of each of `N` slots, as of one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State<const N: usize> {
    /// Marked if it has changed since it was last stored.
    stamp: Stamp,
    /// In the units of the limits that the rule set names. Below 0, as two's complement, for a quota of which less is used
    /// than was granted.
    pub(crate) spent: [u64; N],
}

impl<const N: usize> State<N> {
    /// What stands where there is no key.
    pub(crate) const VACANT: Self = Self {
        stamp: Stamp::NONE,
        spent: [0; N],
    };

    /// A key at its first call.
    pub(crate) fn new(tier: &Tier, now_ms: u64) -> Self {
        let mut state = Self::stored(now_ms, tier.rule_set, [0; N]);
        for TierLimit { slot, limit } in &tier.limits {
            state.spent[*slot] = limit.initial();
        }
        state
    }

    /// A key as it was stored.
    pub(crate) fn stored(at_ms: u64, rule_set: RuleSetId, spent: [u64; N]) -> Self {
        let stamp = Stamp::new(at_ms, rule_set);
        Self { stamp, spent }
    }

    /// The instant up to which buckets are refilled and quotas rolled.
    #[inline]
    pub(crate) fn at_ms(&self) -> u64 {
        self.stamp.at_ms()
    }

    #[inline]
    pub(crate) fn rule_set(&self) -> RuleSetId {
        self.stamp.rule_set()
    }

    /// Notes a change; says whether it is the first since the key was last stored.
    #[inline]
    pub(crate) fn mark_dirty(&mut self) -> bool {
        let clean = !self.stamp.is_marked();
        self.stamp.mark();
        clean
    }

    /// Notes that the key is being stored.
    pub(crate) fn mark_clean(&mut self) {
        self.stamp.clear_mark();
    }

    /// Brings the key to `now_ms` and under a tier. What it was granted is looked up where a period may have ended.
    #[inline]
    pub(crate) fn bring_to<'c>(
        &mut self,
        tier: &Tier,
        tiers: &TierVersions,
        now_ms: u64,
        credits: impl FnOnce() -> Option<&'c mut Credits<N>>,
    ) {
        let at_ms = self.at_ms();
        let now_ms = now_ms.max(at_ms);
        // Also where no time has passed: a branch that goes either way costs more than the arithmetic.
        if self.rule_set() == tier.rule_set && tier.rates.same_period(at_ms, now_ms) {
            tier.rates.refill(&mut self.spent, now_ms - at_ms);
            self.stamp.set(now_ms, tier.rule_set);
        } else {
            self.bring_anew(tier, tiers, now_ms, credits());
        }
    }

    /// The same for a key that comes from another tier or, maybe, from an earlier period.
    #[cold]
    fn bring_anew(&mut self, tier: &Tier, tiers: &TierVersions, now_ms: u64, credits: Option<&mut Credits<N>>) {
        if self.rule_set() == tier.rule_set {
            self.advance(tiers, now_ms, credits);
            tier.rates.learn(&tier.limits, now_ms);
        } else {
            self.convert(tier, tiers, now_ms, credits);
        }
    }

    /// A bucket keeps the fraction that is spent, a quota the amount. A slot that the tier lacks stays under its old
    /// limit, and comes back with a tier that has it.
    fn convert(&mut self, tier: &Tier, tiers: &TierVersions, now_ms: u64, mut credits: Option<&mut Credits<N>>) {
        let before_ms = self.at_ms();
        let before = self.spent;
        let credits_before = credits.as_deref().copied();
        let now_ms = now_ms.max(before_ms);
        self.advance(tiers, now_ms, credits.as_deref_mut());
        // A key that was in tiers with more limits is under those as well, for good.
        let Some(rule_set) = tiers
            .rule_set(self.rule_set())
            .filter(|rule_set| !tier.is_covered_by(rule_set))
        else {
            return;
        };
        let merged = tiers.merge(&rule_set, tier);
        for TierLimit { slot, limit } in &tier.limits {
            self.spent[*slot] = match rule_set.slots[*slot].as_ref().map(|from| &from.limit) {
                None => limit.initial(),
                Some(from) => limit.converted(before[*slot], self.spent[*slot], from, before_ms, now_ms),
            };
            let from = rule_set.slots[*slot].as_ref().map(|from| &from.limit);
            if let (Some(credits), Some(credits_before)) = (credits.as_deref_mut(), credits_before)
                && let (Limit::Quota(quota), Some(Limit::Quota(from))) = (limit, from)
            {
                // As what is spent: by the period that this one goes on with, or that is over.
                let credit = credits_before[*slot];
                let goes_on = quota.goes_on(from, before_ms, now_ms);
                credits[*slot] = if goes_on {
                    credit
                } else {
                    credit.carried(from, before[*slot])
                };
                if !goes_on {
                    self.spent[*slot] = credits[*slot].spent(0);
                }
            }
        }
        self.stamp.set(now_ms, merged.id);
    }

    /// Brings the key to `now_ms` under the limits that govern it.
    pub(crate) fn advance(&mut self, tiers: &TierVersions, now_ms: u64, mut credits: Option<&mut Credits<N>>) {
        let at_ms = self.at_ms();
        let Some(rule_set) = tiers.rule_set(self.rule_set()).filter(|_| now_ms > at_ms) else {
            return;
        };
        for (index, (spent, slot)) in self.spent.iter_mut().zip(&rule_set.slots).enumerate() {
            if let Some(slot) = slot {
                let credit = credits.as_deref_mut().map(|credits| &mut credits[index]);
                *spent = slot.limit.carried(*spent, credit, at_ms, now_ms);
            }
        }
        self.stamp.set(now_ms, self.rule_set());
    }

    /// Corrects what a call under `charged` spent, by the limits that counted it. The key is at the present, maybe under
    /// another tier.
    pub(crate) fn correct(
        &mut self,
        charged: &Tier,
        tiers: &TierVersions,
        correction: Correction,
        credits: Option<&Credits<N>>,
    ) {
        let now_ms = self.at_ms();
        let Some(rule_set) = tiers.rule_set(self.rule_set()) else {
            return;
        };
        for (index, TierLimit { slot, limit }) in charged.limits.iter().enumerate() {
            let Some(present) = &rule_set.slots[*slot] else {
                continue;
            };
            let applies = match (&present.limit, limit) {
                (Limit::Quota(present), Limit::Quota(charged)) => {
                    present.bounds(now_ms).start_ms == charged.bounds(correction.charged_at_ms).start_ms
                }
                _ => !correction.quotas_only,
            };
            if applies {
                let credit = credits.map_or(Credit::NONE, |credits| credits[*slot]);
                self.spent[*slot] = present
                    .limit
                    .charged(self.spent[*slot], correction.delta.of(index), limit, credit);
            }
        }
    }

    /// Grants thousandths of a token of a quota of the tier that the key is under, which may outlast its period; false if
    /// that is more than can be.
    pub(crate) fn grant(&mut self, slot: usize, milli: u64, keeps: bool, credits: &mut Credits<N>) -> bool {
        let Some(credit) = credits[slot].with(milli, keeps) else {
            return false;
        };
        credits[slot] = credit;
        self.spent[slot] = self.spent[slot].wrapping_sub(milli);
        true
    }

    /// Whether nothing of it was ever counted: it was under limits of concurrency alone.
    pub(crate) fn counts_nothing(&self, tiers: &TierVersions) -> bool {
        let rule_set = tiers.rule_set(self.rule_set());
        rule_set.is_none_or(|rule_set| rule_set.counts_nothing())
    }

    /// Whether every bucket is full and no quota is used at `now_ms`, nor anything left of what was granted.
    pub(crate) fn is_idle(&self, tiers: &TierVersions, now_ms: u64, credits: Option<&Credits<N>>) -> bool {
        let is_idle = |(index, (slot, &spent)): (usize, (&Option<SlotLimit>, &u64))| {
            slot.as_ref().is_none_or(|slot| {
                let mut credit = credits.map(|credits| credits[index]);
                let left = slot.limit.carried(spent, credit.as_mut(), self.at_ms(), now_ms);
                left == 0 && credit.is_none_or(Credit::is_none)
            })
        };
        tiers
            .rule_set(self.rule_set())
            .is_none_or(|rule_set| rule_set.slots.iter().zip(&self.spent).enumerate().all(is_idle))
    }

    /// Whether forgetting the key would change no later decision under its limits: idle, and new keys begin with full
    /// buckets too. Under another tier, whose bucket holds more than it begins with, it would begin with less.
    pub(crate) fn is_as_new(&self, tiers: &TierVersions, now_ms: u64, credits: Option<&Credits<N>>) -> bool {
        let begins_full =
            |rule_set: Arc<RuleSet>| rule_set.slots.iter().flatten().all(|slot| slot.limit.initial() == 0);
        tiers.rule_set(self.rule_set()).is_none_or(begins_full) && self.is_idle(tiers, now_ms, credits)
    }
}
