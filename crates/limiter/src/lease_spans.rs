//! How long tokens are held, and what follows from it. Made with the table of leases, asked by each lease.

/// Lengths of time in ms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeaseSpans {
    /// For which tokens are taken ahead.
    pub(crate) lease: u32,
    /// For which more is asked for ahead, and nothing if there was nothing to be had.
    pub(crate) quarter: u32,
    /// In which whoever was told that a key runs low has asked.
    pub(crate) sixteenth: u32,
    /// After which what is not used is given back.
    pub(crate) idle: u32,
    /// For which the store is waited for.
    pub(crate) timeout: u32,
}

impl LeaseSpans {
    pub(crate) fn new(lease_ms: u64, timeout_ms: u64) -> Self {
        let lease = u32::try_from(lease_ms).unwrap_or(u32::MAX);
        Self {
            lease,
            quarter: lease / 4,
            sixteenth: lease / 16,
            idle: lease / 2,
            timeout: u32::try_from(timeout_ms).unwrap_or(u32::MAX),
        }
    }
}
