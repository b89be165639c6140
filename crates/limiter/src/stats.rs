//! Counters of decisions: counted by every call in a lane of its thread, read when somebody asks.

use std::sync::atomic::{AtomicU64, Ordering};

use crossbeam_utils::CachePadded;

use crate::MAX_LIMITS;
use crate::tier::Tier;
use crate::verdict::Verdict;

/// More than there are clones that count, as a rule; those that meet in one slow each other down, and no more.
const LANES: usize = 32;

/// What a limiter has counted since it was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stats {
    /// Keys held now.
    pub keys: usize,
    /// Keys forgotten by the sweep or to make room; none was limited or had used any of a quota.
    pub evictions: u64,
    /// Places that calls hold of limits of concurrency; those that are over are among them until the next sweep.
    pub places: usize,
    /// Decisions by tier, in the order in which the tiers were first seen.
    pub tiers: Vec<TierStats>,
}

/// Decisions of one tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierStats {
    /// Name of the tier.
    pub tier: String,
    /// Calls allowed.
    pub allowed: u64,
    /// Calls denied, by the name of the limit that denied.
    pub denied: Vec<(String, u64)>,
    /// Calls decided on the overflow bucket of the tier, or of one that it counts with overrides.
    pub overflow: u64,
}

/// Allowed, then denied by each slot, and of all of these on an overflow bucket.
type Counts = [AtomicU64; 2 + MAX_LIMITS];
const OVERFLOW: usize = 1 + MAX_LIMITS;

/// Counts decisions, in lanes so that threads seldom meet in one.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    tiers: boxcar::Vec<[CachePadded<Counts>; LANES]>,
}

impl Counters {
    /// Makes room for tiers up to a number of them. Two callers at once may make more room than is needed.
    pub(crate) fn reserve(&self, tiers: usize) {
        while self.tiers.count() < tiers {
            self.tiers.push(Default::default());
        }
    }

    /// Counts a decision; `overflows` if it was made on an overflow bucket.
    #[inline]
    pub(crate) fn count(&self, tier: &Tier, verdict: Verdict, overflows: bool, lane: usize) {
        let Some(lanes) = usize::try_from(tier.counts_as)
            .ok()
            .and_then(|tier| self.tiers.get(tier))
        else {
            return;
        };
        let index = match verdict {
            Verdict::Allowed => 0,
            Verdict::Denied { limit } => 1 + tier.limits[usize::from(limit)].slot,
        };
        let counts = &lanes[lane % LANES];
        counts[index].fetch_add(1, Ordering::Relaxed);
        if overflows {
            counts[OVERFLOW].fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self, tiers: &[String], slots: &[String]) -> Vec<TierStats> {
        let sum = |lanes: &[CachePadded<Counts>], index: usize| {
            lanes.iter().map(|counts| counts[index].load(Ordering::Relaxed)).sum()
        };
        tiers
            .iter()
            .zip(self.tiers.iter())
            .map(|(tier, (_, lanes))| TierStats {
                tier: tier.clone(),
                allowed: sum(lanes, 0),
                denied: (1..)
                    .zip(slots)
                    .map(|(index, slot)| (slot.clone(), sum(lanes, index)))
                    .filter(|&(_, denied): &(String, u64)| denied > 0)
                    .collect(),
                overflow: sum(lanes, OVERFLOW),
            })
            .collect()
    }
}
