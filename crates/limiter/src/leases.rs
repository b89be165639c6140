//! The table of leases: what one replica holds and knows of each key. The crossing calls it for each decision, and writes
//! into it what the store answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::MAX_LIMITS;
use crate::clock::held;
use crate::error::Error;
use crate::key::{KeyHash, KeyHasher};
use crate::lease_outcome::{Asked, KnownKey, LeaseOutcome, LeaseVerdict};
use crate::lease_settings::{LeaseSettings, LeaseStats};
use crate::lease_spans::LeaseSpans;
use crate::lease_table::{LeaseCall, LeaseTable};
use crate::returns::{Expelled, Returned, Returns};
use crate::rule_set::HeldRuleSet;
use crate::snapshot::NamedRule;
use crate::stats::{Counters, Stats};
use crate::store_clock::StoreClock;
use crate::store_reply::{Applied, StoreReply};
use crate::tier::{Tier, TierId, TierRef, TierSpec};
use crate::tier_versions::TierVersions;
use crate::times::Times;
use crate::verdict::Verdict;

/// By how much, in milliseconds, a cheap clock may lag: by it, grants end so much earlier.
pub const CLOCK_LAG_MS: u32 = 10;

/// Of so many keys memory is fetched at once.
const AT_ONCE: usize = 64;

/// Decides from what one replica holds and knows of each key, and says when the store is to be asked. Any number of threads
/// may share one; best each has a clone of its own, which is the same table, so that they don't meet in its counters.
///
/// Keys are UTF-16 units, costs thousandths of a token.
#[derive(Debug)]
pub struct Leases {
    core: Arc<Core>,
    /// Where this clone counts.
    lane: usize,
}

#[derive(Debug)]
struct Core {
    tiers: TierVersions,
    keys: Keys,
    hasher: KeyHasher,
    clock: StoreClock,
    returns: Returns,
    counters: Counters,
    clones: AtomicUsize,
}

/// Leases of as many slots as the tiers need.
#[derive(Debug)]
enum Keys {
    Two(LeaseTable<2>),
    Four(LeaseTable<4>),
    Eight(LeaseTable<MAX_LIMITS>),
}

/// Calls whichever table there is.
macro_rules! table {
    ($leases:ident, $table:ident => $call:expr) => {
        match &$leases.core.keys {
            Keys::Two($table) => $call,
            Keys::Four($table) => $call,
            Keys::Eight($table) => $call,
        }
    };
}

impl Clone for Leases {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            lane: self.core.clones.fetch_add(1, Ordering::Relaxed) + 1,
        }
    }
}

impl Leases {
    /// # Errors
    /// [`Error::TiersInvalid`]
    pub fn new(settings: LeaseSettings) -> Result<Self, Error> {
        let tiers = TierVersions::new(settings.tiers)?;
        let counters = Counters::default();
        counters.reserve(tiers.names().len());
        let spans = LeaseSpans::new(settings.lease_ms, settings.timeout_ms);
        let keys = match tiers.slot_names().len() {
            0..=2 => Keys::Two(LeaseTable::new(settings.max_keys, spans)),
            3..=4 => Keys::Four(LeaseTable::new(settings.max_keys, spans)),
            _ => Keys::Eight(LeaseTable::new(settings.max_keys, spans)),
        };
        let core = Core {
            tiers,
            keys,
            hasher: KeyHasher::new(&settings.secret),
            clock: StoreClock::default(),
            returns: Returns::default(),
            counters,
            clones: AtomicUsize::new(0),
        };
        Ok(Self {
            core: Arc::new(core),
            lane: 0,
        })
    }

    /// Decides from what is held or believed, and spends; else nothing is decided and the store is to be asked. A known key
    /// is brought under the tier: what was granted under other rules is to be given back, and no denial is believed.
    ///
    /// `out` is a default one.
    ///
    /// # Errors
    /// [`Error::TierUnknown`], [`Error::CostExceedsCapacity`]
    #[inline]
    pub fn consume(
        &self,
        key: &[u16],
        tier: TierId,
        cost_milli: u64,
        times: Times,
        out: &mut LeaseOutcome,
    ) -> Result<(), Error> {
        self.decide(key, tier, cost_milli, (times, 0), || times, out)
    }

    /// Does what [`consume`](Self::consume) does by two pairs of clocks: a cheap one that lags by at most [`CLOCK_LAG_MS`], and a
    /// better one, which is read where the first would deny, or where a grant's end is near.
    ///
    /// # Errors
    /// As of [`consume`](Self::consume).
    #[inline]
    pub fn consume_by(
        &self,
        key: &[u16],
        tier: TierId,
        cost_milli: u64,
        cheap: Times,
        better: impl FnOnce() -> Times,
        out: &mut LeaseOutcome,
    ) -> Result<(), Error> {
        self.decide(key, tier, cost_milli, (cheap, CLOCK_LAG_MS), better, out)
    }

    #[inline]
    fn decide(
        &self,
        key: &[u16],
        tier: TierId,
        cost_milli: u64,
        cheap: (Times, u32),
        better: impl FnOnce() -> Times,
        out: &mut LeaseOutcome,
    ) -> Result<(), Error> {
        let Core { tiers, counters, .. } = &*self.core;
        let (version, tier) = tiers.tier(tier)?;
        tier.check_cost(cost_milli)?;
        out.version = version;
        if tier.limits.is_empty() {
            out.verdict = LeaseVerdict::Allowed;
            out.now_ms = held(cheap.0.store_ms);
        } else if cost_milli > 0 {
            let call = self.call(key, &tier);
            let others = table!(self, table => table.consume(&call, cost_milli, cheap, better, out));
            if let Some(times) = others {
                out.has_returns = self.bring_over(&call, times);
            }
        }
        if let Some(verdict) = out.verdict.decided() {
            counters.count(&tier, verdict, false, self.lane);
        }
        Ok(())
    }

    /// Brings a key under a tier of other rules than its own; says whether something of it is to be given back.
    #[cold]
    fn bring_over(&self, call: &LeaseCall<'_>, times: Times) -> bool {
        let Core { tiers, returns, .. } = &*self.core;
        let mut expelled = Expelled::new(tiers);
        table!(self, table => table.bring_over(call, times, &mut expelled));
        let has_returns = !expelled.is_empty();
        returns.add(expelled);
        has_returns
    }

    #[inline]
    fn call<'a>(&self, key: &'a [u16], tier: &'a Tier) -> LeaseCall<'a> {
        let hash = self.core.hasher.hash(key);
        LeaseCall { hash, key, tier }
    }

    /// What [`consume`](Self::consume) would say, for any cost, if the key is under these rules, holds something, and was heard
    /// of within the time of a lease; else the store is to be asked. Changes nothing, and is not counted.
    ///
    /// # Errors
    /// As of [`consume`](Self::consume).
    pub fn peek(&self, key: &[u16], tier: TierId, cost_milli: u64, times: Times) -> Result<LeaseOutcome, Error> {
        let (version, tier) = self.core.tiers.tier(tier)?;
        tier.check_cost(cost_milli)?;
        let mut out = LeaseOutcome {
            version,
            ..LeaseOutcome::default()
        };
        if tier.limits.is_empty() {
            out.verdict = LeaseVerdict::Allowed;
            out.now_ms = held(times.store_ms);
        } else {
            let call = self.call(key, &tier);
            table!(self, table => table.peek(&call, cost_milli, times, &mut out));
        }
        Ok(out)
    }

    /// What a take for a key should say. Notes that the store is being asked, so that nobody asks ahead for as long as it is
    /// waited for.
    ///
    /// # Errors
    /// [`Error::TierUnknown`]
    pub fn ask(&self, key: &[u16], tier: TierId, mono_ms: u64) -> Result<Asked, Error> {
        self.ask_or_look(key, tier, mono_ms, true)
    }

    /// The same without what the key will use, and without noting anything.
    ///
    /// # Errors
    /// [`Error::TierUnknown`]
    pub fn look(&self, key: &[u16], tier: TierId, mono_ms: u64) -> Result<Asked, Error> {
        self.ask_or_look(key, tier, mono_ms, false)
    }

    fn ask_or_look(&self, key: &[u16], tier: TierId, mono_ms: u64, notes: bool) -> Result<Asked, Error> {
        let (version, tier) = self.core.tiers.tier(tier)?;
        let mut asked = Asked {
            version,
            held_milli: 0,
            ahead_milli: 0,
            snapshot: None,
        };
        let call = self.call(key, &tier);
        table!(self, table => table.ask(&call, mono_ms, notes, &mut asked));
        Ok(asked)
    }

    /// Takes in what the store has answered about a key.
    #[must_use]
    pub fn apply(&self, key: &[u16], reply: &StoreReply) -> Applied {
        self.apply_hashed(self.core.hasher.hash(key), key, reply)
    }

    /// Takes in many answers, in order, and tells of each by its number what became of it. If there are so many keys that it
    /// pays, `prefetch` is told first where in memory those are of the next few. Such an address is good for a prefetch and
    /// nothing else.
    pub fn apply_all(
        &self,
        replies: &[(&[u16], StoreReply)],
        mut prefetch: impl FnMut(*const u8),
        mut applied: impl FnMut(usize, Applied),
    ) {
        let mut number = 0;
        for part in replies.chunks(AT_ONCE) {
            let mut hashes = [KeyHash([0; 2]); AT_ONCE];
            let hashes = &mut hashes[..part.len()];
            for (hash, (key, _)) in hashes.iter_mut().zip(part) {
                *hash = self.core.hasher.hash(key);
            }
            table!(self, table => table.prefetch_addresses(hashes, &mut prefetch));
            for (hash, (key, reply)) in hashes.iter().zip(part) {
                applied(number, self.apply_hashed(*hash, key, reply));
                number += 1;
            }
        }
    }

    fn apply_hashed(&self, hash: KeyHash, key: &[u16], reply: &StoreReply) -> Applied {
        let Core {
            tiers,
            hasher,
            clock,
            returns,
            ..
        } = &*self.core;
        clock.hear(reply.now_ms.saturating_sub(reply.behind_ms), reply.mono_ms);
        let Ok(tier) = tiers.tier_of(reply.version, reply.tier) else {
            if reply.teaches() {
                table!(self, table => table.disbelieve(hash));
            }
            return Applied::Unknown;
        };
        let mut expelled = Expelled::new(tiers);
        let call = LeaseCall { hash, key, tier: &tier };
        let applied = table!(self, table => table.apply(&call, reply, hasher, &mut expelled));
        returns.add(expelled);
        applied
    }

    /// Forgets what is known, held and believed of a key.
    pub fn forget(&self, key: &[u16]) {
        let hash = self.core.hasher.hash(key);
        table!(self, table => table.forget(hash));
    }

    /// Has all that is held of a key be given back. `again` lets the store be asked at once; else nothing is asked ahead
    /// for a quarter of a lease.
    pub fn give_back(&self, key: &[u16], again: bool, mono_ms: u64) {
        let Core {
            tiers, hasher, returns, ..
        } = &*self.core;
        let mut expelled = Expelled::new(tiers);
        let hash = hasher.hash(key);
        table!(self, table => table.give_back(hash, again, mono_ms, &mut expelled));
        returns.add(expelled);
    }

    /// Has what has expired, or lies idle for half the time of a lease, be given back: a part of it, a few thousand keys.
    /// Forgets keys of another small part that hold nothing and are as good as new. Says whether there is more to do now.
    #[expect(clippy::must_use_candidate, reason = "whoever sweeps again soon need not look")]
    pub fn sweep(&self, times: Times) -> bool {
        let Core { tiers, returns, .. } = &*self.core;
        table!(self, table => {
            let has_more = table.sweep(tiers, times.mono_ms, returns);
            table.forget_as_new(tiers, times);
            table.look_for_used_rule_sets(tiers);
            has_more
        })
    }

    /// Has all that is held be given back.
    pub fn drain(&self) {
        let Core { tiers, returns, .. } = &*self.core;
        table!(self, table => table.drain(tiers, returns));
    }

    /// Takes out at most so much of what is to be given back, the oldest first. It is the caller's now.
    #[must_use]
    pub fn take_returns(&self, max: usize) -> Vec<Returned> {
        self.core.returns.take(max)
    }

    /// What is known of the keys of one part of the table, from 0; None after the last.
    #[must_use]
    pub fn known_of(&self, shard: usize) -> Option<Vec<KnownKey>> {
        table!(self, table => table.known_of(&self.core.tiers, shard))
    }

    /// Notes what the store's time was at an instant of the monotonic clock.
    pub fn heard(&self, store_ms: u64, mono_ms: u64) {
        self.core.clock.hear(store_ms, mono_ms);
    }

    /// The store's time at an instant of the monotonic clock, by what was heard of it last; None if nothing was.
    #[must_use]
    pub fn store_ms(&self, mono_ms: u64) -> Option<u64> {
        self.core.clock.store_ms(mono_ms)
    }

    /// Counts a decision that was made elsewhere under a tier of a version: denied by a limit of it, or allowed.
    pub fn count(&self, version: usize, tier: TierId, denied_by: Option<u8>) {
        if let Ok(tier) = self.core.tiers.tier_of(version, tier)
            && denied_by.is_none_or(|limit| usize::from(limit) < tier.limits.len())
        {
            let verdict = denied_by.map_or(Verdict::Allowed, |limit| Verdict::Denied { limit });
            self.core.counters.count(&tier, verdict, false, self.lane);
        }
    }

    /// As [`Limiter::slots`](crate::Limiter::slots).
    #[inline]
    #[must_use]
    pub fn slots(&self) -> usize {
        table!(self, table => table.slots())
    }

    /// Counts the reloads, from 0.
    #[must_use]
    pub fn version(&self) -> usize {
        self.core.tiers.version()
    }

    /// The number of a tier that is in force.
    #[must_use]
    pub fn tier_id(&self, name: &str) -> Option<TierId> {
        self.core
            .tiers
            .in_force()
            .find(|tier| tier.spec().name == name)
            .map(|tier| tier.id)
    }

    /// A tier that is in force.
    ///
    /// # Errors
    /// [`Error::TierUnknown`]
    pub fn tier(&self, id: TierId) -> Result<TierRef<'_>, Error> {
        Ok(self.core.tiers.tier(id)?.1)
    }

    /// The tiers in force.
    #[must_use]
    pub fn tiers(&self) -> Vec<TierSpec> {
        self.core.tiers.in_force().map(|tier| tier.spec().clone()).collect()
    }

    /// Puts other tiers in force from the next decision on.
    ///
    /// # Errors
    /// [`Error::TiersInvalid`]; then nothing has changed.
    pub fn reload(&self, tiers: Vec<TierSpec>) -> Result<(), Error> {
        self.core.counters.reserve(self.core.tiers.names().len() + tiers.len());
        self.core.tiers.enact(tiers, self.slots())
    }

    /// As [`Limiter::override_tier`](crate::Limiter::override_tier).
    ///
    /// # Errors
    /// As there.
    pub fn override_tier(&self, version: usize, plain: TierId, spec: TierSpec) -> Result<TierId, Error> {
        let id = self.core.tiers.override_tier(version, plain, spec)?;
        table!(self, table => table.look_for_used_rule_sets(&self.core.tiers));
        Ok(id)
    }

    /// The limits that a rule set stands for, by slot.
    #[must_use]
    pub fn named_rules(&self, rules: &HeldRuleSet) -> Vec<NamedRule> {
        self.core.tiers.named_rules(rules)
    }

    /// What was counted since the table was made.
    #[must_use]
    pub fn stats(&self) -> LeaseStats {
        let Core { tiers, counters, .. } = &*self.core;
        let (keys, evictions, overflow) = table!(self, table => (table.len(), table.evicted(), table.overflow()));
        LeaseStats {
            counted: Stats {
                keys,
                evictions,
                places: 0, // The store has them.
                tiers: counters.read(&tiers.names(), &tiers.slot_names()),
            },
            held_milli: table!(self, table => table.held()),
            overflow,
        }
    }
}
