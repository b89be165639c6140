//! The places that running calls have taken of limits of concurrency, beside the table of keys. The keyspace asks for them
//! under the lock of the key, so that no two calls of one key come here at once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;

use crate::concurrency::Concurrency;
use crate::cost::SlotCost;
use crate::key::KeyHash;
use crate::limit::Limit;
use crate::tier::Tier;

/// How often, in milliseconds, places are looked for that are over, of keys that nobody asks for any more.
const SWEEP_INTERVAL_MS: u64 = 1_000;

/// A place that a decision has taken, as whoever gives it back tells it.
#[derive(Debug, Clone, Copy)]
pub struct TakenPlace<'a> {
    /// [`Outcome::place`](crate::Outcome::place) of the decision.
    pub number: u64,
    /// When it is over at the latest: the decision's instant and the time-out, for each of the tier's limits of concurrency.
    pub ends_ms: &'a [u64],
    /// The tier's name, if the decision was made on the overflow bucket of it.
    pub overflow: Option<&'a str>,
}

/// One place: until when, and by which decision. In the order in which they end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    ends_ms: u64,
    number: u64,
}

impl Place {
    /// The first that is not over at an instant.
    fn first_after(now_ms: u64) -> Self {
        Self {
            ends_ms: now_ms + 1,
            number: 0,
        }
    }
}

/// The places that are taken, by key and slot. Kept in memory only: a call that ran when a process ended runs no more.
#[derive(Debug, Default)]
pub(crate) struct Places {
    taken: DashMap<(KeyHash, usize), BTreeSet<Place>>,
    /// How many there are in all.
    held: AtomicUsize,
    made: AtomicU64,
    swept_ms: AtomicU64,
}

impl Places {
    /// A number for a place that may be taken; never given to another.
    pub(crate) fn number(&self) -> u64 {
        self.made.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// How many are taken in all; those that are over are among them until the next sweep.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Changes what a key has taken of a slot, if that is anything, and counts once the map is let go.
    fn change<T>(&self, at: (KeyHash, usize), change: impl FnOnce(&mut BTreeSet<Place>) -> T) -> Option<T> {
        let (result, more) = self.taken.get_mut(&at).map(|mut taken| changed(&mut taken, change))?;
        self.held.fetch_add(more, Ordering::Relaxed);
        self.taken.remove_if(&at, |_, taken| taken.is_empty());
        Some(result)
    }

    /// Puts in place of what a state says of the slots of a tier's limits of concurrency how they stand at an instant.
    pub(crate) fn stand<const N: usize>(&self, holder: KeyHash, tier: &Tier, now_ms: u64, spent: &mut [u64; N]) {
        for (slot, _) in concurrent(tier) {
            spent[slot] = self.amount(holder, slot, now_ms);
        }
    }

    fn amount(&self, holder: KeyHash, slot: usize, now_ms: u64) -> u64 {
        let Some(taken) = self.taken.get(&(holder, slot)) else {
            return 0;
        };
        let first = Place::first_after(now_ms);
        let over = taken.range(..first).count();
        let next = taken.range(first..).next();
        next.map_or(0, |place| {
            Concurrency::amount((taken.len() - over) as u64, place.ends_ms - now_ms)
        })
    }

    /// Takes a place of each of a tier's limits of concurrency of which a call costs something, and has a state say until when
    /// one is taken at the latest; whether there was any.
    pub(crate) fn take<const N: usize>(
        &self,
        holder: KeyHash,
        (tier, cost): (&Tier, impl SlotCost),
        number: u64,
        now_ms: u64,
        spent: &mut [u64; N],
    ) -> bool {
        let mut is_taken = false;
        for (slot, limit) in concurrent(tier).filter(|&(slot, _)| cost.of_slot(slot) > 0) {
            let ends_ms = now_ms + limit.timeout_ms();
            let (last_ms, more) = changed(&mut self.taken.entry((holder, slot)).or_default(), |taken| {
                drop_over(taken, now_ms);
                taken.insert(Place { ends_ms, number });
                last_end(taken)
            });
            self.held.fetch_add(more, Ordering::Relaxed);
            spent[slot] = last_ms;
            is_taken = true;
        }
        is_taken
    }

    /// Gives a place back, and has a state say until when one is taken then; whether it was not over.
    pub(crate) fn release<const N: usize>(
        &self,
        holder: KeyHash,
        place: &TakenPlace<'_>,
        now_ms: u64,
        spent: &mut [u64; N],
    ) -> bool {
        let mut is_freed = false;
        let number = place.number;
        for (slot, spent) in spent.iter_mut().enumerate() {
            self.change((holder, slot), |taken| {
                for &ends_ms in place.ends_ms {
                    if taken.remove(&Place { ends_ms, number }) {
                        is_freed |= ends_ms > now_ms;
                        *spent = last_end(taken);
                    }
                }
            });
        }
        is_freed
    }

    /// Takes a place away as if it had never been taken, and has a state say until when one is taken then.
    pub(crate) fn withdraw<const N: usize>(&self, holder: KeyHash, tier: &Tier, number: u64, spent: &mut [u64; N]) {
        for (slot, _) in concurrent(tier) {
            self.change((holder, slot), |taken| {
                taken.retain(|place| place.number != number);
                spent[slot] = last_end(taken);
            });
        }
    }

    /// Forgets all that a key has taken, of so many slots: it was reset, or begins anew, and was idle when it was forgotten.
    pub(crate) fn forget(&self, holder: KeyHash, slots: usize) {
        if self.held() == 0 {
            return;
        }
        for slot in 0..slots {
            if let Some((_, taken)) = self.taken.remove(&(holder, slot)) {
                self.held.fetch_sub(taken.len(), Ordering::Relaxed);
            }
        }
    }

    /// Now and then, forgets the places that are over.
    pub(crate) fn sweep(&self, now_ms: u64) {
        let swept_ms = self.swept_ms.load(Ordering::Relaxed);
        // Also if the clock was ahead then.
        if now_ms.abs_diff(swept_ms) < SWEEP_INTERVAL_MS || self.taken.is_empty() {
            return;
        }
        self.swept_ms.store(now_ms, Ordering::Relaxed);
        let mut more = 0_usize;
        self.taken.retain(|_, taken| {
            more = more.wrapping_add(changed(taken, |taken| drop_over(taken, now_ms)).1);
            !taken.is_empty()
        });
        self.held.fetch_add(more, Ordering::Relaxed);
    }
}

/// A tier's limits of concurrency, by slot.
fn concurrent(tier: &Tier) -> impl Iterator<Item = (usize, &Concurrency)> {
    tier.limits.iter().filter_map(|limit| match &limit.limit {
        Limit::Concurrency(concurrency) => Some((limit.slot, concurrency)),
        _ => None,
    })
}

/// What a change comes to, and how many places more there are then, wrapping below 0.
fn changed<T>(taken: &mut BTreeSet<Place>, change: impl FnOnce(&mut BTreeSet<Place>) -> T) -> (T, usize) {
    let before = taken.len();
    let result = change(taken);
    (result, taken.len().wrapping_sub(before))
}

fn drop_over(taken: &mut BTreeSet<Place>, now_ms: u64) {
    while taken.first().is_some_and(|place| place.ends_ms <= now_ms) {
        taken.pop_first();
    }
}

fn last_end(taken: &BTreeSet<Place>) -> u64 {
    taken.last().map_or(0, |place| place.ends_ms)
}
