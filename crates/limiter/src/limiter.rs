//! The limiter: tiers over a table of keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::MAX_LIMITS;
use crate::book::TierBook;
use crate::clock::{Readings, held};
use crate::decision::{Outcome, Verdict};
use crate::error::Error;
use crate::key::{KeyHash, KeyHasher, Secret};
use crate::plan::HeldPlan;
use crate::snapshot::{AdoptedPlan, Change, PlanLimit};
use crate::stats::{Counters, Stats};
use crate::store::{Call, Store};
use crate::tier::{TierId, TierRef, TierSpec};

/// How a limiter is made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The tiers in force at first.
    pub tiers: Vec<TierSpec>,
    /// Keys held at once, from 1.
    pub max_keys: usize,
    /// The secret under which keys are hashed; random, and the same as long as what is stored is to be found again.
    pub secret: Secret,
    /// Whether changes are noted for [`Limiter::take_changed`].
    pub durable: bool,
}

/// A correction of an allowed decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Correction {
    /// Thousandths of a token: below 0 gives back, above 0 charges more, even past empty.
    pub delta_milli: i64,
    /// The version of the tiers that decided; see [`Outcome::version`].
    pub version: usize,
    /// When the decision was made. Quotas are corrected only while the period of that instant lasts.
    pub charged_at_ms: u64,
    /// Whether the decision was made on the overflow bucket of its tier.
    pub overflow: bool,
    /// Whether to leave the buckets alone.
    pub quotas_only: bool,
}

/// Decides who may call what, how fast and how much. Any number of threads may share one; best each has a clone of its
/// own, which is the same limiter, so that they don't meet in its counters.
///
/// Times are whole milliseconds since the epoch, costs thousandths of a token. For no key does time run backwards: an
/// instant before the latest one told for it counts as that one; see [`Outcome::behind_ms`].
#[derive(Debug)]
pub struct Limiter {
    core: Arc<Core>,
    /// Where this clone counts.
    lane: usize,
}

#[derive(Debug)]
struct Core {
    book: TierBook,
    keys: Keys,
    hasher: KeyHasher,
    sweeps: Readings,
    counters: Counters,
    clones: AtomicUsize,
}

/// Keys of as many slots as the tiers need.
#[derive(Debug)]
enum Keys {
    Two(Store<2>),
    Four(Store<MAX_LIMITS>),
}

/// Calls whichever store there is.
macro_rules! store {
    ($limiter:ident, $store:ident => $call:expr) => {
        match &$limiter.core.keys {
            Keys::Two($store) => $call,
            Keys::Four($store) => $call,
        }
    };
}

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
        let book = TierBook::new(settings.tiers)?;
        let keys = if book.slot_names().len() <= 2 {
            Keys::Two(Store::new(settings.max_keys, settings.durable))
        } else {
            Keys::Four(Store::new(settings.max_keys, settings.durable))
        };
        let counters = Counters::default();
        counters.reserve(book.names().len());
        let core = Core {
            book,
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
    pub fn places(&self, keys: impl Iterator<Item = KeyHash>, at: impl FnMut(*const u8)) {
        store!(self, store => store.places(keys, at));
    }

    /// The number of a tier that is in force.
    #[must_use]
    pub fn tier_id(&self, name: &str) -> Option<TierId> {
        self.core
            .book
            .tiers()
            .find(|tier| tier.spec().name == name)
            .map(|tier| tier.id)
    }

    /// A tier that is in force.
    ///
    /// # Errors
    /// [`Error::TierUnknown`]
    pub fn tier(&self, id: TierId) -> Result<TierRef<'_>, Error> {
        Ok(self.core.book.tier(id)?.1)
    }

    /// The tiers in force.
    #[must_use]
    pub fn tiers(&self) -> Vec<TierSpec> {
        self.core.book.tiers().map(|tier| tier.spec().clone()).collect()
    }

    /// Counts the reloads, from 0.
    #[must_use]
    pub fn version(&self) -> usize {
        self.core.book.version()
    }

    /// Puts other tiers in force from the next decision on. Keys keep what they have spent: buckets their fraction,
    /// quotas their count.
    ///
    /// # Errors
    /// [`Error::TiersInvalid`]; then nothing has changed.
    pub fn reload(&self, tiers: Vec<TierSpec>) -> Result<(), Error> {
        self.core.counters.reserve(self.core.book.names().len() + tiers.len());
        let slots = store!(self, store => store.slots());
        self.core.book.enact(tiers, slots)
    }

    /// Decides and, if allowed, spends. A cost of 0 always passes and touches nothing.
    ///
    /// # Errors
    /// [`Error::TierUnknown`], [`Error::CostExceedsCapacity`]
    #[inline]
    pub fn consume(&self, key: KeyHash, tier: TierId, cost_milli: u64, now_ms: u64) -> Result<Outcome, Error> {
        let mut outcome = Outcome::default();
        if let Some(tier) = self.decide(key, tier, cost_milli, now_ms, true, &mut outcome)? {
            self.core.counters.count(&tier, &outcome, cost_milli > 0, self.lane);
        }
        Ok(outcome)
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
        if let Some(tier) = self.decide(key, tier, cost_milli, cheap_ms, false, outcome)?
            && outcome.verdict == Verdict::Allowed
        {
            self.core.counters.count(&tier, outcome, cost_milli > 0, self.lane);
            if outcome.behind_ms > 0 {
                outcome.behind_ms = outcome.now_ms.saturating_sub(better_ms());
            }
            return Ok(());
        }
        *outcome = self.consume(key, tier, cost_milli, better_ms())?;
        Ok(())
    }

    /// Decides and, if allowed, spends. None if the key is new, and is not to be taken in; then nothing was decided.
    #[inline]
    fn decide(
        &self,
        key: KeyHash,
        tier: TierId,
        cost_milli: u64,
        now_ms: u64,
        takes_in: bool,
        outcome: &mut Outcome,
    ) -> Result<Option<TierRef<'_>>, Error> {
        let book = &self.core.book;
        let (version, tier) = book.tier(tier)?;
        tier.check_cost(cost_milli)?;
        let now_ms = held(now_ms);
        let call = Call {
            key,
            tier: &tier,
            cost_milli,
            now_ms,
        };
        outcome.version = version;
        if tier.limits.is_empty() {
            outcome.now_ms = now_ms;
        } else if cost_milli == 0 {
            store!(self, store => store.peek(book, &call, self.room_ms(now_ms), outcome));
        } else if !store!(self, store => store.consume_known(book, &call, outcome)) {
            if !takes_in {
                return Ok(None);
            }
            store!(self, store => store.consume_first(book, &call, self.room_ms(now_ms), outcome));
        }
        Ok(Some(tier))
    }

    /// Decides and changes nothing.
    ///
    /// # Errors
    /// [`Error::TierUnknown`], [`Error::CostExceedsCapacity`]
    pub fn peek(&self, key: KeyHash, tier: TierId, cost_milli: u64, now_ms: u64) -> Result<Outcome, Error> {
        let (version, tier) = self.core.book.tier(tier)?;
        tier.check_cost(cost_milli)?;
        let now_ms = held(now_ms);
        let call = Call {
            key,
            tier: &tier,
            cost_milli,
            now_ms,
        };
        let mut outcome = Outcome {
            version,
            ..Outcome::default()
        };
        store!(self, store => store.peek(&self.core.book, &call, self.room_ms(now_ms), &mut outcome));
        Ok(outcome)
    }

    fn room_ms(&self, now_ms: u64) -> u64 {
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
        let tier = self.core.book.tier_of(correction.version, tier)?;
        store!(self, store => store.correct(&self.core.book, key, &tier, correction, instants));
        Ok(())
    }

    /// Forgets a key: its next call is its first.
    pub fn reset(&self, key: KeyHash) {
        store!(self, store => store.reset(key));
    }

    /// Looks at one small part of the table, round and round, and forgets the keys that are as good as new, both now and at
    /// the sweep before.
    pub fn sweep(&self, now_ms: u64) {
        let now_ms = self.core.sweeps.agreed(held(now_ms));
        store!(self, store => {
            store.sweep(&self.core.book, now_ms);
            store.look_for_plans(&self.core.book);
        });
    }

    /// What was counted since the limiter was made.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let (keys, evictions) = store!(self, store => (store.len(), store.evicted()));
        let Core { book, counters, .. } = &*self.core;
        Stats {
            keys,
            evictions,
            tiers: counters.read(&book.names(), &book.slot_names()),
        }
    }

    /// Every key that has changed since the last call, in order. What is not stored after all goes to
    /// [`give_back_changed`](Self::give_back_changed).
    #[must_use]
    pub fn take_changed(&self) -> Vec<KeyHash> {
        store!(self, store => store.take_changed())
    }

    /// Every key that is held, in order, for [`changes`](Self::changes) to tell all that is to be stored.
    #[must_use]
    pub fn keys(&self) -> Vec<KeyHash> {
        store!(self, store => store.keys())
    }

    /// What has become of keys that were taken. It is to be stored, or the keys given back: what changes from now on is a
    /// change again.
    #[must_use]
    pub fn changes(&self, taken: &[KeyHash]) -> Vec<Change> {
        store!(self, store => store.changes(&self.core.book, taken))
    }

    /// Notes keys again whose changes could not be stored.
    pub fn give_back_changed(&self, taken: &[KeyHash]) {
        store!(self, store => store.give_back_changed(taken));
    }

    /// The number of a tier like `plain`, of a version of the tiers, but with other limits; they have names that are known.
    /// Decisions under it count as the plain tier's. It decides until the next reload.
    ///
    /// At most 32,768 of them are held, those that were used last. One that is held no more is [`Error::TierUnknown`] to
    /// every call; made anew it has another number.
    ///
    /// # Errors
    /// [`Error::TierUnknown`] if the version has no such tier; [`Error::TiersInvalid`], [`Error::TooManyPlans`]
    pub fn override_tier(&self, version: usize, plain: TierId, spec: TierSpec) -> Result<TierId, Error> {
        let id = self.core.book.override_tier(version, plain, spec)?;
        store!(self, store => store.look_for_plans(&self.core.book));
        Ok(id)
    }

    /// The limits that a plan stands for.
    #[must_use]
    pub fn plan_limits(&self, plan: &HeldPlan) -> Vec<PlanLimit> {
        self.core.book.plan_limits(plan)
    }

    /// Makes a stored plan known.
    ///
    /// # Errors
    /// [`Error::TooManyPlans`] if too many different ones are stored.
    pub fn adopt(&self, limits: &[PlanLimit]) -> Result<AdoptedPlan, Error> {
        self.core.book.adopt(limits)
    }

    /// Takes up the state of a stored key, which is then not a change.
    ///
    /// # Errors
    /// [`Error::TooManyKeys`]
    pub fn restore(&self, key: KeyHash, at_ms: u64, plan: &AdoptedPlan, spent: [u64; MAX_LIMITS]) -> Result<(), Error> {
        store!(self, store => store.restore(key, at_ms, plan, spent))
    }
}
