//! The store's time, as far as one replica can tell: noted with each answer, read by every call.

use std::sync::atomic::{AtomicI64, Ordering};

const UNHEARD: i64 = i64::MIN;

/// By how many ms the store's time is ahead of the monotonic clock, by what was heard last.
#[derive(Debug)]
pub(crate) struct StoreClock(AtomicI64);

impl Default for StoreClock {
    fn default() -> Self {
        Self(AtomicI64::new(UNHEARD))
    }
}

impl StoreClock {
    pub(crate) fn hear(&self, store_ms: u64, mono_ms: u64) {
        self.0.store(
            store_ms.cast_signed().wrapping_sub(mono_ms.cast_signed()),
            Ordering::Relaxed,
        );
    }

    /// None if nothing was heard yet.
    #[inline]
    pub(crate) fn store_ms(&self, mono_ms: u64) -> Option<u64> {
        let ahead_ms = self.0.load(Ordering::Relaxed);
        (ahead_ms != UNHEARD).then(|| mono_ms.saturating_add_signed(ahead_ms))
    }
}
