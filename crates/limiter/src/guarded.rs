//! A shard of leases under its lock. The table of leases has one for each part of the keys.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::lease_shard::LeaseShard;
use crate::returns::Expelled;

/// A shard searched in vain for a lease that may go is not searched again so soon.
const SEARCH_INTERVAL_MS: u64 = 100;

/// A shard under its lock, and when it is worth taking that.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Guarded<const N: usize> {
    shard: Mutex<LeaseShard<N>>,
    /// When something of it is to be given back at the earliest, by the monotonic clock in ms.
    pub(crate) due_ms: AtomicU64,
    /// When it was searched in vain for a lease that may go.
    pub(crate) searched_ms: AtomicU64,
}

impl<const N: usize> Default for Guarded<N> {
    fn default() -> Self {
        Self {
            shard: Mutex::default(),
            due_ms: AtomicU64::new(u64::MAX),
            searched_ms: AtomicU64::new(0),
        }
    }
}

impl<const N: usize> Guarded<N> {
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, LeaseShard<N>> {
        self.shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out of its leases what is over, by what an instant and an idle time are in it; says how many held something.
    pub(crate) fn sweep(
        &self,
        at: impl FnOnce(&mut LeaseShard<N>) -> (u32, u32),
        expelled: &mut Expelled<'_>,
    ) -> usize {
        let mut shard = self.lock();
        let (now, idle) = at(&mut shard);
        let swept = shard.sweep(now, idle, expelled);
        self.due_ms.store(swept.due_ms, Ordering::Relaxed);
        self.search_again();
        swept.live
    }

    /// Notes that something of it is to be given back then.
    pub(crate) fn is_due_at(&self, due_ms: u64) {
        // As a rule it is not the first of its shard, and a look costs less.
        if due_ms < self.due_ms.load(Ordering::Relaxed) {
            self.due_ms.fetch_min(due_ms, Ordering::Relaxed);
        }
    }

    pub(crate) fn is_to_be_searched(&self, mono_ms: u64) -> bool {
        let searched_ms = self.searched_ms.load(Ordering::Relaxed);
        searched_ms == 0 || mono_ms < searched_ms || mono_ms >= searched_ms.saturating_add(SEARCH_INTERVAL_MS)
    }

    /// Notes that leases of it may go that could not before.
    pub(crate) fn search_again(&self) {
        self.searched_ms.store(0, Ordering::Relaxed);
    }
}
