//! What is said of an allowed decision to correct it, by a refund or by settling on what a call took. The crossing
//! makes one for each.

use crate::cost::Delta;

/// A correction of an allowed decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correction {
    /// By how much.
    pub delta: Delta,
    /// The version of the tiers that decided; see [`Outcome::version`](crate::Outcome::version).
    pub version: usize,
    /// When the decision was made. Quotas are corrected only while the period of that instant lasts.
    pub charged_at_ms: u64,
    /// Whether the decision was made on the overflow bucket of its tier.
    pub overflow: bool,
    /// Whether to leave the buckets alone.
    pub quotas_only: bool,
}
