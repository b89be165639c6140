//! What a call costs, as the model has it.

use tollkeeper_limiter::{Delta, MAX_LIMITS, TierSpec};

/// Of every limit the same, or of each its own, in the tier's order; in thousandths of a token.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cost {
    Every(u64),
    Each([u64; MAX_LIMITS]),
}

impl Cost {
    pub(crate) fn of(self, limit: usize) -> u64 {
        match self {
            Self::Every(milli) => milli,
            Self::Each(milli) => milli[limit],
        }
    }

    /// Whether it costs nothing under a tier.
    pub(crate) fn is_nothing(self, tier: &TierSpec) -> bool {
        match self {
            Self::Every(milli) => milli == 0,
            Self::Each(milli) => milli[..tier.limits.len()].iter().all(|milli| *milli == 0),
        }
    }

    /// What gives it back.
    pub(crate) fn given_back(self) -> Delta {
        match self {
            Self::Every(milli) => Delta::Every(-milli.cast_signed()),
            Self::Each(milli) => Delta::Each(milli.map(|milli| milli.cast_signed().wrapping_neg())),
        }
    }
}

/// The correction of a limit, by its index in the tier.
pub(crate) fn delta_of(delta: Delta, limit: usize) -> i64 {
    match delta {
        Delta::Every(milli) => milli,
        Delta::Each(milli) => milli[limit],
    }
}
