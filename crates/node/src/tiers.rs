//! Tiers, as JavaScript gives them, at the opening, at a reload and for overrides.

use serde::Deserialize;
use tollkeeper_limiter::{LimitSpec, Period, Rule, TierSpec};

#[derive(Deserialize)]
struct Tier {
    limits: Vec<Limit>,
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Limit {
    Bucket {
        name: String,
        limit: f64,
        window_seconds: f64,
        burst: f64,
    },
    Quota {
        name: String,
        limit: f64,
        period: PeriodName,
        anchor_day: Option<u8>,
    },
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum PeriodName {
    Day,
    Month,
}

/// Tiers from the JSON of `Object.entries(tiers)`, which JavaScript has checked.
pub(crate) fn parse(json: &str) -> serde_json::Result<Vec<TierSpec>> {
    let tiers: Vec<(String, Tier)> = serde_json::from_str(json)?;
    let spec = |(name, Tier { limits })| TierSpec {
        name,
        limits: limits.into_iter().map(limit).collect(),
    };
    Ok(tiers.into_iter().map(spec).collect())
}

fn limit(limit: Limit) -> LimitSpec {
    match limit {
        Limit::Bucket {
            name,
            limit,
            window_seconds,
            burst,
        } => {
            let rule = Rule::Bucket {
                limit_milli: milli(limit),
                window_ms: milli(window_seconds),
                burst_milli: milli(burst),
            };
            LimitSpec { name, rule }
        }
        Limit::Quota {
            name,
            limit,
            period,
            anchor_day,
        } => {
            let period = match period {
                PeriodName::Day => Period::Day,
                PeriodName::Month => Period::Month {
                    anchor_day: anchor_day.unwrap_or(1),
                },
            };
            LimitSpec {
                name,
                rule: Rule::Quota {
                    limit_milli: milli(limit),
                    period,
                },
            }
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of f64 saturates"
)]
fn milli(value: f64) -> u64 {
    (value * 1_000.0).round() as u64
}
