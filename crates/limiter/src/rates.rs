//! The limits of a tier as plain numbers, for the usual decision: made with the tier, used by every call on a known
//! key.

use crate::limit::{Limit, TierLimit};
use crate::period::Bounds;
use crate::span::Span;
use crate::{MAX_LIMITS, NEVER_MS};

/// A tier's limits by slot, as what refills, what a cost takes and what there is room for.
///
/// As long as no quota's period ends, a quota is a bucket that nothing refills; and a slot that the tier lacks is one
/// that costs nothing. So one decision is the same few instructions for each slot, without a branch. A block is none of
/// these: for a tier that has a bucket with one, no instants are ever known to lie in one period.
#[derive(Debug)]
pub(crate) struct Rates {
    slots: [Rate; MAX_LIMITS],
    /// Slots of the tier's limits, in the tier's order.
    order: [u8; MAX_LIMITS],
    limits: u8,
    /// What lies in one period of every quota.
    period: Span,
    /// The highest cost of each limit, in thousandths and the tier's order.
    most: [u64; MAX_LIMITS],
}

#[derive(Debug, Clone, Copy)]
struct Rate {
    /// Units refilled in a millisecond.
    per_ms: u64,
    /// Units that a thousandth of a token costs.
    per_milli: u64,
    /// The most units that can be spent.
    capacity: u64,
}

impl Rate {
    const NONE: Self = Self {
        per_ms: 0,
        per_milli: 0,
        capacity: i64::MAX.cast_unsigned(),
    };

    fn of(limit: &Limit) -> Self {
        match limit {
            Limit::Bucket(bucket) => Self {
                per_ms: bucket.per_ms(),
                per_milli: bucket.per_milli(),
                capacity: bucket.capacity(),
            },
            Limit::Quota(quota) => Self {
                per_ms: 0,
                per_milli: 1,
                capacity: quota.max_cost_milli(),
            },
            Limit::Concurrency(_) => Self::NONE,
        }
    }
}

impl Rates {
    #[expect(clippy::cast_possible_truncation, reason = "there are at most MAX_LIMITS slots")]
    pub(crate) fn new(limits: &[TierLimit]) -> Self {
        let mut slots = [Rate::NONE; MAX_LIMITS];
        let mut order = [0; MAX_LIMITS];
        let mut most = [0; MAX_LIMITS];
        for ((index, most), TierLimit { slot, limit }) in order.iter_mut().zip(&mut most).zip(limits) {
            slots[*slot] = Rate::of(limit);
            *index = *slot as u8;
            *most = limit.most_milli();
        }
        let has_quota = limits.iter().any(|limit| matches!(limit.limit, Limit::Quota(_)));
        let blocks = limits.iter().any(|limit| limit.limit.is_blocking());
        Self {
            slots,
            order,
            limits: limits.len() as u8,
            period: if has_quota || blocks {
                Span::empty()
            } else {
                Span::endless()
            },
            most,
        }
    }

    /// Whether both instants are known to lie in one period of every quota.
    #[inline]
    pub(crate) fn same_period(&self, at_ms: u64, now_ms: u64) -> bool {
        self.period.holds(at_ms, now_ms)
    }

    /// Learns the periods of an instant.
    #[cold]
    pub(crate) fn learn(&self, limits: &[TierLimit], now_ms: u64) {
        if limits.iter().any(|limit| limit.limit.is_blocking()) {
            return;
        }
        let mut all = Bounds {
            start_ms: 0,
            end_ms: NEVER_MS,
        };
        for TierLimit { limit, .. } in limits {
            if let Limit::Quota(quota) = limit {
                let bounds = quota.bounds(now_ms);
                all.start_ms = all.start_ms.max(bounds.start_ms);
                all.end_ms = all.end_ms.min(bounds.end_ms);
            }
        }
        self.period.set(all);
    }

    /// Refills what is spent, over some milliseconds in which no quota's period ends.
    #[inline]
    pub(crate) fn refill<const N: usize>(&self, spent: &mut [u64; N], elapsed_ms: u64) {
        for (spent, rate) in spent.iter_mut().zip(&self.slots) {
            *spent = spent.saturating_sub(elapsed_ms.saturating_mul(rate.per_ms));
        }
    }

    /// Whether a cost, one that the tier can hold, passes now.
    #[inline]
    pub(crate) fn fit<const N: usize>(&self, spent: &[u64; N], cost_milli: u64) -> bool {
        // Signed, since a quota that was granted more than is used stands below 0.
        let fits = |(spent, rate): (&u64, &Rate)| {
            spent.wrapping_add(cost_milli * rate.per_milli).cast_signed() <= rate.capacity.cast_signed()
        };
        spent.iter().zip(&self.slots).fold(true, |all, slot| all & fits(slot))
    }

    /// Spends a cost that fits.
    #[inline]
    pub(crate) fn charge<const N: usize>(&self, spent: &mut [u64; N], cost_milli: u64) {
        for (spent, rate) in spent.iter_mut().zip(&self.slots) {
            *spent = spent.wrapping_add(cost_milli * rate.per_milli);
        }
    }

    /// Slots of the tier's limits, in its order, and the highest cost of each.
    #[inline]
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (usize, u64)> {
        let limits = self.order.iter().zip(&self.most).take(usize::from(self.limits));
        limits.map(|(slot, most)| (usize::from(*slot) % MAX_LIMITS, *most))
    }

    /// As [`fit`](Self::fit) of a cost for each slot. What costs nothing passes, also where more is spent than there was.
    #[inline]
    pub(crate) fn fit_each<const N: usize>(&self, spent: &[u64; N], costs: &[u64; MAX_LIMITS]) -> bool {
        let fits = |((spent, rate), cost): ((&u64, &Rate), &u64)| {
            let after = spent.wrapping_add(cost * rate.per_milli).cast_signed();
            (*cost == 0) | (after <= rate.capacity.cast_signed())
        };
        let slots = spent.iter().zip(&self.slots).zip(costs);
        slots.fold(true, |all, slot| all & fits(slot))
    }

    /// As [`charge`](Self::charge) of a cost for each slot.
    #[inline]
    pub(crate) fn charge_each<const N: usize>(&self, spent: &mut [u64; N], costs: &[u64; MAX_LIMITS]) {
        for ((spent, rate), cost) in spent.iter_mut().zip(&self.slots).zip(costs) {
            *spent = spent.wrapping_add(cost * rate.per_milli);
        }
    }

    /// Takes off what was spent in advance.
    #[inline]
    pub(crate) fn deduct<const N: usize>(&self, spent: &mut [u64; N], milli: u64) {
        for (spent, rate) in spent.iter_mut().zip(&self.slots) {
            *spent = spent.saturating_sub(milli.saturating_mul(rate.per_milli));
        }
    }

    /// Puts what is spent of the tier's limits in the tier's order, the rest being 0.
    #[inline]
    pub(crate) fn put_in_order<const N: usize>(&self, spent: &[u64; N], ordered: &mut [u64; MAX_LIMITS]) {
        for (place, amount) in ordered.iter_mut().take(N).enumerate() {
            // No slot is as large as N: the remainder only shows that to the compiler.
            let spent = spent[usize::from(self.order[place]) % N];
            *amount = if place < usize::from(self.limits) { spent } else { 0 };
        }
    }
}
