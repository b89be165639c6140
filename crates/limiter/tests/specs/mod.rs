//! Limits and tiers as tests write them: whole tokens, and windows of a minute.

#![allow(dead_code, reason = "not every test needs each of them")]

use tollkeeper_limiter::{LimitSpec, Period, Rule, TierSpec};

pub fn bucket(name: &str, limit: u64, burst_milli: u64) -> LimitSpec {
    blocking(name, limit, burst_milli, 0)
}

/// A bucket that a denial blocks for so long.
pub fn blocking(name: &str, limit: u64, burst_milli: u64, block_ms: u64) -> LimitSpec {
    LimitSpec {
        name: name.into(),
        rule: Rule::Bucket {
            limit_milli: limit * 1_000,
            window_ms: 60_000,
            burst_milli,
            block_ms,
        },
    }
}

pub fn minute(limit: u64) -> LimitSpec {
    bucket("minute", limit, 1_000)
}

pub fn quota(name: &str, limit: u64, period: Period) -> LimitSpec {
    LimitSpec {
        name: name.into(),
        rule: Rule::Quota {
            limit_milli: limit * 1_000,
            period,
        },
    }
}

pub fn day(name: &str, limit: u64) -> LimitSpec {
    quota(name, limit, Period::Day)
}

pub fn month(limit: u64) -> LimitSpec {
    quota("month", limit, Period::Month { anchor_day: 1 })
}

pub fn parallel(limit: u64, timeout_ms: u64) -> LimitSpec {
    LimitSpec {
        name: "parallel".into(),
        rule: Rule::Concurrency { limit, timeout_ms },
    }
}

pub fn tier(name: &str, limits: Vec<LimitSpec>) -> TierSpec {
    TierSpec {
        name: name.into(),
        limits,
    }
}
