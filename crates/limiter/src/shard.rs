//! A part of the table, small enough to be looked at in one go. The table calls it, under the part's lock.

use crate::key::KeyHash;
use crate::ordered::{Ordered, Placed};
use crate::state::State;

/// States of keys, ordered by hash.
#[derive(Debug, Default)]
pub(crate) struct Shard<const N: usize>(Ordered<Entry<N>>);

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
    pub(crate) fn get(&self, key: KeyHash) -> Option<&State<N>> {
        self.0.get(key.0[0], |entry| entry.key == key).map(|entry| &entry.state)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, key: KeyHash) -> Option<&mut State<N>> {
        self.0
            .get_mut(key.0[0], |entry| entry.key == key)
            .map(|entry| &mut entry.state)
    }

    /// Inserts a key that is not there.
    pub(crate) fn insert(&mut self, key: KeyHash, state: State<N>) -> &mut State<N> {
        &mut self.0.insert(Entry { key, state }).state
    }

    /// Whether the key was there.
    pub(crate) fn remove(&mut self, key: KeyHash) -> bool {
        self.0.remove(key.0[0], |entry| entry.key == key)
    }

    /// Forgets the keys that `goes` names; each is told to `gone`.
    pub(crate) fn forget(&mut self, goes: impl Fn(&State<N>) -> bool, mut gone: impl FnMut(KeyHash)) {
        self.0.forget(|entry| goes(&entry.state), |entry| gone(entry.key));
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = KeyHash> {
        self.0.iter().map(|entry| entry.key)
    }

    /// Shows the state of every key.
    pub(crate) fn each(&self, at: impl FnMut(&State<N>)) {
        self.0.iter().map(|entry| &entry.state).for_each(at);
    }

    /// Whether there is a key of such a state.
    pub(crate) fn any(&self, is: impl Fn(&State<N>) -> bool) -> bool {
        self.0.iter().any(|entry| is(&entry.state))
    }

    /// Where the entry of a key would be.
    pub(crate) fn entry_address(&self, key: KeyHash) -> *const u8 {
        self.0.address(key.0[0])
    }
}
