//! A part of the table, small enough to be looked at in one go. The table calls it, under the part's lock.

use crate::key::KeyHash;
use crate::state::State;

/// Entries beyond the last home, so that none has to wrap around; more are added where that is not enough.
const TAIL: usize = 8;
const FIRST_HOMES: usize = 8;

/// States of keys in one array, ordered by hash, each at its home or a little after it.
///
/// The home of a hash grows with the hash, so the order is that of a sorted array with gaps. It makes a search for a key
/// that is not there as short as one for a key that is, and lets the array grow by a fifth where a table of powers of two
/// has to double. (Method: Amble and Knuth, "Ordered hash tables", with multiplication for division as in Lemire, "Fast
/// random integer generation in an interval".)
#[derive(Debug)]
pub(crate) struct Shard<const N: usize> {
    entries: Vec<Entry<N>>,
    /// Indices to which a hash can lead; 0 as long as no key has come.
    homes: usize,
    len: usize,
}

#[derive(Debug, Clone, Copy)]
struct Entry<const N: usize> {
    /// All zero where there is no key; [`KeyHasher`](crate::key::KeyHasher) never gives that.
    key: KeyHash,
    state: State<N>,
}

impl<const N: usize> Entry<N> {
    const VACANT: Self = Self {
        key: KeyHash([0; 2]),
        state: State::VACANT,
    };

    fn is_vacant(&self) -> bool {
        self.key.0[0] == 0
    }
}

impl<const N: usize> Default for Shard<N> {
    fn default() -> Self {
        Self {
            entries: Vec::new(),
            homes: 0,
            len: 0,
        }
    }
}

impl<const N: usize> Shard<N> {
    pub(crate) fn get(&self, key: KeyHash) -> Option<&State<N>> {
        match self.find(key) {
            Ok(index) => Some(&self.entries[index].state),
            Err(_) => None,
        }
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: KeyHash) -> Option<&mut State<N>> {
        match self.find(key) {
            Ok(index) => Some(&mut self.entries[index].state),
            Err(_) => None,
        }
    }

    /// Inserts a key that is not there.
    pub(crate) fn insert(&mut self, key: KeyHash, state: State<N>) -> &mut State<N> {
        if self.is_crowded() {
            self.grow();
        }
        let (Ok(index) | Err(index)) = self.find(key);
        let gap = self.entries[index..]
            .iter()
            .position(Entry::is_vacant)
            .unwrap_or_else(|| {
                self.entries.reserve_exact(TAIL);
                self.entries.push(Entry::VACANT);
                self.entries.len() - 1 - index
            });
        self.entries.copy_within(index..index + gap, index + 1);
        self.entries[index] = Entry { key, state };
        self.len += 1;
        &mut self.entries[index].state
    }

    /// Whether the key was there.
    pub(crate) fn remove(&mut self, key: KeyHash) -> bool {
        match self.find(key) {
            Ok(index) => {
                self.remove_at(index);
                true
            }
            Err(_) => false,
        }
    }

    /// Forgets the keys that `goes` names; each is told to `gone`.
    pub(crate) fn forget(&mut self, goes: impl Fn(&State<N>) -> bool, mut gone: impl FnMut(KeyHash)) {
        // From the end, since a removal moves only entries that were already looked at.
        for index in (0..self.entries.len()).rev() {
            let entry = &self.entries[index];
            if !entry.is_vacant() && goes(&entry.state) {
                gone(entry.key);
                self.remove_at(index);
            }
        }
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = KeyHash> {
        self.entries
            .iter()
            .filter(|entry| !entry.is_vacant())
            .map(|entry| entry.key)
    }

    /// Shows the state of every key.
    pub(crate) fn each(&self, at: impl FnMut(&State<N>)) {
        let taken = self.entries.iter().filter(|entry| !entry.is_vacant());
        taken.map(|entry| &entry.state).for_each(at);
    }

    /// Whether there is a key of such a state.
    pub(crate) fn any(&self, is: impl Fn(&State<N>) -> bool) -> bool {
        self.entries.iter().any(|entry| !entry.is_vacant() && is(&entry.state))
    }

    /// Where the entry of a key would be.
    pub(crate) fn entry_address(&self, key: KeyHash) -> *const u8 {
        self.entries.as_ptr().wrapping_add(Self::home(key, self.homes)).cast()
    }

    /// The home of a hash among so many.
    #[expect(clippy::cast_possible_truncation, reason = "below `homes`")]
    fn home(key: KeyHash, homes: usize) -> usize {
        ((u128::from(key.0[0]) * homes as u128) >> 64) as usize
    }

    /// The index of a key, or, as an error, the one that it would have.
    #[inline]
    fn find(&self, key: KeyHash) -> Result<usize, usize> {
        let mut index = Self::home(key, self.homes);
        while let Some(entry) = self.entries.get(index) {
            if entry.key == key {
                return Ok(index);
            }
            if entry.is_vacant() || entry.key > key {
                break;
            }
            index += 1;
        }
        Err(index)
    }

    fn remove_at(&mut self, index: usize) {
        let homes = self.homes;
        let away = |(offset, entry): &(usize, &Entry<N>)| {
            !entry.is_vacant() && Self::home(entry.key, homes) < index + 1 + offset
        };
        let moved = self.entries[index + 1..].iter().enumerate().take_while(away).count();
        self.entries.copy_within(index + 1..=index + moved, index);
        self.entries[index + moved] = Entry::VACANT;
        self.len -= 1;
    }

    /// Seven eighths are taken.
    fn is_crowded(&self) -> bool {
        (self.len + 1) * 8 > self.homes * 7
    }

    /// By a fifth.
    #[cold]
    fn grow(&mut self) {
        let homes = (self.homes + self.homes / 5 + 1).max(FIRST_HOMES);
        let mut entries = Vec::with_capacity(homes + TAIL);
        for entry in self.entries.iter().filter(|entry| !entry.is_vacant()) {
            let home = Self::home(entry.key, homes);
            if entries.len() < home {
                entries.resize(home, Entry::VACANT);
            }
            entries.push(*entry);
        }
        entries.resize(entries.len().max(homes + TAIL), Entry::VACANT);
        self.entries = entries;
        self.homes = homes;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn state(at_ms: u64) -> State<2> {
        State::stored(at_ms, 0, [0; 2])
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds(
            // Few different hashes, some of them neighbours, so that keys meet, and crowd at the ends.
            steps in vec((0..3_u8, prop_oneof![0..40_u64, (u64::MAX - 40)..u64::MAX, any::<u64>()], 0..3_u64), 1..400)
        ) {
            let mut shard = Shard::<2>::default();
            let mut map = BTreeMap::new();
            for (step, (kind, first, second)) in steps.into_iter().enumerate() {
                let key = KeyHash([first.max(1), second]);
                match kind {
                    0 | 1 if !map.contains_key(&key) => {
                        shard.insert(key, state(step as u64));
                        map.insert(key, step as u64);
                    }
                    0 => prop_assert!(shard.get_mut(key).is_some()),
                    _ => prop_assert_eq!(shard.remove(key), map.remove(&key).is_some()),
                }
                prop_assert_eq!(shard.len, map.len());
                for (key, at_ms) in &map {
                    prop_assert_eq!(shard.get(*key).map(State::at_ms), Some(*at_ms));
                }
            }
            let mut gone = Vec::new();
            shard.forget(|state| state.at_ms() % 2 == 0, |key| gone.push(key));
            map.retain(|_, at_ms| *at_ms % 2 == 1);
            prop_assert_eq!(shard.len, map.len());
            for key in gone {
                prop_assert!(!map.contains_key(&key) && shard.get(key).is_none());
            }
            for (key, at_ms) in &map {
                prop_assert_eq!(shard.get(*key).map(State::at_ms), Some(*at_ms));
            }
        }
    }

    #[test]
    fn it_is_never_much_larger_than_it_has_to_be() {
        let mut shard = Shard::<2>::default();
        let mut first = 1_u64;
        for keys in 1..5_000_usize {
            first = first
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            shard.insert(KeyHash([first, 0]), state(0));
            assert!(
                shard.entries.capacity() <= keys * 3 / 2 + 16,
                "{keys} keys in {}",
                shard.entries.capacity()
            );
        }
    }
}
