//! The limits under which a stored key counts, as they are written: once for each rule set that a save or a load meets.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use tollkeeper_limiter::{MAX_LIMITS, NamedRule, Period, Rule};

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
    },
    DayQuota {
        limit_milli: u64,
    },
    MonthQuota {
        limit_milli: u64,
        anchor_day: u8,
    },
}

/// A rule set, as JSON.
pub(crate) fn encode(limits: &[NamedRule]) -> String {
    let stored: Vec<_> = limits
        .iter()
        .map(|limit| StoredLimit {
            slot: limit.slot,
            name: limit.name.clone(),
            rule: match limit.rule {
                Rule::Bucket {
                    limit_milli,
                    window_ms,
                    burst_milli,
                } => StoredRule::Bucket {
                    limit_milli,
                    window_ms,
                    burst_milli,
                },
                Rule::Quota {
                    limit_milli,
                    period: Period::Day,
                } => StoredRule::DayQuota { limit_milli },
                Rule::Quota {
                    limit_milli,
                    period: Period::Month { anchor_day },
                } => StoredRule::MonthQuota {
                    limit_milli,
                    anchor_day,
                },
            },
        })
        .collect();
    serde_json::to_string(&stored).expect("numbers and strings can always be written as JSON")
}

/// The rule set that JSON stands for; None if it is none that was ever written.
pub(crate) fn decode(json: &str) -> Option<Vec<NamedRule>> {
    let stored: Vec<StoredLimit> = serde_json::from_str(json).ok()?;
    let limits = stored.into_iter().map(|StoredLimit { slot, name, rule }| {
        let rule = match rule {
            StoredRule::Bucket {
                limit_milli,
                window_ms,
                burst_milli,
            } => Rule::Bucket {
                limit_milli,
                window_ms,
                burst_milli,
            },
            StoredRule::DayQuota { limit_milli } => Rule::Quota {
                limit_milli,
                period: Period::Day,
            },
            StoredRule::MonthQuota {
                limit_milli,
                anchor_day,
            } => Rule::Quota {
                limit_milli,
                period: Period::Month { anchor_day },
            },
        };
        NamedRule { slot, name, rule }
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
        assert_eq!(rules_of(&[0, 3]).map(|limits| limits.len()), Some(2));
        assert_eq!(rules_of(&[4]), None);
        assert_eq!(rules_of(&[1, 1]), None);
        assert_eq!(decode("{}"), None);
    }
}
