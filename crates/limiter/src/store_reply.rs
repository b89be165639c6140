//! What the store answers about a key: made by the crossing, taken in by the table of leases.

use crate::MAX_LIMITS;
use crate::epoch::Epoch;
use crate::tier::TierId;

/// An answer of the store about one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreReply {
    /// The tier that was asked about.
    pub tier: TierId,
    /// The version of the tiers that it is of.
    pub version: usize,
    /// The key's time in the store, in milliseconds since the epoch.
    pub now_ms: u64,
    /// By how many milliseconds that is ahead of the store's time.
    pub behind_ms: u64,
    /// The epoch of the key; None if what was said of it is not to be learned.
    pub epoch: Option<Epoch>,
    /// What is spent, in the order of the tier's limits; None if that is not known.
    pub spent: [Option<u64>; MAX_LIMITS],
    /// Thousandths that a take was granted in all; None if this answers anything else.
    pub granted_milli: Option<u64>,
    /// Thousandths of these that are to be held.
    pub held_milli: u64,
    /// For how many milliseconds they may be handed out from `mono_ms` on; below 1 they are given back.
    pub lasts_ms: i64,
    /// For how many milliseconds the denial may be believed, 0 if it is none; None leaves what is believed.
    pub wait_ms: Option<u64>,
    /// Whether tokens that other replicas hold may come back when that is over.
    pub is_provisional: bool,
    /// When the answer came, by the monotonic clock.
    pub mono_ms: u64,
    /// Whether others tell the same table of answers, by connections of their own: of two of one instant, the older may
    /// come last.
    pub races: bool,
}

impl StoreReply {
    /// Whether it tells what the store keeps: what was denied under other rules need not be denied any more.
    pub(crate) fn teaches(&self) -> bool {
        self.epoch.is_some()
    }
}

/// How an answer was taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// What it teaches is kept, and what was granted is held.
    Kept,
    /// The key has gone to other rules since: what was granted is the caller's. If it teaches anything, no denial is
    /// believed any more.
    Stale,
    /// There is no room for the key: what was granted is the caller's.
    Full,
    /// The tier is not known any more: as with other rules.
    Unknown,
}
