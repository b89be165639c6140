//! The keys of a limiter, and what happens to them: each call of the limiter is one of its methods, over the table.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use dashmap::DashMap;

use crate::MAX_LIMITS;
use crate::correction::Correction;
use crate::cost::SlotCost;
use crate::credit::{Credit, Credits, KeyCredits};
use crate::decision::Outcome;
use crate::error::Error;
use crate::journal::Journal;
use crate::key::KeyHash;
use crate::limit::Limit;
use crate::places::{Places, TakenPlace};
use crate::rule_set::HeldRuleSet;
use crate::snapshot::{AdoptedRuleSet, Change, KeySnapshot};
use crate::state::State;
use crate::table::{Full, Table};
use crate::tier::Tier;
use crate::tier_versions::TierVersions;
use crate::verdict::Verdict;

/// When less than a quarter of the table is free, the sweep forgets every idle key, not only those as good as new.
const SPARE_SHARE: usize = 4;
/// So many overflow buckets are kept, as a rule more than there are tiers.
const SPARE_OVERFLOW: usize = 1 << 8;

/// A question to decide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a, C> {
    pub(crate) key: KeyHash,
    pub(crate) tier: &'a Tier,
    pub(crate) cost: C,
    pub(crate) now_ms: u64,
    /// Whether a denial stands, so that it may begin a block, and is not asked again by a better clock.
    pub(crate) is_final: bool,
}

/// Tokens to grant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grant<'a> {
    pub(crate) key: KeyHash,
    /// Of nothing but the quota, under whose rule the key's slot of it is then.
    pub(crate) tier: &'a Tier,
    pub(crate) slot: usize,
    pub(crate) milli: u64,
    pub(crate) keeps: bool,
    pub(crate) now_ms: u64,
}

/// One state for all keys of a tier that found no room.
pub(crate) type Shared<const N: usize> = Arc<Mutex<State<N>>>;

/// Keys of `N` slots each.
#[derive(Debug)]
pub(crate) struct Keyspace<const N: usize> {
    pub(crate) table: Table<N>,
    pub(crate) places: Places,
    /// By the tier's name.
    overflow: DashMap<String, Shared<N>>,
    /// So many of these are kept without a look whether they are used.
    spare_overflow: AtomicUsize,
    /// Where to go on looking which rule sets are used.
    looked: Mutex<usize>,
    journal: Option<Journal>,
    evicted: AtomicU64,
}

impl<const N: usize> Keyspace<N> {
    pub(crate) fn new(max_keys: usize, durable: bool) -> Self {
        Self {
            table: Table::new(max_keys),
            places: Places::default(),
            overflow: DashMap::new(),
            spare_overflow: AtomicUsize::new(SPARE_OVERFLOW),
            looked: Mutex::default(),
            journal: durable.then(Journal::new),
            evicted: AtomicU64::new(0),
        }
    }

    /// Slots of a key.
    #[expect(clippy::unused_self, reason = "asked of whichever keyspace there is")]
    pub(crate) fn slots(&self) -> usize {
        N
    }

    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }

    /// As [`Table::prefetch_addresses`].
    pub(crate) fn prefetch_addresses(&self, keys: impl Iterator<Item = KeyHash>, at: impl FnMut(*const u8)) {
        self.table.prefetch_addresses(keys, at);
    }

    /// Keys forgotten by the sweep or to make room.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// As [`Places::held`].
    pub(crate) fn places_held(&self) -> usize {
        self.places.held()
    }

    /// Decides for a key that is there; returns whether it was.
    #[inline]
    pub(crate) fn consume_known(
        &self,
        tiers: &TierVersions,
        call: &Call<'_, impl SlotCost>,
        outcome: &mut Outcome,
    ) -> bool {
        self.table
            .update(call.key, |state, credits| {
                self.spend(state, tiers, call, credits, outcome);
            })
            .is_some()
    }

    #[inline]
    fn spend(
        &self,
        state: &mut State<N>,
        tiers: &TierVersions,
        call: &Call<'_, impl SlotCost>,
        credits: KeyCredits<'_, N>,
        outcome: &mut Outcome,
    ) {
        self.mark(call.key, state);
        decide(state, tiers, call, || credits.find(), outcome);
    }

    /// Decides for a key that was not there just now.
    #[cold]
    pub(crate) fn consume_first(
        &self,
        tiers: &TierVersions,
        call: &Call<'_, impl SlotCost>,
        room_ms: u64,
        outcome: &mut Outcome,
    ) {
        let new = State::new(call.tier, call.now_ms);
        let spend = |state: &mut State<N>, credits: KeyCredits<'_, N>| self.spend(state, tiers, call, credits, outcome);
        if self.insert(tiers, call.key, new, room_ms, spend) == Err(Full) {
            let shared = self.shared(tiers, call.tier, new, call.now_ms);
            decide(&mut lock(&shared), tiers, call, || None, outcome);
            outcome.overflow = true;
        }
    }

    /// Decides for a key under a tier with limits of concurrency, of which an allowed call takes its place; returns whether
    /// it was decided: a key that is not there is inserted only if `room_ms` is given. `shared_holder` stands for the keys of
    /// the tier that found no room.
    #[cold]
    pub(crate) fn consume_placed(
        &self,
        tiers: &TierVersions,
        call: &Call<'_, impl SlotCost>,
        room_ms: Option<u64>,
        shared_holder: impl FnOnce() -> KeyHash,
        outcome: &mut Outcome,
    ) -> bool {
        let number = self.places.number();
        let known = self.table.update(call.key, |state, credits| {
            self.mark(call.key, state);
            self.decide_placed(state, tiers, call, (call.key, number), || credits.find(), outcome);
        });
        if known.is_some() {
            return true;
        }
        let Some(room_ms) = room_ms else { return false };
        let new = State::new(call.tier, call.now_ms);
        let inserted = self.insert(tiers, call.key, new, room_ms, |state, credits| {
            self.mark(call.key, state);
            self.decide_placed(state, tiers, call, (call.key, number), || credits.find(), outcome);
        });
        if inserted == Err(Full) {
            let shared = self.shared(tiers, call.tier, new, call.now_ms);
            let place = (shared_holder(), number);
            self.decide_placed(&mut lock(&shared), tiers, call, place, || None, outcome);
            outcome.overflow = true;
        }
        true
    }

    /// Decides on the state that a call is counted by, as whose holder it takes places if it passes.
    pub(crate) fn decide_as<'c>(
        &self,
        state: &mut State<N>,
        tiers: &TierVersions,
        call: &Call<'_, impl SlotCost>,
        holder: KeyHash,
        credits: impl FnOnce() -> Option<&'c mut Credits<N>>,
        outcome: &mut Outcome,
    ) {
        if call.tier.is_usual {
            decide(state, tiers, call, credits, outcome);
        } else {
            let place = (holder, self.places.number());
            self.decide_placed(state, tiers, call, place, credits, outcome);
        }
    }

    /// As [`decide`], where a call that passes takes the place of a number.
    fn decide_placed<'c>(
        &self,
        state: &mut State<N>,
        tiers: &TierVersions,
        call: &Call<'_, impl SlotCost>,
        (holder, number): (KeyHash, u64),
        credits: impl FnOnce() -> Option<&'c mut Credits<N>>,
        outcome: &mut Outcome,
    ) {
        let Call {
            tier,
            cost,
            now_ms,
            is_final,
            ..
        } = *call;
        state.bring_to(tier, tiers, now_ms, credits);
        outcome.now_ms = state.at_ms();
        outcome.behind_ms = outcome.now_ms - now_ms;
        let mut standing = state.spent;
        self.places.stand(holder, tier, outcome.now_ms, &mut standing);
        outcome.verdict = tier.longest_wait(&standing, cost, outcome.now_ms);
        if outcome.verdict == Verdict::Allowed {
            cost.charge(&tier.rates, &mut state.spent);
            if self
                .places
                .take(holder, (tier, cost), number, outcome.now_ms, &mut state.spent)
            {
                outcome.place = number;
            }
        } else if tier.blocks && is_final {
            tier.block(&mut state.spent, cost);
        }
        standing = state.spent;
        self.places.stand(holder, tier, outcome.now_ms, &mut standing);
        tier.rates.put_in_order(&standing, &mut outcome.spent);
    }

    /// Gives a place back; whether it was not over. `shared_holder` is that of the tier on whose overflow bucket it was taken.
    pub(crate) fn release(&self, key: KeyHash, place: &TakenPlace<'_>, shared_holder: KeyHash, now_ms: u64) -> bool {
        let release = |holder: KeyHash, state: &mut State<N>| {
            let now_ms = now_ms.max(state.at_ms());
            self.places.release(holder, place, now_ms, &mut state.spent)
        };
        match place.overflow {
            None => self.table.update(key, |state, _| release(key, state)).unwrap_or(false),
            Some(tier) => {
                let shared = self.overflow.get(tier).map(|shared| Arc::clone(&shared));
                shared.is_some_and(|shared| release(shared_holder, &mut lock(&shared)))
            }
        }
    }

    /// Takes in a key and changes it; if there is no room for it, keys are forgotten that are idle at `room_ms`.
    fn insert(
        &self,
        tiers: &TierVersions,
        key: KeyHash,
        new: State<N>,
        room_ms: u64,
        change: impl FnOnce(&mut State<N>, KeyCredits<'_, N>),
    ) -> Result<(), Full> {
        let mut forgotten = Vec::new();
        let may_go = |state: &State<N>, credits: Option<&Credits<N>>| state.is_idle(tiers, room_ms, credits);
        let inserted = self
            .table
            .insert(key, new, room_ms, may_go, &mut forgotten, |state, credits, is_new| {
                if is_new {
                    self.places.forget(key, N);
                }
                change(state, credits);
            });
        self.count_forgotten(&forgotten);
        inserted
    }

    /// `shared_holder` is as of [`consume_placed`](Self::consume_placed).
    pub(crate) fn peek(
        &self,
        tiers: &TierVersions,
        call: &Call<'_, impl SlotCost>,
        room_ms: u64,
        shared_holder: impl FnOnce() -> KeyHash,
        outcome: &mut Outcome,
    ) {
        let Call {
            key,
            tier,
            cost,
            now_ms,
            ..
        } = *call;
        let known = self.table.get(key);
        let needs_room = known.is_none() && !tier.limits.is_empty();
        let may_go = |state: &State<N>, credits: Option<&Credits<N>>| state.is_idle(tiers, room_ms, credits);
        outcome.overflow = needs_room && !self.table.has_room(room_ms, may_go);
        let known = if outcome.overflow {
            let shared = self.overflow.get(&tier.spec().name).map(|shared| Arc::clone(&shared));
            shared.map(|shared| (*lock(&shared), None))
        } else {
            known
        };
        let is_known = known.is_some();
        let (mut state, mut credits) = known.unwrap_or_else(|| (State::new(tier, now_ms), None));
        state.bring_to(tier, tiers, now_ms, || credits.as_mut());
        outcome.now_ms = state.at_ms();
        outcome.behind_ms = outcome.now_ms - now_ms;
        let mut standing = state.spent;
        if !tier.is_usual && is_known {
            let holder = if outcome.overflow { shared_holder() } else { key };
            self.places.stand(holder, tier, outcome.now_ms, &mut standing);
        }
        if !cost.is_nothing() {
            outcome.verdict = if tier.is_usual {
                tier.verdict(&standing, cost, outcome.now_ms)
            } else {
                tier.longest_wait(&standing, cost, outcome.now_ms)
            };
        }
        tier.rates.put_in_order(&standing, &mut outcome.spent);
    }

    pub(crate) fn correct(
        &self,
        tiers: &TierVersions,
        key: KeyHash,
        tier: &Tier,
        correction: Correction,
        (now_ms, room_ms): (u64, u64),
    ) {
        let charges = correction.delta.charges(tier.limits.len());
        let apply = |state: &mut State<N>, mut credits: Option<&mut Credits<N>>| {
            // What a call of nothing cost after all is the first that its key spends, be it that it has held places.
            if charges && state.counts_nothing(tiers) {
                state.bring_to(tier, tiers, now_ms, || credits.as_deref_mut());
            }
            state.advance(tiers, now_ms, credits.as_deref_mut());
            state.correct(tier, tiers, correction, credits.as_deref());
        };
        let apply_and_mark = |state: &mut State<N>, credits: KeyCredits<'_, N>| {
            self.mark(key, state);
            apply(state, credits.find());
        };
        if !correction.overflow && self.table.update(key, apply_and_mark).is_some() {
            return;
        }
        let new = State::new(tier, now_ms);
        if charges && !correction.overflow && self.insert(tiers, key, new, room_ms, apply_and_mark).is_ok() {
            return;
        }
        if charges || correction.overflow {
            apply(&mut lock(&self.shared(tiers, tier, new, now_ms)), None);
        }
    }

    /// Grants thousandths of a token of a quota.
    pub(crate) fn grant(&self, tiers: &TierVersions, grant: &Grant<'_>, room_ms: u64) -> Result<(), Error> {
        let Grant {
            key,
            tier,
            slot,
            milli,
            keeps,
            now_ms,
        } = *grant;
        let mut granted = false;
        let give = |state: &mut State<N>, mut credits: KeyCredits<'_, N>| {
            self.mark(key, state);
            state.bring_to(tier, tiers, now_ms, || credits.get());
            granted = state.grant(slot, milli, keeps, credits.obtain());
            credits.tidy();
        };
        let new = State::new(tier, now_ms);
        self.insert(tiers, key, new, room_ms, give)
            .map_err(|Full| Error::NoRoom {
                max_keys: self.table.max_keys(),
            })?;
        if granted { Ok(()) } else { Err(Error::GrantTooLarge) }
    }

    pub(crate) fn reset(&self, key: KeyHash) {
        if self.table.remove(key, || self.places.forget(key, N)) {
            self.mark_forgotten(&[key]);
        }
    }

    /// Forgets the keys of the next small part of the table that are as good as new, or idle if there is little room.
    pub(crate) fn sweep(&self, tiers: &TierVersions, now_ms: u64) {
        let pressed = self.table.len() > self.table.max_keys() - self.table.max_keys() / SPARE_SHARE;
        let forgotten = self.table.sweep(|state, credits| {
            if pressed {
                state.is_idle(tiers, now_ms, credits)
            } else {
                state.is_as_new(tiers, now_ms, credits)
            }
        });
        self.count_forgotten(&forgotten);
        self.places.sweep(now_ms);
    }

    pub(crate) fn drain_changed(&self) -> Vec<KeyHash> {
        let mut keys = self.journal.as_ref().map(Journal::drain).unwrap_or_default();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    pub(crate) fn keys(&self) -> Vec<KeyHash> {
        let mut keys = self.table.keys();
        keys.sort_unstable();
        keys
    }

    pub(crate) fn changes(&self, tiers: &TierVersions, keys: &[KeyHash]) -> Vec<Change> {
        keys.iter()
            .map(|&key| {
                let state = self.table.update(key, |state, credits| {
                    state.mark_clean();
                    let rule_set = tiers.rule_set(state.rule_set())?;
                    if rule_set.counts_nothing() {
                        return None;
                    }
                    let mut used = [0; MAX_LIMITS];
                    for ((used, spent), slot) in used.iter_mut().zip(state.spent).zip(&rule_set.slots) {
                        if slot.as_ref().is_none_or(|slot| slot.rule.is_kept()) {
                            *used = spent;
                        }
                    }
                    let mut all = [Credit::NONE; MAX_LIMITS];
                    if let Some(credits) = credits.find() {
                        all[..N].copy_from_slice(credits);
                        for (used, credit) in used.iter_mut().zip(&all) {
                            *used = credit.used(*used);
                        }
                    }
                    Some(KeySnapshot {
                        at_ms: state.at_ms(),
                        rule_set: HeldRuleSet(rule_set),
                        used,
                        credits: all,
                    })
                });
                let state = state.flatten();
                Change { key, state }
            })
            .collect()
    }

    pub(crate) fn give_back_changed(&self, keys: &[KeyHash]) {
        for key in keys {
            self.table.update(*key, |state, _| state.mark_dirty());
        }
        self.mark_forgotten(keys);
    }

    pub(crate) fn restore(
        &self,
        key: KeyHash,
        at_ms: u64,
        rule_set: &AdoptedRuleSet,
        used: [u64; MAX_LIMITS],
        credits: [Credit; MAX_LIMITS],
    ) -> Result<(), Error> {
        let mut slots = [0; N];
        let mut own = [Credit::NONE; N];
        let stored = rule_set.stored_slots.iter().zip(&rule_set.rule_set.0.slots);
        for ((slot, credit), (stored, present)) in slots.iter_mut().zip(&mut own).zip(stored) {
            let Some(stored) = *stored else { continue };
            // Of a bucket nobody can be granted anything, whatever a file says.
            if present
                .as_ref()
                .is_some_and(|present| matches!(present.limit, Limit::Quota(_)))
            {
                *credit = credits[stored];
            }
            *slot = credit.spent(used[stored]);
        }
        let state = State::stored(at_ms, rule_set.rule_set.0.id, slots);
        let give = |_: &mut State<N>, mut credits: KeyCredits<'_, N>, _| {
            if own.iter().any(|credit| !credit.is_none()) {
                *credits.obtain() = own;
            }
        };
        self.table
            .insert(key, state, u64::MAX, |_, _| false, &mut Vec::new(), give)
            .map_err(|Full| Error::TooManyKeys {
                max_keys: self.table.max_keys(),
            })
    }

    /// What the keys of a tier share that found no room; begins as `new`.
    pub(crate) fn shared(&self, tiers: &TierVersions, tier: &Tier, new: State<N>, now_ms: u64) -> Shared<N> {
        let name = &tier.spec().name;
        if let Some(shared) = self.overflow.get(name).map(|shared| Arc::clone(&shared)) {
            return shared;
        }
        self.forget_idle_overflow(tiers, now_ms);
        let shared = self
            .overflow
            .entry(name.clone())
            .or_insert_with(|| Arc::new(Mutex::new(new)));
        Arc::clone(&shared)
    }

    /// Forgets the overflow buckets that are full, if there are many.
    fn forget_idle_overflow(&self, tiers: &TierVersions, now_ms: u64) {
        if self.overflow.len() < self.spare_overflow.load(Ordering::Relaxed) {
            return;
        }
        let all: Vec<_> = self
            .overflow
            .iter()
            .map(|entry| (entry.key().clone(), *lock(entry.value())))
            .collect();
        for (name, state) in all.iter().filter(|(_, state)| state.is_idle(tiers, now_ms, None)) {
            self.overflow.remove_if(name, |_, shared| {
                Arc::strong_count(shared) == 1 && *lock(shared) == *state
            });
        }
        let spare = SPARE_OVERFLOW.max(2 * self.overflow.len());
        self.spare_overflow.store(spare, Ordering::Relaxed);
    }

    /// If there are many rule sets, looks at a small part of the table, round and round, which of them are used.
    pub(crate) fn look_for_used_rule_sets(&self, tiers: &TierVersions) {
        if !tiers.rule_sets.are_many() {
            return;
        }
        let mut looked = match self.looked.try_lock() {
            Ok(looked) => looked,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let mut last = None;
        let note = |state: &State<N>| {
            if last.replace(state.rule_set()) != Some(state.rule_set()) {
                tiers.rule_sets.mark_used(state.rule_set());
            }
        };
        *looked = self.table.look(*looked, note).unwrap_or_else(|| {
            let shared: Vec<_> = self
                .overflow
                .iter()
                .map(|entry| lock(entry.value()).rule_set())
                .collect();
            for rule_set in shared {
                tiers.rule_sets.mark_used(rule_set);
            }
            tiers.rule_sets.end_round();
            0
        });
    }

    #[inline]
    pub(crate) fn mark(&self, key: KeyHash, state: &mut State<N>) {
        if let Some(journal) = &self.journal
            && state.mark_dirty()
        {
            journal.mark(key);
        }
    }

    pub(crate) fn count_forgotten(&self, keys: &[KeyHash]) {
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

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Spends of a key's state what is asked, if every limit has it.
#[inline]
pub(crate) fn decide<'c, const N: usize>(
    state: &mut State<N>,
    tiers: &TierVersions,
    call: &Call<'_, impl SlotCost>,
    credits: impl FnOnce() -> Option<&'c mut Credits<N>>,
    outcome: &mut Outcome,
) {
    let Call {
        tier,
        cost,
        now_ms,
        is_final,
        ..
    } = *call;
    state.bring_to(tier, tiers, now_ms, credits);
    outcome.now_ms = state.at_ms();
    outcome.behind_ms = outcome.now_ms - now_ms;
    outcome.verdict = tier.verdict(&state.spent, cost, outcome.now_ms);
    if outcome.verdict == Verdict::Allowed {
        cost.charge(&tier.rates, &mut state.spent);
    } else if tier.blocks && is_final {
        tier.block(&mut state.spent, cost);
    }
    tier.rates.put_in_order(&state.spent, &mut outcome.spent);
}
