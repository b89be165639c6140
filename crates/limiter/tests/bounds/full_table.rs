//! A table that is full.

use tollkeeper_limiter::{Correction, Delta, Verdict};

use crate::{NOW_MS, allowed, bucket, day, limiter};

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
            delta: Delta::Every(5_000),
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
fn a_refund_on_the_overflow_bucket_goes_back_to_it() {
    let limiter = limiter(1, vec![bucket("minute", 1, 1_000)]);
    assert!(allowed(&limiter, "only", NOW_MS));
    let shared = limiter.consume(limiter.hash("other"), 0, 1_000, NOW_MS).unwrap();
    assert!(shared.overflow && shared.verdict == Verdict::Allowed);
    assert!(!allowed(&limiter, "third", NOW_MS));
    let correction = Correction {
        delta: Delta::Every(-1_000),
        version: 0,
        charged_at_ms: NOW_MS,
        overflow: true,
        quotas_only: false,
    };
    limiter.correct(limiter.hash("other"), 0, correction, NOW_MS).unwrap();
    assert!(allowed(&limiter, "third", NOW_MS));
}
