//! What instants may be.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::MAX_INSTANT_MS;

/// An instant that can be held.
#[inline]
pub(crate) fn held(now_ms: u64) -> u64 {
    now_ms.min(MAX_INSTANT_MS - 1)
}

/// The readings by which keys are forgotten: a clock that is a year ahead for one of them has none forgotten.
#[derive(Debug, Default)]
pub(crate) struct Readings(AtomicU64);

impl Readings {
    /// The earlier of `now_ms` and the reading before it.
    pub(crate) fn agreed(&self, now_ms: u64) -> u64 {
        self.0.swap(now_ms, Ordering::Relaxed).min(now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reading_that_is_ahead_is_not_agreed_on() {
        let readings = Readings::default();
        assert_eq!(readings.agreed(5), 0);
        assert_eq!(readings.agreed(6), 5);
        assert_eq!(readings.agreed(1_000), 6);
        assert_eq!(readings.agreed(7), 7);
        assert_eq!(held(u64::MAX), MAX_INSTANT_MS - 1);
    }
}
