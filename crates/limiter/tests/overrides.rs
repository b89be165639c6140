//! Tiers with overrides, beside those that are configured.

use tollkeeper_limiter::{Error, LimitSpec, Limiter, Period, Rule, Settings, TierSpec, Verdict};

const NOW_MS: u64 = 1_790_000_000_000;

fn minute(limit: u64) -> LimitSpec {
    LimitSpec {
        name: "minute".into(),
        rule: Rule::Bucket {
            limit_milli: limit * 1000,
            window_ms: 60_000,
            burst_milli: 1000,
        },
    }
}

fn tier(name: &str, limits: Vec<LimitSpec>) -> TierSpec {
    TierSpec {
        name: name.into(),
        limits,
    }
}

fn limiter() -> Limiter {
    let tiers = vec![tier("free", vec![minute(5)]), tier("unlimited", vec![])];
    let settings = Settings {
        tiers,
        max_keys: 100,
        secret: [7; 16],
        durable: false,
    };
    Limiter::new(settings).expect("these tiers can be used")
}

#[test]
fn they_decide_by_their_own_limits_and_count_as_the_plain_tier() {
    let limiter = limiter();
    let key = limiter.hash("key");
    let id = limiter.override_tier(0, 0, tier("free, 2", vec![minute(2)])).unwrap();
    assert_eq!(limiter.override_tier(0, 0, tier("free, 2", vec![minute(2)])), Ok(id));
    for verdict in [Verdict::Allowed, Verdict::Allowed, Verdict::Denied { limit: 0 }] {
        assert_eq!(limiter.consume(key, id, 1000, NOW_MS).unwrap().verdict, verdict);
    }
    let stats = limiter.stats();
    assert_eq!(stats.tiers.len(), 2);
    assert_eq!(
        (stats.tiers[0].allowed, stats.tiers[0].denied.clone()),
        (2, vec![("minute".into(), 1)])
    );
}

#[test]
fn they_end_with_a_reload_and_keep_their_numbers() {
    let limiter = limiter();
    let key = limiter.hash("key");
    let two = limiter.override_tier(0, 0, tier("free, 2", vec![minute(2)])).unwrap();
    limiter.reload(vec![tier("free", vec![minute(50)])]).unwrap();
    assert_eq!(limiter.consume(key, two, 1000, NOW_MS), Err(Error::TierUnknown));
    assert_eq!(
        limiter.override_tier(0, 0, tier("free, 2", vec![minute(2)])),
        Err(Error::TierUnknown)
    );
    let three = limiter.override_tier(1, 0, tier("free, 3", vec![minute(3)])).unwrap();
    assert_ne!(two, three);
    assert_eq!(limiter.consume(key, two, 1000, NOW_MS), Err(Error::TierUnknown));
    assert_eq!(limiter.override_tier(1, 0, tier("free, 2", vec![minute(2)])), Ok(two));
    assert!(limiter.consume(key, two, 1000, NOW_MS).is_ok());
}

#[test]
fn they_bring_no_limit_that_the_tiers_do_not_know() {
    let limiter = limiter();
    let rule = Rule::Quota {
        limit_milli: 1000,
        period: Period::Day,
    };
    let day = LimitSpec {
        name: "day".into(),
        rule,
    };
    let refused = limiter.override_tier(0, 0, tier("free, daily", vec![day]));
    assert!(matches!(refused, Err(Error::TiersInvalid(_))));
    assert!(
        limiter
            .override_tier(0, 1, tier("unlimited, 1", vec![minute(1)]))
            .is_ok()
    );
}
