//! Tiers with overrides, beside those that are configured.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod specs;

use specs::{minute, tier};
use tollkeeper_limiter::{Error, LimitSpec, Limiter, Period, Rule, Settings, Verdict};

const NOW_MS: u64 = 1_790_000_000_000;

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
fn they_end_with_a_reload_and_a_number_is_never_given_twice() {
    let limiter = limiter();
    let key = limiter.hash("key");
    let two = limiter.override_tier(0, 0, tier("free, 2", vec![minute(2)])).unwrap();
    limiter.reload(vec![tier("free", vec![minute(50)])]).unwrap();
    assert_eq!(limiter.consume(key, two, 1000, NOW_MS), Err(Error::TierUnknown));
    let three = limiter.override_tier(1, 0, tier("free, 3", vec![minute(3)])).unwrap();
    assert_ne!(two, three);
    let again = limiter.override_tier(1, 0, tier("free, 2", vec![minute(2)])).unwrap();
    assert!(again != two && limiter.consume(key, again, 1000, NOW_MS).is_ok());
    // One of an earlier version decides nothing, but what it has decided can be corrected.
    assert_eq!(limiter.override_tier(0, 0, tier("free, 2", vec![minute(2)])), Ok(two));
    assert_eq!(limiter.consume(key, two, 1000, NOW_MS), Err(Error::TierUnknown));
    assert_eq!(
        limiter.override_tier(2, 0, tier("free, 2", vec![minute(2)])),
        Err(Error::TierUnknown)
    );
}

/// What decides under a limit of so many tokens, as callers do: made anew where it was forgotten.
fn consume(limiter: &Limiter, key: &str, limit: u64, made: &mut u64) -> Verdict {
    let id = limiter
        .override_tier(0, 0, tier(&format!("free, {limit}"), vec![minute(limit)]))
        .unwrap();
    *made = (*made).max(id);
    limiter.consume(limiter.hash(key), id, 1000, NOW_MS).unwrap().verdict
}

#[test]
fn any_number_of_them_decide_by_their_own_limits_and_those_that_are_used_are_kept() {
    let limiter = limiter();
    let mut made = 0;
    let used = limiter.override_tier(0, 0, tier("free, 7", vec![minute(7)])).unwrap();
    for limit in 1..=120_000 {
        let key = format!("key {limit}");
        assert_eq!(consume(&limiter, &key, limit, &mut made), Verdict::Allowed, "{limit}");
        if limit % 10_000 == 0 {
            limiter.consume(limiter.hash("used"), used, 0, NOW_MS).unwrap();
        }
    }
    // Those of the first are back, each with its own limit, and the overflow bucket with what was spent of it.
    for limit in 1..=100 {
        let left = (0..200)
            .filter(|_| consume(&limiter, &format!("late {limit}"), limit, &mut made) == Verdict::Allowed)
            .count() as u64;
        assert_eq!(left, limit);
    }
    assert!(made > 120_000);
    assert!(limiter.consume(limiter.hash("used"), used, 0, NOW_MS).is_ok());
    assert_eq!(
        limiter.consume(limiter.hash("gone"), used + 1, 1, NOW_MS),
        Err(Error::TierUnknown)
    );
}

#[test]
fn a_key_keeps_what_it_has_spent_while_its_limits_are_forgotten_and_made_anew() {
    let limiter = Limiter::new(Settings {
        tiers: vec![tier("free", vec![minute(5)])],
        max_keys: 1_000,
        secret: [7; 16],
        durable: false,
    })
    .unwrap();
    let mut made = 0;
    let consume = |key: &str, limit: u64, made: &mut u64| consume(&limiter, key, limit, made);
    for _ in 0..9 {
        assert_eq!(consume("kept", 9, &mut made), Verdict::Allowed);
    }
    // Another key comes under ever new ones, so that rule sets are forgotten as well.
    for limit in 10_000..90_000 {
        consume("busy", limit, &mut made);
    }
    assert_eq!(consume("kept", 9, &mut made), Verdict::Denied { limit: 0 });
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
