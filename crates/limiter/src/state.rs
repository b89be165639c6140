//! What one key has spent.

use std::sync::Arc;

use crate::book::TierBook;
use crate::limit::Limit;
use crate::limiter::Correction;
use crate::plan::{Plan, PlanId};
use crate::tier::{Tier, TierLimit};

const PLAN_BITS: u32 = 20;
const DIRTY: u64 = 1;

/// What one key has spent of each of `N` slots, as of one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct State<const N: usize> {
    /// From the top: the instant (43 bits), the plan (20 bits), whether it has changed since it was last stored (1 bit).
    meta: u64,
    /// In the units of the limits that the plan names.
    pub(crate) spent: [u64; N],
}

impl<const N: usize> State<N> {
    /// What stands where there is no key.
    pub(crate) const VACANT: Self = Self { meta: 0, spent: [0; N] };

    /// A key at its first call.
    pub(crate) fn new(tier: &Tier, now_ms: u64) -> Self {
        let mut state = Self { meta: 0, spent: [0; N] };
        state.place(now_ms, tier.plan);
        for TierLimit { slot, limit } in &tier.limits {
            state.spent[*slot] = limit.initial();
        }
        state
    }

    /// A key as it was stored.
    pub(crate) fn stored(at_ms: u64, plan: PlanId, spent: [u64; N]) -> Self {
        let mut state = Self { meta: 0, spent };
        state.place(at_ms, plan);
        state
    }

    /// The instant up to which buckets are refilled and quotas rolled.
    #[inline]
    pub(crate) fn at_ms(&self) -> u64 {
        self.meta >> (PLAN_BITS + 1)
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the bits above are those of the instant")]
    pub(crate) fn plan(&self) -> PlanId {
        (self.meta >> 1) as u32 & ((1 << PLAN_BITS) - 1)
    }

    #[inline]
    fn place(&mut self, at_ms: u64, plan: PlanId) {
        self.meta = (at_ms << (PLAN_BITS + 1)) | (u64::from(plan) << 1) | (self.meta & DIRTY);
    }

    /// Notes a change; says whether it is the first since the key was last stored.
    #[inline]
    pub(crate) fn soil(&mut self) -> bool {
        let clean = self.meta & DIRTY == 0;
        self.meta |= DIRTY;
        clean
    }

    /// Notes that the key is being stored.
    pub(crate) fn clean(&mut self) {
        self.meta &= !DIRTY;
    }

    /// Brings the key to `now_ms` and under a tier.
    #[inline]
    pub(crate) fn enter(&mut self, tier: &Tier, book: &TierBook, now_ms: u64) {
        let at_ms = self.at_ms();
        let now_ms = now_ms.max(at_ms);
        // Also where no time has passed: a branch that goes either way costs more than the arithmetic.
        if self.plan() == tier.plan && tier.rates.same_period(at_ms, now_ms) {
            tier.rates.refill(&mut self.spent, now_ms - at_ms);
            self.place(now_ms, tier.plan);
        } else {
            self.enter_anew(tier, book, now_ms);
        }
    }

    /// The same for a key that comes from another tier or, maybe, from an earlier period.
    #[cold]
    fn enter_anew(&mut self, tier: &Tier, book: &TierBook, now_ms: u64) {
        if self.plan() == tier.plan {
            self.advance(book, now_ms);
            tier.rates.learn(&tier.limits, now_ms);
        } else {
            self.convert(tier, book, now_ms);
        }
    }

    /// A bucket keeps the fraction that is spent, a quota the amount. A slot that the tier lacks stays under its old
    /// limit, and comes back with a tier that has it.
    fn convert(&mut self, tier: &Tier, book: &TierBook, now_ms: u64) {
        let before_ms = self.at_ms();
        let before = self.spent;
        let now_ms = now_ms.max(before_ms);
        self.advance(book, now_ms);
        // A key that was in tiers with more limits is under those as well, for good.
        let Some(plan) = book.plan(self.plan()).filter(|plan| !plan.covers(tier)) else {
            return;
        };
        let merged = book.merge(&plan, tier);
        for TierLimit { slot, limit } in &tier.limits {
            self.spent[*slot] = match plan.slots[*slot].as_ref().map(|from| &from.limit) {
                None => limit.initial(),
                Some(from) => limit.converted(before[*slot], self.spent[*slot], from, before_ms, now_ms),
            };
        }
        self.place(now_ms, merged.id);
    }

    /// Brings the key to `now_ms` under the limits that govern it.
    pub(crate) fn advance(&mut self, book: &TierBook, now_ms: u64) {
        let at_ms = self.at_ms();
        let Some(plan) = book.plan(self.plan()).filter(|_| now_ms > at_ms) else {
            return;
        };
        for (spent, slot) in self.spent.iter_mut().zip(&plan.slots) {
            if let Some(slot) = slot {
                *spent = slot.limit.settled(*spent, at_ms, now_ms);
            }
        }
        self.place(now_ms, self.plan());
    }

    /// Corrects what a call under `charged` spent, by the limits that counted it. The key is at the present, maybe under
    /// another tier.
    pub(crate) fn correct(&mut self, charged: &Tier, book: &TierBook, correction: Correction) {
        let now_ms = self.at_ms();
        let Some(plan) = book.plan(self.plan()) else { return };
        for TierLimit { slot, limit } in &charged.limits {
            let Some(present) = &plan.slots[*slot] else { continue };
            let applies = match (&present.limit, limit) {
                (Limit::Quota(present), Limit::Quota(charged)) => {
                    present.bounds(now_ms).start_ms == charged.bounds(correction.charged_at_ms).start_ms
                }
                _ => !correction.quotas_only,
            };
            if applies {
                self.spent[*slot] = present.limit.charged(self.spent[*slot], correction.delta_milli, limit);
            }
        }
    }

    /// Whether every bucket is full and no quota is used at `now_ms`.
    pub(crate) fn is_idle(&self, book: &TierBook, now_ms: u64) -> bool {
        book.plan(self.plan()).is_none_or(|plan| {
            plan.slots.iter().zip(&self.spent).all(|(slot, spent)| {
                slot.as_ref()
                    .is_none_or(|slot| slot.limit.settled(*spent, self.at_ms(), now_ms) == 0)
            })
        })
    }

    /// Whether forgetting the key would change no later decision under its limits: idle, and new keys begin with full
    /// buckets too. Under another tier, whose bucket holds more than it begins with, it would begin with less.
    pub(crate) fn is_as_new(&self, book: &TierBook, now_ms: u64) -> bool {
        let begins_full = |plan: Arc<Plan>| plan.slots.iter().flatten().all(|slot| slot.limit.initial() == 0);
        book.plan(self.plan()).is_none_or(begins_full) && self.is_idle(book, now_ms)
    }
}
