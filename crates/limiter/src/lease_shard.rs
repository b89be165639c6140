//! A part of the table of leases. The table calls it, under the part's lock.

use std::sync::Arc;

use crate::clock::held;
use crate::grants::Grant;
use crate::key::KeyHash;
use crate::lease::{Instant, Lease};
use crate::lease_chunks::{LeaseChunks, LeaseSlot, SLOT_BITS};
use crate::ordered::{Ordered, Placed};
use crate::origin::Origin;
use crate::returns::Expelled;
use crate::store_reply::StoreReply;
use crate::tier::Tier;

/// 48 bits of a key's hash, which are never 0, then the slot of its lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Indexed(u64);

impl Indexed {
    fn new(key: KeyHash, slot: LeaseSlot) -> Self {
        Self(tag(key) | u64::from(slot))
    }

    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lower bits")]
    fn slot(self) -> LeaseSlot {
        self.0 as LeaseSlot
    }
}

impl Placed for Indexed {
    const VACANT: Self = Self(0);

    #[inline]
    fn place(&self) -> u64 {
        self.0 >> SLOT_BITS << SLOT_BITS
    }
}

/// The part of a hash by which leases are ordered; equal ones are told apart by bits that the leases keep.
#[inline]
fn tag(KeyHash([first, _]): KeyHash) -> u64 {
    (first >> SLOT_BITS).max(1) << SLOT_BITS
}

/// Leases, and the order in which they are found.
///
/// What every call reads comes first: with the lock before it, and the first chunks, it lies in one line of the processor's
/// caches.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct LeaseShard<const N: usize> {
    index: Ordered<Indexed>,
    origin: Origin,
    chunks: LeaseChunks<N>,
}

/// What a sweep found in a shard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Swept {
    /// Leases that held something.
    pub(crate) live: usize,
    /// When, by the monotonic clock in ms, the next of them is due; never if none holds anything.
    pub(crate) due_ms: u64,
}

impl<const N: usize> LeaseShard<N> {
    /// An instant of the monotonic clock as the leases tell it.
    #[inline]
    pub(crate) fn at(&mut self, mono_ms: u64) -> u32 {
        if let Some(origin_ms) = self.origin.later_mono_ms(mono_ms) {
            self.rebase(origin_ms);
        }
        self.origin.mono(mono_ms)
    }

    /// Counts from a later origin, as must be done before the 32 bits end.
    #[cold]
    fn rebase(&mut self, origin_ms: u64) {
        let later = self.origin.mono(origin_ms);
        for slot in self.slots() {
            self.lease_mut(slot).rebase(later);
        }
        self.origin.mono_ms = origin_ms;
    }

    /// An instant of the store's time as grants tell it. Where that takes another origin, grants that were taken too long before
    /// or after it are to be given back.
    fn taken_at(&mut self, store_ms: u64, expelled: &mut Expelled<'_>) -> u32 {
        if let Some(origin_ms) = self.origin.other_store_ms(store_ms) {
            self.rebase_store(origin_ms, expelled);
        }
        self.origin.store(store_ms)
    }

    #[cold]
    fn rebase_store(&mut self, origin_ms: u64, expelled: &mut Expelled<'_>) {
        let before = self.origin;
        self.origin.store_ms = origin_ms;
        let origin = self.origin;
        for slot in self.slots() {
            let lease = self.lease_mut(slot);
            let rules = lease.rule_set();
            let Lease { grants, text, .. } = lease;
            let is_out = |grant: &Grant| origin.other_store_ms(before.store_at(grant.taken)).is_some();
            grants.take(is_out, |grant| expelled.add_grant(text, rules, grant, before));
            for grant in grants.each_mut() {
                grant.taken = origin.store(before.store_at(grant.taken));
            }
        }
    }

    /// Where the lease of a key is.
    #[inline]
    pub(crate) fn find(&self, hash: KeyHash) -> Option<LeaseSlot> {
        let tag = tag(hash);
        let is = |indexed: &Indexed| indexed.place() == tag && self.lease(indexed.slot()).is(hash);
        self.index.get(tag, is).map(|indexed| indexed.slot())
    }

    /// Where in memory the place is where a key is looked for.
    pub(crate) fn index_address(&self, hash: KeyHash) -> *const u8 {
        self.index.address(tag(hash))
    }

    /// Where in memory the lease of a key is, if it is the only one of its hash.
    pub(crate) fn lease_address(&self, hash: KeyHash) -> Option<*const u8> {
        let tag = tag(hash);
        let indexed = self.index.get(tag, |indexed| indexed.place() == tag)?;
        Some(std::ptr::from_ref(self.lease(indexed.slot())).cast())
    }

    #[inline]
    pub(crate) fn lease(&self, slot: LeaseSlot) -> &Lease<N> {
        self.chunks.lease(slot)
    }

    #[inline]
    pub(crate) fn lease_mut(&mut self, slot: LeaseSlot) -> &mut Lease<N> {
        self.chunks.lease_mut(slot)
    }

    /// Takes in the lease of a key that is not there; None if all slots are taken.
    pub(crate) fn insert(&mut self, hash: KeyHash, lease: Lease<N>) -> Option<LeaseSlot> {
        let slot = self.chunks.insert(lease)?;
        self.index.insert(Indexed::new(hash, slot));
        Some(slot)
    }

    /// Forgets the lease of a key.
    pub(crate) fn remove(&mut self, hash: KeyHash, slot: LeaseSlot) {
        self.index
            .remove(tag(hash), |indexed| *indexed == Indexed::new(hash, slot));
        self.chunks.remove(slot);
    }

    /// Forgets the leases that `goes` names, and says how many.
    pub(crate) fn forget(&mut self, mut goes: impl FnMut(&Lease<N>) -> bool) -> usize {
        let chunks = &self.chunks;
        let mut gone = Vec::new();
        let goes = |indexed: &Indexed| goes(chunks.lease(indexed.slot()));
        self.index.forget(goes, |indexed| gone.push(indexed.slot()));
        for &slot in &gone {
            self.chunks.remove(slot);
        }
        gone.len()
    }

    /// The slots of all leases.
    pub(crate) fn slots(&self) -> Vec<LeaseSlot> {
        self.index.iter().map(|indexed| indexed.slot()).collect()
    }

    /// A few leases that lie together, round and round, and where they are.
    pub(crate) fn some(&self, turn: usize) -> impl Iterator<Item = (LeaseSlot, &Lease<N>)> {
        self.chunks.of_chunk(turn)
    }

    /// Holds what was granted; what there is no room for, and what has expired, is to be given back. Says when, by the
    /// monotonic clock in ms, something of the lease is due.
    pub(crate) fn hold(
        &mut self,
        slot: LeaseSlot,
        reply: &StoreReply,
        now: u32,
        idle: u32,
        expelled: &mut Expelled<'_>,
    ) -> u64 {
        let (milli, taken_ms) = (reply.held_milli, held(reply.now_ms));
        let is_held = milli > 0 && reply.lasts_ms > 0;
        let taken = if is_held { self.taken_at(taken_ms, expelled) } else { 0 };
        let origin = self.origin;
        let lease = self.lease_mut(slot);
        let rules = lease.rule_set();
        let Lease { grants, text, .. } = lease;
        if is_held {
            let lasts = u32::try_from(reply.lasts_ms).unwrap_or(u32::MAX);
            let gone = |grant| expelled.add_grant(text, rules, grant, origin);
            let excess = grants.add(milli, now.saturating_add(lasts), taken, now, gone);
            expelled.add(text, rules, excess, taken_ms);
        } else {
            expelled.add(text, rules, milli, taken_ms);
        }
        let Some(due) = lease.due(idle) else { return u64::MAX };
        self.chunks.mark_live(slot);
        origin.mono_at(due)
    }

    /// Brings a key under a tier of other rules; what was granted under those is to be given back.
    #[cold]
    pub(crate) fn bring_over(&mut self, slot: LeaseSlot, tier: &Tier, at: Instant, expelled: &mut Expelled<'_>) {
        self.release(slot, expelled);
        let lease = self.lease_mut(slot);
        let before = expelled.rules(lease.rule_set()).map(Arc::clone);
        lease.bring_over(before.as_deref(), tier, at);
    }

    /// Takes all out that a lease holds.
    pub(crate) fn release(&mut self, slot: LeaseSlot, expelled: &mut Expelled<'_>) {
        let origin = self.origin;
        let lease = self.lease_mut(slot);
        let rules = lease.rule_set();
        let Lease { grants, text, .. } = lease;
        grants.take(|_| true, |grant| expelled.add_grant(text, rules, grant, origin));
        self.chunks.clear_live(slot);
    }

    /// Takes out what has expired, and all of what was not used for `idle` ms.
    pub(crate) fn sweep(&mut self, now: u32, idle: u32, expelled: &mut Expelled<'_>) -> Swept {
        let origin = self.origin;
        let mut swept = Swept {
            live: 0,
            due_ms: u64::MAX,
        };
        self.chunks.retain_live(|lease| {
            swept.live += 1;
            let rules = lease.rule_set();
            let is_idle = now.saturating_sub(lease.used) >= idle;
            let Lease { grants, text, .. } = lease;
            let goes = |expires| is_idle || expires <= now;
            grants.take(
                |grant| goes(grant.expires),
                |grant| expelled.add_grant(text, rules, grant, origin),
            );
            let due = lease.due(idle);
            if let Some(due) = due {
                swept.due_ms = swept.due_ms.min(origin.mono_at(due));
            }
            due.is_some()
        });
        swept
    }

    /// Thousandths held, expired or not.
    pub(crate) fn held(&self) -> u64 {
        self.chunks.live().map(|lease| lease.grants.all()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rule_set::{RuleSet, Rules};
    use crate::tier::TierSpec;

    fn shard_of(keys: impl Iterator<Item = (KeyHash, u16)>) -> (LeaseShard<2>, Vec<Option<LeaseSlot>>) {
        let spec = TierSpec {
            name: "free".into(),
            limits: Vec::new(),
        };
        let rules = Arc::new(RuleSet::new(0, 0, &Rules::default()));
        let tier = Tier::new(0, 0, rules, spec, Vec::new());
        let mut shard = LeaseShard::default();
        let insert = |(hash, key): (KeyHash, u16)| shard.insert(hash, Lease::new(&[key], hash, &tier, 0));
        let slots = keys.map(insert).collect();
        (shard, slots)
    }

    #[test]
    fn a_lease_of_two_limits_takes_two_lines_of_the_caches() {
        assert_eq!(size_of::<Lease<2>>(), 128);
    }

    #[test]
    fn keys_of_which_the_index_knows_no_difference_are_told_apart() {
        for first in [0, 1, 0xFFFF, u64::MAX] {
            let hash = |key: u16| KeyHash([first, u64::from(key) << 32]);
            let (mut shard, slots) = shard_of((0..40).map(|key| (hash(key), key)));
            let found = |shard: &LeaseShard<2>| (0..40).map(|key| shard.find(hash(key))).collect::<Vec<_>>();
            assert_eq!(found(&shard), slots);
            assert_eq!(shard.find(hash(40)), None);
            shard.remove(hash(7), slots[7].unwrap());
            let left = (0..40).map(|key| slots[key].filter(|_| key != 7));
            assert_eq!(found(&shard), left.collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_shard_takes_no_more_than_its_slots_tell_apart_and_frees_what_it_needs_no_more() {
        let keys = || (0..=u16::MAX).map(|key| (KeyHash([u64::from(key).wrapping_mul(0x9E37_79B9_7F4A_7C15), 0]), key));
        let more = (KeyHash([77, 0]), 77);
        let (mut shard, slots) = shard_of(keys().chain([more]));
        let full = slots.iter().filter(|slot| slot.is_some()).count();
        assert_eq!((full, slots.last()), (1 << SLOT_BITS, Some(&None)));
        let at = |shard: &LeaseShard<2>, (hash, _): (KeyHash, u16)| shard.find(hash);
        for key in keys() {
            let slot = at(&shard, key).unwrap();
            shard.remove(key.0, slot);
            assert_eq!(at(&shard, key), None);
        }
        assert!(shard.chunks.len() == 0 && shard.slots().is_empty());
    }

    #[test]
    fn freed_slots_are_taken_again_before_more_memory_is() {
        let keys = || (1..=64).map(|key| (KeyHash([u64::from(key) << 50, 0]), key));
        let (mut shard, slots) = shard_of(keys());
        assert_eq!(
            shard.forget(|lease| [3, 40].iter().any(|&key| *lease.text.units() == [key])),
            2
        );
        let (mut other, _) = shard_of([(KeyHash([1, 0]), 1)].into_iter());
        let lease = other.lease_mut(0).clone();
        let again = [100, 101].map(|key: u64| shard.insert(KeyHash([key << 50, 0]), lease.clone()));
        assert_eq!(again, [slots[2], slots[39]]);
        assert_eq!(shard.chunks.len(), 2);
    }
}
