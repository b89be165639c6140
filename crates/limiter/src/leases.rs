//! The table of leases: what one replica holds and knows of each key. The crossing calls it for each decision, and writes
//! into it what the store answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::MAX_LIMITS;
use crate::error::Error;
use crate::key::{KeyHasher, Secret};
use crate::lease_outcome::{Asked, LeaseOutcome, Snapshot};
use crate::rule_set::HeldRuleSet;
use crate::snapshot::NamedRule;
use crate::stats::{Counters, Stats};
use crate::store_reply::{Applied, StoreReply};
use crate::tier::{TierId, TierRef, TierSpec};
use crate::tier_versions::TierVersions;

/// By how much, in milliseconds, a cheap clock may lag: by it, grants end so much earlier.
pub const CLOCK_LAG_MS: u64 = 10;

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

/// One instant by two clocks, in whole milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Times {
    /// The store's time, since the epoch.
    pub store_ms: u64,
    /// By a monotonic clock.
    pub mono_ms: u64,
}

/// Tokens that are to be given back to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Returned {
    /// The key, in UTF-16 units.
    pub key: Box<[u16]>,
    /// Thousandths.
    pub milli: u32,
    /// When they were taken, by the store's time.
    pub taken_ms: u64,
    /// The rules under which they were taken; see [`Leases::named_rules`].
    pub rules: HeldRuleSet,
}

/// What is known of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KnownKey {
    /// The key, in UTF-16 units.
    pub key: Box<[u16]>,
    /// The rules in whose units it is known; see [`Leases::named_rules`].
    pub rules: HeldRuleSet,
    /// What is known, by [`NamedRule::slot`].
    pub snapshot: Snapshot,
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

/// Decides from what one replica holds and knows of each key, and says when the store is to be asked. Any number of threads
/// may share one; best each has a clone of its own, which is the same table, so that they don't meet in its counters.
///
/// Keys are UTF-16 units, costs thousandths of a token.
#[derive(Debug)]
pub struct Leases {
    core: Arc<Core>,
    /// Where this clone counts.
    lane: usize,
}

#[derive(Debug)]
struct Core {
    tiers: TierVersions,
    hasher: KeyHasher,
    counters: Counters,
    clones: AtomicUsize,
}

impl Clone for Leases {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            lane: self.core.clones.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }
}

impl Leases {
    /// # Errors
    /// [`Error::TiersInvalid`]
    pub fn new(settings: LeaseSettings) -> Result<Self, Error> {
        let tiers = TierVersions::new(settings.tiers)?;
        let counters = Counters::default();
        counters.reserve(tiers.names().len());
        let core = Core {
            tiers,
            hasher: KeyHasher::new(&settings.secret),
            counters,
            clones: AtomicUsize::new(0),
        };
        Ok(Self {
            core: Arc::new(core),
            lane: 0,
        })
    }

    /// Decides from what is held or believed, and spends; else nothing is decided and the store is to be asked. A known key
    /// is brought under the tier: what was granted under other rules is to be given back, and no denial is believed.
    ///
    /// `out` is a default one.
    ///
    /// # Errors
    /// [`Error::TierUnknown`], [`Error::CostExceedsCapacity`]
    pub fn consume(
        &self,
        _key: &[u16],
        _tier: TierId,
        _cost_milli: u64,
        _times: Times,
        _out: &mut LeaseOutcome,
    ) -> Result<(), Error> {
        todo!()
    }

    /// Does what [`consume`](Self::consume) does by two pairs of clocks: a cheap one that lags by at most [`CLOCK_LAG_MS`], and a
    /// better one, which is read where the first would deny, or where a grant's end is near.
    ///
    /// # Errors
    /// As of [`consume`](Self::consume).
    pub fn consume_by(
        &self,
        _key: &[u16],
        _tier: TierId,
        _cost_milli: u64,
        _cheap: Times,
        _better: impl FnOnce() -> Times,
        _out: &mut LeaseOutcome,
    ) -> Result<(), Error> {
        todo!()
    }

    /// What [`consume`](Self::consume) would say, for any cost, if the key is under these rules, holds something, and was heard
    /// of within the time of a lease; else the store is to be asked. Changes nothing, and is not counted.
    ///
    /// # Errors
    /// As of [`consume`](Self::consume).
    pub fn peek(&self, _key: &[u16], _tier: TierId, _cost_milli: u64, _times: Times) -> Result<LeaseOutcome, Error> {
        todo!()
    }

    /// What a take for a key should say. Notes that the store is being asked, so that nobody asks ahead for as long as it is
    /// waited for.
    ///
    /// # Errors
    /// [`Error::TierUnknown`]
    pub fn ask(&self, _key: &[u16], _tier: TierId, _mono_ms: u64) -> Result<Asked, Error> {
        todo!()
    }

    /// The same without what the key will use, and without noting anything.
    ///
    /// # Errors
    /// [`Error::TierUnknown`]
    pub fn look(&self, _key: &[u16], _tier: TierId, _mono_ms: u64) -> Result<Asked, Error> {
        todo!()
    }

    /// Takes in what the store has answered about a key.
    pub fn apply(&self, _key: &[u16], _reply: &StoreReply) -> Applied {
        todo!()
    }

    /// Forgets what is known, held and believed of a key.
    pub fn forget(&self, _key: &[u16]) {
        todo!()
    }

    /// Has all that is held of a key be given back. `again` lets the store be asked at once; else nothing is asked ahead
    /// for a quarter of a lease.
    pub fn give_back(&self, _key: &[u16], _again: bool, _mono_ms: u64) {
        todo!()
    }

    /// Has what has expired, or lies idle for half the time of a lease, be given back: a part of it, a few thousand keys.
    /// Forgets keys of another small part that hold nothing and are as good as new. Says whether there is more to do now.
    pub fn sweep(&self, _times: Times) -> bool {
        todo!()
    }

    /// Has all that is held be given back.
    pub fn drain(&self) {
        todo!()
    }

    /// Takes out at most so much of what is to be given back, the oldest first. It is the caller's now.
    #[must_use]
    pub fn take_returns(&self, _max: usize) -> Vec<Returned> {
        todo!()
    }

    /// What is known of the keys of one part of the table, from 0; None after the last.
    #[must_use]
    pub fn known_of(&self, _shard: usize) -> Option<Vec<KnownKey>> {
        todo!()
    }

    /// Notes what the store's time was at an instant of the monotonic clock.
    pub fn heard(&self, _store_ms: u64, _mono_ms: u64) {
        todo!()
    }

    /// The store's time at an instant of the monotonic clock, by what was heard of it last; None if nothing was.
    #[must_use]
    pub fn store_ms(&self, _mono_ms: u64) -> Option<u64> {
        todo!()
    }

    /// Counts a decision that was made elsewhere under a tier of a version: denied by a limit of it, or allowed.
    pub fn count(&self, _version: usize, _tier: TierId, _denied_by: Option<u8>) {
        todo!()
    }

    /// Counts the reloads, from 0.
    #[must_use]
    pub fn version(&self) -> usize {
        self.core.tiers.version()
    }

    /// The number of a tier that is in force.
    #[must_use]
    pub fn tier_id(&self, name: &str) -> Option<TierId> {
        self.core
            .tiers
            .in_force()
            .find(|tier| tier.spec().name == name)
            .map(|tier| tier.id)
    }

    /// A tier that is in force.
    ///
    /// # Errors
    /// [`Error::TierUnknown`]
    pub fn tier(&self, id: TierId) -> Result<TierRef<'_>, Error> {
        Ok(self.core.tiers.tier(id)?.1)
    }

    /// The tiers in force.
    #[must_use]
    pub fn tiers(&self) -> Vec<TierSpec> {
        self.core.tiers.in_force().map(|tier| tier.spec().clone()).collect()
    }

    /// Puts other tiers in force from the next decision on.
    ///
    /// # Errors
    /// [`Error::TiersInvalid`]; then nothing has changed.
    pub fn reload(&self, tiers: Vec<TierSpec>) -> Result<(), Error> {
        self.core.counters.reserve(self.core.tiers.names().len() + tiers.len());
        self.core.tiers.enact(tiers, MAX_LIMITS)
    }

    /// As [`Limiter::override_tier`](crate::Limiter::override_tier).
    ///
    /// # Errors
    /// As there.
    pub fn override_tier(&self, version: usize, plain: TierId, spec: TierSpec) -> Result<TierId, Error> {
        self.core.tiers.override_tier(version, plain, spec)
    }

    /// The limits that a rule set stands for, by slot.
    #[must_use]
    pub fn named_rules(&self, rules: &HeldRuleSet) -> Vec<NamedRule> {
        self.core.tiers.named_rules(rules)
    }

    /// What was counted since the table was made.
    #[must_use]
    pub fn stats(&self) -> LeaseStats {
        todo!()
    }
}
