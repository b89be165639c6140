//! A period in one word, as it is remembered: nearly every look-up falls into the one before. Quotas and rates keep one
//! each.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::NEVER_MS;
use crate::period::{Bounds, HOUR_MS};

/// The last hour that can be told, which stands for no end.
const NO_END: u64 = u32::MAX as u64;

/// First hour and hour after the last, 32 bits each: periods that end begin and end with an hour.
#[derive(Debug)]
pub(crate) struct Span(AtomicU64);

impl Span {
    /// No instant.
    pub(crate) const fn empty() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Every instant.
    pub(crate) const fn endless() -> Self {
        Self(AtomicU64::new(NO_END))
    }

    pub(crate) fn set(&self, Bounds { start_ms, end_ms }: Bounds) {
        let end = (end_ms / HOUR_MS).min(NO_END);
        self.0.store(((start_ms / HOUR_MS) << 32) | end, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> Bounds {
        let hours = self.0.load(Ordering::Relaxed);
        let end = hours & NO_END;
        Bounds {
            start_ms: (hours >> 32) * HOUR_MS,
            end_ms: if end == NO_END { NEVER_MS } else { end * HOUR_MS },
        }
    }

    /// Whether both instants lie in it, of which the first is the earlier.
    #[inline]
    pub(crate) fn holds(&self, from_ms: u64, to_ms: u64) -> bool {
        let hours = self.0.load(Ordering::Relaxed);
        from_ms >= (hours >> 32) * HOUR_MS && to_ms < (hours & NO_END) * HOUR_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::period::Period;

    const LAST_INSTANT_MS: u64 = (1 << 43) - 1;

    #[test]
    fn what_was_set_is_told_whatever_the_period() {
        let span = Span::empty();
        assert!(!span.holds(0, 0));
        for period in [
            Period::Hour,
            Period::Day,
            Period::Year { anchor_month: 7 },
            Period::Once,
        ] {
            for now_ms in [0, 1_800_000_000_000, LAST_INSTANT_MS] {
                let bounds = period.bounds(now_ms);
                span.set(bounds);
                assert_eq!(span.get(), bounds);
                assert!(span.holds(now_ms, now_ms) && span.holds(bounds.start_ms, now_ms));
                assert!(bounds.end_ms == NEVER_MS || !span.holds(now_ms, bounds.end_ms));
                assert!(bounds.start_ms == 0 || !span.holds(bounds.start_ms - 1, now_ms));
            }
        }
    }

    #[test]
    fn what_has_no_end_holds_every_instant() {
        assert!(Span::endless().holds(0, LAST_INSTANT_MS));
    }
}
