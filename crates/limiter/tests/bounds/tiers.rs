//! Tiers that are refused, dropped, and asked for too much.

use tollkeeper_limiter::{Error, LimitSpec, Limiter, Period, Rule, Settings, Verdict};

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
fn as_many_names_are_told_apart_as_the_first_tiers_make_room_for() {
    let of = |names: u64| {
        (0..names)
            .map(|name| day(&name.to_string(), 1 + name))
            .collect::<Vec<_>>()
    };
    for (names, most) in [(1, 2), (2, 2), (3, 4), (4, 4), (5, 8), (8, 8)] {
        let limiter = limiter(10, of(names));
        limiter.reload(vec![tier("free", of(most))]).unwrap();
        let refused = limiter.reload(vec![tier("free", of(most + 1))]).unwrap_err();
        assert!(
            refused.to_string().contains(&format!("tells {most} limits apart")),
            "{refused}"
        );
    }
}

#[test]
fn the_ninth_name_is_one_too_many() {
    let settings = Settings {
        tiers: vec![tier("free", (0..9).map(|name| day(&name.to_string(), 1)).collect())],
        max_keys: 1,
        secret: [1; 16],
        durable: false,
    };
    assert!(matches!(Limiter::new(settings), Err(Error::TiersInvalid(_))));
}

#[test]
fn each_of_eight_limits_counts_for_itself_and_denies() {
    let limits: Vec<_> = (0..8).map(|name| day(&name.to_string(), 10 + name)).collect();
    for denying in 0..8_u8 {
        let mut limits = limits.clone();
        limits[usize::from(denying)] = day(&denying.to_string(), 3);
        let limiter = limiter(10, limits);
        let key = limiter.hash("key");
        assert!(
            limiter
                .consume(key, 0, 3_000, NOW_MS)
                .is_ok_and(|outcome| outcome.spent == [3_000; 8])
        );
        let denied = limiter.consume(key, 0, 1_000, NOW_MS).unwrap();
        assert_eq!(denied.verdict, Verdict::Denied { limit: denying });
        assert_eq!(denied.spent, [3_000; 8]);
        let counted = &limiter.stats().tiers[0].denied;
        assert_eq!(*counted, [(denying.to_string(), 1)]);
    }
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
