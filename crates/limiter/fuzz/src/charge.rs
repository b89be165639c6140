//! What was spent by a call, kept to be corrected later.

use tollkeeper_limiter::{KeyHash, TierId};

use crate::cost::Cost;

/// An allowed decision, which may be corrected.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Charge {
    pub(crate) key: KeyHash,
    pub(crate) tier: TierId,
    pub(crate) cost: Cost,
    pub(crate) at_ms: u64,
    pub(crate) overflow: bool,
    pub(crate) version: usize,
    /// The number of its place; 0 if it took none.
    pub(crate) place: u64,
}
