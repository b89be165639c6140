//! What survives, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod made;
mod refused;
mod saved;
mod served;
mod wide;

use std::path::PathBuf;

use tempfile::TempDir;
use tollkeeper_limiter::{LimitSpec, Limiter, Period, Rule, Settings, TierSpec, Verdict};
use tollkeeper_storage::Storage;

const NOW_MS: u64 = 1_790_000_000_000;

fn bucket(limit: u64) -> LimitSpec {
    LimitSpec {
        name: "minute".into(),
        rule: Rule::Bucket {
            limit_milli: limit * 1_000,
            window_ms: 60_000,
            burst_milli: 1_500,
            block_ms: 0,
        },
    }
}

fn quota(name: &str, limit: u64) -> LimitSpec {
    LimitSpec {
        name: name.into(),
        rule: Rule::Quota {
            limit_milli: limit * 1_000,
            period: Period::Month { anchor_day: 1 },
        },
    }
}

fn tier(name: &str, limits: Vec<LimitSpec>) -> TierSpec {
    TierSpec {
        name: name.into(),
        limits,
    }
}

fn limiter(storage: &Storage, tiers: Vec<TierSpec>) -> Limiter {
    Limiter::new(Settings {
        tiers,
        max_keys: 10_000,
        secret: storage.secret(),
        durable: true,
    })
    .unwrap()
}

fn free() -> Vec<TierSpec> {
    vec![tier("free", vec![bucket(100), quota("month", 1_000)])]
}

fn spend(limiter: &Limiter, key: &str, tokens: u64) -> Verdict {
    let tier = limiter.tier_id("free").unwrap();
    limiter
        .consume(limiter.hash(key), tier, tokens * 1_000, NOW_MS)
        .unwrap()
        .verdict
}

fn left(limiter: &Limiter, key: &str) -> Vec<u64> {
    let tier = limiter.tier_id("free").unwrap();
    let outcome = limiter.peek(limiter.hash(key), tier, 0, NOW_MS).unwrap();
    outcome
        .report(&limiter.tier(tier).unwrap())
        .iter()
        .map(|report| report.remaining_milli)
        .collect()
}

/// A file with one saved key that has spent 40 tokens.
fn saved() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    let storage = Storage::open(&path).unwrap();
    let limiter = limiter(&storage, free());
    spend(&limiter, "acct:1", 40);
    assert_eq!(storage.save(&limiter).unwrap(), 1);
    (folder, path)
}
