//! Two clocks, and one that is ahead.

use tollkeeper_limiter::{Limiter, Outcome, Verdict};

use crate::{NOW_MS, allowed, bucket, day, limiter, sweep_all, tier};

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
