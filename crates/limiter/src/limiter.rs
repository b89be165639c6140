//! The limiter: tiers over a table of keys. The crossing calls it for each decision, storage for each save and load.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::MAX_LIMITS;
use crate::call::Call;
use crate::clock::{Readings, held};
use crate::correction::Correction;
use crate::cost::SlotCost;
use crate::decision::Outcome;
use crate::error::Error;
use crate::key::{KeyHash, KeyHasher};
use crate::keyspace::{Grant, Keyspace};
use crate::limit::Limit;
use crate::places::TakenPlace;
use crate::settings::Settings;
use crate::stats::{Counters, Stats};
use crate::tier::{Tier, TierId, TierRef, TierSpec};
use crate::tier_versions::TierVersions;
use crate::verdict::Verdict;

/// Decides who may call what, how fast and how much. Any number of threads may share one; best each has a clone of its
/// own, which is the same limiter, so that they don't meet in its counters.
///
/// Times are whole milliseconds since the epoch, costs thousandths of a token. For no key does time run backwards: an
/// instant before the latest one told for it counts as that one; see [`Outcome::behind_ms`].
#[derive(Debug)]
pub struct Limiter {
    pub(crate) core: Arc<Core>,
    /// Where this clone counts.
    lane: usize,
}

#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) tiers: TierVersions,
    pub(crate) keys: Keys,
    hasher: KeyHasher,
    sweeps: Readings,
    counters: Counters,
    clones: AtomicUsize,
}

/// Keys of as many slots as the tiers need.
#[derive(Debug)]
pub(crate) enum Keys {
    Two(Keyspace<2>),
    Four(Keyspace<4>),
    Eight(Keyspace<MAX_LIMITS>),
}

/// Calls whichever keyspace there is.
macro_rules! keyspace {
    ($limiter:ident, $space:ident => $call:expr) => {
        match &$limiter.core.keys {
            $crate::limiter::Keys::Two($space) => $call,
            $crate::limiter::Keys::Four($space) => $call,
            $crate::limiter::Keys::Eight($space) => $call,
        }
    };
}
pub(crate) use keyspace;

impl Clone for Limiter {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            lane: self.core.clones.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }
}

impl Limiter {
    /// # Errors
    /// [`Error::TiersInvalid`]
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let tiers = TierVersions::new(settings.tiers)?;
        let keys = match tiers.slot_names().len() {
            0..=2 => Keys::Two(Keyspace::new(settings.max_keys, settings.durable)),
            3..=4 => Keys::Four(Keyspace::new(settings.max_keys, settings.durable)),
            _ => Keys::Eight(Keyspace::new(settings.max_keys, settings.durable)),
        };
        let counters = Counters::default();
        counters.reserve(tiers.names().len());
        let core = Core {
            tiers,
            keys,
            hasher: KeyHasher::new(&settings.secret),
            sweeps: Readings::default(),
            counters,
            clones: AtomicUsize::new(0),
        };
        Ok(Self {
            core: Arc::new(core),
            lane: 0,
        })
    }

    /// What stands for a key, given as UTF-8.
    #[must_use]
    pub fn hash(&self, key: &str) -> KeyHash {
        self.hash_utf16(&key.encode_utf16().collect::<Vec<_>>())
    }

    /// What stands for a key, given as UTF-16 units, paired or not.
    #[must_use]
    pub fn hash_utf16(&self, units: &[u16]) -> KeyHash {
        self.core.hasher.hash(units)
    }

    /// Tells `at` where in memory the states of keys are that are to be decided for next, if they are so many that it pays
    /// to fetch them all at once. An address is good for a prefetch and nothing else: what is there may move at any time.
    pub fn prefetch_addresses(&self, keys: impl Iterator<Item = KeyHash>, at: impl FnMut(*const u8)) {
        keyspace!(self, space => space.prefetch_addresses(keys, at));
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

    /// Slots of a key: 2, 4 or 8, as many as the first tiers needed. No tier has more limits, so none of an outcome's amounts
    /// after so many says anything.
    #[inline]
    #[must_use]
    pub fn slots(&self) -> usize {
        keyspace!(self, space => space.slots())
    }

    /// Counts the reloads, from 0.
    #[must_use]
    pub fn version(&self) -> usize {
        self.core.tiers.version()
    }

    /// Puts other tiers in force from the next decision on. Keys keep what they have spent: buckets their fraction,
    /// quotas their count.
    ///
    /// # Errors
    /// [`Error::TiersInvalid`]; then nothing has changed.
    pub fn reload(&self, tiers: Vec<TierSpec>) -> Result<(), Error> {
        self.core.counters.reserve(self.core.tiers.names().len() + tiers.len());
        self.core.tiers.enact(tiers, self.slots())
    }

    /// Decides and, if allowed, spends. A cost of 0 always passes and touches nothing.
    ///
    /// # Errors
    /// [`Error::TierUnknown`], [`Error::CostExceedsCapacity`]
    #[inline]
    pub fn consume(&self, key: KeyHash, tier: TierId, cost_milli: u64, now_ms: u64) -> Result<Outcome, Error> {
        let (version, tier) = self.priced(tier, cost_milli)?;
        Ok(self.consume_at(key, (version, &*tier), cost_milli, now_ms))
    }

    /// Does what [`consume`](Self::consume) does by two clocks: a cheap one that lags a little, and a better one, which is
    /// read for a key that is new, and where the first would deny. `outcome` is a default one.
    ///
    /// # Errors
    /// As of [`consume`](Self::consume).
    #[inline]
    pub fn consume_by(
        &self,
        key: KeyHash,
        tier: TierId,
        cost_milli: u64,
        cheap_ms: u64,
        better_ms: impl FnOnce() -> u64,
        outcome: &mut Outcome,
    ) -> Result<(), Error> {
        let (version, priced) = self.priced(tier, cost_milli)?;
        if self.allows_by_cheap(key, (version, &*priced), cost_milli, cheap_ms, outcome) {
            outcome.stand_still_until(better_ms);
        } else {
            *outcome = self.consume(key, tier, cost_milli, better_ms())?;
        }
        Ok(())
    }

    /// A tier that can hold a cost, and its version.
    #[inline]
    fn priced(&self, tier: TierId, cost_milli: u64) -> Result<(usize, TierRef<'_>), Error> {
        let (version, tier) = self.core.tiers.tier(tier)?;
        tier.check_cost(cost_milli)?;
        Ok((version, tier))
    }

    #[inline]
    pub(crate) fn consume_at(&self, key: KeyHash, tier: (usize, &Tier), cost: impl SlotCost, now_ms: u64) -> Outcome {
        let mut outcome = Outcome::default();
        self.decide(key, tier, cost, now_ms, true, &mut outcome);
        self.count(tier.1, cost, &outcome);
        outcome
    }

    /// Whether a cheap clock's instant is enough to allow a call of a known key; else it is to be decided by a better one.
    #[inline]
    pub(crate) fn allows_by_cheap(
        &self,
        key: KeyHash,
        tier: (usize, &Tier),
        cost: impl SlotCost,
        cheap_ms: u64,
        outcome: &mut Outcome,
    ) -> bool {
        let allows = self.decide(key, tier, cost, cheap_ms, false, outcome) && outcome.verdict == Verdict::Allowed;
        if allows {
            self.count(tier.1, cost, outcome);
        }
        allows
    }

    #[inline]
    pub(crate) fn count(&self, tier: &Tier, cost: impl SlotCost, outcome: &Outcome) {
        let overflows = outcome.overflow && !cost.is_nothing();
        self.core.counters.count(tier, outcome.verdict, overflows, self.lane);
    }

    /// Decides and, if allowed, spends; returns whether it did: not where the key is new, and is not to be inserted.
    #[inline]
    fn decide(
        &self,
        key: KeyHash,
        (version, tier): (usize, &Tier),
        cost: impl SlotCost,
        now_ms: u64,
        inserts: bool,
        outcome: &mut Outcome,
    ) -> bool {
        let tiers = &self.core.tiers;
        let now_ms = held(now_ms);
        let call = Call {
            key,
            tier,
            cost,
            now_ms,
            is_final: inserts,
        };
        outcome.version = version;
        if !tier.is_usual {
            if tier.limits.is_empty() {
                outcome.now_ms = now_ms;
            } else {
                return self.decide_placed(&call, inserts, outcome);
            }
        } else if cost.is_nothing() {
            keyspace!(self, space => space.peek(tiers, &call, self.room_ms(now_ms), || key, outcome));
        } else if !keyspace!(self, space => space.consume_known(tiers, &call, outcome)) {
            if !inserts {
                return false;
            }
            keyspace!(self, space => space.consume_first(tiers, &call, self.room_ms(now_ms), outcome));
        }
        true
    }

    /// The same under a tier with limits of concurrency; whether it was decided.
    #[cold]
    fn decide_placed(&self, call: &Call<'_, impl SlotCost>, inserts: bool, outcome: &mut Outcome) -> bool {
        let Call { tier, now_ms, .. } = *call;
        let tiers = &self.core.tiers;
        let shared_holder = || self.shared_holder(&tier.spec().name);
        let room_ms = self.room_ms(now_ms);
        if call.cost.is_nothing() {
            keyspace!(self, space => space.peek(tiers, call, room_ms, shared_holder, outcome));
            return true;
        }
        let room_ms = inserts.then_some(room_ms);
        keyspace!(self, space => space.consume_placed(tiers, call, room_ms, shared_holder, outcome))
    }

    /// Stands for the keys of a tier that found no room: no key's hash is like it.
    pub(crate) fn shared_holder(&self, tier: &str) -> KeyHash {
        KeyHash([0, self.hash(tier).0[1]])
    }

    /// Gives a place back that an allowed decision has taken; whether it was not over, nor given back before.
    #[must_use]
    pub fn release(&self, key: KeyHash, place: &TakenPlace<'_>, now_ms: u64) -> bool {
        let shared_holder = place.overflow.map_or(key, |tier| self.shared_holder(tier));
        keyspace!(self, space => space.release(key, place, shared_holder, held(now_ms)))
    }

    /// Decides and changes nothing.
    ///
    /// # Errors
    /// [`Error::TierUnknown`], [`Error::CostExceedsCapacity`]
    pub fn peek(&self, key: KeyHash, tier: TierId, cost_milli: u64, now_ms: u64) -> Result<Outcome, Error> {
        let (version, tier) = self.priced(tier, cost_milli)?;
        Ok(self.peek_at(key, (version, &*tier), cost_milli, now_ms))
    }

    pub(crate) fn peek_at(
        &self,
        key: KeyHash,
        (version, tier): (usize, &Tier),
        cost: impl SlotCost,
        now_ms: u64,
    ) -> Outcome {
        let now_ms = held(now_ms);
        let call = Call {
            key,
            tier,
            cost,
            now_ms,
            is_final: true,
        };
        let mut outcome = Outcome {
            version,
            ..Outcome::default()
        };
        let shared_holder = || self.shared_holder(&tier.spec().name);
        keyspace!(self, space => space.peek(&self.core.tiers, &call, self.room_ms(now_ms), shared_holder, &mut outcome));
        outcome
    }

    pub(crate) fn room_ms(&self, now_ms: u64) -> u64 {
        self.core.sweeps.borne_out(now_ms)
    }

    /// Corrects an allowed decision, made under a tier. To a key that was forgotten meanwhile there is nothing to give
    /// back; charged more, it begins anew.
    ///
    /// # Errors
    /// [`Error::TierUnknown`]
    pub fn correct(&self, key: KeyHash, tier: TierId, correction: Correction, now_ms: u64) -> Result<(), Error> {
        let now_ms = held(now_ms);
        let instants = (now_ms, self.room_ms(now_ms));
        let tier = self.core.tiers.tier_of(correction.version, tier)?;
        keyspace!(self, space => space.correct(&self.core.tiers, key, &tier, correction, instants));
        Ok(())
    }

    /// Grants thousandths of a token of a quota, the tier's limit of that name: what is spent of it goes down, below
    /// nothing if need be. If it `keeps` them, what is left of them when the period ends is there in the next; a refund
    /// never gives back more than was used. All but that quota stays as it is: the buckets of a new key begin with its first
    /// call.
    ///
    /// # Errors
    /// [`Error::TierUnknown`], [`Error::TooManyRuleSets`]; [`Error::GrantNoQuota`] if that limit is none; [`Error::GrantTooLarge`] if the key would have
    /// been granted more than [`MAX_AMOUNT`](crate::MAX_AMOUNT); [`Error::NoRoom`] for a new key in a full table.
    pub fn grant(
        &self,
        key: KeyHash,
        tier: TierId,
        limit: &str,
        milli: u64,
        keeps: bool,
        now_ms: u64,
    ) -> Result<(), Error> {
        let now_ms = held(now_ms);
        let (_, tier) = self.core.tiers.tier(tier)?;
        let mut named = tier.limits.iter().zip(&tier.spec().limits);
        let (slot, spec) = match named.find(|(_, spec)| spec.name == limit) {
            Some((limit, spec)) if matches!(limit.limit, Limit::Quota(_)) => (limit.slot, spec),
            _ => return Err(Error::GrantNoQuota),
        };
        let only = self.core.tiers.only(&tier, spec.clone())?;
        let grant = Grant {
            key,
            tier: &only,
            slot,
            milli,
            keeps,
            now_ms,
        };
        keyspace!(self, space => space.grant(&self.core.tiers, &grant, self.room_ms(now_ms)))
    }

    /// Forgets a key: its next call is its first, and what it was granted is gone.
    pub fn reset(&self, key: KeyHash) {
        keyspace!(self, space => space.reset(key));
    }

    /// Looks at one small part of the table, round and round, and forgets the keys that are as good as new, both now and at
    /// the sweep before.
    pub fn sweep(&self, now_ms: u64) {
        let now_ms = self.core.sweeps.agreed(held(now_ms));
        keyspace!(self, space => {
            space.sweep(&self.core.tiers, now_ms);
            space.look_for_used_rule_sets(&self.core.tiers);
        });
    }

    /// What was counted since the limiter was made.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (keys, evictions, places) = keyspace!(self, space => (space.len(), space.evicted(), space.places_held()));
        let Core { tiers, counters, .. } = &*self.core;
        Stats {
            keys,
            evictions,
            places,
            tiers: counters.read(&tiers.names(), &tiers.slot_names()),
        }
    }

    /// The number of a tier like `plain`, of a version of the tiers, but with other limits; they have names that are known.
    /// Decisions under it count as the plain tier's. It decides until the next reload.
    ///
    /// At most 32,768 of them are held, those that were used last. One that is held no more is [`Error::TierUnknown`] to
    /// every call; made anew it has another number.
    ///
    /// # Errors
    /// [`Error::TierUnknown`] if the version has no such tier; [`Error::TiersInvalid`], [`Error::TooManyRuleSets`]
    pub fn override_tier(&self, version: usize, plain: TierId, spec: TierSpec) -> Result<TierId, Error> {
        let id = self.core.tiers.override_tier(version, plain, spec)?;
        keyspace!(self, space => space.look_for_used_rule_sets(&self.core.tiers));
        Ok(id)
    }
}
