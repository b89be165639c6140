//! Tiers, as JavaScript gives them, at the opening, at a reload and for overrides.

use std::sync::Mutex;

use napi::Result;
use serde::{Deserialize, Serialize};
use tollkeeper_limiter::{Error, LimitSpec, NamedRule, Period, Rule, TierId, TierSpec};

use crate::error::{self, coded};
use crate::registry::lock;

/// The tiers of every version of a table, as they were given: each the JSON of `Object.entries(tiers)`.
#[derive(Debug)]
pub(crate) struct GivenTiers(Mutex<Vec<String>>);

impl GivenTiers {
    pub(crate) fn new(tiers: String) -> Self {
        Self(Mutex::new(vec![tiers]))
    }

    pub(crate) fn of(&self, version: usize) -> Option<String> {
        lock(&self.0).get(version).cloned()
    }

    /// Whether one who joins may give these. A thread that starts after a reload opens the table as all others did.
    pub(crate) fn opens_with(&self, tiers: &String) -> bool {
        let versions = lock(&self.0);
        [versions.first(), versions.last()].contains(&Some(tiers))
    }

    /// Has tiers put in force, as the next version.
    pub(crate) fn reload(
        &self,
        tiers: String,
        enact: impl FnOnce(Vec<TierSpec>) -> Result<std::result::Result<(), Error>>,
    ) -> Result<()> {
        let specs = parse(&tiers)?;
        let mut versions = lock(&self.0);
        enact(specs)?.map_err(|why| error::limiter(&why))?;
        versions.push(tiers);
        Ok(())
    }
}

/// The number of a tier with overrides, made of the JSON of `[[name, tier]]`; -1 if there is no tier that it overrides.
#[expect(clippy::cast_precision_loss, reason = "no count comes near 2^53")]
pub(crate) fn overridden(
    tier: &str,
    make: impl FnOnce(TierSpec) -> Result<std::result::Result<TierId, Error>>,
) -> Result<f64> {
    let Some(spec) = parse(tier)?.into_iter().next() else {
        return Ok(-1.0);
    };
    match make(spec)? {
        Ok(id) => Ok(id as f64),
        Err(Error::TierUnknown) => Ok(-1.0),
        Err(why) => Err(error::limiter(&why)),
    }
}

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
        block_seconds: Option<f64>,
    },
    Quota {
        name: String,
        limit: f64,
        period: PeriodName,
        anchor_day: Option<u8>,
        anchor_month: Option<u8>,
        overage: Option<Overage>,
    },
    Concurrency {
        name: String,
        limit: f64,
        timeout_seconds: f64,
    },
}

/// What a quota allows beyond its limit, in tokens. It decides by the sum; only JavaScript tells the two apart.
#[derive(Deserialize)]
struct Overage {
    max: f64,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
enum PeriodName {
    Hour,
    Day,
    Week,
    Month,
    Year,
    Once,
}

/// Tiers from the JSON of `Object.entries(tiers)`, which JavaScript has checked.
///
/// # Errors
/// `ERR_TIERS_INVALID`
pub(crate) fn parse(json: &str) -> Result<Vec<TierSpec>> {
    let tiers: Vec<(String, Tier)> = serde_json::from_str(json).map_err(|why| coded("ERR_TIERS_INVALID", why))?;
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
            block_seconds,
        } => {
            let rule = Rule::Bucket {
                limit_milli: milli(limit),
                window_ms: milli(window_seconds),
                burst_milli: milli(burst),
                block_ms: block_seconds.map_or(0, milli),
            };
            LimitSpec { name, rule }
        }
        Limit::Quota {
            name,
            limit,
            period,
            anchor_day,
            anchor_month,
            overage,
        } => {
            let anchor_day = anchor_day.unwrap_or(1);
            let period = match period {
                PeriodName::Hour => Period::Hour,
                PeriodName::Day => Period::Day,
                PeriodName::Week => Period::Week { anchor_day },
                PeriodName::Month => Period::Month { anchor_day },
                PeriodName::Year => Period::Year {
                    anchor_month: anchor_month.unwrap_or(1),
                },
                PeriodName::Once => Period::Once,
            };
            LimitSpec {
                name,
                rule: Rule::Quota {
                    limit_milli: milli(limit) + overage.map_or(0, |Overage { max }| milli(max)),
                    period,
                },
            }
        }
        Limit::Concurrency {
            name,
            limit,
            timeout_seconds,
        } => LimitSpec {
            name,
            rule: Rule::Concurrency {
                limit: milli(limit) / 1_000,
                timeout_ms: milli(timeout_seconds),
            },
        },
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

/// A limit as a key was counted by it: `CountedRule` of `src/engine/lease-engine.ts`.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum CountedRule<'a> {
    Bucket {
        name: &'a str,
        limit_milli: u64,
        window_ms: u64,
        burst_milli: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        block_ms: Option<u64>,
    },
    Quota {
        name: &'a str,
        limit_milli: u64,
        period: PeriodName,
        #[serde(skip_serializing_if = "Option::is_none")]
        anchor_day: Option<u8>,
        #[serde(skip_serializing_if = "Option::is_none")]
        anchor_month: Option<u8>,
    },
}

/// The JSON of rules, in their order.
pub(crate) fn counted(rules: &[NamedRule]) -> String {
    let rules: Vec<_> = rules.iter().map(counted_rule).collect();
    serde_json::to_string(&rules).expect("numbers and texts are always JSON")
}

fn counted_rule(NamedRule { name, rule, .. }: &NamedRule) -> CountedRule<'_> {
    match *rule {
        Rule::Bucket {
            limit_milli,
            window_ms,
            burst_milli,
            block_ms,
        } => CountedRule::Bucket {
            name,
            limit_milli,
            window_ms,
            burst_milli,
            block_ms: (block_ms > 0).then_some(block_ms),
        },
        Rule::Quota { limit_milli, period } => {
            let (period, anchor_day, anchor_month) = match period {
                Period::Hour => (PeriodName::Hour, None, None),
                Period::Day => (PeriodName::Day, None, None),
                Period::Week { anchor_day } => (PeriodName::Week, Some(anchor_day), None),
                Period::Month { anchor_day } => (PeriodName::Month, Some(anchor_day), None),
                Period::Year { anchor_month } => (PeriodName::Year, None, Some(anchor_month)),
                Period::Once => (PeriodName::Once, None, None),
            };
            CountedRule::Quota {
                name,
                limit_milli,
                period,
                anchor_day,
                anchor_month,
            }
        }
        Rule::Concurrency { .. } => unreachable!("no lease is counted by it, nor told to be"),
    }
}
