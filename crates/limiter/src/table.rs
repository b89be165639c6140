//! The table of keys: the keyspace looks each key of a call up in it, and the sweep goes through it a part at a time.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_utils::CachePadded;

use crate::credit::{Credits, KeyCredits};
use crate::key::KeyHash;
use crate::shard::Shard;
use crate::state::State;

/// Keys that a shard is made for.
const SHARD_KEYS: usize = 1 << 9;
/// So many that two threads seldom want the same one.
const MIN_SHARDS: usize = 1 << 8;
const MAX_SHARDS: usize = 1 << 16;
/// How many keys a sweep looks at in one go.
const SWEEP_KEYS: usize = 1 << 9;
/// How many keys are looked at to make room for one.
const SEARCH_KEYS: usize = 1 << 13;
/// So many keys don't stay in the processor's caches.
const COLD_KEYS: usize = 1 << 15;
/// A shard searched in vain for keys to forget is not searched again so soon.
const SEARCH_INTERVAL_MS: u64 = 100;

/// The states of at most so many keys.
///
/// A shard's lock never leaves the function that took it, and none is taken while another is held, but by a call of several
/// subjects; see [`HeldShards`](crate::held_shards::HeldShards).
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    shards: Box<[CachePadded<Guarded<N>>]>,
    max_keys: usize,
    keys: CachePadded<AtomicUsize>,
    cursor: AtomicUsize,
}

#[derive(Debug)]
struct Guarded<const N: usize> {
    shard: Mutex<Shard<N>>,
    searched_ms: AtomicU64,
}

/// The table holds `max_keys` keys, and none of those looked at may be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl<const N: usize> Guarded<N> {
    fn lock(&self) -> MutexGuard<'_, Shard<N>> {
        self.shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether to search it for keys to forget.
    fn is_due(&self, now_ms: u64) -> bool {
        let searched_ms = self.searched_ms.load(Ordering::Relaxed);
        // Also if the clock was ahead when it was searched.
        now_ms < searched_ms || now_ms >= searched_ms.saturating_add(SEARCH_INTERVAL_MS)
    }
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(max_keys: usize) -> Self {
        let shards = max_keys
            .div_ceil(SHARD_KEYS)
            .next_power_of_two()
            .clamp(MIN_SHARDS, MAX_SHARDS);
        let shard = || {
            CachePadded::new(Guarded {
                shard: Mutex::default(),
                searched_ms: AtomicU64::new(0),
            })
        };
        Self {
            shards: std::iter::repeat_with(shard).take(shards).collect(),
            max_keys,
            keys: CachePadded::default(),
            cursor: AtomicUsize::new(0),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    pub(crate) fn max_keys(&self) -> usize {
        self.max_keys
    }

    fn is_full(&self) -> bool {
        self.len() >= self.max_keys
    }

    /// Whether [`insert`](Self::insert) would insert a key that is not there. Forgets none for it.
    pub(crate) fn has_room(&self, now_ms: u64, may_go: impl Fn(&State<N>, Option<&Credits<N>>) -> bool) -> bool {
        if !self.is_full() {
            return true;
        }
        let next = self.cursor.load(Ordering::Relaxed);
        (0..self.shards_of(SEARCH_KEYS)).any(|offset| {
            let shard = self.shard_at(next.wrapping_add(offset));
            shard.is_due(now_ms) && {
                let found = shard.lock().any(&may_go);
                if !found {
                    shard.searched_ms.store(now_ms, Ordering::Relaxed);
                }
                found
            }
        })
    }

    /// Where in memory the states of keys are, if it is worth fetching them all before the first is looked at.
    pub(crate) fn prefetch_addresses(&self, keys: impl Iterator<Item = KeyHash>, mut at: impl FnMut(*const u8)) {
        if self.len() >= COLD_KEYS {
            keys.for_each(|key| at(self.shard(key).lock().entry_address(key)));
        }
    }

    /// Every key, shard by shard.
    pub(crate) fn keys(&self) -> Vec<KeyHash> {
        let mut keys = Vec::with_capacity(self.len());
        for shard in &self.shards {
            keys.extend(shard.lock().keys());
        }
        keys
    }

    /// A copy of a key's state, and of what it was granted.
    pub(crate) fn get(&self, key: KeyHash) -> Option<(State<N>, Option<Credits<N>>)> {
        let shard = self.shard(key).lock();
        shard.get(key).map(|(state, credits)| (*state, credits.copied()))
    }

    /// Changes the state of a key that is there.
    #[inline]
    pub(crate) fn update<R>(
        &self,
        key: KeyHash,
        change: impl FnOnce(&mut State<N>, KeyCredits<'_, N>) -> R,
    ) -> Option<R> {
        self.shard(key)
            .lock()
            .get_mut(key)
            .map(|(state, credits)| change(state, credits))
    }

    /// Inserts a key, or changes the one that is there; `change` is told whether it is new. `may_go` says which keys may be forgotten to make
    /// room, and those that were are added to `forgotten`.
    #[cold]
    pub(crate) fn insert<R>(
        &self,
        key: KeyHash,
        state: State<N>,
        now_ms: u64,
        may_go: impl Fn(&State<N>, Option<&Credits<N>>) -> bool,
        forgotten: &mut Vec<KeyHash>,
        change: impl FnOnce(&mut State<N>, KeyCredits<'_, N>, bool) -> R,
    ) -> Result<R, Full> {
        let home = self.shard(key);
        // A place is reserved under the lock of its shard: reserved before, it would be missing to another thread that
        // brings the same key, and send that one to the overflow bucket.
        let mut shard = home.lock();
        if let Some((state, credits)) = shard.get_mut(key) {
            return Ok(change(state, credits, false));
        }
        if !self.reserve() {
            drop(shard);
            self.search(now_ms, |_, state, credits| may_go(state, credits), forgotten);
            shard = home.lock();
            if let Some((state, credits)) = shard.get_mut(key) {
                return Ok(change(state, credits, false));
            }
            if !self.reserve() {
                return Err(Full);
            }
        }
        let (state, credits) = shard.insert(key, state);
        Ok(change(state, credits, true))
    }

    /// Forgets keys that `may_go` names until there is room for so many, or no other goes; says which.
    pub(crate) fn make_room(
        &self,
        keys: usize,
        now_ms: u64,
        may_go: impl Fn(KeyHash, &State<N>, Option<&Credits<N>>) -> bool,
    ) -> Vec<KeyHash> {
        let mut forgotten = Vec::new();
        while self.len() + keys > self.max_keys {
            let mut found = Vec::new();
            self.search(now_ms, &may_go, &mut found);
            if found.is_empty() {
                break;
            }
            forgotten.append(&mut found);
        }
        forgotten
    }

    /// Whether the key was there; `also` is done under its lock.
    pub(crate) fn remove(&self, key: KeyHash, also: impl FnOnce()) -> bool {
        let removed = {
            let mut shard = self.shard(key).lock();
            also();
            shard.remove(key)
        };
        if removed {
            self.keys.fetch_sub(1, Ordering::Relaxed);
        }
        removed
    }

    /// Forgets those of the next few hundred keys that `may_go` names, and says which.
    pub(crate) fn sweep(&self, may_go: impl Fn(&State<N>, Option<&Credits<N>>) -> bool) -> Vec<KeyHash> {
        let mut forgotten = Vec::new();
        for _ in 0..self.shards_of(SWEEP_KEYS) {
            self.forget(
                self.next_shard(),
                |_, state, credits| may_go(state, credits),
                &mut forgotten,
            );
        }
        forgotten
    }

    /// Shows the states of a few hundred keys; returns where to go on, and nothing after the last.
    pub(crate) fn look(&self, from: usize, mut at: impl FnMut(&State<N>)) -> Option<usize> {
        let end = from + self.shards_of(SWEEP_KEYS);
        for shard in self.shards.iter().take(end).skip(from) {
            shard.lock().each(&mut at);
        }
        (end < self.shards.len()).then_some(end)
    }

    /// Looks for keys to forget in the next shards of the sweep, other than those just searched in vain.
    fn search(
        &self,
        now_ms: u64,
        may_go: impl Fn(KeyHash, &State<N>, Option<&Credits<N>>) -> bool,
        forgotten: &mut Vec<KeyHash>,
    ) {
        for _ in 0..self.shards_of(SEARCH_KEYS) {
            let shard = self.next_shard();
            if shard.is_due(now_ms) {
                shard.searched_ms.store(now_ms, Ordering::Relaxed);
                self.forget(shard, &may_go, forgotten);
            }
            if !forgotten.is_empty() {
                return;
            }
        }
    }

    /// The next shard that is to be looked at, round and round.
    fn next_shard(&self) -> &Guarded<N> {
        self.shard_at(self.cursor.fetch_add(1, Ordering::Relaxed))
    }

    fn shard_at(&self, cursor: usize) -> &Guarded<N> {
        &self.shards[cursor % self.shards.len()]
    }

    /// How many shards hold so many keys when the table is full.
    fn shards_of(&self, keys: usize) -> usize {
        (keys * self.shards.len())
            .div_ceil(self.max_keys)
            .min(self.shards.len())
    }

    fn forget(
        &self,
        shard: &Guarded<N>,
        may_go: impl Fn(KeyHash, &State<N>, Option<&Credits<N>>) -> bool,
        forgotten: &mut Vec<KeyHash>,
    ) {
        let before = forgotten.len();
        shard.lock().forget(may_go, |key| forgotten.push(key));
        self.keys.fetch_sub(forgotten.len() - before, Ordering::Relaxed);
    }

    /// Takes a place for a key that is to be inserted, if there is one.
    pub(crate) fn reserve(&self) -> bool {
        let another = |keys| (keys < self.max_keys).then_some(keys + 1);
        self.keys
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, another)
            .is_ok()
    }

    /// The shard orders by the first half of the hash, so this takes the second.
    pub(crate) fn shard_index(&self, key: KeyHash) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
        let bits = key.0[1] as usize;
        bits & (self.shards.len() - 1)
    }

    /// The lock of a shard, for who takes those of others in order.
    pub(crate) fn lock_shard(&self, index: usize) -> MutexGuard<'_, Shard<N>> {
        self.shards[index].lock()
    }

    fn shard(&self, key: KeyHash) -> &Guarded<N> {
        &self.shards[self.shard_index(key)]
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_panic_under_the_lock_of_a_key_leaves_the_table_usable() {
        let table = Table::<2>::new(2);
        let key = KeyHash([1, 1]);
        let insert = |key| {
            table.insert(
                key,
                State::VACANT,
                0,
                |_, _| false,
                &mut Vec::new(),
                |state, _, _| {
                    state.spent[0] += 1;
                },
            )
        };
        insert(key).unwrap();
        let panics = || table.update(key, |_, _| panic!("on purpose"));
        assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
        assert_eq!(insert(key), Ok(()));
        assert_eq!(table.get(key).unwrap().0.spent, [2, 0]);
        assert_eq!(insert(KeyHash([1, 2])), Ok(()), "its neighbour");
        assert_eq!((table.len(), insert(KeyHash([2, 1]))), (2, Err(Full)));
    }
}
