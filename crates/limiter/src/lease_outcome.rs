//! What a table of leases says of a call, and what a take for a key should say. Read by the crossing.

use crate::MAX_LIMITS;
use crate::epoch::Epoch;
use crate::rule_set::HeldRuleSet;
use crate::verdict::Verdict;

/// The answer to one call, made of what one replica holds and knows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LeaseOutcome {
    /// How the call ended.
    pub verdict: LeaseVerdict,
    /// What is held runs low: the caller asks for more ahead. Told once, and again after a while if nobody has.
    pub is_low: bool,
    /// What was granted under another tier waits to be given back; see [`Leases::take_returns`](crate::Leases::take_returns).
    pub has_returns: bool,
    /// The version of the tiers that decided.
    pub version: usize,
    /// The key's time, in milliseconds since the epoch.
    pub now_ms: u64,
    /// By how many milliseconds that is ahead of the store's time.
    pub behind_ms: u64,
    /// Of a denial: milliseconds until tokens that other replicas hold may come back and end it, if that is earlier than it
    /// would end by itself; else 0.
    pub back_ms: u64,
    /// What is spent of each limit of the tier, in its order and in the limit's own units, less what is held.
    pub spent: [u64; MAX_LIMITS],
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LeaseVerdict {
    /// The cost was spent of what is held, or for a peek would pass.
    Allowed,
    /// Denied by what is believed.
    Denied {
        /// Index, in its tier, of the denying limit with the longest wait.
        limit: u8,
    },
    /// Nothing was decided: the store is to be asked.
    #[default]
    Ask,
}

impl LeaseVerdict {
    /// The verdict on the call; None if nothing was decided.
    #[inline]
    pub(crate) fn decided(self) -> Option<Verdict> {
        match self {
            Self::Allowed => Some(Verdict::Allowed),
            Self::Denied { limit } => Some(Verdict::Denied { limit }),
            Self::Ask => None,
        }
    }
}

/// What a take for a key should say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The version of the tiers that is in force.
    pub version: usize,
    /// Thousandths held.
    pub held_milli: u64,
    /// Thousandths that the key will use in the time of a lease beyond what is held for it.
    pub ahead_milli: u64,
    /// What is known of the key, in the order and in the units of the tier's limits; None under another tier.
    pub snapshot: Option<Snapshot>,
}

/// What the store last said of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Snapshot {
    /// The epoch that it is of.
    pub epoch: Epoch,
    /// When it was so, in milliseconds since the epoch.
    pub at_ms: u64,
    /// What was spent, in the units of the limits; None of a limit of which nothing is known.
    pub spent: [Option<u64>; MAX_LIMITS],
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// The key, in UTF-16 units.
    pub key: Box<[u16]>,
    /// The rules in whose units it is known; see [`Leases::named_rules`](crate::Leases::named_rules).
    pub rules: HeldRuleSet,
    /// What is known, by [`NamedRule::slot`](crate::NamedRule::slot).
    pub snapshot: Snapshot,
}
