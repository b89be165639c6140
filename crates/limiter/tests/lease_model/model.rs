//! Leases in a map, by instants of 64 bits and amounts by name.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "rates and whole numbers below 2^53"
)]

use std::collections::BTreeMap;

use tollkeeper_limiter::{
    Applied, Asked, Error, LeaseOutcome, LeaseVerdict, LimitSpec, MAX_LIMITS, Rule, Snapshot, StoreReply, TierSpec,
    Times,
};

use crate::lease::Lease;
use crate::rules::{blocks, most, rules};

pub struct Model {
    versions: Vec<Vec<TierSpec>>,
    lease_ms: u64,
    timeout_ms: u64,
    pub leases: BTreeMap<String, Lease>,
    pub evictions: u64,
    /// Allowed and denied, by tier.
    pub counted: Vec<(u64, u64)>,
    returns: Vec<(String, u64, u64, Vec<Rule>)>,
}

impl Model {
    pub fn new(tiers: Vec<TierSpec>, lease_ms: u64, timeout_ms: u64) -> Self {
        Self {
            counted: vec![(0, 0); tiers.len()],
            versions: vec![tiers],
            lease_ms,
            timeout_ms,
            leases: BTreeMap::new(),
            evictions: 0,
            returns: Vec::new(),
        }
    }

    pub fn reload(&mut self, tiers: Vec<TierSpec>) {
        self.versions.push(tiers);
    }

    pub fn held(&self) -> u64 {
        let grants = self.leases.values().flat_map(|lease| &lease.grants);
        grants.map(|grant| grant.milli).sum()
    }

    pub fn take_returns(&mut self) -> Vec<(String, u64, u64, Vec<Rule>)> {
        self.returns
            .sort_by_key(|(key, milli, taken_ms, _)| (key.clone(), *milli, *taken_ms));
        std::mem::take(&mut self.returns)
    }

    fn tier(&self, tier: u64, cost_milli: u64) -> Result<Vec<LimitSpec>, Error> {
        let tiers = self.versions.last().unwrap();
        let limits = tiers
            .get(usize::try_from(tier).unwrap())
            .ok_or(Error::TierUnknown)?
            .limits
            .clone();
        match limits
            .iter()
            .map(|limit| most(limit.rule))
            .filter(|&most| most > 0)
            .min()
        {
            Some(most_milli) if cost_milli > most_milli => Err(Error::CostExceedsCapacity { most_milli }),
            _ => Ok(limits),
        }
    }

    fn outcome(&self, now_ms: u64) -> LeaseOutcome {
        LeaseOutcome {
            version: self.versions.len() - 1,
            now_ms,
            ..LeaseOutcome::default()
        }
    }

    pub fn consume(&mut self, key: &str, tier: u64, cost: u64, times: Times) -> Result<LeaseOutcome, Error> {
        let limits = self.tier(tier, cost)?;
        let mut out = self.outcome(times.store_ms);
        let counted = usize::try_from(tier).unwrap();
        if limits.is_empty() {
            out.verdict = LeaseVerdict::Allowed;
            self.counted[counted].0 += 1;
            return Ok(out);
        }
        let mono = times.mono_ms;
        let quarter = self.lease_ms / 4;
        let Some(lease) = self.leases.get_mut(key).filter(|_| cost > 0) else {
            return Ok(out);
        };
        if lease.rules != rules(&limits) {
            let before = self.returns.len();
            lease.release(key, |_| true, &mut self.returns);
            out.has_returns = self.returns.len() > before;
            lease.bring_over(&limits, times);
            return Ok(out);
        }
        lease.used_ms = lease.used_ms.max(mono);
        if lease.held(mono) >= cost && u32::try_from(cost).is_ok() {
            let mut rest = cost;
            for grant in lease.grants.iter_mut().filter(|grant| grant.expires > mono) {
                let part = rest.min(grant.milli);
                grant.milli -= part;
                rest -= part;
            }
            lease.used = (lease.used + cost).min(u32::MAX.into());
            if mono >= lease.no_prefetch_until && mono >= lease.asked_until {
                let demand = lease.demand(quarter, mono);
                if demand >= 2_000.0 && (lease.held(mono + quarter) as f64) < demand {
                    lease.asked_until = mono + self.lease_ms / 16 + self.timeout_ms;
                    out.is_low = true;
                }
            }
            lease.stand(&limits, times, &mut out);
            out.verdict = LeaseVerdict::Allowed;
            self.counted[counted].0 += 1;
        } else if mono < lease.deny_until
            && lease.say(&limits, cost, times, &mut out)
            && !limits
                .iter()
                .zip(out.spent)
                .any(|(limit, spent)| blocks(limit.rule, spent, cost))
        {
            self.counted[counted].1 += 1;
        } else {
            out.verdict = LeaseVerdict::Ask;
        }
        Ok(out)
    }

    pub fn peek(&self, key: &str, tier: u64, cost: u64, times: Times) -> Result<LeaseOutcome, Error> {
        let limits = self.tier(tier, cost)?;
        let mut out = self.outcome(times.store_ms);
        if limits.is_empty() {
            out.verdict = LeaseVerdict::Allowed;
        } else if let Some(lease) = self.leases.get(key)
            && lease.rules == rules(&limits)
            && lease.held(times.mono_ms) > 0
            && times.store_ms < lease.at + self.lease_ms
        {
            lease.say(&limits, cost, times, &mut out);
        }
        Ok(out)
    }

    pub fn ask(&mut self, key: &str, tier: u64, mono: u64, notes: bool) -> Result<Asked, Error> {
        let limits = self.tier(tier, 0)?;
        let mut asked = Asked {
            version: self.versions.len() - 1,
            held_milli: 0,
            ahead_milli: 0,
            snapshot: None,
        };
        let lease = self.leases.get_mut(key);
        if let Some(lease) = lease.filter(|lease| lease.rules == rules(&limits)) {
            asked.held_milli = lease.held(mono);
            let mut spent = [None; MAX_LIMITS];
            for (spent, limit) in spent.iter_mut().zip(&limits) {
                *spent = lease.spent.get(&limit.name).copied();
            }
            asked.snapshot = Some(Snapshot {
                epoch: lease.epoch,
                at_ms: lease.at,
                spent,
            });
            if notes {
                let demand = lease.demand(self.lease_ms, mono);
                let mut usable = 0.0;
                for grant in lease.grants.iter().filter(|grant| grant.expires > mono) {
                    let more = f64::from(lease.rate) * (grant.expires - mono) as f64 - usable;
                    usable += more.min(grant.milli as f64).max(0.0);
                }
                asked.ahead_milli = (demand - usable.floor()).max(0.0) as u64;
                lease.asked_until = mono + self.timeout_ms;
            }
        }
        Ok(asked)
    }

    pub fn apply(&mut self, key: &str, reply: &StoreReply) -> Applied {
        let limits = self.versions.get(reply.version);
        let Some(tier) = limits.and_then(|tiers| tiers.get(usize::try_from(reply.tier).unwrap())) else {
            self.disbelieve(key, reply);
            return Applied::Unknown;
        };
        let mono = reply.mono_ms;
        if !self.leases.contains_key(key) {
            match (reply.granted_milli, reply.epoch) {
                (None, _) => return Applied::Kept,
                (_, None) => return Applied::Full,
                (_, Some(epoch)) => self
                    .leases
                    .insert(key.to_owned(), Lease::new(rules(&tier.limits), epoch, mono)),
            };
        }
        let lease = self.leases.get_mut(key).unwrap();
        if lease.rules != rules(&tier.limits) {
            self.disbelieve(key, reply);
            return Applied::Stale;
        }
        if let Some(epoch) = reply.epoch
            && (lease.epoch != epoch || lease.at <= reply.now_ms)
        {
            let before = std::mem::take(&mut lease.spent);
            let known = before
                .into_iter()
                .filter(|_| reply.races && (lease.epoch, lease.at) == (epoch, reply.now_ms));
            lease.spent = known.collect();
            lease.epoch = epoch;
            lease.at = reply.now_ms;
            for (limit, spent) in tier.limits.iter().zip(reply.spent) {
                let Some(spent) = spent else { continue };
                let known = lease.spent.entry(limit.name.clone()).or_insert(spent);
                *known = spent.max(*known);
            }
        }
        if let Some(granted) = reply.granted_milli {
            lease.asked_until = 0;
            let pause = if granted == 0 { 4 } else { 16 };
            lease.no_prefetch_until = lease.no_prefetch_until.max(mono + self.lease_ms / pause);
            lease.hold(key, reply, &mut self.returns);
        }
        match reply.wait_ms {
            Some(0) if reply.granted_milli.is_some() => lease.deny_until = 0,
            Some(wait) if wait > 0 => {
                lease.deny_until = mono + wait.min(5_000);
                lease.back_until = if reply.is_provisional { mono + wait } else { 0 };
            }
            _ => {}
        }
        Applied::Kept
    }

    fn disbelieve(&mut self, key: &str, reply: &StoreReply) {
        if let (Some(_), Some(lease)) = (reply.epoch, self.leases.get_mut(key)) {
            lease.deny_until = 0;
        }
    }

    pub fn give_back(&mut self, key: &str, again: bool, mono: u64) {
        if let Some(lease) = self.leases.get_mut(key) {
            lease.release(key, |_| true, &mut self.returns);
            if again {
                lease.deny_until = 0;
            } else {
                lease.no_prefetch_until = mono + self.lease_ms / 4;
            }
        }
    }

    pub fn sweep(&mut self, times: Times) {
        let mono = times.mono_ms;
        for (key, lease) in &mut self.leases {
            let is_idle = mono - lease.used_ms >= self.lease_ms / 2;
            lease.release(key, |grant| is_idle || grant.expires <= mono, &mut self.returns);
        }
        let before = self.leases.len();
        self.leases.retain(|_, lease| !lease.is_as_new(times));
        self.evictions += (before - self.leases.len()) as u64;
    }

    pub fn drain(&mut self) {
        for (key, lease) in &mut self.leases {
            lease.release(key, |_| true, &mut self.returns);
        }
    }
}
