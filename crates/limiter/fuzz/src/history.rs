//! What was admitted, counted without the model.

use std::collections::BTreeMap;

use tollkeeper_limiter::{KeyHash, Rule, TierId};

use crate::cost::Cost;
use crate::slot::capacity_milli;
use crate::tier_versions::TierVersions;

/// What was admitted of each key, as long as nothing but consuming happened to it.
#[derive(Default)]
pub(crate) struct Histories(BTreeMap<KeyHash, History>);

struct History {
    tier: TierId,
    /// A change of tier leaves the sum without meaning.
    mixed: bool,
    /// More is admitted than the limits say, until the key is reset.
    granted: bool,
    /// When, and what of each limit.
    admitted: Vec<(u64, Cost)>,
}

impl Histories {
    /// Notes a call; a denied one admits 0, but changes the tier too.
    pub(crate) fn note(&mut self, key: KeyHash, tier: TierId, admitted: Cost, now_ms: u64) {
        let history = self.0.entry(key).or_insert_with(|| History::new(tier));
        history.mixed |= history.tier != tier;
        history.admit(admitted, now_ms);
    }

    /// Notes that a key was forgotten as new.
    pub(crate) fn note_forgotten(&mut self, key: KeyHash, now_ms: u64) {
        if let Some(history) = self.0.get_mut(&key) {
            history.admit(Cost::Every(0), now_ms);
        }
    }

    /// Notes a grant.
    pub(crate) fn note_grant(&mut self, key: KeyHash, tier: TierId) {
        self.0.entry(key).or_insert_with(|| History::new(tier)).granted = true;
    }

    /// Notes that a key begins anew.
    pub(crate) fn reset(&mut self, key: KeyHash) {
        self.0.remove(&key);
    }

    /// Counts a key anew.
    pub(crate) fn forget(&mut self, key: KeyHash) {
        self.0.retain(|other, history| *other != key || history.granted);
    }

    /// Counts every key anew.
    pub(crate) fn clear(&mut self) {
        self.0.retain(|_, history| history.granted);
    }

    /// In any time, at most a full bucket and what flows in meanwhile; in a period, at most the quota.
    pub(crate) fn check(&self, versions: &TierVersions) {
        for history in self.0.values().filter(|history| !history.mixed && !history.granted) {
            let Some(tier) = versions.tier(versions.version(), history.tier) else {
                continue;
            };
            for (index, limit) in tier.limits.iter().enumerate() {
                history.check(index, limit.rule);
            }
        }
    }
}

impl History {
    fn new(tier: TierId) -> Self {
        Self {
            tier,
            mixed: false,
            granted: false,
            admitted: Vec::new(),
        }
    }

    fn admit(&mut self, admitted: Cost, now_ms: u64) {
        // Forgotten when it was as new, and then the clock went back.
        if self.admitted.last().is_some_and(|&(last_ms, _)| last_ms > now_ms) {
            self.admitted.clear();
        }
        self.admitted.push((now_ms, admitted));
    }

    fn check(&self, limit: usize, rule: Rule) {
        // After a block a bucket begins anew, however soon that is.
        if matches!(rule, Rule::Bucket { block_ms: 1.., .. }) {
            return;
        }
        for (first, (from_ms, _)) in self.admitted.iter().enumerate() {
            let mut sum = 0_u128;
            for (to_ms, admitted) in &self.admitted[first..] {
                sum += u128::from(admitted.of(limit));
                assert!(sum * window(rule) <= most(rule, *from_ms, *to_ms), "{rule:?}");
            }
        }
    }
}

fn window(rule: Rule) -> u128 {
    match rule {
        Rule::Bucket { window_ms, .. } => window_ms.into(),
        Rule::Quota { .. } | Rule::Concurrency { .. } => 1,
    }
}

/// The most that may be admitted, times the window.
fn most(rule: Rule, from_ms: u64, to_ms: u64) -> u128 {
    match rule {
        Rule::Bucket {
            limit_milli, window_ms, ..
        } => {
            u128::from(capacity_milli(rule)) * u128::from(window_ms)
                + u128::from(limit_milli) * u128::from(to_ms - from_ms)
        }
        Rule::Quota { limit_milli, period } => {
            if period.bounds(from_ms).contains(to_ms) {
                limit_milli.into()
            } else {
                u128::MAX
            }
        }
        // Any number may pass one after the other.
        Rule::Concurrency { .. } => u128::MAX,
    }
}
