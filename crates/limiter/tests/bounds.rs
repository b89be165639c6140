//! A table that is full, swept, or shared by threads.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::sync::Barrier;
use std::thread;

use tollkeeper_limiter::{Correction, Error, LimitSpec, Limiter, Outcome, Period, Rule, Settings, TierSpec, Verdict};

const NOW_MS: u64 = 1_790_000_000_000;

fn bucket(name: &str, limit: u64, burst_milli: u64) -> LimitSpec {
    LimitSpec {
        name: name.into(),
        rule: Rule::Bucket {
            limit_milli: limit * 1_000,
            window_ms: 60_000,
            burst_milli,
        },
    }
}

fn day(name: &str, limit: u64) -> LimitSpec {
    LimitSpec {
        name: name.into(),
        rule: Rule::Quota {
            limit_milli: limit * 1_000,
            period: Period::Day,
        },
    }
}

fn tier(name: &str, limits: Vec<LimitSpec>) -> TierSpec {
    TierSpec {
        name: name.into(),
        limits,
    }
}

fn limiter(max_keys: usize, limits: Vec<LimitSpec>) -> Limiter {
    Limiter::new(Settings {
        tiers: vec![tier("free", limits)],
        max_keys,
        secret: [9; 16],
        durable: false,
    })
    .unwrap()
}

fn allowed(limiter: &Limiter, key: &str, now_ms: u64) -> bool {
    limiter.consume(limiter.hash(key), 0, 1_000, now_ms).unwrap().verdict == Verdict::Allowed
}

/// More sweeps than a small table has parts.
fn sweep_all(limiter: &Limiter, now_ms: u64) {
    for _ in 0..100 {
        limiter.sweep(now_ms);
    }
}

#[test]
fn a_full_table_never_forgets_a_limited_key_and_the_rest_share_one_bucket() {
    let limiter = limiter(100, vec![bucket("minute", 3, 1_000)]);
    for _ in 0..3 {
        assert!(allowed(&limiter, "victim", NOW_MS));
    }
    // An attacker with ever new keys gets three calls in all once the table is full.
    let passed = (0..100_000)
        .filter(|key| allowed(&limiter, &format!("attacker {key}"), NOW_MS))
        .count();
    assert_eq!(passed, 99 + 3);
    assert!(!allowed(&limiter, "victim", NOW_MS));
    let stats = limiter.stats();
    assert_eq!(
        (stats.keys, stats.tiers[0].overflow, stats.evictions),
        (100, 100_000 - 99, 0)
    );
}

#[test]
fn full_buckets_make_room_and_used_quotas_do_not() {
    let limiter = limiter(50, vec![bucket("minute", 60, 1_500), day("day", 10)]);
    for key in 0..50 {
        assert!(allowed(&limiter, &format!("old {key}"), NOW_MS));
    }
    assert!(
        limiter
            .consume(limiter.hash("new"), 0, 1_000, NOW_MS + 3_600_000)
            .unwrap()
            .overflow
    );
    // The next day the quotas count anew, and every bucket is full.
    assert!(
        !limiter
            .consume(limiter.hash("new"), 0, 1_000, NOW_MS + 86_400_000)
            .unwrap()
            .overflow
    );
    assert!(limiter.stats().evictions > 0);
}

#[test]
fn a_peek_at_a_full_table_says_what_the_call_after_it_says() {
    let limiter = limiter(50, vec![bucket("minute", 60, 1_000)]);
    let both = |key: &str, now_ms| {
        let hash = limiter.hash(key);
        let before = limiter.stats();
        let peeked = limiter.peek(hash, 0, 1_000, now_ms).unwrap();
        assert_eq!(limiter.stats(), before, "a peek changes nothing");
        let decided = limiter.consume(hash, 0, 1_000, now_ms).unwrap();
        assert_eq!(
            (peeked.verdict, peeked.overflow),
            (decided.verdict, decided.overflow),
            "{key}"
        );
        decided.overflow
    };
    for key in 0..50 {
        assert!(!both(&format!("old {key}"), NOW_MS));
    }
    // The first to find no room is the first of those that share; the others follow it until their bucket is empty.
    assert!((0..61).all(|key| both(&format!("new {key}"), NOW_MS + 1)));
    // In the end every old key is idle, and goes.
    assert!(!both("late", NOW_MS + 600_000));
    assert!(limiter.stats().evictions > 0);
}

#[test]
fn a_charge_to_a_forgotten_key_of_a_full_table_finds_room_where_a_call_does() {
    let limiter = limiter(3, vec![bucket("minute", 60, 1_000)]);
    let charge = |key: &str, now_ms| {
        let correction = Correction {
            delta_milli: 5_000,
            version: 0,
            charged_at_ms: NOW_MS,
            overflow: false,
            quotas_only: false,
        };
        limiter.correct(limiter.hash(key), 0, correction, now_ms).unwrap();
    };
    let spent = |key: &str, now_ms| limiter.peek(limiter.hash(key), 0, 0, now_ms).unwrap().spent[0];
    for key in ["a", "b", "c"] {
        assert!(allowed(&limiter, key, NOW_MS));
    }
    charge("forgotten", NOW_MS);
    assert_eq!(limiter.stats().keys, 3);
    let shared = spent("new", NOW_MS);
    assert!(shared > 0, "while nobody may go it is charged to those that share");
    // All three are idle by now.
    charge("forgotten", NOW_MS + 2_000);
    assert!(limiter.stats().evictions > 0);
    assert_eq!(spent("forgotten", NOW_MS + 2_000), shared);
    for key in ["d", "e"] {
        let outcome = limiter.consume(limiter.hash(key), 0, 1_000, NOW_MS + 2_001).unwrap();
        assert!(!outcome.overflow, "a charge leaves the room that it does not need");
    }
}

#[test]
fn the_sweep_forgets_what_is_as_good_as_new_and_nothing_else() {
    let plain = limiter(1_000, vec![bucket("minute", 60, 1_000)]);
    let bursty = limiter(1_000, vec![bucket("minute", 60, 1_500)]);
    for limiter in [&plain, &bursty] {
        allowed(limiter, "key", NOW_MS);
        sweep_all(limiter, NOW_MS + 999);
        assert_eq!(limiter.stats().keys, 1);
        sweep_all(limiter, NOW_MS + 600_000);
    }
    assert_eq!(plain.stats().keys, 0);
    // It would begin again with 60 tokens, and has 90.
    assert_eq!(bursty.stats().keys, 1);
}

#[test]
fn under_pressure_the_sweep_forgets_every_idle_key() {
    let limiter = limiter(100, vec![bucket("minute", 60, 1_500)]);
    for key in 0..80 {
        allowed(&limiter, &format!("key {key}"), NOW_MS);
    }
    sweep_all(&limiter, NOW_MS + 30_000);
    assert_eq!(limiter.stats().keys, 80, "none is idle yet");
    sweep_all(&limiter, NOW_MS + 600_000);
    assert!(limiter.stats().keys <= 75, "{}", limiter.stats().keys);
}

#[test]
fn a_refund_on_the_overflow_bucket_goes_back_to_it() {
    let limiter = limiter(1, vec![bucket("minute", 1, 1_000)]);
    assert!(allowed(&limiter, "only", NOW_MS));
    let shared = limiter.consume(limiter.hash("other"), 0, 1_000, NOW_MS).unwrap();
    assert!(shared.overflow && shared.verdict == Verdict::Allowed);
    assert!(!allowed(&limiter, "third", NOW_MS));
    let correction = Correction {
        delta_milli: -1_000,
        version: 0,
        charged_at_ms: NOW_MS,
        overflow: true,
        quotas_only: false,
    };
    limiter.correct(limiter.hash("other"), 0, correction, NOW_MS).unwrap();
    assert!(allowed(&limiter, "third", NOW_MS));
}

#[test]
fn threads_that_share_a_key_admit_exactly_the_limit() {
    for _ in 0..20 {
        let limiter = limiter(10, vec![bucket("minute", 1_000, 1_500), day("day", 5_000)]);
        let start = Barrier::new(4);
        let admitted: usize = thread::scope(|scope| {
            let work = || {
                start.wait();
                (0..1_000).filter(|_| allowed(&limiter, "hot", NOW_MS)).count()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(admitted, 1_000);
        let stats = limiter.stats();
        assert_eq!(stats.tiers[0].allowed, 1_000);
        assert_eq!(stats.tiers[0].denied, [("minute".to_owned(), 3_000)]);
    }
}

#[test]
fn threads_that_bring_new_keys_never_pass_the_bound() {
    let limiter = limiter(500, vec![bucket("minute", 1, 1_000)]);
    thread::scope(|scope| {
        for thread in 0..4 {
            let limiter = &limiter;
            scope.spawn(move || {
                (0..1_000).for_each(|key| {
                    allowed(limiter, &format!("{thread} {key}"), NOW_MS);
                });
            });
        }
    });
    assert_eq!(limiter.stats().keys, 500);
    assert_eq!(limiter.stats().tiers[0].overflow, 3_500);
}

#[test]
fn a_reload_under_load_keeps_what_was_spent() {
    let limiter = limiter(10, vec![bucket("minute", 100, 1_000), day("day", 1_000_000)]);
    let admitted: usize = thread::scope(|scope| {
        let caller = scope.spawn(|| (0..20_000).filter(|_| allowed(&limiter, "hot", NOW_MS)).count());
        for round in 0..100 {
            let limit = if round % 2 == 0 { 200 } else { 100 };
            let limits = vec![bucket("minute", limit, 1_000), day("day", 1_000_000)];
            limiter.reload(vec![tier("free", limits)]).unwrap();
        }
        caller.join().unwrap()
    });
    // The fraction is kept: a hundred tokens of a hundred, or two hundred of two hundred, and no more by any change.
    assert!((100..=200).contains(&admitted), "{admitted}");
    assert!(!allowed(&limiter, "hot", NOW_MS));
}

#[test]
fn tiers_that_cannot_be_used_change_nothing() {
    let limiter = limiter(10, vec![bucket("minute", 1, 1_000)]);
    let refused = [
        vec![tier("free", vec![bucket("minute", 0, 1_000)])],
        vec![tier("free", vec![bucket("minute", 1, 999)])],
        vec![tier(
            "free",
            vec![bucket("minute", 1, 1_000), bucket("minute", 2, 1_000)],
        )],
        vec![tier("free", vec![day("minute", 1)])],
        vec![tier("free", vec![bucket("minute", 1, 1_000), day("a", 1), day("b", 1)])],
        vec![tier(
            "free",
            vec![LimitSpec {
                name: "month".into(),
                rule: Rule::Quota {
                    limit_milli: 1,
                    period: Period::Month { anchor_day: 32 },
                },
            }],
        )],
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

/// By two clocks, of which the better one is read in `meanwhile`, when the cheap one would deny.
fn by_two_clocks(limiter: &Limiter, key: &str, cost_milli: u64, meanwhile: impl FnOnce() -> u64) -> Outcome {
    let mut outcome = Outcome::default();
    limiter
        .consume_by(limiter.hash(key), 0, cost_milli, NOW_MS, meanwhile, &mut outcome)
        .unwrap();
    outcome
}

#[test]
fn what_the_cheap_clock_would_deny_is_decided_anew() {
    let limits = limiter(10, vec![day("day", 1)]);
    assert!(allowed(&limits, "key", NOW_MS));
    // The next day.
    assert_eq!(
        by_two_clocks(&limits, "key", 1_000, || NOW_MS + 86_400_000).verdict,
        Verdict::Allowed
    );
    assert_eq!(
        limits.stats().tiers[0].denied,
        [],
        "what only the cheap clock would deny was not denied"
    );
    // Meanwhile unlimited.
    assert!(allowed(&limits, "other", NOW_MS + 86_400_000));
    let outcome = by_two_clocks(&limits, "other", 1_000, || {
        limits.reload(vec![tier("free", Vec::new())]).unwrap();
        NOW_MS
    });
    assert_eq!((outcome.verdict, outcome.version), (Verdict::Allowed, 1));
}

#[test]
fn a_key_that_finds_room_meanwhile_is_not_on_the_overflow_bucket() {
    let limits = limiter(1, vec![day("day", 1)]);
    for key in ["held", "shared"] {
        assert!(allowed(&limits, key, NOW_MS));
    }
    let outcome = by_two_clocks(&limits, "new", 1_000, || {
        limits.reset(limits.hash("held"));
        NOW_MS
    });
    assert_eq!((outcome.verdict, outcome.overflow), (Verdict::Allowed, false));
}

#[test]
fn a_new_key_begins_by_the_better_clock() {
    let limits = limiter(10, vec![bucket("minute", 60, 1_500)]);
    // It holds 60 at first, and would hold 62 two seconds later.
    let outcome = by_two_clocks(&limits, "key", 61_000, || NOW_MS + 2_000);
    assert_eq!(
        (outcome.verdict, outcome.now_ms),
        (Verdict::Denied { limit: 0 }, NOW_MS + 2_000)
    );
}

#[test]
fn addresses_are_told_once_the_keys_no_longer_fit_into_the_caches() {
    let limiter = limiter(100_000, vec![bucket("minute", 10, 1_000)]);
    let hashes = |keys: std::ops::Range<u32>| keys.map(|key| limiter.hash(&key.to_string())).collect::<Vec<_>>();
    let addresses = || {
        let mut addresses = Vec::new();
        limiter.prefetch_addresses(hashes(0..64).into_iter(), |at| addresses.push(at));
        addresses
    };
    for key in hashes(0..1_000) {
        limiter.consume(key, 0, 1_000, NOW_MS).unwrap();
    }
    assert_eq!(addresses(), []);
    for key in hashes(1_000..50_000) {
        limiter.consume(key, 0, 1_000, NOW_MS).unwrap();
    }
    let mut distinct = addresses();
    distinct.sort_unstable();
    distinct.dedup();
    assert!(
        distinct.len() > 60,
        "keys of their own places, but for neighbours that share one"
    );
}

const YEAR_MS: u64 = 365 * 86_400_000;

#[test]
fn one_reading_of_a_clock_that_is_ahead_has_no_used_quota_forgotten() {
    let limiter = limiter(100, vec![day("day", 3)]);
    assert!(allowed(&limiter, "key", NOW_MS));
    sweep_all(&limiter, NOW_MS);
    limiter.sweep(NOW_MS + YEAR_MS);
    sweep_all(&limiter, NOW_MS + 1);
    assert_eq!(limiter.stats().keys, 1);
    assert!(allowed(&limiter, "key", NOW_MS + 2) && allowed(&limiter, "key", NOW_MS + 2));
    assert!(!allowed(&limiter, "key", NOW_MS + 2));
}

#[test]
fn nor_is_one_where_a_new_key_comes_then_and_finds_no_room() {
    let limiter = limiter(4, vec![day("day", 3)]);
    let keys = ["a", "b", "c", "d"];
    for key in keys {
        assert!(allowed(&limiter, key, NOW_MS));
    }
    limiter.sweep(NOW_MS);
    let ahead_ms = NOW_MS + YEAR_MS;
    let new = limiter.hash("new");
    assert!(limiter.peek(new, 0, 1_000, ahead_ms).unwrap().overflow);
    assert!(limiter.consume(new, 0, 1_000, ahead_ms).unwrap().overflow);
    assert_eq!(
        keys.map(|key| limiter.peek(limiter.hash(key), 0, 0, NOW_MS).unwrap().spent[0]),
        [1_000; 4]
    );
    // Once a sweep has borne it out, they make room.
    limiter.sweep(ahead_ms);
    assert!(!limiter.consume(new, 0, 1_000, ahead_ms).unwrap().overflow);
}

#[test]
fn a_search_while_the_clock_was_ahead_puts_no_later_one_off() {
    let limiter = limiter(1, vec![bucket("minute", 1, 1_000)]);
    assert!(allowed(&limiter, "ahead", NOW_MS + YEAR_MS));
    // Nothing makes room for it, then.
    let overflowed = |key: &str, now_ms| limiter.consume(limiter.hash(key), 0, 1_000, now_ms).unwrap().overflow;
    assert!(overflowed("other", NOW_MS + YEAR_MS));
    limiter.reset(limiter.hash("ahead"));
    assert!(!overflowed("first", NOW_MS));
    assert!(!overflowed("second", NOW_MS + 60_000));
}

#[test]
fn a_key_that_is_reset_goes_by_the_clock_as_it_is() {
    let limiter = limiter(10, vec![bucket("minute", 1, 1_000)]);
    assert!(allowed(&limiter, "key", NOW_MS + YEAR_MS));
    let tier = limiter.tier(0).unwrap();
    let wait_ms = |now_ms| {
        let outcome = limiter.consume(limiter.hash("key"), 0, 1_000, now_ms).unwrap();
        outcome.retry_after_ms(&tier, 1_000)
    };
    assert_eq!(wait_ms(NOW_MS), YEAR_MS + 60_000);
    limiter.reset(limiter.hash("key"));
    assert!(allowed(&limiter, "key", NOW_MS));
    assert_eq!(wait_ms(NOW_MS), 60_000);
    assert!(allowed(&limiter, "key", NOW_MS + 60_000));
}
