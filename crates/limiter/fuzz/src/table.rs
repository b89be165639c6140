//! The model's keys.

use std::collections::BTreeMap;

use tollkeeper_limiter::{KeyHash, TierId, TierSpec};

use crate::key::Key;

pub(crate) struct Table {
    max_keys: usize,
    keys: BTreeMap<KeyHash, Key>,
    /// What the keys of a tier share that there is no room for.
    overflow: BTreeMap<TierId, Key>,
}

impl Table {
    pub(crate) fn new(max_keys: usize) -> Self {
        Self {
            max_keys,
            keys: BTreeMap::new(),
            overflow: BTreeMap::new(),
        }
    }

    pub(crate) fn max_keys(&self) -> usize {
        self.max_keys
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.keys.len() >= self.max_keys
    }

    pub(crate) fn knows(&self, key: KeyHash) -> bool {
        self.keys.contains_key(&key)
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = (KeyHash, &Key)> {
        self.keys.iter().map(|(key, model)| (*key, model))
    }

    pub(crate) fn key(&self, key: KeyHash) -> Option<&Key> {
        self.keys.get(&key)
    }

    pub(crate) fn key_mut(&mut self, key: KeyHash) -> Option<&mut Key> {
        self.keys.get_mut(&key)
    }

    pub(crate) fn overflow(&self, id: TierId) -> Option<&Key> {
        self.overflow.get(&id)
    }

    pub(crate) fn overflow_mut(&mut self, id: TierId) -> Option<&mut Key> {
        self.overflow.get_mut(&id)
    }

    pub(crate) fn keys_mut(&mut self) -> impl Iterator<Item = (KeyHash, &mut Key)> {
        self.keys.iter_mut().map(|(key, model)| (*key, model))
    }

    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut Key> {
        self.keys.values_mut().chain(self.overflow.values_mut())
    }

    /// A key's own place, which is made if there is none.
    pub(crate) fn own(&mut self, key: KeyHash, tier: &TierSpec, now_ms: u64) -> &mut Key {
        self.keys.entry(key).or_insert_with(|| Key::new(tier, now_ms))
    }

    /// The place that a tier's keys share, which is made if there is none.
    pub(crate) fn shared(&mut self, id: TierId, tier: &TierSpec, now_ms: u64) -> &mut Key {
        self.overflow.entry(id).or_insert_with(|| Key::new(tier, now_ms))
    }

    pub(crate) fn remove(&mut self, key: KeyHash) -> Option<Key> {
        self.keys.remove(&key)
    }

    pub(crate) fn retain(&mut self, is_kept: impl Fn(&Key) -> bool) {
        self.keys.retain(|_, model| is_kept(model));
    }

    pub(crate) fn clear_overflow(&mut self) {
        self.overflow.clear();
    }
}
