//! What instants may be. The limiter holds each call's to that, and each sweep agrees with the one before.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::MAX_INSTANT_MS;

/// An instant that can be held.
#[inline]
pub(crate) fn held(now_ms: u64) -> u64 {
    now_ms.min(MAX_INSTANT_MS - 1)
}

/// How far a call may be ahead of the last sweep, of which there are many a second.
const LEAD_MS: u64 = 60_000;

/// The readings by which keys are forgotten: a clock that is a year ahead for one of them has none forgotten.
#[derive(Debug, Default)]
pub(crate) struct Readings(AtomicU64);

impl Readings {
    /// The earlier of `now_ms` and the reading before it.
    pub(crate) fn agreed(&self, now_ms: u64) -> u64 {
        self.0.swap(now_ms, Ordering::Relaxed).min(now_ms)
    }

    /// The instant by which a call may have keys forgotten, to make room: no later than the sweeps bear out, if there are any.
    pub(crate) fn borne_out(&self, now_ms: u64) -> u64 {
        match self.0.load(Ordering::Relaxed) {
            0 => now_ms,
            swept_ms => now_ms.min(swept_ms + LEAD_MS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_reading_that_is_ahead_is_not_agreed_on() {
        let readings = Readings::default();
        assert_eq!(readings.borne_out(u64::MAX), u64::MAX);
        assert_eq!(readings.agreed(5), 0);
        assert_eq!([8, u64::MAX].map(|now_ms| readings.borne_out(now_ms)), [8, 5 + LEAD_MS]);
        assert_eq!(readings.agreed(6), 5);
        assert_eq!(readings.agreed(1_000), 6);
        assert_eq!(readings.agreed(7), 7);
        assert_eq!(held(u64::MAX), MAX_INSTANT_MS - 1);
    }
}
