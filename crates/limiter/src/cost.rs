//! What a call costs: the same of every limit of its tier, or of each limit its own. Asked slot by slot, by every decision.

use crate::MAX_LIMITS;
use crate::rates::Rates;

/// A cost for each limit of a tier, in the tier's order; what stands behind them is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Costs {
    /// The version of the tiers whose order is meant: while another is in force, the tier is
    /// [unknown](crate::Error::TierUnknown).
    pub version: usize,
    /// Thousandths of a token.
    pub milli: [u64; MAX_LIMITS],
}

/// What a call costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cost {
    /// Thousandths of a token, the same of every limit of the tier.
    Every(u64),
    /// Of each limit its own.
    Each(Costs),
}

/// A correction of what a call has cost, in thousandths of a token: below 0 gives back, above 0 charges more, even past empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delta {
    /// The same of every limit of the tier.
    Every(i64),
    /// Of each limit its own, in the tier's order.
    Each([i64; MAX_LIMITS]),
}

impl Delta {
    /// That of a limit, by its index in the tier.
    pub(crate) fn of(&self, limit: usize) -> i64 {
        match self {
            Self::Every(milli) => *milli,
            Self::Each(milli) => milli[limit],
        }
    }

    /// Whether any of so many limits is charged more.
    pub(crate) fn charges(&self, limits: usize) -> bool {
        (0..limits).any(|limit| self.of(limit) > 0)
    }
}

/// What a call costs of the limits of a tier, by slot.
pub(crate) trait SlotCost: Copy {
    /// Whether it costs nothing of any.
    fn is_nothing(self) -> bool;

    /// Thousandths of the limit of a slot.
    fn of_slot(self, slot: usize) -> u64;

    /// Whether it passes now; it is one that the tier can hold.
    fn fits<const N: usize>(self, rates: &Rates, spent: &[u64; N]) -> bool;

    /// Spends it, where it fits.
    fn charge<const N: usize>(self, rates: &Rates, spent: &mut [u64; N]);
}

/// So many thousandths of every limit.
impl SlotCost for u64 {
    #[inline]
    fn is_nothing(self) -> bool {
        self == 0
    }

    #[inline]
    fn of_slot(self, _: usize) -> u64 {
        self
    }

    #[inline]
    fn fits<const N: usize>(self, rates: &Rates, spent: &[u64; N]) -> bool {
        rates.fit(spent, self)
    }

    #[inline]
    fn charge<const N: usize>(self, rates: &Rates, spent: &mut [u64; N]) {
        rates.charge(spent, self);
    }
}

/// Thousandths of each slot's limit; 0 of a slot that the tier lacks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotCosts {
    pub(crate) milli: [u64; MAX_LIMITS],
    /// Whether all of them are 0.
    pub(crate) is_nothing: bool,
}

impl SlotCosts {
    pub(crate) const NOTHING: Self = Self {
        milli: [0; MAX_LIMITS],
        is_nothing: true,
    };
}

impl SlotCost for &SlotCosts {
    #[inline]
    fn is_nothing(self) -> bool {
        self.is_nothing
    }

    #[inline]
    fn of_slot(self, slot: usize) -> u64 {
        self.milli[slot]
    }

    #[inline]
    fn fits<const N: usize>(self, rates: &Rates, spent: &[u64; N]) -> bool {
        rates.fit_each(spent, &self.milli)
    }

    #[inline]
    fn charge<const N: usize>(self, rates: &Rates, spent: &mut [u64; N]) {
        rates.charge_each(spent, &self.milli);
    }
}
