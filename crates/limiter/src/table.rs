//! The table of keys.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use dashmap::DashMap;
use dashmap::mapref::entry::Entry;

use crate::key::{AlreadyHashed, KeyHash};
use crate::state::State;

/// Keys that a segment is made for: what one sweep, or one search for room, looks at.
const SEGMENT_KEYS: usize = 1 << 10;
const MAX_SEGMENTS: usize = 1 << 12;
/// The least that [`DashMap`] takes.
const SHARDS: usize = 2;
/// A segment searched in vain for keys to forget is not searched again so soon.
const SEARCH_INTERVAL_MS: u64 = 100;

/// The states of at most so many keys, in segments so small that one can be swept between two calls.
///
/// No guard of the map ever leaves the function that took it, and none is taken while another is held.
#[derive(Debug)]
pub(crate) struct Table<const N: usize> {
    segments: Box<[Segment<N>]>,
    max_keys: usize,
    keys: AtomicUsize,
    cursor: AtomicUsize,
}

#[derive(Debug)]
struct Segment<const N: usize> {
    map: DashMap<KeyHash, State<N>, AlreadyHashed>,
    searched_ms: AtomicU64,
}

/// The table holds `max_keys` keys, and none of those looked at may be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl<const N: usize> Table<N> {
    pub(crate) fn new(max_keys: usize) -> Self {
        let segments = max_keys.div_ceil(SEGMENT_KEYS).next_power_of_two().min(MAX_SEGMENTS);
        let segment = || Segment {
            map: DashMap::with_hasher_and_shard_amount(AlreadyHashed::default(), SHARDS),
            searched_ms: AtomicU64::new(0),
        };
        Self {
            segments: std::iter::repeat_with(segment).take(segments).collect(),
            max_keys,
            keys: AtomicUsize::new(0),
            cursor: AtomicUsize::new(0),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    pub(crate) fn max_keys(&self) -> usize {
        self.max_keys
    }

    /// A copy of a key's state.
    pub(crate) fn get(&self, key: KeyHash) -> Option<State<N>> {
        self.segment(key).map.get(&key).map(|state| *state)
    }

    /// Changes the state of a key that is there.
    pub(crate) fn update<R>(&self, key: KeyHash, change: impl FnOnce(&mut State<N>) -> R) -> Option<R> {
        self.segment(key).map.get_mut(&key).map(|mut state| change(&mut state))
    }

    /// Changes the state of a key, made by `new` if it is not there. `may_go` says which keys may be forgotten to make
    /// room; how many were is counted in `forgotten`.
    pub(crate) fn upsert<R>(
        &self,
        key: KeyHash,
        now_ms: u64,
        new: impl FnOnce() -> State<N>,
        may_go: impl Fn(&State<N>) -> bool,
        forgotten: &mut Vec<KeyHash>,
        change: impl FnOnce(&mut State<N>) -> R,
    ) -> Result<R, Full> {
        let segment = self.segment(key);
        if let Some(mut state) = segment.map.get_mut(&key) {
            return Ok(change(&mut state));
        }
        if !self.reserve() {
            self.search(key, now_ms, may_go, forgotten);
            if !self.reserve() {
                return Err(Full);
            }
        }
        match segment.map.entry(key) {
            // Another thread was faster.
            Entry::Occupied(mut state) => {
                self.keys.fetch_sub(1, Ordering::Relaxed);
                Ok(change(state.get_mut()))
            }
            Entry::Vacant(vacancy) => Ok(change(&mut vacancy.insert(new()))),
        }
    }

    /// Whether the key was there.
    pub(crate) fn remove(&self, key: KeyHash) -> bool {
        let removed = self.segment(key).map.remove(&key).is_some();
        if removed {
            self.keys.fetch_sub(1, Ordering::Relaxed);
        }
        removed
    }

    /// Forgets the keys of the next segment that `may_go` names, and says which.
    pub(crate) fn sweep(&self, may_go: impl Fn(&State<N>) -> bool) -> Vec<KeyHash> {
        let mut forgotten = Vec::new();
        let next = self.cursor.fetch_add(1, Ordering::Relaxed);
        self.forget(&self.segments[next % self.segments.len()], may_go, &mut forgotten);
        forgotten
    }

    /// Looks for keys to forget in the key's own segment and in the next of the sweep, unless that was just done.
    #[cold]
    fn search(&self, key: KeyHash, now_ms: u64, may_go: impl Fn(&State<N>) -> bool, forgotten: &mut Vec<KeyHash>) {
        let next = self.cursor.fetch_add(1, Ordering::Relaxed);
        for segment in [self.segment(key), &self.segments[next % self.segments.len()]] {
            let searched_ms = segment.searched_ms.load(Ordering::Relaxed);
            if forgotten.is_empty() && now_ms >= searched_ms.saturating_add(SEARCH_INTERVAL_MS) {
                segment.searched_ms.store(now_ms, Ordering::Relaxed);
                self.forget(segment, &may_go, forgotten);
            }
        }
    }

    fn forget(&self, segment: &Segment<N>, may_go: impl Fn(&State<N>) -> bool, forgotten: &mut Vec<KeyHash>) {
        let before = forgotten.len();
        segment.map.retain(|key, state| {
            let goes = may_go(state);
            if goes {
                forgotten.push(*key);
            }
            !goes
        });
        self.keys.fetch_sub(forgotten.len() - before, Ordering::Relaxed);
    }

    fn reserve(&self) -> bool {
        let reserved = self.keys.fetch_add(1, Ordering::Relaxed) < self.max_keys;
        if !reserved {
            self.keys.fetch_sub(1, Ordering::Relaxed);
        }
        reserved
    }

    /// The map takes the first half of the hash, this the second, so that the two choices are independent.
    fn segment(&self, key: KeyHash) -> &Segment<N> {
        // Truncation is meant: any bits will do.
        #[expect(clippy::cast_possible_truncation)]
        &self.segments[key.0[1] as usize & (self.segments.len() - 1)]
    }
}
