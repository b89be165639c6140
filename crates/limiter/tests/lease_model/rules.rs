//! Limits by name, and their arithmetic.

use std::collections::BTreeMap;

use tollkeeper_limiter::bucket::Bucket;
use tollkeeper_limiter::quota::Quota;
use tollkeeper_limiter::{LimitSpec, Rule};

pub type Rules = BTreeMap<String, Rule>;

pub fn rules(limits: &[LimitSpec]) -> Rules {
    limits.iter().map(|limit| (limit.name.clone(), limit.rule)).collect()
}

fn either<T>(rule: Rule, bucket: impl FnOnce(Bucket) -> T, quota: impl FnOnce(Quota) -> T) -> T {
    match rule {
        Rule::Bucket {
            limit_milli,
            window_ms,
            burst_milli,
            block_ms,
        } => {
            let made = Bucket::new(limit_milli, window_ms, burst_milli);
            bucket(made.and_then(|made| made.blocking(block_ms)).unwrap())
        }
        Rule::Quota { limit_milli, period } => quota(Quota::new(limit_milli, period)),
        Rule::Concurrency { .. } => unreachable!("it has no other limits"),
    }
}

pub fn most(rule: Rule) -> u64 {
    either(rule, |bucket| bucket.max_cost_milli(), |quota| quota.max_cost_milli())
}

pub fn initial(rule: Rule) -> u64 {
    either(rule, |bucket| bucket.initial(), |_| 0)
}

pub fn advanced(rule: Rule, spent: u64, at: u64, now: u64) -> u64 {
    either(
        rule,
        |bucket| bucket.refilled(spent, now - at),
        |quota| quota.rolled(spent, at, now),
    )
}

pub fn less(rule: Rule, spent: u64, milli: u64) -> u64 {
    // Of a bucket that never has anything a charge is nothing, and one unit is a thousandth.
    let per_milli = either(rule, |bucket| bucket.charged(0, 1, &bucket).max(1), |_| 1);
    spent.saturating_sub(milli.saturating_mul(per_milli))
}

pub fn wait(rule: Rule, spent: u64, cost: u64, now: u64) -> u64 {
    either(
        rule,
        |bucket| bucket.wait_ms(spent, cost),
        |quota| quota.wait_ms(spent, cost, now),
    )
}

/// Whether a denial begins a block, which is for the store to do.
pub fn blocks(rule: Rule, spent: u64, cost: u64) -> bool {
    either(rule, |bucket| bucket.after_denial(spent, cost) != spent, |_| false)
}

pub fn converted(rule: Rule, left: u64, from: Rule, now: u64) -> u64 {
    match from {
        Rule::Bucket { .. } => either(
            from,
            |from| either(rule, |bucket| bucket.converted(left, &from), |_| 0),
            |_| 0,
        ),
        Rule::Quota { limit_milli, period } => {
            let from = Quota::new(limit_milli, period);
            either(rule, |_| 0, |quota| quota.converted(left, &from, now, now))
        }
        Rule::Concurrency { .. } => unreachable!("it has no other limits"),
    }
}
