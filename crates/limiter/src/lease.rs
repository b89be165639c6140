//! What one replica holds and knows of one key. The shard finds it; each call of the table of leases is one of its methods,
//! under the shard's lock.

use crate::clock::held;
use crate::demand::Demand;
use crate::epoch::Epoch;
use crate::grants::Grants;
use crate::key::KeyHash;
use crate::key_text::KeyText;
use crate::lease_outcome::{LeaseOutcome, LeaseVerdict, Snapshot};
use crate::lease_spans::LeaseSpans;
use crate::rule_set::{RuleSet, RuleSetId, SlotLimit};
use crate::stamp::Stamp;
use crate::store_reply::StoreReply;
use crate::tier::Tier;
use crate::verdict::Verdict;
use crate::{MAX_AMOUNT, MAX_BLOCK, MAX_LIMITS};

/// An amount of which nothing is known; as a number with a sign below all that there are.
const UNKNOWN: u64 = 1 << 63;
/// How long, in ms, a denial is believed at most.
const BELIEF_MS: u64 = 5_000;
/// Below so many thousandths nothing is asked ahead.
const LEAST_AHEAD: f64 = 2_000.0;

/// One instant: in ms since the shard's [`Origin`](crate::origin::Origin), and by the store's time since the epoch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Instant {
    pub(crate) mono: u32,
    pub(crate) store_ms: u64,
}

/// What is held and known of a key, in `N` slots. Instants without a unit are those of the shard; 0 is long ago.
///
/// What a decision reads as long as enough is held comes first: of two slots, it is one line of the processor's caches.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(crate) struct Lease<const N: usize> {
    /// When that was so which is known, and under which rules the key is.
    stamp: Stamp,
    /// What the store last said was spent, in the units of the rules; 0 in slots that they leave out.
    spent: [u64; N],
    pub(crate) grants: Grants,
    /// Bits of the key's hash that the index has not.
    check: u32,
    pub(crate) used: u32,
    /// Thousandths handed out that the demand has not heard of.
    handed_out: u32,
    /// Until when nothing is asked ahead, whatever the reason.
    quiet_until: u32,
    pub(crate) text: KeyText,
    demand: Demand,
    /// Until when nothing is asked ahead, since a take has just ended or others want the tokens.
    no_prefetch_until: u32,
    /// Until when the store is being asked.
    asked_until: u32,
    /// Until when a denial is believed.
    deny_until: u32,
    /// Until when tokens that others hold may come back.
    back_until: u32,
    epoch: Epoch,
}

impl<const N: usize> Lease<N> {
    /// What stands where there is no key.
    pub(crate) const VACANT: Self = Self {
        stamp: Stamp::NONE,
        spent: [0; N],
        grants: Grants::NONE,
        check: 0,
        used: 0,
        handed_out: 0,
        quiet_until: 0,
        text: KeyText::EMPTY,
        demand: Demand::NONE,
        no_prefetch_until: 0,
        asked_until: 0,
        deny_until: 0,
        back_until: 0,
        epoch: Epoch::FIRST,
    };

    /// A key under a tier of which nothing is known until it [learns](Self::learn).
    pub(crate) fn new(key: &[u16], hash: KeyHash, tier: &Tier, now: u32) -> Self {
        Self {
            check: check(hash),
            text: KeyText::new(key),
            stamp: Stamp::new(0, tier.rule_set),
            demand: Demand::from(now),
            used: now,
            ..Self::VACANT
        }
    }

    /// Whether it is that of a key, of which the index has told the rest of the hash.
    #[inline]
    pub(crate) fn is(&self, hash: KeyHash) -> bool {
        self.check == check(hash)
    }

    #[inline]
    pub(crate) fn rule_set(&self) -> RuleSetId {
        self.stamp.rule_set()
    }

    /// Spends of what is held after `ends`, if that is enough; returns whether it was.
    #[inline]
    pub(crate) fn spend(
        &mut self,
        tier: &Tier,
        cost_milli: u64,
        at: Instant,
        ends: u32,
        spans: &LeaseSpans,
        out: &mut LeaseOutcome,
    ) -> bool {
        self.used = self.used.max(at.mono);
        let held = self.grants.held(ends);
        let Some(cost) = u32::try_from(cost_milli).ok().filter(|_| held >= cost_milli) else {
            return false;
        };
        self.grants.spend(cost, ends);
        self.handed_out = self.handed_out.saturating_add(cost);
        out.is_low = self.runs_low(at.mono, spans);
        out.verdict = LeaseVerdict::Allowed;
        self.stand(tier, at.store_ms, held - cost_milli, out);
        true
    }

    /// Whether more is to be asked for ahead, which is then noted as being done.
    #[inline]
    fn runs_low(&mut self, now: u32, spans: &LeaseSpans) -> bool {
        if now < self.quiet_until {
            return false;
        }
        let demand = self.demand.in_next(&mut self.handed_out, spans.quarter, now);
        // As of whole thousandths, rounded up.
        if demand <= LEAST_AHEAD - 1.0 || self.held_for(spans.quarter, now) >= demand {
            return false;
        }
        self.asked_until = now.saturating_add(spans.sixteenth).saturating_add(spans.timeout);
        self.be_quiet();
        true
    }

    /// Has nothing be asked ahead as long as either forbids it.
    fn be_quiet(&mut self) {
        self.quiet_until = self.no_prefetch_until.max(self.asked_until);
    }

    /// Thousandths that don't expire in so many ms.
    #[expect(clippy::cast_precision_loss, reason = "two grants of 32 bits")]
    fn held_for(&self, ms: u32, now: u32) -> f64 {
        self.grants.held(now.saturating_add(ms)) as f64
    }

    /// Denies what can't be spent, if it is known to be denied; else the store is to be asked, as of a denial that begins a block.
    pub(crate) fn believe(&self, tier: &Tier, cost_milli: u64, at: Instant, out: &mut LeaseOutcome) {
        if at.mono < self.deny_until {
            self.say(tier, cost_milli, at, out);
            if out.verdict == LeaseVerdict::Allowed || tier.would_block(&out.spent, cost_milli) {
                out.verdict = LeaseVerdict::Ask;
            }
        }
    }

    /// Says what a call would be told, if it holds something and was heard of within the time of a lease.
    pub(crate) fn peek(&self, tier: &Tier, cost_milli: u64, at: Instant, spans: &LeaseSpans, out: &mut LeaseOutcome) {
        let is_fresh = at.store_ms < self.stamp.at_ms() + u64::from(spans.lease);
        if is_fresh && self.rule_set() == tier.rule_set && self.grants.held(at.mono) > 0 {
            self.say(tier, cost_milli, at, out);
        }
    }

    /// Says what a call of this cost is told by where the key stands.
    fn say(&self, tier: &Tier, cost_milli: u64, at: Instant, out: &mut LeaseOutcome) {
        let spent = self.stand(tier, at.store_ms, self.grants.held(at.mono), out);
        out.verdict = LeaseVerdict::Allowed;
        if cost_milli == 0 {
            return;
        }
        if let Verdict::Denied { limit } = tier.verdict(&spent, cost_milli, out.now_ms) {
            out.verdict = LeaseVerdict::Denied { limit };
            let denying = &tier.limits[usize::from(limit)];
            let wait_ms = denying.limit.wait_ms(spent[denying.slot], cost_milli, out.now_ms);
            let wait_ms = out.behind_ms.saturating_add(wait_ms);
            let back_ms = u64::from(self.back_until.saturating_sub(at.mono));
            out.back_ms = if back_ms < wait_ms { back_ms } else { 0 };
        }
    }

    /// Says where the key stands, less what is held; returns what is spent by slot.
    #[inline]
    fn stand(&self, tier: &Tier, store_ms: u64, held_milli: u64, out: &mut LeaseOutcome) -> [u64; N] {
        let at_ms = self.stamp.at_ms();
        let now_ms = store_ms.max(at_ms);
        out.now_ms = now_ms;
        out.behind_ms = now_ms - store_ms;
        let mut spent = self.spent;
        if !spent.contains(&UNKNOWN) && tier.rates.same_period(at_ms, now_ms) {
            tier.rates.refill(&mut spent, now_ms - at_ms);
            tier.rates.deduct(&mut spent, held_milli);
        } else {
            self.stand_anew(tier, now_ms, held_milli, &mut spent);
        }
        tier.rates.put_in_order(&spent, &mut out.spent);
        spent
    }

    /// The same where an amount is not known, or maybe a period has ended.
    #[cold]
    fn stand_anew(&self, tier: &Tier, now_ms: u64, held_milli: u64, spent: &mut [u64; N]) {
        let at_ms = self.stamp.at_ms();
        for limit in &tier.limits {
            spent[limit.slot] = limit.limit.advanced(self.spent[limit.slot], at_ms, now_ms);
        }
        tier.rates.deduct(spent, held_milli);
        tier.rates.learn(&tier.limits, now_ms);
        for limit in &tier.limits {
            if self.spent[limit.slot] == UNKNOWN {
                spent[limit.slot] = limit.limit.initial();
            }
        }
    }

    /// Brings the key under a tier of other rules: what is known is converted, and no denial is believed. The grants are gone
    /// before.
    pub(crate) fn bring_over(&mut self, before: Option<&RuleSet>, tier: &Tier, at: Instant) {
        let before_ms = self.stamp.at_ms();
        // One millisecond back: by its rounding the guess of the store's time may be ahead of the next answer, which would count as
        // older than what is known.
        let now_ms = before_ms.max(at.store_ms.saturating_sub(1));
        let known = self.spent;
        self.spent = [0; N];
        for limit in &tier.limits {
            let from = before.and_then(|before| before.slots[limit.slot].as_ref());
            self.spent[limit.slot] = match (from, known[limit.slot]) {
                (None, _) | (_, UNKNOWN) => UNKNOWN,
                (Some(from), known) => {
                    let left = from.limit.advanced(known, before_ms, now_ms);
                    limit.limit.converted(left, left, &from.limit, now_ms, now_ms)
                }
            };
        }
        self.stamp = Stamp::new(now_ms, tier.rule_set);
        self.deny_until = 0;
        self.back_until = 0;
        self.used = self.used.max(at.mono);
    }

    /// Thousandths that the key will use in the time of a lease beyond what is held. Notes that the store is being asked.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number from 0 on"
    )]
    pub(crate) fn ask(&mut self, now: u32, spans: &LeaseSpans) -> u64 {
        let demand = self.demand.in_next(&mut self.handed_out, spans.lease, now).ceil();
        self.asked_until = now.saturating_add(spans.timeout);
        self.be_quiet();
        (demand - self.grants.usable(self.demand.rate(), now)).max(0.0) as u64
    }

    /// What is known, in the order of the tier's limits.
    pub(crate) fn snapshot(&self, tier: &Tier) -> Snapshot {
        let mut spent = [None; MAX_LIMITS];
        for (spent, limit) in spent.iter_mut().zip(&tier.limits) {
            *spent = known(self.spent[limit.slot]);
        }
        self.snapshot_of(spent)
    }

    /// What is known, by slot.
    pub(crate) fn snapshot_by_slot(&self) -> Snapshot {
        let mut spent = [None; MAX_LIMITS];
        for (spent, amount) in spent.iter_mut().zip(self.spent) {
            *spent = known(amount);
        }
        self.snapshot_of(spent)
    }

    fn snapshot_of(&self, spent: [Option<u64>; MAX_LIMITS]) -> Snapshot {
        Snapshot {
            epoch: self.epoch,
            at_ms: self.stamp.at_ms(),
            spent,
        }
    }

    /// Learns what the store says of the key: not what was so before that which is known of the same epoch, and where answers
    /// race, nothing less of the same instant.
    pub(crate) fn learn(&mut self, tier: &Tier, reply: &StoreReply) {
        let now_ms = held(reply.now_ms);
        let Some(epoch) = reply.epoch else { return };
        let (is_known, known_ms) = (self.epoch == epoch, self.stamp.at_ms());
        if is_known && known_ms > now_ms {
            return;
        }
        let keeps_larger = reply.races && is_known && known_ms == now_ms;
        self.epoch = epoch;
        self.stamp = Stamp::new(now_ms, tier.rule_set);
        for (spent, limit) in reply.spent.iter().zip(&tier.limits) {
            let (known, told) = (&mut self.spent[limit.slot], spent.map_or(UNKNOWN, possible));
            if !keeps_larger || known.cast_signed() < told.cast_signed() {
                *known = told;
            }
        }
    }

    /// Notes how a take ended, other than what it brought. It was asked for what the key will use as it goes, of which one
    /// more call says nothing new.
    pub(crate) fn taken(&mut self, granted_milli: u64, now: u32, spans: &LeaseSpans) {
        self.asked_until = 0;
        let pause = if granted_milli == 0 {
            spans.quarter
        } else {
            spans.sixteenth
        };
        self.no_prefetch_until = self.no_prefetch_until.max(now.saturating_add(pause));
        self.be_quiet();
    }

    /// Believes a denial, or that there is none any more.
    pub(crate) fn note_denial(&mut self, reply: &StoreReply, now: u32) {
        match reply.wait_ms {
            None => {}
            Some(0) if reply.granted_milli.is_none() => {}
            Some(0) => self.disbelieve(),
            Some(wait_ms) => {
                let until = |ms: u64| now.saturating_add(u32::try_from(ms).unwrap_or(u32::MAX));
                self.deny_until = until(wait_ms.min(BELIEF_MS));
                self.back_until = if reply.is_provisional { until(wait_ms) } else { 0 };
            }
        }
    }

    /// Believes no denial.
    pub(crate) fn disbelieve(&mut self) {
        self.deny_until = 0;
    }

    /// Notes that what was held is given back.
    pub(crate) fn given_back(&mut self, again: bool, now: u32, spans: &LeaseSpans) {
        if again {
            self.disbelieve();
        } else {
            self.no_prefetch_until = now.saturating_add(spans.quarter);
            self.be_quiet();
        }
    }

    /// When something of it is to be given back, if it is left alone; None if it holds nothing.
    pub(crate) fn due(&self, idle: u32) -> Option<u32> {
        let end = self.grants.next_end()?;
        Some(end.min(self.used.saturating_add(idle)))
    }

    /// Whether forgetting it loses no tokens, and nobody is asking for it.
    pub(crate) fn may_go(&self, now: u32) -> bool {
        self.grants.all() == 0 && self.asked_until <= now
    }

    /// Whether forgetting it loses nothing at all, under rules under which new keys begin with full buckets.
    pub(crate) fn is_as_new(&self, rules: &RuleSet, at: Instant) -> bool {
        let (at_ms, now_ms) = (self.stamp.at_ms(), self.stamp.at_ms().max(at.store_ms));
        let is_full = |(slot, &spent): (&Option<SlotLimit>, &u64)| {
            slot.as_ref().is_none_or(|SlotLimit { limit, .. }| {
                limit.initial() == 0 && (spent == UNKNOWN || limit.advanced(spent, at_ms, now_ms) == 0)
            })
        };
        self.may_go(at.mono) && self.deny_until <= at.mono && rules.slots.iter().zip(&self.spent).all(is_full)
    }

    /// Tells every instant by an origin that is so much later.
    pub(crate) fn rebase(&mut self, later: u32) {
        for grant in self.grants.each_mut() {
            grant.expires = grant.expires.saturating_sub(later);
        }
        let instants = [
            &mut self.demand.since,
            &mut self.deny_until,
            &mut self.back_until,
            &mut self.quiet_until,
            &mut self.no_prefetch_until,
            &mut self.asked_until,
            &mut self.used,
        ];
        for instant in instants {
            *instant = instant.saturating_sub(later);
        }
    }
}

/// An amount as it can be: of a quota of which less is used than was granted it is below 0, and of a bucket it may be a block.
fn possible(amount: u64) -> u64 {
    let (most, longest) = (MAX_AMOUNT.cast_signed(), MAX_BLOCK.cast_signed());
    amount.cast_signed().clamp(-most, most + longest).cast_unsigned()
}

/// With those of the index and of the shard's number, these bits of a hash are some ninety.
#[inline]
fn check(KeyHash([_, second]): KeyHash) -> u32 {
    (second >> 32) as u32
}

fn known(amount: u64) -> Option<u64> {
    (amount != UNKNOWN).then_some(amount)
}
