//! Threads that share a limiter.

use std::sync::Barrier;
use std::thread;

use crate::{NOW_MS, allowed, bucket, day, limiter, tier};

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
