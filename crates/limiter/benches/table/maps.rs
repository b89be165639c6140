//! Maps that could hold the keys of a limiter.

use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use dashmap::DashMap;

use crate::key::KeyHash;
use crate::state::State;
use crate::table::Table;

/// States by key.
pub(crate) trait Keys: Send + Sync {
    /// Takes in a key that is not there.
    fn insert(&self, key: KeyHash, state: State<2>);
    /// Changes the state of a key; whether it is there.
    fn update(&self, key: KeyHash, change: impl FnOnce(&mut State<2>)) -> bool;
}

impl Keys for Table<2> {
    fn insert(&self, key: KeyHash, state: State<2>) {
        let inserted = Self::insert(self, key, state, 0, |_, _| false, &mut Vec::new(), |_, _, _| ());
        inserted.expect("it was made for so many");
    }

    #[inline]
    fn update(&self, key: KeyHash, change: impl FnOnce(&mut State<2>)) -> bool {
        Self::update(self, key, |state, _| change(state)).is_some()
    }
}

/// A hash as a map's key: keyed already, so that it is taken as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hashed(KeyHash);

impl Hash for Hashed {
    #[inline]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.0.0[0]);
    }
}

#[derive(Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline]
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a key is one number");
    }
}

type Build = BuildHasherDefault<AsItIs>;
pub(crate) type Dash = DashMap<Hashed, State<2>, Build>;
/// Its values never change: the state has a lock of its own.
pub(crate) type Papaya = papaya::HashMap<Hashed, Mutex<State<2>>, Build>;
pub(crate) type Scc = scc::HashMap<Hashed, State<2>, Build>;

impl Keys for Dash {
    fn insert(&self, key: KeyHash, state: State<2>) {
        Self::insert(self, Hashed(key), state);
    }

    #[inline]
    fn update(&self, key: KeyHash, change: impl FnOnce(&mut State<2>)) -> bool {
        self.get_mut(&Hashed(key)).map(|mut state| change(&mut state)).is_some()
    }
}

impl Keys for Papaya {
    fn insert(&self, key: KeyHash, state: State<2>) {
        self.pin().insert(Hashed(key), Mutex::new(state));
    }

    #[inline]
    fn update(&self, key: KeyHash, change: impl FnOnce(&mut State<2>)) -> bool {
        let states = self.pin();
        let state = states.get(&Hashed(key));
        state
            .map(|state| change(&mut state.lock().unwrap_or_else(PoisonError::into_inner)))
            .is_some()
    }
}

impl Keys for Scc {
    fn insert(&self, key: KeyHash, state: State<2>) {
        let inserted = self.insert_sync(Hashed(key), state);
        inserted.unwrap_or_else(|_| unreachable!("each key is inserted once"));
    }

    #[inline]
    fn update(&self, key: KeyHash, change: impl FnOnce(&mut State<2>)) -> bool {
        self.update_sync(&Hashed(key), |_, state| change(state)).is_some()
    }
}
