//! The conformance vectors, which every implementation of the limits passes.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::HashMap;

use serde::Deserialize;
use tollkeeper_limiter::{
    Correction, Delta, LimitSpec, Limiter, Outcome, Period, Rule, Settings, TierId, TierSpec, Verdict,
};

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    tiers: HashMap<String, Tier>,
    ops: Vec<Operation>,
}

#[derive(Deserialize)]
struct Tier {
    limits: Vec<Limit>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(clippy::struct_field_names, reason = "the field is so named in the vectors")]
struct Limit {
    name: String,
    r#type: String,
    limit: f64,
    window_seconds: Option<f64>,
    burst: Option<f64>,
    period: Option<String>,
    anchor_day: Option<u8>,
}

#[derive(Deserialize)]
struct Operation {
    t: u64,
    op: String,
    key: String,
    tier: Option<String>,
    cost: Option<f64>,
    of: Option<usize>,
    expect: Option<Expected>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Expected {
    allowed: bool,
    denied_by: Option<String>,
    retry_after_ms: u64,
    limits: Vec<ExpectedLimit>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExpectedLimit {
    name: String,
    remaining: f64,
    reset_ms: u64,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the vectors hold small positive numbers"
)]
fn milli(value: f64) -> u64 {
    (value * 1000.0).round() as u64
}

fn spec(name: &str, tier: &Tier) -> TierSpec {
    let limits = tier.limits.iter().map(|limit| {
        let limit_milli = milli(limit.limit);
        let rule = match (limit.r#type.as_str(), limit.period.as_deref()) {
            ("bucket", _) => Rule::Bucket {
                limit_milli,
                window_ms: milli(limit.window_seconds.unwrap()),
                burst_milli: milli(limit.burst.unwrap()),
                block_ms: 0,
            },
            ("quota", Some("day")) => Rule::Quota {
                limit_milli,
                period: Period::Day,
            },
            ("quota", Some("month")) => Rule::Quota {
                limit_milli,
                period: Period::Month {
                    anchor_day: limit.anchor_day.unwrap_or(1),
                },
            },
            other => panic!("unknown limit {other:?}"),
        };
        LimitSpec {
            name: limit.name.clone(),
            rule,
        }
    });
    TierSpec {
        name: name.into(),
        limits: limits.collect(),
    }
}

/// A decision, and the call that it was made for.
type Decided = Option<(Outcome, TierId, u64)>;

fn check(limiter: &Limiter, (outcome, tier, cost): (Outcome, TierId, u64), expected: &Expected, at: &str) {
    let tier = &*limiter.tier(tier).unwrap();
    let denied_by = match outcome.verdict {
        Verdict::Allowed => None,
        Verdict::Denied { limit } => Some(tier.spec().limits[usize::from(limit)].name.as_str()),
    };
    assert_eq!(denied_by.is_none(), expected.allowed, "{at}: allowed");
    assert_eq!(denied_by, expected.denied_by.as_deref(), "{at}: deniedBy");
    let wait = outcome.retry_after_ms(tier, cost);
    assert!(wait.abs_diff(expected.retry_after_ms) <= 1, "{at}: retryAfterMs {wait}");
    let reports = outcome.report(tier);
    assert_eq!(reports.len(), expected.limits.len(), "{at}");
    for (report, expected) in reports.iter().zip(&expected.limits) {
        assert_eq!(report.name, expected.name, "{at}");
        let remaining = report.remaining_milli.abs_diff(milli(expected.remaining));
        assert!(remaining <= 2, "{at}: {}: {} left", report.name, report.remaining_milli);
        assert!(
            report.reset_ms.abs_diff(expected.reset_ms) <= 1,
            "{at}: {}: {}",
            report.name,
            report.reset_ms
        );
    }
}

#[test]
fn every_vector_holds() {
    let vectors: Vectors = serde_json::from_str(include_str!("../../../test/conformance/limit-vectors.json")).unwrap();
    assert!(vectors.cases.len() >= 26);
    for case in &vectors.cases {
        let tiers = case.tiers.iter().map(|(name, tier)| spec(name, tier)).collect();
        let limiter = Limiter::new(Settings {
            tiers,
            max_keys: 100,
            secret: [1; 16],
            durable: false,
        })
        .unwrap();
        let mut decided: Vec<Decided> = Vec::new();
        for (index, operation) in case.ops.iter().enumerate() {
            let at = format!("{}, operation {index}", case.name);
            let key = limiter.hash(&operation.key);
            let call = || {
                let tier = limiter.tier_id(operation.tier.as_deref().unwrap()).unwrap();
                (tier, milli(operation.cost.unwrap()))
            };
            decided.push(match operation.op.as_str() {
                "consume" => {
                    let (tier, cost) = call();
                    Some((limiter.consume(key, tier, cost, operation.t).unwrap(), tier, cost))
                }
                "peek" => {
                    let (tier, cost) = call();
                    Some((limiter.peek(key, tier, cost, operation.t).unwrap(), tier, cost))
                }
                "reset" => {
                    limiter.reset(key);
                    None
                }
                "refund" => {
                    let (outcome, tier, cost) = decided[operation.of.unwrap()].unwrap();
                    let correction = Correction {
                        delta: Delta::Every(-cost.cast_signed()),
                        version: outcome.version,
                        charged_at_ms: outcome.now_ms,
                        overflow: outcome.overflow,
                        quotas_only: false,
                    };
                    limiter.correct(key, tier, correction, operation.t).unwrap();
                    None
                }
                other => panic!("unknown operation {other}"),
            });
            if let Some(expected) = &operation.expect {
                check(&limiter, decided[index].unwrap(), expected, &at);
            }
        }
    }
}
