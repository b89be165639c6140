//! What the store answers: what was asked of it, and much that was not.

use tollkeeper_limiter::{Applied, Epoch, MAX_LIMITS, StoreReply, TierId, TierSpec, Times};

use super::super::entry::{Entry, Grant, rules_of};
use super::{KEYS, Run, units};
use crate::input::{DAY_MS, Input};
use crate::slot::capacity_milli;

impl Run {
    pub(super) fn apply(&mut self, key: usize, id: TierId, input: &mut Input) {
        let version = self.versions.version().saturating_sub([0, 0, 0, 1][input.index(4)]);
        let tier = self.versions.tier(version, id).cloned();
        let limits = tier.as_ref().map_or(&[][..], |tier| &tier.limits);
        let mut spent = [None; MAX_LIMITS];
        for (amount, limit) in spent.iter_mut().zip(limits) {
            let capacity = capacity_milli(limit.rule);
            *amount = match input.below(8) {
                0 => None,
                1 => Some(0),
                2 => Some(input.number(6)),
                _ => Some(capacity.min(input.number(4))),
            };
        }
        let is_take = input.below(4) > 0;
        let held_milli = match input.below(8) {
            0 | 1 => 0,
            2 => u64::from(u32::MAX) - input.below(3),
            3 => input.number(5),
            _ => 1 + input.below(20_000),
        };
        let mut reply = StoreReply {
            tier: id,
            version,
            now_ms: self.times.store_ms + input.below(3_000) - input.below(3_000),
            behind_ms: [0, 0, 0, input.below(1_000)][input.index(4)],
            epoch: (input.below(8) > 0)
                .then(|| Epoch::new(1, self.times.store_ms / DAY_MS * 256 + u64::from(input.below(8) == 0)))
                .flatten(),
            spent,
            granted_milli: is_take.then_some(held_milli + [0, 1_000][input.index(2)]),
            held_milli: if is_take { held_milli } else { 0 },
            lasts_ms: match input.below(8) {
                0 => -(input.below(100).cast_signed()),
                1 => 0,
                _ => input.below(2 * self.spans.lease_ms).cast_signed(),
            },
            wait_ms: match input.below(4) {
                0 => None,
                1 => Some(0),
                2 => Some(1 + input.below(8_000)),
                _ => Some(1 + input.below(31 * DAY_MS)),
            },
            is_provisional: input.below(2) == 0,
            mono_ms: self.times.mono_ms,
            races: input.below(2) == 0,
        };
        // Now and then it is of the very instant that is known, if that is of late: no answer is under way for weeks.
        if let Some(entry) = self.entries.get(&key)
            && input.below(4) == 0
            && entry.at_ms.abs_diff(self.times.store_ms) < DAY_MS
        {
            reply.now_ms = entry.at_ms;
        }
        let applied = self.leases.apply(&units(key), &reply);
        self.heard = Some(Times {
            store_ms: reply.now_ms - reply.behind_ms,
            mono_ms: reply.mono_ms,
        });
        let expected = self.expect_applied(key, tier.as_ref(), &reply, applied);
        assert_eq!(applied, expected);
        let held_milli = if applied == Applied::Kept && reply.granted_milli.is_some() && self.entries.contains_key(&key)
        {
            reply.held_milli
        } else {
            0
        };
        self.granted_milli += held_milli;
        self.check_counts();
    }

    fn expect_applied(&mut self, key: usize, tier: Option<&TierSpec>, reply: &StoreReply, applied: Applied) -> Applied {
        let Some(tier) = tier else {
            self.disbelieve(key, reply);
            return Applied::Unknown;
        };
        if !self.entries.contains_key(&key) {
            let Some(_) = reply.granted_milli else {
                return Applied::Kept;
            };
            let Some(epoch) = reply.epoch else {
                return Applied::Full;
            };
            if self.entries.len() >= self.max_keys {
                self.notice_evictions(Some(key));
            }
            if self.entries.len() >= self.max_keys {
                self.overflow += 1;
                return Applied::Full;
            }
            assert_ne!(applied, Applied::Full);
            self.entries
                .insert(key, Entry::new(rules_of(tier), epoch, reply.mono_ms));
        }
        let Some(entry) = self.entries.get_mut(&key).filter(|entry| entry.rules == rules_of(tier)) else {
            self.disbelieve(key, reply);
            return Applied::Stale;
        };
        learn(entry, tier, reply);
        let mut gone = Vec::new();
        if let Some(granted_milli) = reply.granted_milli {
            entry.asked_until_ms = 0;
            let grant = Grant {
                milli: reply.held_milli,
                taken_ms: reply.now_ms,
                expires_ms: reply.mono_ms.saturating_add_signed(reply.lasts_ms),
            };
            if reply.held_milli > 0 && reply.lasts_ms > 0 {
                gone = entry.hold(grant, reply.mono_ms);
            } else {
                gone.push(grant);
            }
            let pause_ms = if granted_milli == 0 {
                self.spans.quarter_ms()
            } else {
                self.spans.sixteenth_ms()
            };
            entry.no_prefetch_until_ms = entry.no_prefetch_until_ms.max(reply.mono_ms + pause_ms);
        }
        match reply.wait_ms {
            Some(0) if reply.granted_milli.is_some() => entry.deny_until_ms = 0,
            Some(wait_ms) if wait_ms > 0 => entry.deny(wait_ms, reply.is_provisional, reply.mono_ms),
            _ => {}
        }
        let rules = entry.rules.clone();
        self.give_up(key, &rules, gone);
        Applied::Kept
    }

    fn disbelieve(&mut self, key: usize, reply: &StoreReply) {
        if let (Some(_), Some(entry)) = (reply.epoch, self.entries.get_mut(&key)) {
            entry.deny_until_ms = 0;
        }
    }

    pub(super) fn sweep(&mut self) {
        for times in 0.. {
            assert!(times < 1_000, "a sweep comes to an end");
            if !self.leases.sweep(self.times) {
                break;
            }
        }
        let mono_ms = self.times.mono_ms;
        for key in 0..KEYS {
            let Some(entry) = self.entries.get_mut(&key) else {
                continue;
            };
            let is_idle = mono_ms - entry.used_ms >= self.spans.lease_ms / 2;
            let gone = entry.take_grants(|grant| is_idle || grant.expires_ms <= mono_ms);
            let rules = entry.rules.clone();
            self.give_up(key, &rules, gone);
        }
        self.notice_evictions(None);
        self.check_counts();
    }
}

/// Learns what is told, unless it is from before what is known; of the same instant what is larger, where answers race.
fn learn(entry: &mut Entry, tier: &TierSpec, reply: &StoreReply) {
    let Some(epoch) = reply.epoch else {
        return;
    };
    if entry.epoch == epoch && entry.at_ms > reply.now_ms {
        return;
    }
    let races = reply.races && entry.epoch == epoch && entry.at_ms == reply.now_ms;
    entry.epoch = epoch;
    entry.at_ms = reply.now_ms;
    let before = std::mem::take(&mut entry.spent);
    for (limit, told) in tier.limits.iter().zip(reply.spent) {
        let known = before.get(&limit.name).copied().flatten().filter(|_| races);
        entry.spent.insert(limit.name.clone(), told.max(known));
    }
}
