//! Threads that meet in one table, in every order or in very many; see `docs/proof.md`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use shuttle::scheduler::DfsScheduler;
use shuttle::{Runner, thread};
use tollkeeper_limiter_shuttle::{
    Change, Cost, LimitSpec, Limiter, Period, Rule, Settings, Subject, TakenPlace, TierSpec, Verdict,
};

mod explore;

use explore::{config, explore, rounds};

const NOW_MS: u64 = 1_790_000_000_000;

fn limiter(limit: u64, max_keys: usize) -> Arc<Limiter> {
    let minute = LimitSpec {
        name: "minute".into(),
        rule: Rule::Bucket {
            limit_milli: limit * 1_000,
            window_ms: 60_000,
            burst_milli: 1_000,
            block_ms: 0,
        },
    };
    let month = LimitSpec {
        name: "month".into(),
        rule: Rule::Quota {
            limit_milli: 1_000_000,
            period: Period::Month { anchor_day: 1 },
        },
    };
    let settings = Settings {
        tiers: vec![TierSpec {
            name: "free".into(),
            limits: vec![minute, month],
        }],
        max_keys,
        secret: [3; 16],
        durable: true,
    };
    Arc::new(Limiter::new(settings).expect("the tiers are sound"))
}

/// Allowed of so many calls, and whether any was on the overflow bucket.
fn spend(limiter: &Limiter, key: &str, calls: usize) -> (usize, bool) {
    let key = limiter.hash(key);
    (0..calls).fold((0, false), |(allowed, overflow), _| {
        let outcome = limiter.consume(key, 0, 1_000, NOW_MS).expect("the call is sound");
        (
            allowed + usize::from(outcome.verdict == Verdict::Allowed),
            overflow || outcome.overflow,
        )
    })
}

/// What a save would write.
fn save(limiter: &Limiter) -> Vec<Change> {
    limiter.changes(&limiter.drain_changed())
}

#[test]
fn a_grant_that_meets_calls_and_saves_is_spent_as_a_whole_and_once() {
    explore(|| {
        let limiter = limiter(10, 10);
        let key = limiter.hash("hot");
        limiter.consume(key, 0, 1_000, NOW_MS).expect("the call is sound");
        limiter
            .grant(key, 0, "month", 1_000, true, NOW_MS)
            .expect("it is a quota");
        let calls = Arc::clone(&limiter);
        let calling = thread::spawn(move || spend(&calls, "hot", 2).0);
        let grants = Arc::clone(&limiter);
        let granting = thread::spawn(move || grants.grant(grants.hash("hot"), 0, "month", 5_000, true, NOW_MS));
        let saved = save(&limiter);
        assert_eq!(calling.join().expect("it does not panic"), 2);
        assert_eq!(granting.join().expect("it does not panic"), Ok(()));
        let last = save(&limiter)
            .pop()
            .or(saved.into_iter().last())
            .expect("it has changed");
        let state = last.state.expect("it is held");
        let month = state
            .credits
            .iter()
            .zip(state.used)
            .find(|(credit, _)| credit.granted_milli > 0);
        let (credit, used) = month.expect("it was granted");
        assert_eq!((credit.granted_milli, credit.kept_milli, used), (6_000, 6_000, 3_000));
    });
}

#[test]
fn threads_that_share_a_key_admit_exactly_the_limit() {
    explore(|| {
        let limiter = limiter(3, 10);
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                thread::spawn(move || spend(&limiter, "hot", 2))
            })
            .collect();
        let sum: usize = threads
            .into_iter()
            .map(|thread| thread.join().expect("it does not panic").0)
            .sum();
        assert_eq!(sum, 3);
        let stats = limiter.stats();
        assert_eq!((stats.keys, stats.tiers[0].allowed, stats.tiers[0].overflow), (1, 3, 0));
        assert_eq!(stats.tiers[0].denied, [("minute".to_owned(), 3)]);
    });
}

#[test]
fn threads_that_share_the_last_place_admit_exactly_the_limit() {
    explore(|| {
        let limiter = limiter(1, 1);
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                thread::spawn(move || spend(&limiter, "hot", 1))
            })
            .collect();
        let sum: usize = threads
            .into_iter()
            .map(|thread| thread.join().expect("it does not panic").0)
            .sum();
        assert_eq!((sum, limiter.stats().tiers[0].overflow), (1, 0));
    });
}

#[test]
fn threads_that_bring_new_keys_never_pass_the_bound() {
    explore(|| {
        let limiter = limiter(1, 2);
        let threads: Vec<_> = (0..3)
            .map(|number| {
                let limiter = Arc::clone(&limiter);
                thread::spawn(move || {
                    let spent = spend(&limiter, &format!("key {number}"), 1);
                    assert!(limiter.drain_changed().len() <= 2);
                    spent
                })
            })
            .collect();
        let sum: usize = threads
            .into_iter()
            .map(|thread| thread.join().expect("it does not panic").0)
            .sum();
        // Two keys of their own, and the shared one.
        assert_eq!(sum, 3);
        assert!(limiter.stats().keys <= 2);
    });
}

#[test]
fn a_reset_between_calls_gives_one_more_limit_and_counts_its_key_once() {
    explore(|| {
        let limiter = limiter(1, 10);
        let caller = {
            let limiter = Arc::clone(&limiter);
            thread::spawn(move || spend(&limiter, "hot", 2).0)
        };
        limiter.reset(limiter.hash("hot"));
        limiter.sweep(NOW_MS);
        let allowed = caller.join().expect("it does not panic");
        assert!((1..=2).contains(&allowed), "{allowed}");
        assert!(limiter.stats().keys <= 1);
    });
}

#[test]
fn a_change_during_a_save_is_never_lost() {
    let met = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&met);
    explore(move || {
        let limiter = limiter(10, 10);
        let saver = {
            let limiter = Arc::clone(&limiter);
            thread::spawn(move || {
                let first = save(&limiter);
                // The second one can't be written.
                let second = limiter.drain_changed();
                let _ = limiter.changes(&second);
                limiter.give_back_changed(&second);
                first
            })
        };
        let spender = {
            let limiter = Arc::clone(&limiter);
            thread::spawn(move || {
                spend(&limiter, "kept", 2);
                spend(&limiter, "gone", 1);
                limiter.reset(limiter.hash("gone"));
                spend(&limiter, "kept", 1);
            })
        };
        let saved = saver.join().expect("it does not panic");
        spender.join().expect("it does not panic");
        let mut file = std::collections::BTreeMap::new();
        for Change { key, state } in saved.into_iter().chain(save(&limiter)) {
            match state {
                Some(state) => file.insert(key, state.used[1]),
                None => file.remove(&key),
            };
        }
        assert_eq!(file.get(&limiter.hash("kept")), Some(&3_000));
        assert_eq!(file.len(), 1, "what was forgotten is not stored");
        seen.fetch_add(1, Ordering::Relaxed);
    });
    assert!(met.load(Ordering::Relaxed) >= rounds());
}

/// Makes calls of several subjects; how many were allowed.
fn spend_together(limiter: &Limiter, keys: &[&str], calls: usize) -> usize {
    let subject = |key: &&str| Subject {
        key: limiter.hash(key),
        tier: 0,
        cost: Cost::Every(1_000),
    };
    let subjects: Vec<_> = keys.iter().map(subject).collect();
    let passes = |_: &usize| {
        let outcomes = limiter.consume_together(&subjects, NOW_MS).expect("the call is sound");
        outcomes.iter().all(|outcome| outcome.verdict == Verdict::Allowed)
    };
    (0..calls).filter(passes).count()
}

/// Tokens used of the month.
fn used(limiter: &Limiter, key: &str) -> usize {
    let outcome = limiter
        .peek(limiter.hash(key), 0, 0, NOW_MS)
        .expect("the call is sound");
    usize::try_from(outcome.spent[1] / 1_000).expect("it is small")
}

#[test]
fn calls_of_several_subjects_spend_of_all_or_of_none_in_whatever_order_they_name_them() {
    explore(|| {
        let limiter = limiter(3, 10);
        let there = [["a", "b", "c"], ["c", "a", "b"]].map(|keys| {
            let limiter = Arc::clone(&limiter);
            thread::spawn(move || spend_together(&limiter, &keys, 2))
        });
        let alone = spend(&limiter, "b", 2).0;
        let joint: usize = there
            .into_iter()
            .map(|thread| thread.join().expect("it does not panic"))
            .sum();
        // A call that was denied may have held up another for as long as it took, and no longer.
        assert_eq!(joint + alone, 3);
        assert_eq!(["a", "b", "c"].map(|key| used(&limiter, key)), [joint, 3, joint]);
        assert_eq!(limiter.stats().keys, 3);
    });
}

#[test]
fn calls_of_several_subjects_meet_resets_sweeps_and_saves() {
    explore(|| {
        let limiter = limiter(1, 10);
        let caller = {
            let limiter = Arc::clone(&limiter);
            thread::spawn(move || spend_together(&limiter, &["a", "b"], 2))
        };
        let saver = {
            let limiter = Arc::clone(&limiter);
            thread::spawn(move || save(&limiter))
        };
        limiter.reset(limiter.hash("a"));
        limiter.sweep(NOW_MS);
        limiter.sweep(NOW_MS);
        let allowed = caller.join().expect("it does not panic");
        // Of b there is one token whatever becomes of a.
        assert_eq!((allowed, used(&limiter, "b")), (1, 1));
        assert!(used(&limiter, "a") <= 1);
        let saved = saver.join().expect("it does not panic");
        let mut file = std::collections::BTreeMap::new();
        for Change { key, state } in saved.into_iter().chain(save(&limiter)) {
            match state {
                Some(state) => file.insert(key, state.used[1]),
                None => file.remove(&key),
            };
        }
        assert_eq!(file.get(&limiter.hash("b")), Some(&1_000));
    });
}

#[test]
fn calls_of_several_subjects_that_find_no_room_share_one_bucket() {
    explore(|| {
        let limiter = limiter(2, 1);
        let there = [["a", "b", "c"], ["c", "b", "a"]].map(|keys| {
            let limiter = Arc::clone(&limiter);
            thread::spawn(move || spend_together(&limiter, &keys, 1))
        });
        let alone = spend(&limiter, "d", 1);
        let joint: usize = there
            .into_iter()
            .map(|thread| thread.join().expect("it does not panic"))
            .sum();
        // Two of three subjects, at least, pay from the shared bucket, which has two tokens.
        assert!(joint <= 1, "{joint}");
        assert!(alone.0 <= 1);
        assert_eq!(limiter.stats().keys, 1);
    });
}

#[test]
fn two_calls_and_a_save_meet_in_every_order() {
    Runner::new(DfsScheduler::new(Some(200_000), false), config()).run(|| {
        let limiter = limiter(1, 10);
        spend(&limiter, "hot", 0);
        let other = Arc::clone(&limiter);
        let caller = thread::spawn(move || spend(&other, "hot", 1).0);
        let saved = save(&limiter);
        let here = spend(&limiter, "hot", 1).0;
        let there = caller.join().expect("it does not panic");
        assert_eq!(here + there, 1);
        let last = saved.into_iter().chain(save(&limiter)).last();
        let state = last.and_then(|change| change.state).expect("it has changed");
        assert_eq!(state.used[1], 1_000);
    });
}

const TIMEOUT_MS: u64 = 30_000;

/// As [`limiter`], of a tier with so many places.
fn limiter_of_places(limit: u64, max_keys: usize) -> Arc<Limiter> {
    let parallel = LimitSpec {
        name: "parallel".into(),
        rule: Rule::Concurrency {
            limit,
            timeout_ms: TIMEOUT_MS,
        },
    };
    let settings = Settings {
        tiers: vec![TierSpec {
            name: "free".into(),
            limits: vec![parallel],
        }],
        max_keys,
        secret: [3; 16],
        durable: false,
    };
    Arc::new(Limiter::new(settings).expect("the tiers are sound"))
}

/// Runs a call of a key, if it gets a place, and says whether it did.
fn run(limiter: &Limiter, key: &str, running: &AtomicUsize, limit: usize) -> bool {
    let key = limiter.hash(key);
    let outcome = limiter.consume(key, 0, 1_000, NOW_MS).expect("the call is sound");
    if outcome.verdict != Verdict::Allowed {
        return false;
    }
    assert!(running.fetch_add(1, Ordering::Relaxed) < limit, "more run than may");
    thread::yield_now();
    running.fetch_sub(1, Ordering::Relaxed);
    let place = TakenPlace {
        number: outcome.place,
        ends_ms: &[NOW_MS + TIMEOUT_MS],
        overflow: outcome.overflow.then_some("free"),
    };
    assert!(limiter.release(key, &place, NOW_MS), "nobody else gives it back");
    true
}

#[test]
fn no_more_calls_run_than_there_are_places_and_all_are_free_in_the_end() {
    explore(|| {
        let (limiter, running) = (limiter_of_places(2, 10), Arc::new(AtomicUsize::new(0)));
        let threads: Vec<_> = (0..3)
            .map(|_| {
                let (limiter, running) = (Arc::clone(&limiter), Arc::clone(&running));
                thread::spawn(move || {
                    let ran = (0..2).filter(|_| run(&limiter, "hot", &running, 2)).count();
                    limiter.sweep(NOW_MS);
                    ran
                })
            })
            .collect();
        let ran: usize = threads
            .into_iter()
            .map(|thread| thread.join().expect("it does not panic"))
            .sum();
        assert!(ran >= 2, "{ran}");
        for _ in 0..2 {
            let outcome = limiter.consume(limiter.hash("hot"), 0, 1_000, NOW_MS);
            assert_eq!(outcome.expect("the call is sound").verdict, Verdict::Allowed);
        }
    });
}

#[test]
fn keys_that_share_the_overflow_bucket_share_its_places() {
    explore(|| {
        let (limiter, running) = (limiter_of_places(1, 1), Arc::new(AtomicUsize::new(0)));
        let first = limiter.consume(limiter.hash("first"), 0, 1_000, NOW_MS);
        assert_eq!(first.expect("the call is sound").verdict, Verdict::Allowed);
        let threads: Vec<_> = (0..2)
            .map(|number| {
                let (limiter, running) = (Arc::clone(&limiter), Arc::clone(&running));
                thread::spawn(move || run(&limiter, &format!("key {number}"), &running, 1))
            })
            .collect();
        let ran = threads
            .into_iter()
            .filter_map(|thread| thread.join().ok())
            .filter(|ran| *ran)
            .count();
        assert!(ran >= 1, "{ran}");
    });
}

#[test]
fn a_reset_while_calls_run_leaves_no_place_behind() {
    explore(|| {
        let limiter = limiter_of_places(1, 10);
        let key = limiter.hash("hot");
        let caller = {
            let limiter = Arc::clone(&limiter);
            thread::spawn(move || {
                let outcome = limiter.consume(key, 0, 1_000, NOW_MS).expect("the call is sound");
                let place = TakenPlace {
                    number: outcome.place,
                    ends_ms: &[NOW_MS + TIMEOUT_MS],
                    overflow: None,
                };
                limiter.release(key, &place, NOW_MS)
            })
        };
        limiter.reset(key);
        limiter.sweep(NOW_MS);
        caller.join().expect("it does not panic");
        let outcome = limiter.consume(key, 0, 1_000, NOW_MS).expect("the call is sound");
        assert_eq!(outcome.verdict, Verdict::Allowed);
    });
}
