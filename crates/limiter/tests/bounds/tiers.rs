//! Tiers that are refused, dropped, and asked for too much.

use tollkeeper_limiter::{Error, LimitSpec, Period, Rule};

use crate::{NOW_MS, allowed, bucket, day, limiter, tier};

#[test]
fn tiers_that_cannot_be_used_change_nothing() {
    let limiter = limiter(10, vec![bucket("minute", 1, 1_000)]);
    let quota = |name: &str, period| LimitSpec {
        name: name.into(),
        rule: Rule::Quota { limit_milli: 1, period },
    };
    let refused = [
        vec![tier("free", vec![bucket("minute", 1, 0)])],
        vec![tier("free", vec![quota("week", Period::Week { anchor_day: 8 })])],
        vec![tier("free", vec![quota("year", Period::Year { anchor_month: 0 })])],
        vec![tier(
            "free",
            vec![bucket("minute", 1, 1_000), bucket("minute", 2, 1_000)],
        )],
        vec![tier("free", vec![day("minute", 1)])],
        vec![tier("free", vec![bucket("minute", 1, 1_000), day("a", 1), day("b", 1)])],
        vec![tier("free", vec![quota("month", Period::Month { anchor_day: 32 })])],
    ];
    for tiers in refused {
        assert!(matches!(limiter.reload(tiers), Err(Error::TiersInvalid(_))));
    }
    assert_eq!(limiter.version(), 0);
    assert!(allowed(&limiter, "key", NOW_MS) && !allowed(&limiter, "key", NOW_MS));
}

#[test]
fn a_tier_that_was_dropped_is_unknown_until_it_is_back() {
    let limiter = limiter(10, vec![bucket("minute", 1, 1_000)]);
    limiter.reload(vec![tier("pro", vec![])]).unwrap();
    let key = limiter.hash("key");
    assert_eq!(limiter.consume(key, 0, 1_000, NOW_MS), Err(Error::TierUnknown));
    assert_eq!(limiter.tier_id("free"), None);
    assert!(
        limiter
            .consume(key, limiter.tier_id("pro").unwrap(), u64::MAX, NOW_MS)
            .is_ok(),
        "unlimited"
    );
    limiter
        .reload(vec![tier("free", vec![bucket("minute", 1, 1_000)])])
        .unwrap();
    assert_eq!(limiter.tier_id("free"), Some(0));
}

#[test]
fn errors_say_what_may_be() {
    let limiter = limiter(10, vec![bucket("minute", 2, 1_500), day("day", 9)]);
    let error = limiter.consume(limiter.hash("key"), 0, 3_001, NOW_MS).unwrap_err();
    assert_eq!(error, Error::CostExceedsCapacity { most_milli: 3_000 });
    assert!(error.to_string().contains("3000"));
    assert_eq!(Error::TierUnknown.to_string(), "no such tier");
    assert!(Error::TooManyKeys { max_keys: 7 }.to_string().contains('7'));
}
