//! What the table of leases does with clocks, grants and rules, one case each.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod answers;
mod decisions;
mod instants;
mod room;
mod rules;
#[path = "../specs/mod.rs"]
mod specs;

use specs::{day, minute, tier};
use tollkeeper_limiter::{
    Applied, Epoch, LeaseOutcome, LeaseSettings, LeaseVerdict, Leases, MAX_LIMITS, StoreReply, Times,
};

const START_MS: u64 = 1_800_000_000_000;
const LEASE_MS: u64 = 2_000;
const DAY_MS: u64 = 86_400_000;

fn leases(max_keys: usize) -> Leases {
    Leases::new(LeaseSettings {
        tiers: vec![
            tier("free", vec![minute(600), day("day", 10_000)]),
            tier("pro", vec![minute(6_000), day("day", 100_000)]),
        ],
        max_keys,
        secret: [7; 16],
        lease_ms: LEASE_MS,
        timeout_ms: 500,
    })
    .unwrap()
}

fn at(mono_ms: u64) -> Times {
    Times {
        store_ms: START_MS + mono_ms,
        mono_ms,
    }
}

fn units(key: &str) -> Vec<u16> {
    key.encode_utf16().collect()
}

/// What a take is answered that was granted so many tokens, to be held for the time of a lease.
fn granted(leases: &Leases, tier: &str, tokens: u64, mono_ms: u64) -> StoreReply {
    StoreReply {
        tier: leases.tier_id(tier).unwrap(),
        version: leases.version(),
        now_ms: START_MS + mono_ms,
        behind_ms: 0,
        epoch: Epoch::new(1, 1),
        spent: [Some(0); MAX_LIMITS],
        granted_milli: Some(tokens * 1_000),
        held_milli: tokens * 1_000,
        lasts_ms: i64::try_from(LEASE_MS).unwrap(),
        wait_ms: Some(0),
        is_provisional: false,
        mono_ms,
        races: false,
    }
}

fn kept(leases: &Leases, key: &str, reply: &StoreReply) {
    assert_eq!(leases.apply(&units(key), reply), Applied::Kept);
}

/// Amounts of the first limits; those of the others are not known.
fn amounts(known: &[u64]) -> [Option<u64>; MAX_LIMITS] {
    std::array::from_fn(|limit| known.get(limit).copied())
}

fn consume(leases: &Leases, key: &str, tier: &str, tokens: u64, mono_ms: u64) -> LeaseOutcome {
    let mut out = LeaseOutcome::default();
    let tier = leases.tier_id(tier).unwrap();
    leases
        .consume(&units(key), tier, tokens * 1_000, at(mono_ms), &mut out)
        .unwrap();
    out
}

fn verdict(leases: &Leases, key: &str, tokens: u64, mono_ms: u64) -> LeaseVerdict {
    consume(leases, key, "free", tokens, mono_ms).verdict
}

/// What is to be given back, in tokens, and when it was taken.
fn returns(leases: &Leases) -> Vec<(String, u64, u64)> {
    let returned = leases.take_returns(usize::MAX).into_iter();
    returned
        .map(|returned| {
            let key = String::from_utf16(&returned.key).unwrap();
            (key, returned.milli / 1_000, returned.taken_ms - START_MS)
        })
        .collect()
}
