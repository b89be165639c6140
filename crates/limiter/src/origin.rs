//! From when a shard of leases counts, so that an instant takes 32 bits in a lease.

/// So late in ms after its origin, 12 days, a shard counts from a later one; within 37 days more the 32 bits end.
const LATEST_MS: u64 = 1 << 30;
/// So long before the present, in ms, a new origin lies.
const BEFORE_MS: u64 = 1 << 29;

/// The instants, by the monotonic clock and by the store's time, that are 0 in a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Origin {
    pub(crate) mono_ms: u64,
    pub(crate) store_ms: u64,
}

impl Origin {
    /// An instant of the monotonic clock; what is too early or too late for 32 bits is the first or the last.
    #[inline]
    pub(crate) fn mono(self, mono_ms: u64) -> u32 {
        offset(mono_ms, self.mono_ms)
    }

    /// An instant of the store's time.
    pub(crate) fn store(self, store_ms: u64) -> u32 {
        offset(store_ms, self.store_ms)
    }

    pub(crate) fn mono_at(self, mono: u32) -> u64 {
        self.mono_ms + u64::from(mono)
    }

    pub(crate) fn store_at(self, store: u32) -> u64 {
        self.store_ms + u64::from(store)
    }

    /// The origin by the monotonic clock from which to count now, if this one is too early.
    #[inline]
    pub(crate) fn later_mono_ms(self, mono_ms: u64) -> Option<u64> {
        (mono_ms.saturating_sub(self.mono_ms) >= LATEST_MS).then(|| mono_ms - BEFORE_MS)
    }

    /// The origin by the store's time from which to count now, if an instant can't be told by this one.
    pub(crate) fn other_store_ms(self, store_ms: u64) -> Option<u64> {
        let is_told = |after_ms: u64| u32::try_from(after_ms).is_ok();
        (!store_ms.checked_sub(self.store_ms).is_some_and(is_told)).then(|| store_ms.saturating_sub(BEFORE_MS))
    }
}

fn offset(ms: u64, origin_ms: u64) -> u32 {
    u32::try_from(ms.saturating_sub(origin_ms)).unwrap_or(u32::MAX)
}
