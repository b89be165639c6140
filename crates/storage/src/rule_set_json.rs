//! The limits under which a stored key counts, as they are written: once for each rule set that a save or a load meets.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use tollkeeper_limiter::{MAX_LIMITS, NamedRule, Period, Rule};

use crate::tables::NARROW;

/// How many characters the name of a limit has.
const NAME_CHARS: RangeInclusive<usize> = 1..=64;

#[derive(Serialize, Deserialize)]
struct StoredLimit {
    slot: usize,
    name: String,
    rule: StoredRule,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StoredRule {
    Bucket {
        limit_milli: u64,
        window_ms: u64,
        burst_milli: u64,
        #[serde(default, skip_serializing_if = "is_none")]
        block_ms: u64,
    },
    HourQuota {
        limit_milli: u64,
    },
    DayQuota {
        limit_milli: u64,
    },
    WeekQuota {
        limit_milli: u64,
        anchor_day: u8,
    },
    MonthQuota {
        limit_milli: u64,
        anchor_day: u8,
    },
    YearQuota {
        limit_milli: u64,
        anchor_month: u8,
    },
    OnceQuota {
        limit_milli: u64,
    },
}

impl From<Rule> for StoredRule {
    fn from(rule: Rule) -> Self {
        let (limit_milli, period) = match rule {
            Rule::Bucket {
                limit_milli,
                window_ms,
                burst_milli,
                block_ms,
            } => {
                return Self::Bucket {
                    limit_milli,
                    window_ms,
                    burst_milli,
                    block_ms,
                };
            }
            Rule::Quota { limit_milli, period } => (limit_milli, period),
            Rule::Concurrency { .. } => unreachable!("nothing is stored of it, nor told to be"),
        };
        match period {
            Period::Hour => Self::HourQuota { limit_milli },
            Period::Day => Self::DayQuota { limit_milli },
            Period::Week { anchor_day } => Self::WeekQuota {
                limit_milli,
                anchor_day,
            },
            Period::Month { anchor_day } => Self::MonthQuota {
                limit_milli,
                anchor_day,
            },
            Period::Year { anchor_month } => Self::YearQuota {
                limit_milli,
                anchor_month,
            },
            Period::Once => Self::OnceQuota { limit_milli },
        }
    }
}

impl From<StoredRule> for Rule {
    fn from(stored: StoredRule) -> Self {
        let (limit_milli, period) = match stored {
            StoredRule::Bucket {
                limit_milli,
                window_ms,
                burst_milli,
                block_ms,
            } => {
                return Self::Bucket {
                    limit_milli,
                    window_ms,
                    burst_milli,
                    block_ms,
                };
            }
            StoredRule::HourQuota { limit_milli } => (limit_milli, Period::Hour),
            StoredRule::DayQuota { limit_milli } => (limit_milli, Period::Day),
            StoredRule::WeekQuota {
                limit_milli,
                anchor_day,
            } => (limit_milli, Period::Week { anchor_day }),
            StoredRule::MonthQuota {
                limit_milli,
                anchor_day,
            } => (limit_milli, Period::Month { anchor_day }),
            StoredRule::YearQuota {
                limit_milli,
                anchor_month,
            } => (limit_milli, Period::Year { anchor_month }),
            StoredRule::OnceQuota { limit_milli } => (limit_milli, Period::Once),
        };
        Self::Quota { limit_milli, period }
    }
}

/// Whether keys under a rule set are wide.
pub(crate) fn is_wide(limits: &[NamedRule]) -> bool {
    limits.iter().any(|limit| limit.slot >= NARROW)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
fn is_none(block_ms: &u64) -> bool {
    *block_ms == 0
}

/// A rule set, as JSON.
pub(crate) fn encode(limits: &[NamedRule]) -> String {
    let stored: Vec<_> = limits
        .iter()
        .map(|limit| StoredLimit {
            slot: limit.slot,
            name: limit.name.clone(),
            rule: limit.rule.into(),
        })
        .collect();
    serde_json::to_string(&stored).expect("numbers and strings can always be written as JSON")
}

/// The rule set that JSON stands for; None if it is none that was ever written.
pub(crate) fn decode(json: &str) -> Option<Vec<NamedRule>> {
    let stored: Vec<StoredLimit> = serde_json::from_str(json).ok()?;
    let limits = stored.into_iter().map(|StoredLimit { slot, name, rule }| NamedRule {
        slot,
        name,
        rule: rule.into(),
    });
    let limits: Vec<_> = limits.collect();
    let sound = |(index, limit): (usize, &NamedRule)| {
        limit.slot < MAX_LIMITS
            && NAME_CHARS.contains(&limit.name.chars().count())
            && limits[..index].iter().all(|other| other.slot != limit.slot)
    };
    limits.iter().enumerate().all(sound).then_some(limits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_written_is_no_rule_set() {
        let limit = |slot, name: &str| {
            format!(r#"{{"slot":{slot},"name":"{name}","rule":{{"day_quota":{{"limit_milli":1}}}}}}"#)
        };
        let rules_of = |slots: &[usize]| {
            let limits: Vec<_> = slots.iter().map(|slot| limit(*slot, "day")).collect();
            decode(&format!("[{}]", limits.join(",")))
        };
        let named = |name: &str| decode(&format!("[{}]", limit(0, name))).is_some();
        assert!(named(&"é".repeat(64)));
        assert!(!named(&"n".repeat(65)));
        assert!(!named(""));
        let is_wide = |slots: &[usize]| rules_of(slots).map(|limits| super::is_wide(&limits));
        assert_eq!(is_wide(&[0, 3]), Some(false));
        assert_eq!(is_wide(&[7, 0]), Some(true));
        let bucket = |block: &str| {
            let rule = format!(r#"{{"limit_milli":1,"window_ms":1,"burst_milli":1000{block}}}"#);
            decode(&format!(r#"[{{"slot":0,"name":"b","rule":{{"bucket":{rule}}}}}]"#)).map(|limits| limits[0].rule)
        };
        let rule = |block_ms| Rule::Bucket {
            limit_milli: 1,
            window_ms: 1,
            burst_milli: 1_000,
            block_ms,
        };
        assert_eq!(bucket(""), Some(rule(0)));
        assert_eq!(bucket(r#","block_ms":7"#), Some(rule(7)));
        assert_eq!(rules_of(&[8]), None);
        assert_eq!(rules_of(&[1, 1]), None);
        assert_eq!(decode("{}"), None);
    }

    #[test]
    fn what_was_written_is_read_as_it_was() {
        let periods = [
            (Period::Hour, r#"{"hour_quota":{"limit_milli":7}}"#),
            (Period::Day, r#"{"day_quota":{"limit_milli":7}}"#),
            (
                Period::Week { anchor_day: 7 },
                r#"{"week_quota":{"limit_milli":7,"anchor_day":7}}"#,
            ),
            (
                Period::Month { anchor_day: 31 },
                r#"{"month_quota":{"limit_milli":7,"anchor_day":31}}"#,
            ),
            (
                Period::Year { anchor_month: 4 },
                r#"{"year_quota":{"limit_milli":7,"anchor_month":4}}"#,
            ),
            (Period::Once, r#"{"once_quota":{"limit_milli":7}}"#),
        ];
        for (period, rule) in periods {
            let json = format!(r#"[{{"slot":0,"name":"toll","rule":{rule}}}]"#);
            let limits = decode(&json).unwrap();
            assert_eq!(limits[0].rule, Rule::Quota { limit_milli: 7, period });
            assert_eq!(encode(&limits), json);
        }
    }
}
