//! The keys of a limiter, and what happens to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use dashmap::DashMap;

use crate::MAX_LIMITS;
use crate::book::TierBook;
use crate::decision::{Outcome, Verdict};
use crate::error::Error;
use crate::journal::Journal;
use crate::key::KeyHash;
use crate::limiter::Correction;
use crate::plan::HeldPlan;
use crate::snapshot::{AdoptedPlan, Change, KeySnapshot};
use crate::state::State;
use crate::table::{Full, Table};
use crate::tier::Tier;

/// When less than a quarter of the table is free, the sweep forgets every idle key, not only those as good as new.
const SPARE_SHARE: usize = 4;
/// So many overflow buckets are kept, as a rule more than there are tiers.
const SPARE_OVERFLOW: usize = 1 << 8;

/// A question to decide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) key: KeyHash,
    pub(crate) tier: &'a Tier,
    pub(crate) cost_milli: u64,
    pub(crate) now_ms: u64,
}

/// Keys of `N` slots each.
#[derive(Debug)]
pub(crate) struct Store<const N: usize> {
    table: Table<N>,
    /// One state for all keys of a tier that found no room, by the tier's name.
    overflow: DashMap<String, Arc<Mutex<State<N>>>>,
    /// So many of these are kept without a look whether they are used.
    spare_overflow: AtomicUsize,
    /// Where to go on looking which plans are used.
    looked: Mutex<usize>,
    journal: Option<Journal>,
    evicted: AtomicU64,
}

impl<const N: usize> Store<N> {
    pub(crate) fn new(max_keys: usize, durable: bool) -> Self {
        Self {
            table: Table::new(max_keys),
            overflow: DashMap::new(),
            spare_overflow: AtomicUsize::new(SPARE_OVERFLOW),
            looked: Mutex::default(),
            journal: durable.then(Journal::new),
            evicted: AtomicU64::new(0),
        }
    }

    /// Slots of a key.
    #[expect(clippy::unused_self, reason = "asked of whichever store there is")]
    pub(crate) fn slots(&self) -> usize {
        N
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// As [`Table::places`].
    pub(crate) fn places(&self, keys: impl Iterator<Item = KeyHash>, at: impl FnMut(*const u8)) {
        self.table.places(keys, at);
    }

    /// Keys forgotten by the sweep or to make room.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Decides for a key that is there; returns whether it was.
    #[inline]
    pub(crate) fn consume_known(&self, book: &TierBook, call: &Call<'_>, outcome: &mut Outcome) -> bool {
        self.table
            .update(call.key, |state| self.spend(state, book, call, outcome))
            .is_some()
    }

    #[inline]
    fn spend(&self, state: &mut State<N>, book: &TierBook, call: &Call<'_>, outcome: &mut Outcome) {
        self.mark(call.key, state);
        decide(state, book, call, outcome);
    }

    /// Decides for a key that was not there just now.
    #[cold]
    pub(crate) fn consume_first(&self, book: &TierBook, call: &Call<'_>, room_ms: u64, outcome: &mut Outcome) {
        let new = State::new(call.tier, call.now_ms);
        let spend = |state: &mut State<N>| self.spend(state, book, call, outcome);
        if self.take_in(book, call.key, new, room_ms, spend) == Err(Full) {
            let shared = self.shared(book, call.tier, new, call.now_ms);
            decide(&mut lock(&shared), book, call, outcome);
            outcome.overflow = true;
        }
    }

    /// Takes in a key and changes it; if there is no room for it, keys are forgotten that are idle at `room_ms`.
    fn take_in(
        &self,
        book: &TierBook,
        key: KeyHash,
        new: State<N>,
        room_ms: u64,
        change: impl FnOnce(&mut State<N>),
    ) -> Result<(), Full> {
        let mut forgotten = Vec::new();
        let may_go = |state: &State<N>| state.is_idle(book, room_ms);
        let taken = self.table.insert(key, new, room_ms, may_go, &mut forgotten, change);
        self.count_forgotten(&forgotten);
        taken
    }

    pub(crate) fn peek(&self, book: &TierBook, call: &Call<'_>, room_ms: u64, outcome: &mut Outcome) {
        let Call {
            key,
            tier,
            cost_milli,
            now_ms,
        } = *call;
        let known = self.table.get(key);
        let needs_room = known.is_none() && !tier.limits.is_empty();
        outcome.overflow = needs_room && !self.table.has_room(room_ms, |state| state.is_idle(book, room_ms));
        let state = if outcome.overflow {
            let shared = self.overflow.get(&tier.spec().name).map(|shared| Arc::clone(&shared));
            shared.map(|shared| *lock(&shared))
        } else {
            known
        };
        let mut state = state.unwrap_or_else(|| State::new(tier, now_ms));
        state.enter(tier, book, now_ms);
        outcome.now_ms = state.at_ms();
        outcome.behind_ms = outcome.now_ms - now_ms;
        if cost_milli > 0 {
            outcome.verdict = tier.judge(&state.spent, cost_milli, outcome.now_ms);
        }
        tier.rates.put_in_order(&state.spent, &mut outcome.spent);
    }

    pub(crate) fn correct(
        &self,
        book: &TierBook,
        key: KeyHash,
        tier: &Tier,
        correction: Correction,
        (now_ms, room_ms): (u64, u64),
    ) {
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
        if charges && !correction.overflow && self.take_in(book, key, new, room_ms, apply_and_mark).is_ok() {
            return;
        }
        if charges || correction.overflow {
            apply(&mut lock(&self.shared(book, tier, new, now_ms)));
        }
    }

    pub(crate) fn reset(&self, key: KeyHash) {
        if self.table.remove(key) {
            self.mark_forgotten(&[key]);
        }
    }

    /// Forgets the keys of the next small part of the table that are as good as new, or idle if there is little room.
    pub(crate) fn sweep(&self, book: &TierBook, now_ms: u64) {
        let pressed = self.table.len() > self.table.max_keys() - self.table.max_keys() / SPARE_SHARE;
        let forgotten = self.table.sweep(|state| {
            if pressed {
                state.is_idle(book, now_ms)
            } else {
                state.is_as_new(book, now_ms)
            }
        });
        self.count_forgotten(&forgotten);
    }

    pub(crate) fn take_changed(&self) -> Vec<KeyHash> {
        let mut keys = self.journal.as_ref().map(Journal::take).unwrap_or_default();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    pub(crate) fn keys(&self) -> Vec<KeyHash> {
        let mut keys = self.table.keys();
        keys.sort_unstable();
        keys
    }

    pub(crate) fn changes(&self, book: &TierBook, taken: &[KeyHash]) -> Vec<Change> {
        taken
            .iter()
            .map(|&key| {
                let state = self.table.update(key, |state| {
                    state.clean();
                    let mut spent = [0; MAX_LIMITS];
                    spent[..N].copy_from_slice(&state.spent);
                    Some(KeySnapshot {
                        at_ms: state.at_ms(),
                        plan: HeldPlan(book.plan(state.plan())?),
                        spent,
                    })
                });
                let state = state.flatten();
                Change { key, state }
            })
            .collect()
    }

    pub(crate) fn give_back_changed(&self, taken: &[KeyHash]) {
        for key in taken {
            self.table.update(*key, State::soil);
        }
        self.mark_forgotten(taken);
    }

    pub(crate) fn restore(
        &self,
        key: KeyHash,
        at_ms: u64,
        plan: &AdoptedPlan,
        spent: [u64; MAX_LIMITS],
    ) -> Result<(), Error> {
        let mut slots = [0; N];
        for (slot, stored) in slots.iter_mut().zip(plan.stored_slots) {
            *slot = stored.map_or(0, |stored| spent[stored]);
        }
        let state = State::stored(at_ms, plan.plan.0.id, slots);
        self.table
            .insert(key, state, u64::MAX, |_| false, &mut Vec::new(), |_| ())
            .map_err(|Full| Error::TooManyKeys {
                max_keys: self.table.max_keys(),
            })
    }

    /// What the keys of a tier share that found no room; begins as `new`.
    fn shared(&self, book: &TierBook, tier: &Tier, new: State<N>, now_ms: u64) -> Arc<Mutex<State<N>>> {
        let name = &tier.spec().name;
        if let Some(shared) = self.overflow.get(name).map(|shared| Arc::clone(&shared)) {
            return shared;
        }
        self.forget_idle_overflow(book, now_ms);
        let shared = self
            .overflow
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Mutex::new(new)));
        Arc::clone(&shared)
    }

    /// Forgets the overflow buckets that are full, if there are many.
    fn forget_idle_overflow(&self, book: &TierBook, now_ms: u64) {
        if self.overflow.len() < self.spare_overflow.load(Ordering::Relaxed) {
            return;
        }
        let all: Vec<_> = self
            .overflow
            .iter()
            .map(|entry| (entry.key().clone(), *lock(entry.value())))
            .collect();
        for (name, state) in all.iter().filter(|(_, state)| state.is_idle(book, now_ms)) {
            self.overflow.remove_if(name, |_, shared| {
                Arc::strong_count(shared) == 1 && *lock(shared) == *state
            });
        }
        let spare = SPARE_OVERFLOW.max(2 * self.overflow.len());
        self.spare_overflow.store(spare, Ordering::Relaxed);
    }

    /// If there are many plans, looks at a small part of the table, round and round, which of them are used.
    pub(crate) fn look_for_plans(&self, book: &TierBook) {
        if !book.plans.are_many() {
            return;
        }
        let mut looked = match self.looked.try_lock() {
            Ok(looked) => looked,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let mut last = None;
        let note = |state: &State<N>| {
            if last.replace(state.plan()) != Some(state.plan()) {
                book.plans.note(state.plan());
            }
        };
        *looked = self.table.look(*looked, note).unwrap_or_else(|| {
            let shared: Vec<_> = self.overflow.iter().map(|entry| lock(entry.value()).plan()).collect();
            for plan in shared {
                book.plans.note(plan);
            }
            book.plans.end_round();
            0
        });
    }

    #[inline]
    fn mark(&self, key: KeyHash, state: &mut State<N>) {
        if let Some(journal) = &self.journal
            && state.soil()
        {
            journal.mark(key);
        }
    }

    fn count_forgotten(&self, keys: &[KeyHash]) {
        if !keys.is_empty() {
            self.evicted.fetch_add(keys.len() as u64, Ordering::Relaxed);
            self.mark_forgotten(keys);
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Spends of a key's state what is asked, if every limit has it.
#[inline]
fn decide<const N: usize>(state: &mut State<N>, book: &TierBook, call: &Call<'_>, outcome: &mut Outcome) {
    let Call {
        tier,
        cost_milli,
        now_ms,
        ..
    } = *call;
    state.enter(tier, book, now_ms);
    outcome.now_ms = state.at_ms();
    outcome.behind_ms = outcome.now_ms - now_ms;
    outcome.verdict = tier.judge(&state.spent, cost_milli, outcome.now_ms);
    if outcome.verdict == Verdict::Allowed {
        tier.rates.charge(&mut state.spent, cost_milli);
    }
    tier.rates.put_in_order(&state.spent, &mut outcome.spent);
}
