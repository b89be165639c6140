//! What one replica holds and knows of one key.

use std::collections::BTreeMap;

use tollkeeper_limiter::bucket::Bucket;
use tollkeeper_limiter::quota::Quota;
use tollkeeper_limiter::{Epoch, Rule, TierSpec};

/// How long a denial is believed at most.
const LOOK_AGAIN_MS: u64 = 5_000;
/// How long a key's rate is watched before it is told.
const RATE_WINDOW_MS: u64 = 100;
/// As much of a time without a look at the rate as is counted.
const LONGEST_MS: u64 = 1 << 29;
/// Thousandths below which nothing is asked for ahead.
const LEAST_AHEAD_MILLI: u64 = 2_000;

/// The rules of a tier, by name.
pub(crate) type Rules = BTreeMap<String, Rule>;

pub(crate) fn rules_of(tier: &TierSpec) -> Rules {
    let limits = tier.limits.iter();
    limits.map(|limit| (limit.name.clone(), limit.rule)).collect()
}

/// Tokens taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant {
    pub(crate) milli: u64,
    pub(crate) taken_ms: u64,
    pub(crate) expires_ms: u64,
}

/// How long tokens are held, and answers waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spans {
    pub(crate) lease_ms: u64,
    pub(crate) timeout_ms: u64,
}

impl Spans {
    pub(crate) fn quarter_ms(self) -> u64 {
        self.lease_ms / 4
    }

    /// For which nothing is asked ahead after a take.
    pub(crate) fn sixteenth_ms(self) -> u64 {
        self.lease_ms / 16
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) rules: Rules,
    pub(crate) epoch: Epoch,
    pub(crate) at_ms: u64,
    /// By name; None of a limit of which nothing is known.
    pub(crate) spent: BTreeMap<String, Option<u64>>,
    /// The oldest first.
    pub(crate) grants: Vec<Grant>,
    pub(crate) deny_until_ms: u64,
    pub(crate) back_until_ms: u64,
    pub(crate) no_prefetch_until_ms: u64,
    pub(crate) asked_until_ms: u64,
    pub(crate) used_ms: u64,
    since_ms: u64,
    used: u64,
    rate: f32,
}

impl Entry {
    /// Watched from its first answer on.
    pub(crate) fn new(rules: Rules, epoch: Epoch, mono_ms: u64) -> Self {
        Self {
            rules,
            epoch,
            at_ms: 0,
            spent: BTreeMap::new(),
            grants: Vec::new(),
            deny_until_ms: 0,
            back_until_ms: 0,
            no_prefetch_until_ms: 0,
            asked_until_ms: 0,
            used_ms: mono_ms,
            since_ms: mono_ms,
            used: 0,
            rate: 0.0,
        }
    }

    /// Thousandths that may still be handed out at an instant.
    pub(crate) fn held(&self, until_ms: u64) -> u64 {
        let live = self.grants.iter().filter(|grant| grant.expires_ms > until_ms);
        live.map(|grant| grant.milli).sum()
    }

    /// Thousandths that will be used before they expire, as it goes.
    pub(crate) fn usable(&self, mono_ms: u64) -> u64 {
        let mut usable = 0.0;
        for grant in self.grants.iter().filter(|grant| grant.expires_ms > mono_ms) {
            let by_then = f64::from(self.rate) * (grant.expires_ms - mono_ms) as f64;
            usable += (grant.milli as f64).min(by_then - usable).max(0.0);
        }
        usable.floor() as u64
    }

    /// Thousandths that the key will use in so many milliseconds, as it goes.
    pub(crate) fn demand(&mut self, ms: u64, mono_ms: u64) -> u64 {
        let elapsed = mono_ms.saturating_sub(self.since_ms).min(LONGEST_MS);
        let latest = self.used as f64 / elapsed.max(RATE_WINDOW_MS) as f64;
        let rate = f64::from(self.rate);
        if elapsed < RATE_WINDOW_MS {
            return (rate.max(latest) * ms as f64).ceil() as u64;
        }
        let anew = self.rate == 0.0 || elapsed > 10 * RATE_WINDOW_MS;
        self.rate = if anew { latest } else { (rate + latest) / 2.0 } as f32;
        self.used = 0;
        self.since_ms = mono_ms;
        (f64::from(self.rate) * ms as f64).ceil() as u64
    }

    /// Spends what is held after an instant, the oldest first; whether there was enough.
    pub(crate) fn spend(&mut self, cost_milli: u64, until_ms: u64) -> bool {
        if cost_milli > u64::from(u32::MAX) || self.held(until_ms) < cost_milli {
            return false;
        }
        let mut rest = cost_milli;
        for grant in self.grants.iter_mut().filter(|grant| grant.expires_ms > until_ms) {
            let part = rest.min(grant.milli);
            grant.milli -= part;
            rest -= part;
        }
        self.used = (self.used + cost_milli).min(u32::MAX.into());
        true
    }

    /// Whether more is to be asked for ahead; notes that it will be.
    pub(crate) fn is_low(&mut self, mono_ms: u64, spans: Spans) -> bool {
        if mono_ms < self.no_prefetch_until_ms || mono_ms < self.asked_until_ms {
            return false;
        }
        let demand = self.demand(spans.quarter_ms(), mono_ms);
        let is_low = demand >= LEAST_AHEAD_MILLI && self.held(mono_ms + spans.quarter_ms()) < demand;
        if is_low {
            self.asked_until_ms = mono_ms + spans.sixteenth_ms() + spans.timeout_ms;
        }
        is_low
    }

    /// What is spent of each limit, less so many thousandths.
    pub(crate) fn standing(&self, tier: &TierSpec, now_ms: u64, held_milli: u64) -> Vec<u64> {
        let limits = tier.limits.iter();
        limits
            .map(
                |limit| match (limit.rule, self.spent.get(&limit.name).copied().flatten()) {
                    (rule, None) => initial(rule),
                    (Rule::Quota { .. }, Some(spent)) => {
                        let rolled = quota(limit.rule).rolled(spent, self.at_ms, now_ms);
                        rolled.saturating_sub(held_milli)
                    }
                    (Rule::Bucket { .. }, Some(spent)) => {
                        let bucket = bucket(limit.rule);
                        let per_milli = bucket.charged(0, 1, &bucket).max(1);
                        let refilled = bucket.refilled(spent, now_ms - self.at_ms);
                        let held = u128::from(held_milli) * u128::from(per_milli);
                        u64::try_from(u128::from(refilled).saturating_sub(held)).unwrap_or(0)
                    }
                    _ => unreachable!("it has no other limits"),
                },
            )
            .collect()
    }

    /// Comes under other rules; what is held is handed to the caller.
    pub(crate) fn bring_over(&mut self, tier: &TierSpec, store_ms: u64, mono_ms: u64) -> Vec<Grant> {
        let now_ms = self.at_ms.max(store_ms.saturating_sub(1));
        let mut spent = BTreeMap::new();
        for limit in &tier.limits {
            let from = self.rules.get(&limit.name).copied();
            let known = self.spent.get(&limit.name).copied().flatten();
            let amount = match (from, known) {
                (Some(from @ Rule::Bucket { .. }), Some(known)) => {
                    let refilled = bucket(from).refilled(known, now_ms - self.at_ms);
                    Some(bucket(limit.rule).converted(refilled, &bucket(from)))
                }
                (Some(from @ Rule::Quota { .. }), Some(known)) => {
                    let rolled = quota(from).rolled(known, self.at_ms, now_ms);
                    Some(quota(limit.rule).converted(rolled, &quota(from), now_ms, now_ms))
                }
                _ => None,
            };
            spent.insert(limit.name.clone(), amount);
        }
        self.spent = spent;
        self.at_ms = now_ms;
        self.rules = rules_of(tier);
        self.deny_until_ms = 0;
        self.back_until_ms = 0;
        self.used_ms = self.used_ms.max(mono_ms);
        self.take_grants(|_| true)
    }

    /// Takes out the grants that `goes` names, and drops the empty ones.
    pub(crate) fn take_grants(&mut self, goes: impl Fn(&Grant) -> bool) -> Vec<Grant> {
        let (gone, kept): (Vec<_>, Vec<_>) = self.grants.drain(..).partition(|grant| goes(grant));
        self.grants = kept.into_iter().filter(|grant| grant.milli > 0).collect();
        gone.into_iter().filter(|grant| grant.milli > 0).collect()
    }

    /// Takes in a grant; what can't be held is handed back.
    pub(crate) fn hold(&mut self, new: Grant, mono_ms: u64) -> Vec<Grant> {
        let mut gone = self.take_grants(|grant| grant.expires_ms <= mono_ms);
        let most = u64::from(u32::MAX);
        if self.grants.len() < 2 {
            self.grants.push(Grant { milli: 0, ..new });
        }
        let last = self.grants.last_mut().expect("one was just pushed or there were two");
        let milli = (last.milli + new.milli).min(most);
        gone.push(Grant {
            milli: last.milli + new.milli - milli,
            ..new
        });
        last.milli = milli;
        last.expires_ms = last.expires_ms.min(new.expires_ms);
        last.taken_ms = last.taken_ms.min(new.taken_ms);
        gone
    }

    /// Believes a denial.
    pub(crate) fn deny(&mut self, wait_ms: u64, is_provisional: bool, mono_ms: u64) {
        self.deny_until_ms = mono_ms + wait_ms.min(LOOK_AGAIN_MS);
        self.back_until_ms = if is_provisional { mono_ms + wait_ms } else { 0 };
    }

    /// Whether nothing is lost if it goes to make room.
    pub(crate) fn may_go(&self, mono_ms: u64) -> bool {
        self.grants.iter().all(|grant| grant.milli == 0) && self.asked_until_ms <= mono_ms
    }

    /// Whether nothing is lost if it goes for no reason.
    pub(crate) fn is_as_new(&self, store_ms: u64, mono_ms: u64) -> bool {
        let is_new = self.rules.iter().all(|(name, &rule)| {
            let left = match (rule, self.spent.get(name).copied().flatten()) {
                (_, None) => 0,
                (Rule::Bucket { .. }, Some(spent)) => bucket(rule).refilled(spent, store_ms.saturating_sub(self.at_ms)),
                (Rule::Quota { .. }, Some(spent)) => quota(rule).rolled(spent, self.at_ms, store_ms),
                _ => unreachable!("it has no other limits"),
            };
            left + initial(rule) == 0
        });
        is_new && self.may_go(mono_ms) && self.deny_until_ms <= mono_ms
    }
}

/// The denying limit with the longest wait, and that wait.
pub(crate) fn denial(tier: &TierSpec, spent: &[u64], cost_milli: u64, now_ms: u64) -> Option<(u8, u64)> {
    let mut longest = None;
    for ((index, limit), spent) in (0..).zip(&tier.limits).zip(spent) {
        let wait_ms = match limit.rule {
            Rule::Bucket { .. } => bucket(limit.rule).wait_ms(*spent, cost_milli),
            Rule::Quota { .. } => quota(limit.rule).wait_ms(*spent, cost_milli, now_ms),
            _ => unreachable!("it has no other limits"),
        };
        if wait_ms > longest.map_or(0, |(_, wait_ms)| wait_ms) {
            longest = Some((index, wait_ms));
        }
    }
    longest
}

/// Whether a denial begins a block, which is for the store to do.
pub(crate) fn blocks(tier: &TierSpec, spent: &[u64], cost_milli: u64) -> bool {
    tier.limits.iter().zip(spent).any(|(limit, &spent)| match limit.rule {
        Rule::Bucket { .. } => bucket(limit.rule).after_denial(spent, cost_milli) != spent,
        Rule::Quota { .. } | Rule::Concurrency { .. } => false,
    })
}

fn initial(rule: Rule) -> u64 {
    match rule {
        Rule::Bucket { .. } => bucket(rule).initial(),
        Rule::Quota { .. } => 0,
        _ => unreachable!("it has no other limits"),
    }
}

fn bucket(rule: Rule) -> Bucket {
    match rule {
        Rule::Bucket {
            limit_milli,
            window_ms,
            burst_milli,
            block_ms,
        } => {
            let bucket = Bucket::new(limit_milli, window_ms, burst_milli);
            bucket
                .and_then(|bucket| bucket.blocking(block_ms))
                .expect("it is in force")
        }
        _ => panic!("a limit of one name is of one kind"),
    }
}

fn quota(rule: Rule) -> Quota {
    match rule {
        Rule::Quota { limit_milli, period } => Quota::new(limit_milli, period),
        _ => panic!("a limit of one name is of one kind"),
    }
}
