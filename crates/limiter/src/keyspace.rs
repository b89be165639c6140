//! The keys of a limiter, and what happens to them: each call of the limiter is one of its methods, over the table.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, TryLockError};

use crate::call::{Call, decide};
use crate::correction::Correction;
use crate::cost::SlotCost;
use crate::credit::{Credits, KeyCredits};
use crate::decision::Outcome;
use crate::error::Error;
use crate::journal::Journal;
use crate::key::KeyHash;
use crate::overflow::{Overflow, lock};
use crate::places::Places;
use crate::state::State;
use crate::table::{Full, Table};
use crate::tier::Tier;
use crate::tier_versions::TierVersions;

/// When less than a quarter of the table is free, the sweep forgets every idle key, not only those as good as new.
const SPARE_SHARE: usize = 4;

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

/// Keys of `N` slots each.
#[derive(Debug)]
pub(crate) struct Keyspace<const N: usize> {
    pub(crate) table: Table<N>,
    pub(crate) places: Places,
    pub(crate) overflow: Overflow<N>,
    /// Where to go on looking which rule sets are used.
    looked: Mutex<usize>,
    pub(crate) journal: Option<Journal>,
    evicted: AtomicU64,
}

impl<const N: usize> Keyspace<N> {
    pub(crate) fn new(max_keys: usize, durable: bool) -> Self {
        Self {
            table: Table::new(max_keys),
            places: Places::default(),
            overflow: Overflow::default(),
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
            let shared = self.overflow.shared(tiers, call.tier, new, call.now_ms);
            decide(&mut lock(&shared), tiers, call, || None, outcome);
            outcome.overflow = true;
        }
    }

    /// Takes in a key and changes it; if there is no room for it, keys are forgotten that are idle at `room_ms`.
    pub(crate) fn insert(
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
            let shared = self.overflow.get(&tier.spec().name);
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
            apply(&mut lock(&self.overflow.shared(tiers, tier, new, now_ms)), None);
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
            for rule_set in self.overflow.rule_sets() {
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

    pub(crate) fn mark_forgotten(&self, keys: &[KeyHash]) {
        if let Some(journal) = &self.journal {
            for key in keys {
                journal.mark(*key);
            }
        }
    }
}
