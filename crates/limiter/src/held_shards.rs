//! Shards of the table that one call holds together: those of all keys that it is to spend of at once.

use std::sync::MutexGuard;

use crate::credit::KeyCredits;
use crate::key::KeyHash;
use crate::shard::Shard;
use crate::state::State;
use crate::table::{Full, Table};

/// Shards under their locks, which were taken in the order of the table, so that no two callers wait for each other.
#[derive(Debug)]
pub(crate) struct HeldShards<'a, const N: usize> {
    table: &'a Table<N>,
    /// With their indices.
    shards: Vec<(usize, MutexGuard<'a, Shard<N>>)>,
}

impl<'a, const N: usize> HeldShards<'a, N> {
    /// Waits for the shards of some keys.
    pub(crate) fn of(table: &'a Table<N>, keys: impl Iterator<Item = KeyHash>) -> Self {
        let mut indices: Vec<usize> = keys.map(|key| table.shard_index(key)).collect();
        indices.sort_unstable();
        indices.dedup();
        let shards = indices
            .into_iter()
            .map(|index| (index, table.lock_shard(index)))
            .collect();
        Self { table, shards }
    }

    /// The state of a key that is there, and what it was granted.
    pub(crate) fn get_mut(&mut self, key: KeyHash) -> Option<(&mut State<N>, KeyCredits<'_, N>)> {
        self.shard(key)?.get_mut(key)
    }

    /// Inserts a key that is not there. None is forgotten for it.
    pub(crate) fn insert(&mut self, key: KeyHash, state: State<N>) -> Result<(), Full> {
        if !self.table.reserve() {
            return Err(Full);
        }
        if let Some(shard) = self.shard(key) {
            shard.insert(key, state);
        }
        Ok(())
    }

    fn shard(&mut self, key: KeyHash) -> Option<&mut Shard<N>> {
        let index = self.table.shard_index(key);
        let mut shards = self.shards.iter_mut();
        shards.find(|(held, _)| *held == index).map(|(_, shard)| &mut **shard)
    }
}
