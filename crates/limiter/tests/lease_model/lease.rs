//! What is held and known of one key, by instants of 64 bits and amounts by name.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "rates and whole numbers below 2^53"
)]

use std::collections::BTreeMap;

use tollkeeper_limiter::{Epoch, LeaseOutcome, LeaseVerdict, LimitSpec, Rule, StoreReply, Times};

use crate::rules::{Rules, advanced, converted, initial, less, rules, wait};

#[derive(Debug, Clone)]
pub struct Grant {
    pub milli: u64,
    pub expires: u64,
    pub taken: u64,
}

#[derive(Debug, Clone)]
pub struct Lease {
    pub rules: Rules,
    pub epoch: Epoch,
    pub at: u64,
    /// What is not there is not known.
    pub spent: BTreeMap<String, u64>,
    pub grants: Vec<Grant>,
    pub deny_until: u64,
    pub back_until: u64,
    pub no_prefetch_until: u64,
    pub asked_until: u64,
    pub used_ms: u64,
    pub since: u64,
    pub used: u64,
    pub rate: f32,
}

impl Lease {
    pub fn new(rules: Rules, epoch: Epoch, mono: u64) -> Self {
        Self {
            rules,
            epoch,
            at: 0,
            spent: BTreeMap::new(),
            grants: Vec::new(),
            deny_until: 0,
            back_until: 0,
            no_prefetch_until: 0,
            asked_until: 0,
            used_ms: mono,
            since: mono,
            used: 0,
            rate: 0.0,
        }
    }

    pub fn held(&self, until: u64) -> u64 {
        let live = self.grants.iter().filter(|grant| grant.expires > until);
        live.map(|grant| grant.milli).sum()
    }

    pub fn release(&mut self, key: &str, goes: impl Fn(&Grant) -> bool, to: &mut Vec<(String, u64, u64, Vec<Rule>)>) {
        let rules: Vec<_> = self.rules.values().copied().collect();
        self.grants.retain(|grant| {
            if goes(grant) && grant.milli > 0 {
                to.push((key.to_owned(), grant.milli, grant.taken, rules.clone()));
            }
            !goes(grant) && grant.milli > 0
        });
    }

    pub fn hold(&mut self, key: &str, reply: &StoreReply, returns: &mut Vec<(String, u64, u64, Vec<Rule>)>) {
        let mono = reply.mono_ms;
        if reply.held_milli == 0 {
            return;
        }
        let rules = self.rules.values().copied().collect();
        if reply.lasts_ms <= 0 {
            returns.push((key.to_owned(), reply.held_milli, reply.now_ms, rules));
            return;
        }
        self.release(key, |grant| grant.expires <= mono, returns);
        let expires = mono + u64::try_from(reply.lasts_ms).unwrap();
        if self.grants.len() < 2 {
            self.grants.push(Grant {
                milli: 0,
                expires,
                taken: reply.now_ms,
            });
        }
        let grant = self.grants.last_mut().unwrap();
        grant.expires = grant.expires.min(expires);
        grant.taken = grant.taken.min(reply.now_ms);
        grant.milli += reply.held_milli;
        if let Some(excess) = grant.milli.checked_sub(u32::MAX.into()).filter(|excess| *excess > 0) {
            grant.milli -= excess;
            returns.push((key.to_owned(), excess, reply.now_ms, rules));
        }
    }

    pub fn demand(&mut self, ms: u64, mono: u64) -> f64 {
        let elapsed = (mono - self.since).min(1 << 29);
        let latest = self.used as f64 / elapsed.max(100) as f64;
        if elapsed < 100 {
            return (f64::from(self.rate).max(latest) * ms as f64).ceil();
        }
        let rate = if self.rate == 0.0 || elapsed > 1_000 {
            latest
        } else {
            f64::midpoint(f64::from(self.rate), latest)
        };
        self.rate = rate as f32;
        self.used = 0;
        self.since = mono;
        (f64::from(self.rate) * ms as f64).ceil()
    }

    pub fn bring_over(&mut self, limits: &[LimitSpec], times: Times) {
        let now = self.at.max(times.store_ms.saturating_sub(1));
        let before = std::mem::take(&mut self.spent);
        for limit in limits {
            if let (Some(from), Some(spent)) = (self.rules.get(&limit.name), before.get(&limit.name)) {
                let left = advanced(*from, *spent, self.at, now);
                self.spent
                    .insert(limit.name.clone(), converted(limit.rule, left, *from, now));
            }
        }
        self.at = now;
        self.rules = rules(limits);
        self.deny_until = 0;
        self.back_until = 0;
        self.used_ms = self.used_ms.max(times.mono_ms);
    }

    /// Where it stands, in the order of the limits.
    pub fn stand(&self, limits: &[LimitSpec], times: Times, out: &mut LeaseOutcome) {
        out.now_ms = self.at.max(times.store_ms);
        out.behind_ms = out.now_ms - times.store_ms;
        let held = self.held(times.mono_ms);
        for (out_spent, limit) in out.spent.iter_mut().zip(limits) {
            *out_spent = match self.spent.get(&limit.name) {
                None => initial(limit.rule),
                Some(spent) => less(limit.rule, advanced(limit.rule, *spent, self.at, out.now_ms), held),
            };
        }
    }

    /// What a call is told; whether it is denied.
    pub fn say(&self, limits: &[LimitSpec], cost: u64, times: Times, out: &mut LeaseOutcome) -> bool {
        self.stand(limits, times, out);
        out.verdict = LeaseVerdict::Allowed;
        let mut longest = 0;
        for ((index, limit), spent) in (0..).zip(limits).zip(out.spent) {
            let wait = if cost == 0 {
                0
            } else {
                wait(limit.rule, spent, cost, out.now_ms)
            };
            if wait > longest {
                longest = wait;
                out.verdict = LeaseVerdict::Denied { limit: index };
            }
        }
        if longest > 0 {
            let back = self.back_until.saturating_sub(times.mono_ms);
            out.back_ms = if back < longest.saturating_add(out.behind_ms) {
                back
            } else {
                0
            };
        }
        longest > 0
    }

    pub fn is_as_new(&self, times: Times) -> bool {
        let now = self.at.max(times.store_ms);
        let is_full = |(name, rule): (&String, &Rule)| {
            let spent = self
                .spent
                .get(name)
                .map_or(0, |spent| advanced(*rule, *spent, self.at, now));
            initial(*rule) == 0 && spent == 0
        };
        self.held(0) == 0
            && self.deny_until <= times.mono_ms
            && self.asked_until <= times.mono_ms
            && self.rules.iter().all(is_full)
    }
}
