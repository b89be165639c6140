//! How a table of leases is made, and what it has counted.

use crate::key::Secret;
use crate::stats::Stats;
use crate::tier::TierSpec;

/// How a table of leases is made.
#[derive(Debug, Clone)]
pub struct LeaseSettings {
    /// The tiers in force at first.
    pub tiers: Vec<TierSpec>,
    /// Keys of which something is known or held at once, from 1.
    pub max_keys: usize,
    /// The secret under which keys are hashed; random.
    pub secret: Secret,
    /// For how long, in milliseconds, tokens are taken ahead.
    pub lease_ms: u64,
    /// How long, in milliseconds, the store is waited for.
    pub timeout_ms: u64,
}

/// What a table of leases has counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseStats {
    /// Keys, evictions and decisions.
    pub counted: Stats,
    /// Thousandths held now.
    pub held_milli: u64,
    /// Answers of the store whose key found no room.
    pub overflow: u64,
}
