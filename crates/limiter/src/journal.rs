//! Which keys have changed since they were last stored: marked by the first change, drained by each save.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_utils::CachePadded;

use crate::key::KeyHash;

const SHARDS: usize = 16;

/// Keys to be stored. A key is marked here once, when it changes for the first time after being stored.
#[derive(Debug)]
pub(crate) struct Journal {
    shards: [CachePadded<Mutex<Vec<KeyHash>>>; SHARDS],
}

impl Journal {
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| CachePadded::default()),
        }
    }

    pub(crate) fn mark(&self, key: KeyHash) {
        lock(&self.shards[(key.0[1] >> 32) as usize % SHARDS]).push(key);
    }

    /// All keys marked so far, which are then no longer marked.
    pub(crate) fn drain(&self) -> Vec<KeyHash> {
        let mut keys = Vec::new();
        for shard in &self.shards {
            // Copied when the lock is free again.
            let marked = std::mem::take(&mut *lock(shard));
            keys.extend(marked);
        }
        keys
    }
}

fn lock(shard: &Mutex<Vec<KeyHash>>) -> MutexGuard<'_, Vec<KeyHash>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
