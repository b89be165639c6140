//! The two clocks by which leases are kept. Read by the crossing.

/// One instant by two clocks, in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The store's time, since the epoch.
    pub store_ms: u64,
    /// By a monotonic clock.
    pub mono_ms: u64,
}
