//! The latest instant seen.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::MAX_INSTANT_MS;

/// Time that never runs backwards, whoever tells it.
#[derive(Debug, Default)]
pub(crate) struct Clock(AtomicU64);

impl Clock {
    /// The later of `now_ms` and all instants told before.
    pub(crate) fn observe(&self, now_ms: u64) -> u64 {
        let latest = self.0.load(Ordering::Relaxed);
        if now_ms <= latest {
            return latest;
        }
        let now_ms = now_ms.min(MAX_INSTANT_MS - 1);
        self.0.fetch_max(now_ms, Ordering::Relaxed).max(now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_runs_backwards() {
        let clock = Clock::default();
        assert_eq!(clock.observe(5), 5);
        assert_eq!(clock.observe(3), 5);
        assert_eq!(clock.observe(u64::MAX), MAX_INSTANT_MS - 1);
    }
}
