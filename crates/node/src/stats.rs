//! What tables have counted, as JavaScript gets it when metrics are read.

#![expect(clippy::cast_precision_loss, reason = "no count comes near 2^53")]

use napi_derive::napi;

/// Decisions of one tier.
#[napi(object)]
pub struct TierStats {
    /// Name of the tier.
    pub tier: String,
    /// Calls allowed.
    pub allowed: f64,
    /// Names of the limits that denied.
    pub denied_by: Vec<String>,
    /// Calls that each of them denied.
    pub denied: Vec<f64>,
    /// Calls decided on an overflow bucket.
    pub overflow: f64,
}

/// What a table has counted.
#[napi(object)]
pub struct EngineStats {
    /// Keys held now.
    pub keys: f64,
    /// Keys forgotten.
    pub evictions: f64,
    /// Places held now.
    pub places: f64,
    /// Decisions by tier.
    pub tiers: Vec<TierStats>,
}

/// What a table of leases has counted.
#[napi(object)]
pub struct LeaseStats {
    /// Keys of which something is known or held now.
    pub keys: f64,
    /// Keys forgotten.
    pub evictions: f64,
    /// Thousandths held now.
    pub held: f64,
    /// Answers of the store whose key found no room.
    pub overflow: f64,
    /// Decisions by tier.
    pub tiers: Vec<TierStats>,
}

impl From<tollkeeper_limiter::TierStats> for TierStats {
    fn from(stats: tollkeeper_limiter::TierStats) -> Self {
        let denied = stats.denied.into_iter().map(|(name, count)| (name, count as f64));
        let (denied_by, denied) = denied.unzip();
        Self {
            tier: stats.tier,
            allowed: stats.allowed as f64,
            denied_by,
            denied,
            overflow: stats.overflow as f64,
        }
    }
}

impl From<tollkeeper_limiter::Stats> for EngineStats {
    fn from(stats: tollkeeper_limiter::Stats) -> Self {
        Self {
            keys: stats.keys as f64,
            evictions: stats.evictions as f64,
            places: stats.places as f64,
            tiers: stats.tiers.into_iter().map(TierStats::from).collect(),
        }
    }
}

impl From<tollkeeper_limiter::LeaseStats> for LeaseStats {
    fn from(stats: tollkeeper_limiter::LeaseStats) -> Self {
        let EngineStats {
            keys, evictions, tiers, ..
        } = stats.counted.into();
        Self {
            keys,
            evictions,
            held: stats.held_milli as f64,
            overflow: stats.overflow as f64,
            tiers,
        }
    }
}
