//! The limiter: tiers over a table of keys.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::MAX_LIMITS;
use crate::clock::Clock;
use crate::decision::{Outcome, Verdict};
use crate::error::Error;
use crate::journal::Journal;
use crate::key::{KeyHash, KeyHasher, Secret};
use crate::snapshot::{AdoptedPlan, Change, KeySnapshot, PlanLimit};
use crate::state::State;
use crate::stats::{Counters, Stats};
use crate::table::{Full, Table};
use crate::tier::{PlanId, Tier, TierBook, TierId, TierSpec};

/// When less than a quarter of the table is free, the sweep forgets every idle key, not only those as good as new.
const SPARE_SHARE: usize = 4;

/// How a limiter is made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The tiers in force at first.
    pub tiers: Vec<TierSpec>,
    /// Keys held at once, from 1.
    pub max_keys: usize,
    /// The secret under which keys are hashed; random, and the same as long as what is stored is to be found again.
    pub secret: Secret,
    /// Whether changes are noted for [`Limiter::take_changes`].
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

/// Decides who may call what, how fast and how much. Shared by any number of threads.
///
/// Times are whole milliseconds since the epoch, costs thousandths of a token. Time never runs backwards: an instant
/// before the latest one told counts as the latest.
#[derive(Debug)]
pub struct Limiter {
    book: TierBook,
    keys: Box<dyn Keys>,
    hasher: KeyHasher,
    clock: Clock,
    counters: Counters,
}

impl Limiter {
    /// # Errors
    /// [`Error::TiersInvalid`]
    pub fn new(settings: Settings) -> Result<Self, Error> {
        let book = TierBook::new(settings.tiers)?;
        let journal = settings.durable.then(Journal::new);
        let keys: Box<dyn Keys> = if book.slot_names().len() <= 2 {
            Box::new(Store::<2>::new(settings.max_keys, journal))
        } else {
            Box::new(Store::<MAX_LIMITS>::new(settings.max_keys, journal))
        };
        let counters = Counters::default();
        counters.reserve(book.names().len());
        Ok(Self {
            book,
            keys,
            hasher: KeyHasher::new(&settings.secret),
            clock: Clock::default(),
            counters,
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
        self.hasher.hash(units)
    }

    /// The number of a tier that is in force.
    #[must_use]
    pub fn tier_id(&self, name: &str) -> Option<TierId> {
        self.book
            .tiers()
            .find(|tier| tier.spec().name == name)
            .map(|tier| tier.id)
    }

    /// A tier that is in force.
    ///
    /// # Errors
    /// [`Error::TierUnknown`]
    pub fn tier(&self, id: TierId) -> Result<&Tier, Error> {
        Ok(self.book.tier(id)?.1)
    }

    /// The tiers in force.
    #[must_use]
    pub fn tiers(&self) -> Vec<TierSpec> {
        self.book.tiers().map(|tier| tier.spec().clone()).collect()
    }

    /// Counts the reloads, from 0.
    #[must_use]
    pub fn version(&self) -> usize {
        self.book.version()
    }

    /// Puts other tiers in force from the next decision on. Keys keep what they have spent: buckets their fraction,
    /// quotas their count.
    ///
    /// # Errors
    /// [`Error::TiersInvalid`]; then nothing has changed.
    pub fn reload(&self, tiers: Vec<TierSpec>) -> Result<(), Error> {
        self.counters.reserve(self.book.names().len() + tiers.len());
        self.book.enact(tiers, self.keys.slots())
    }

    /// Decides and, if allowed, spends. A cost of 0 always passes and touches nothing.
    ///
    /// # Errors
    /// [`Error::TierUnknown`], [`Error::CostExceedsCapacity`]
    #[inline]
    pub fn consume(&self, key: KeyHash, tier: TierId, cost_milli: u64, now_ms: u64) -> Result<Outcome, Error> {
        let (version, tier) = self.book.tier(tier)?;
        tier.check_cost(cost_milli)?;
        let now_ms = self.clock.observe(now_ms);
        let outcome = if tier.limits.is_empty() {
            Outcome {
                verdict: Verdict::Allowed,
                overflow: false,
                version,
                now_ms,
                spent: [0; MAX_LIMITS],
            }
        } else if cost_milli == 0 {
            self.keys.peek(self, version, key, tier, 0, now_ms)
        } else {
            self.keys.consume(self, version, key, tier, cost_milli, now_ms)
        };
        self.counters.count(
            tier.id,
            |limit| tier.limits[usize::from(limit)].slot,
            outcome.verdict,
            key,
        );
        Ok(outcome)
    }

    /// Decides and changes nothing.
    ///
    /// # Errors
    /// [`Error::TierUnknown`], [`Error::CostExceedsCapacity`]
    pub fn peek(&self, key: KeyHash, tier: TierId, cost_milli: u64, now_ms: u64) -> Result<Outcome, Error> {
        let (version, tier) = self.book.tier(tier)?;
        tier.check_cost(cost_milli)?;
        Ok(self
            .keys
            .peek(self, version, key, tier, cost_milli, self.clock.observe(now_ms)))
    }

    /// Corrects an allowed decision, made under a tier. To a key that was forgotten meanwhile there is nothing to give
    /// back; charged more, it begins anew.
    ///
    /// # Errors
    /// [`Error::TierUnknown`]
    pub fn correct(&self, key: KeyHash, tier: TierId, correction: Correction, now_ms: u64) -> Result<(), Error> {
        let now_ms = self.clock.observe(now_ms);
        let tier = self.book.tier_of(correction.version, tier)?;
        self.keys.correct(&self.book, key, tier, correction, now_ms);
        Ok(())
    }

    /// Forgets a key: its next call is its first.
    pub fn reset(&self, key: KeyHash) {
        self.keys.reset(key);
    }

    /// Looks at one small part of the table, round and round, and forgets the keys that are as good as new.
    pub fn sweep(&self, now_ms: u64) {
        let forgotten = self.keys.sweep(&self.book, self.clock.observe(now_ms));
        self.counters.evictions.fetch_add(forgotten as u64, Ordering::Relaxed);
    }

    /// What was counted since the limiter was made.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            keys: self.keys.len(),
            evictions: self.counters.evictions.load(Ordering::Relaxed),
            overflow: self.counters.overflow.load(Ordering::Relaxed),
            tiers: self.counters.read(&self.book.names(), &self.book.slot_names()),
        }
    }

    /// Every key that has changed since the last call, with its state. What is not stored after all goes to
    /// [`give_back_changes`](Self::give_back_changes).
    #[must_use]
    pub fn take_changes(&self) -> Vec<Change> {
        self.keys.take_changes()
    }

    /// Notes changes again that could not be stored.
    pub fn give_back_changes(&self, changes: &[Change]) {
        self.keys.give_back_changes(changes);
    }

    /// The limits that a plan stands for.
    #[must_use]
    pub fn plan_limits(&self, plan: PlanId) -> Vec<PlanLimit> {
        self.book.plan_limits(plan)
    }

    /// Makes a stored plan known.
    ///
    /// # Errors
    /// [`Error::TiersInvalid`] if too many different ones are stored.
    pub fn adopt(&self, limits: &[PlanLimit]) -> Result<AdoptedPlan, Error> {
        self.book.adopt(limits)
    }

    /// Takes up the state of a stored key, which is then not a change.
    ///
    /// # Errors
    /// [`Error::TooManyKeys`]
    pub fn restore(&self, key: KeyHash, at_ms: u64, plan: AdoptedPlan, spent: [u64; MAX_LIMITS]) -> Result<(), Error> {
        self.keys.restore(key, at_ms, plan, spent)
    }
}

/// What a limiter does with its keys, whatever number of slots each has.
trait Keys: Debug + Send + Sync {
    fn slots(&self) -> usize;
    fn len(&self) -> usize;
    fn consume(
        &self,
        limiter: &Limiter,
        version: usize,
        key: KeyHash,
        tier: &Tier,
        cost_milli: u64,
        now_ms: u64,
    ) -> Outcome;
    fn peek(
        &self,
        limiter: &Limiter,
        version: usize,
        key: KeyHash,
        tier: &Tier,
        cost_milli: u64,
        now_ms: u64,
    ) -> Outcome;
    fn correct(&self, book: &TierBook, key: KeyHash, tier: &Tier, correction: Correction, now_ms: u64);
    fn reset(&self, key: KeyHash);
    fn sweep(&self, book: &TierBook, now_ms: u64) -> usize;
    fn take_changes(&self) -> Vec<Change>;
    fn give_back_changes(&self, changes: &[Change]);
    fn restore(&self, key: KeyHash, at_ms: u64, plan: AdoptedPlan, spent: [u64; MAX_LIMITS]) -> Result<(), Error>;
}

/// Keys of `N` slots each.
#[derive(Debug)]
struct Store<const N: usize> {
    table: Table<N>,
    /// One state for all keys of a tier that found no room.
    overflow: Mutex<HashMap<TierId, State<N>>>,
    journal: Option<Journal>,
}

impl<const N: usize> Store<N> {
    fn new(max_keys: usize, journal: Option<Journal>) -> Self {
        Self {
            table: Table::new(max_keys),
            overflow: Mutex::default(),
            journal,
        }
    }

    fn overflow(&self) -> MutexGuard<'_, HashMap<TierId, State<N>>> {
        self.overflow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mark(&self, key: KeyHash, state: &mut State<N>) {
        if let Some(journal) = &self.journal
            && state.soil()
        {
            journal.mark(key);
        }
    }

    fn mark_forgotten(&self, keys: &[KeyHash]) {
        if let Some(journal) = &self.journal {
            for key in keys {
                journal.mark(*key);
            }
        }
    }
}

impl<const N: usize> Keys for Store<N> {
    fn slots(&self) -> usize {
        N
    }

    fn len(&self) -> usize {
        self.table.len()
    }

    fn consume(
        &self,
        limiter: &Limiter,
        version: usize,
        key: KeyHash,
        tier: &Tier,
        cost_milli: u64,
        now_ms: u64,
    ) -> Outcome {
        let book = &limiter.book;
        let spend = |state: &mut State<N>| {
            state.enter(tier, book, now_ms);
            let verdict = tier.judge(&state.spent, cost_milli, state.at_ms());
            if verdict == Verdict::Allowed {
                // No cost that passes is as large as 2^51.
                state.charge(tier, cost_milli.cast_signed());
            }
            Outcome {
                verdict,
                overflow: false,
                version,
                now_ms: state.at_ms(),
                spent: state.spent_of(tier),
            }
        };
        let spend_and_mark = |state: &mut State<N>| {
            self.mark(key, state);
            spend(state)
        };
        if let Some(outcome) = self.table.update(key, spend_and_mark) {
            return outcome;
        }
        let mut forgotten = Vec::new();
        let new = State::new(tier, now_ms);
        let may_go = |state: &State<N>| state.is_idle(book, now_ms);
        let outcome = self
            .table
            .insert(key, new, now_ms, may_go, &mut forgotten, spend_and_mark);
        if !forgotten.is_empty() {
            limiter
                .counters
                .evictions
                .fetch_add(forgotten.len() as u64, Ordering::Relaxed);
            self.mark_forgotten(&forgotten);
        }
        outcome.unwrap_or_else(|Full| {
            limiter.counters.overflow.fetch_add(1, Ordering::Relaxed);
            let mut shared = self.overflow();
            Outcome {
                overflow: true,
                ..spend(shared.entry(tier.id).or_insert(new))
            }
        })
    }

    fn peek(
        &self,
        limiter: &Limiter,
        version: usize,
        key: KeyHash,
        tier: &Tier,
        cost_milli: u64,
        now_ms: u64,
    ) -> Outcome {
        let known = self.table.get(key);
        let shared = match known {
            None if self.table.is_full() => self.overflow().get(&tier.id).copied(),
            _ => None,
        };
        let mut state = known.or(shared).unwrap_or_else(|| State::new(tier, now_ms));
        state.enter(tier, &limiter.book, now_ms);
        let now_ms = state.at_ms();
        let verdict = if cost_milli == 0 {
            Verdict::Allowed
        } else {
            tier.judge(&state.spent, cost_milli, now_ms)
        };
        Outcome {
            verdict,
            overflow: shared.is_some(),
            version,
            now_ms,
            spent: state.spent_of(tier),
        }
    }

    fn correct(&self, book: &TierBook, key: KeyHash, tier: &Tier, correction: Correction, now_ms: u64) {
        let apply = |state: &mut State<N>| {
            state.advance(book, now_ms);
            state.correct(tier, book, correction);
        };
        let apply_and_mark = |state: &mut State<N>| {
            self.mark(key, state);
            apply(state);
        };
        if !correction.overflow && self.table.update(key, apply_and_mark).is_some() {
            return;
        }
        let charges = correction.delta_milli > 0 && !tier.limits.is_empty();
        let new = State::new(tier, now_ms);
        if charges && !correction.overflow {
            let never = |_: &State<N>| false;
            let inserted = self
                .table
                .insert(key, new, now_ms, never, &mut Vec::new(), apply_and_mark);
            if inserted.is_ok() {
                return;
            }
        }
        if charges || correction.overflow {
            let mut shared = self.overflow();
            apply(shared.entry(tier.id).or_insert(new));
        }
    }

    fn reset(&self, key: KeyHash) {
        if self.table.remove(key) {
            self.mark_forgotten(&[key]);
        }
    }

    fn sweep(&self, book: &TierBook, now_ms: u64) -> usize {
        let pressed = self.table.len() > self.table.max_keys() - self.table.max_keys() / SPARE_SHARE;
        let forgotten = self.table.sweep(|state| {
            if pressed {
                state.is_idle(book, now_ms)
            } else {
                state.is_as_new(book, now_ms)
            }
        });
        self.mark_forgotten(&forgotten);
        forgotten.len()
    }

    fn take_changes(&self) -> Vec<Change> {
        let mut keys = self.journal.as_ref().map(Journal::take).unwrap_or_default();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter()
            .map(|key| {
                let state = self.table.update(key, |state| {
                    state.clean();
                    let mut spent = [0; MAX_LIMITS];
                    spent[..N].copy_from_slice(&state.spent);
                    KeySnapshot {
                        at_ms: state.at_ms(),
                        plan: state.plan(),
                        spent,
                    }
                });
                Change { key, state }
            })
            .collect()
    }

    fn give_back_changes(&self, changes: &[Change]) {
        for Change { key, .. } in changes {
            self.table.update(*key, State::soil);
            self.mark_forgotten(&[*key]);
        }
    }

    fn restore(&self, key: KeyHash, at_ms: u64, plan: AdoptedPlan, spent: [u64; MAX_LIMITS]) -> Result<(), Error> {
        let mut slots = [0; N];
        for (slot, stored) in slots.iter_mut().zip(plan.stored_slots) {
            *slot = stored.map_or(0, |stored| spent[stored]);
        }
        let state = State::stored(at_ms, plan.plan, slots);
        self.table
            .insert(key, state, u64::MAX, |_| false, &mut Vec::new(), |_| ())
            .map_err(|Full| Error::TooManyKeys {
                max_keys: self.table.max_keys(),
            })
    }
}
