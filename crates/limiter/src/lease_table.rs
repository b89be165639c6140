//! The leases of all keys, in shards: each call of the public table is one of its methods.

use std::ptr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, TryLockError};

use crossbeam_utils::CachePadded;

use crate::clock::held;
use crate::guarded::Guarded;
use crate::key::{KeyHash, KeyHasher};
use crate::lease::{Instant, Lease};
use crate::lease_chunks::LeaseSlot;
use crate::lease_outcome::{Asked, KnownKey, LeaseOutcome};
use crate::lease_shard::LeaseShard;
use crate::lease_spans::LeaseSpans;
use crate::returns::{Expelled, Returns};
use crate::rule_set::HeldRuleSet;
use crate::store_reply::{Applied, StoreReply};
use crate::tier::Tier;
use crate::tier_versions::TierVersions;
use crate::times::Times;

/// Keys that a shard is made for.
const SHARD_KEYS: usize = 1 << 9;
/// So many that two threads seldom want the same one.
const MIN_SHARDS: usize = 1 << 8;
const MAX_SHARDS: usize = 1 << 16;
/// Keys that a shard is made for at most, where there would be too many shards: a quarter of those that it can hold.
const MOST_SHARD_KEYS: usize = 1 << 14;
/// How many leases that hold something a sweep looks at in one go, and how many for those that are as good as new.
const SWEEP_LIVE: usize = 1 << 12;
const SWEEP_KEYS: usize = 1 << 11;
/// In how many chunks a lease is looked for that may go.
const SEARCH_CHUNKS: usize = 1 << 8;

/// So many keys don't stay in the processor's caches.
const COLD_KEYS: usize = 1 << 15;
/// Bytes of a line of these.
const LINE: usize = 64;

/// A key of a call, and the tier that it is under.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeaseCall<'a> {
    pub(crate) hash: KeyHash,
    pub(crate) key: &'a [u16],
    pub(crate) tier: &'a Tier,
}

/// Leases of at most so many keys, in `N` slots each.
///
/// A shard's lock never leaves the function that took it, and none is taken while another is held.
#[derive(Debug)]
pub(crate) struct LeaseTable<const N: usize> {
    shards: Box<[CachePadded<Guarded<N>>]>,
    max_keys: usize,
    keys: CachePadded<AtomicUsize>,
    spans: LeaseSpans,
    /// Where to go on giving back, forgetting, making room, and looking which rule sets are used.
    swept: AtomicUsize,
    forgotten: AtomicUsize,
    searched: AtomicUsize,
    looked: Mutex<usize>,
    evicted: AtomicU64,
    /// Answers of the store whose key found no room.
    overflow: AtomicU64,
}

impl<const N: usize> LeaseTable<N> {
    pub(crate) fn new(max_keys: usize, spans: LeaseSpans) -> Self {
        let shards = max_keys
            .div_ceil(SHARD_KEYS)
            .next_power_of_two()
            .clamp(MIN_SHARDS, MAX_SHARDS)
            .max(max_keys.div_ceil(MOST_SHARD_KEYS).next_power_of_two());
        Self {
            shards: std::iter::repeat_with(CachePadded::default).take(shards).collect(),
            max_keys,
            keys: CachePadded::default(),
            spans,
            swept: AtomicUsize::new(0),
            forgotten: AtomicUsize::new(0),
            searched: AtomicUsize::new(0),
            looked: Mutex::default(),
            evicted: AtomicU64::new(0),
            overflow: AtomicU64::new(0),
        }
    }

    /// Slots of a key.
    #[expect(clippy::unused_self, reason = "asked of whichever table there is")]
    pub(crate) fn slots(&self) -> usize {
        N
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.load(Ordering::Relaxed)
    }

    /// Keys forgotten by the sweep or to make room.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Answers of the store whose key found no room.
    pub(crate) fn overflow(&self) -> u64 {
        self.overflow.load(Ordering::Relaxed)
    }

    /// Thousandths held, expired or not.
    pub(crate) fn held(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().held()).sum()
    }

    /// Decides by a clock that lags by `lag_ms` at most, or by a better one where that would not allow. A key under other rules is
    /// left to [`bring_over`](Self::bring_over), as of the instant that is returned.
    #[inline]
    pub(crate) fn consume(
        &self,
        call: &LeaseCall<'_>,
        cost_milli: u64,
        (cheap, lag_ms): (Times, u32),
        better: impl FnOnce() -> Times,
        out: &mut LeaseOutcome,
    ) -> Option<Times> {
        let mut shard = self.shard(call.hash).lock();
        let slot = shard.find(call.hash)?;
        let at = instant(&mut shard, cheap);
        let lease = shard.lease_mut(slot);
        if lease.rule_set() != call.tier.rule_set {
            return Some(better());
        }
        let ends = at.mono.saturating_add(lag_ms);
        if !lease.spend(call.tier, cost_milli, at, ends, &self.spans, out) {
            let at = instant(&mut shard, better());
            let lease = shard.lease_mut(slot);
            if !lease.spend(call.tier, cost_milli, at, at.mono, &self.spans, out) {
                lease.believe(call.tier, cost_milli, at, out);
            }
        }
        None
    }

    /// Brings a key that is under other rules under a tier.
    #[cold]
    pub(crate) fn bring_over(&self, call: &LeaseCall<'_>, times: Times, expelled: &mut Expelled<'_>) {
        let mut shard = self.shard(call.hash).lock();
        if let Some(slot) = shard.find(call.hash)
            && shard.lease(slot).rule_set() != call.tier.rule_set
        {
            let at = instant(&mut shard, times);
            shard.bring_over(slot, call.tier, at, expelled);
        }
    }

    pub(crate) fn peek(&self, call: &LeaseCall<'_>, cost_milli: u64, times: Times, out: &mut LeaseOutcome) {
        let mut shard = self.shard(call.hash).lock();
        if let Some(slot) = shard.find(call.hash) {
            let at = instant(&mut shard, times);
            shard.lease(slot).peek(call.tier, cost_milli, at, &self.spans, out);
        }
    }

    /// What a take should say, or, if it `notes` nothing, any other question.
    pub(crate) fn ask(&self, call: &LeaseCall<'_>, mono_ms: u64, notes: bool, asked: &mut Asked) {
        let mut shard = self.shard(call.hash).lock();
        let Some(slot) = shard.find(call.hash) else {
            return;
        };
        let now = shard.at(mono_ms);
        let lease = shard.lease_mut(slot);
        if lease.rule_set() == call.tier.rule_set {
            asked.held_milli = lease.grants.held(now);
            asked.snapshot = Some(lease.snapshot(call.tier));
            if notes {
                asked.ahead_milli = lease.ask(now, &self.spans);
            }
        }
    }

    /// Tells where in memory the leases of keys are, if there are so many that it is worth fetching them all before the first is
    /// looked at: first their shards, then where in those they are looked for, then themselves.
    pub(crate) fn prefetch_addresses(&self, keys: &[KeyHash], mut at: impl FnMut(*const u8)) {
        if self.len() < COLD_KEYS || keys.len() < 2 {
            return;
        }
        for &key in keys {
            at(ptr::from_ref(self.shard(key)).cast());
        }
        for &key in keys {
            at(self.shard(key).lock().index_address(key));
        }
        for &key in keys {
            let lease = self.shard(key).lock().lease_address(key);
            if let Some(lease) = lease {
                at(lease);
                at(lease.wrapping_add(size_of::<Lease<N>>() - LINE));
            }
        }
    }

    pub(crate) fn apply(
        &self,
        call: &LeaseCall<'_>,
        reply: &StoreReply,
        hasher: &KeyHasher,
        expelled: &mut Expelled<'_>,
    ) -> Applied {
        let home = self.shard(call.hash);
        let mut shard = home.lock();
        let mut slot = shard.find(call.hash);
        if slot.is_none() {
            if reply.granted_milli.is_none() {
                return Applied::Kept;
            }
            if reply.epoch.is_none() {
                return Applied::Full;
            }
            slot = self.obtain(&mut shard, call, reply.mono_ms);
        }
        if slot.is_none() {
            drop(shard);
            self.make_room(reply.mono_ms, hasher);
            shard = home.lock();
            slot = self.obtain(&mut shard, call, reply.mono_ms);
        }
        let Some(slot) = slot else {
            self.overflow.fetch_add(1, Ordering::Relaxed);
            return Applied::Full;
        };
        if shard.lease(slot).rule_set() != call.tier.rule_set {
            if reply.teaches() {
                shard.lease_mut(slot).disbelieve();
            }
            return Applied::Stale;
        }
        let now = shard.at(reply.mono_ms);
        let lease = shard.lease_mut(slot);
        lease.learn(call.tier, reply);
        lease.note_denial(reply, now);
        if let Some(granted_milli) = reply.granted_milli {
            lease.taken(granted_milli, now, &self.spans);
            let due_ms = shard.hold(slot, reply, now, self.spans.idle, expelled);
            home.is_due_at(due_ms);
        }
        Applied::Kept
    }

    /// Where the lease of a key is, which is made if there is room for it. A place is reserved under the lock of its shard:
    /// reserved before, it would be missing to another thread that brings the same key.
    fn obtain(&self, shard: &mut LeaseShard<N>, call: &LeaseCall<'_>, mono_ms: u64) -> Option<LeaseSlot> {
        if let Some(slot) = shard.find(call.hash) {
            return Some(slot);
        }
        let another = |keys| (keys < self.max_keys).then_some(keys + 1);
        self.keys
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, another)
            .ok()?;
        let now = shard.at(mono_ms);
        let slot = shard.insert(call.hash, Lease::new(call.key, call.hash, call.tier, now));
        if slot.is_none() {
            self.keys.fetch_sub(1, Ordering::Relaxed);
        }
        slot
    }

    /// Forgets one key that holds nothing and is not being asked about: of those looked at together, the one that was used least
    /// lately.
    #[cold]
    fn make_room(&self, mono_ms: u64, hasher: &KeyHasher) {
        for _ in 0..SEARCH_CHUNKS {
            let turn = self.searched.fetch_add(1, Ordering::Relaxed);
            let guarded = self.shard_at(turn);
            if !guarded.is_to_be_searched(mono_ms) {
                continue;
            }
            let mut shard = guarded.lock();
            let now = shard.at(mono_ms);
            let chunk = shard.some(turn / self.shards.len());
            let oldest = chunk
                .filter(|(_, lease)| lease.may_go(now))
                .min_by_key(|(_, lease)| lease.used)
                .map(|(slot, lease)| (slot, hasher.hash(&lease.text.units())));
            if let Some((slot, hash)) = oldest {
                shard.remove(hash, slot);
                drop(shard);
                return self.count_forgotten(1);
            }
            guarded.searched_ms.store(mono_ms, Ordering::Relaxed);
        }
    }

    pub(crate) fn forget(&self, hash: KeyHash) {
        let mut shard = self.shard(hash).lock();
        if let Some(slot) = shard.find(hash) {
            shard.remove(hash, slot);
            self.keys.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Has the store be asked about a key, whatever it has denied.
    pub(crate) fn disbelieve(&self, hash: KeyHash) {
        let mut shard = self.shard(hash).lock();
        if let Some(slot) = shard.find(hash) {
            shard.lease_mut(slot).disbelieve();
        }
    }

    pub(crate) fn give_back(&self, hash: KeyHash, again: bool, mono_ms: u64, expelled: &mut Expelled<'_>) {
        let home = self.shard(hash);
        let mut shard = home.lock();
        if let Some(slot) = shard.find(hash) {
            let now = shard.at(mono_ms);
            shard.release(slot, expelled);
            shard.lease_mut(slot).given_back(again, now, &self.spans);
            home.search_again();
        }
    }

    /// Takes out what is over of the next few thousand leases that hold something; says whether there are more.
    pub(crate) fn sweep(&self, tiers: &TierVersions, mono_ms: u64, returns: &Returns) -> bool {
        let start = self.swept.load(Ordering::Relaxed);
        let mut live = 0;
        for turn in start..start + self.shards.len() {
            let guarded = self.shard_at(turn);
            if guarded.due_ms.load(Ordering::Relaxed) > mono_ms {
                continue;
            }
            if live >= SWEEP_LIVE {
                self.swept.store(turn % self.shards.len(), Ordering::Relaxed);
                return true;
            }
            let mut expelled = Expelled::new(tiers);
            live += guarded.sweep(|shard| (shard.at(mono_ms), self.spans.idle), &mut expelled);
            returns.add(expelled);
        }
        false
    }

    /// Takes out all that is held.
    pub(crate) fn drain(&self, tiers: &TierVersions, returns: &Returns) {
        for guarded in &self.shards {
            let mut expelled = Expelled::new(tiers);
            guarded.sweep(|_| (u32::MAX, 0), &mut expelled);
            returns.add(expelled);
        }
    }

    /// Forgets those of the next few thousand keys that hold nothing and are as good as new.
    pub(crate) fn forget_as_new(&self, tiers: &TierVersions, times: Times) {
        for _ in 0..self.shards_of(SWEEP_KEYS) {
            let turn = self.forgotten.fetch_add(1, Ordering::Relaxed);
            let mut expelled = Expelled::new(tiers);
            let mut shard = self.shard_at(turn).lock();
            let at = instant(&mut shard, times);
            let goes = |lease: &Lease<N>| {
                let rules = expelled.rules(lease.rule_set());
                rules.is_none_or(|rules| lease.is_as_new(rules, at))
            };
            let gone = shard.forget(goes);
            drop(shard);
            self.count_forgotten(gone);
        }
    }

    /// If there are many rule sets, looks at a small part of the leases, round and round, which of them are used.
    pub(crate) fn look_for_used_rule_sets(&self, tiers: &TierVersions) {
        if !tiers.rule_sets.are_many() {
            return;
        }
        let mut looked = match self.looked.try_lock() {
            Ok(looked) => looked,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        let end = *looked + self.shards_of(SWEEP_KEYS);
        let mut last = None;
        for guarded in self.shards.iter().take(end).skip(*looked) {
            let shard = guarded.lock();
            for slot in shard.slots() {
                let rules = shard.lease(slot).rule_set();
                if last.replace(rules) != Some(rules) {
                    tiers.rule_sets.mark_used(rules);
                }
            }
        }
        *looked = end;
        if end >= self.shards.len() {
            tiers.rule_sets.end_round();
            *looked = 0;
        }
    }

    /// What is known of the keys of a shard; None after the last.
    pub(crate) fn known_of(&self, tiers: &TierVersions, shard: usize) -> Option<Vec<KnownKey>> {
        let shard = self.shards.get(shard)?.lock();
        let mut expelled = Expelled::new(tiers);
        let known = shard.slots().into_iter().filter_map(|slot| {
            let lease = shard.lease(slot);
            Some(KnownKey {
                key: lease.text.units(),
                rules: HeldRuleSet(Arc::clone(expelled.rules(lease.rule_set())?)),
                snapshot: lease.snapshot_by_slot(),
            })
        });
        Some(known.collect())
    }

    fn count_forgotten(&self, keys: usize) {
        self.keys.fetch_sub(keys, Ordering::Relaxed);
        self.evicted.fetch_add(keys as u64, Ordering::Relaxed);
    }

    fn shard_at(&self, turn: usize) -> &Guarded<N> {
        &self.shards[turn % self.shards.len()]
    }

    /// How many shards hold so many keys when the table is full.
    fn shards_of(&self, keys: usize) -> usize {
        (keys * self.shards.len())
            .div_ceil(self.max_keys)
            .min(self.shards.len())
    }

    /// The shard orders by the first half of the hash, so this takes the second.
    #[inline]
    fn shard(&self, key: KeyHash) -> &Guarded<N> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
        &self.shards[key.0[1] as usize & (self.shards.len() - 1)]
    }
}

#[inline]
fn instant<const N: usize>(shard: &mut LeaseShard<N>, times: Times) -> Instant {
    Instant {
        mono: shard.at(times.mono_ms),
        store_ms: held(times.store_ms),
    }
}
