//! A table that is full, swept, or shared by threads.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod addresses;
mod clocks;
mod full_table;
#[path = "../specs/mod.rs"]
mod specs;
mod sweep;
mod threads;
mod tiers;

use specs::{bucket, day, tier};
use tollkeeper_limiter::{LimitSpec, Limiter, Settings, Verdict};

const NOW_MS: u64 = 1_790_000_000_000;

fn limiter(max_keys: usize, limits: Vec<LimitSpec>) -> Limiter {
    Limiter::new(Settings {
        tiers: vec![tier("free", limits)],
        max_keys,
        secret: [9; 16],
        durable: false,
    })
    .unwrap()
}

fn allowed(limiter: &Limiter, key: &str, now_ms: u64) -> bool {
    limiter.consume(limiter.hash(key), 0, 1_000, now_ms).unwrap().verdict == Verdict::Allowed
}

/// More sweeps than a small table has parts.
fn sweep_all(limiter: &Limiter, now_ms: u64) {
    for _ in 0..100 {
        limiter.sweep(now_ms);
    }
}
