//! A part of the table, small enough to be looked at in one go. The table calls it, under the part's lock.

use crate::credit::{Credits, KeyCredits, ShardCredits};
use crate::key::KeyHash;
use crate::ordered::{Ordered, Placed};
use crate::state::State;

/// States of keys, ordered by hash, and what some of them were granted.
#[derive(Debug, Default)]
pub(crate) struct Shard<const N: usize> {
    entries: Ordered<Entry<N>>,
    credits: ShardCredits<N>,
}

#[derive(Debug, Clone, Copy)]
struct Entry<const N: usize> {
    /// All zero where there is no key; [`KeyHasher`](crate::key::KeyHasher) never gives that.
    key: KeyHash,
    state: State<N>,
}

impl<const N: usize> Placed for Entry<N> {
    const VACANT: Self = Self {
        key: KeyHash([0; 2]),
        state: State::VACANT,
    };

    #[inline]
    fn place(&self) -> u64 {
        self.key.0[0]
    }
}

impl<const N: usize> Shard<N> {
    pub(crate) fn get(&self, key: KeyHash) -> Option<(&State<N>, Option<&Credits<N>>)> {
        let entry = self.entries.get(key.0[0], |entry| entry.key == key)?;
        Some((&entry.state, self.credits.get(key)))
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: KeyHash) -> Option<(&mut State<N>, KeyCredits<'_, N>)> {
        let entry = self.entries.get_mut(key.0[0], |entry| entry.key == key)?;
        Some((&mut entry.state, self.credits.of(key)))
    }

    /// Inserts a key that is not there.
    pub(crate) fn insert(&mut self, key: KeyHash, state: State<N>) -> (&mut State<N>, KeyCredits<'_, N>) {
        (
            &mut self.entries.insert(Entry { key, state }).state,
            self.credits.of(key),
        )
    }

    /// Whether the key was there.
    pub(crate) fn remove(&mut self, key: KeyHash) -> bool {
        self.credits.remove(key);
        self.entries.remove(key.0[0], |entry| entry.key == key)
    }

    /// Forgets the keys that `goes` names; each is told to `gone`.
    pub(crate) fn forget(
        &mut self,
        goes: impl Fn(KeyHash, &State<N>, Option<&Credits<N>>) -> bool,
        mut gone: impl FnMut(KeyHash),
    ) {
        let Self { entries, credits } = self;
        let mut granted = Vec::new();
        entries.forget(
            |entry| goes(entry.key, &entry.state, credits.get(entry.key)),
            |entry| {
                if credits.get(entry.key).is_some() {
                    granted.push(entry.key);
                }
                gone(entry.key);
            },
        );
        for key in granted {
            credits.remove(key);
        }
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = KeyHash> {
        self.entries.iter().map(|entry| entry.key)
    }

    /// Shows the state of every key.
    pub(crate) fn each(&self, at: impl FnMut(&State<N>)) {
        self.entries.iter().map(|entry| &entry.state).for_each(at);
    }

    /// Whether there is a key of such a state.
    pub(crate) fn any(&self, is: impl Fn(&State<N>, Option<&Credits<N>>) -> bool) -> bool {
        self.entries
            .iter()
            .any(|entry| is(&entry.state, self.credits.get(entry.key)))
    }

    /// Where the entry of a key would be.
    pub(crate) fn entry_address(&self, key: KeyHash) -> *const u8 {
        self.entries.address(key.0[0])
    }
}
