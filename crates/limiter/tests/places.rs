//! Calls that run at the same time: never more than the limit, and every place free again in the end.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]
#![allow(clippy::cast_precision_loss, reason = "no amount of the model comes near 2^53")]

mod specs;

use proptest::collection::vec;
use proptest::prelude::*;
use specs::{day, minute, parallel, tier};
use tollkeeper_limiter::{
    Correction, Cost, Costs, Delta, Error, LimitSpec, Limiter, MAX_LIMITS, Outcome, Settings, Subject, TakenPlace,
    TierId, TierSpec, Verdict,
};

const NOW_MS: u64 = 1_790_000_000_000;
const TIMEOUT_MS: u64 = 30_000;

fn limiter_of(tiers: Vec<TierSpec>, max_keys: usize) -> Limiter {
    let settings = Settings {
        tiers,
        max_keys,
        secret: [5; 16],
        durable: true,
    };
    Limiter::new(settings).unwrap()
}

fn limiter(limits: Vec<LimitSpec>) -> Limiter {
    limiter_of(vec![tier("free", limits)], 100)
}

fn consume(limiter: &Limiter, key: &str, now_ms: u64) -> Outcome {
    limiter.consume(limiter.hash(key), 0, 1_000, now_ms).unwrap()
}

/// Gives the place of a decision back, made under a limit of [`TIMEOUT_MS`].
fn release(limiter: &Limiter, key: &str, outcome: &Outcome, now_ms: u64) -> bool {
    let place = TakenPlace {
        number: outcome.place,
        ends_ms: &[outcome.now_ms + TIMEOUT_MS],
        overflow: outcome.overflow.then_some("free"),
    };
    limiter.release(limiter.hash(key), &place, now_ms)
}

/// Free places and milliseconds until the first is over, as reported.
fn report(limiter: &Limiter, outcome: &Outcome) -> Vec<(u64, u64)> {
    let tier = limiter.tier(0).unwrap();
    let reports = outcome.report(&tier).into_iter();
    reports
        .map(|report| (report.remaining_milli / 1_000, report.reset_ms))
        .collect()
}

#[test]
fn a_call_is_denied_while_as_many_run_as_may_and_a_place_is_given_back_once() {
    let limiter = limiter(vec![parallel(2, TIMEOUT_MS)]);
    let first = consume(&limiter, "key", NOW_MS);
    let second = consume(&limiter, "key", NOW_MS + 10);
    assert_eq!(report(&limiter, &second), [(0, TIMEOUT_MS - 10)]);
    let denied = consume(&limiter, "key", NOW_MS + 20);
    assert_eq!((denied.verdict, denied.place), (Verdict::Denied { limit: 0 }, 0));
    let tier = limiter.tier(0).unwrap();
    assert_eq!(denied.retry_after_ms(&tier, 1_000), TIMEOUT_MS - 20);
    assert!(release(&limiter, "key", &first, NOW_MS + 30));
    assert!(!release(&limiter, "key", &first, NOW_MS + 30), "once");
    assert!(!release(&limiter, "other", &second, NOW_MS + 30), "of its key");
    assert_eq!(consume(&limiter, "key", NOW_MS + 40).verdict, Verdict::Allowed);
    assert_eq!(limiter.stats().tiers[0].denied, [("parallel".to_owned(), 1)]);
}

#[test]
fn a_key_that_has_only_held_places_is_charged_as_a_new_one_what_a_call_of_nothing_cost_after_all() {
    for (delta_milli, left_milli) in [(2_500, 3_500), (-2_500, 6_000)] {
        let tiers = vec![
            tier("free", vec![parallel(2, TIMEOUT_MS), minute(6)]),
            tier("plain", vec![parallel(2, TIMEOUT_MS)]),
        ];
        let limiter = limiter_of(tiers, 100);
        let key = limiter.hash("key");
        assert_eq!(limiter.consume(key, 0, 0, NOW_MS).unwrap().verdict, Verdict::Allowed);
        let running = limiter.consume(key, 1, 1_000, NOW_MS).unwrap();
        let correction = Correction {
            delta: Delta::Every(delta_milli),
            version: 0,
            charged_at_ms: NOW_MS,
            overflow: false,
            quotas_only: false,
        };
        limiter.correct(key, 0, correction, NOW_MS).unwrap();
        let standing = limiter.peek(key, 0, 0, NOW_MS).unwrap();
        let report = standing.report(&limiter.tier(0).unwrap());
        let left: Vec<_> = report.iter().map(|report| report.remaining_milli).collect();
        assert_eq!(left, [1_000, left_milli]);
        assert!(release(&limiter, "key", &running, NOW_MS));
    }
}

#[test]
fn a_place_is_free_again_at_the_timeout_and_not_a_millisecond_before() {
    let limiter = limiter(vec![parallel(1, TIMEOUT_MS)]);
    let first = consume(&limiter, "key", NOW_MS);
    let end_ms = NOW_MS + TIMEOUT_MS;
    assert_ne!(consume(&limiter, "key", end_ms - 1).verdict, Verdict::Allowed);
    let second = consume(&limiter, "key", end_ms);
    assert_eq!(second.verdict, Verdict::Allowed);
    assert!(!release(&limiter, "key", &first, end_ms), "it is over");
    assert_ne!(
        consume(&limiter, "key", end_ms).verdict,
        Verdict::Allowed,
        "the second holds its own"
    );
    assert!(release(&limiter, "key", &second, end_ms));
}

#[test]
fn a_denied_call_takes_neither_a_place_nor_a_token() {
    let limiter = limiter(vec![minute(3), parallel(2, TIMEOUT_MS)]);
    let running: Vec<_> = (0..2).map(|_| consume(&limiter, "key", NOW_MS)).collect();
    for _ in 0..5 {
        assert_eq!(consume(&limiter, "key", NOW_MS).verdict, Verdict::Denied { limit: 1 });
    }
    for outcome in &running {
        assert!(release(&limiter, "key", outcome, NOW_MS));
    }
    let third = consume(&limiter, "key", NOW_MS);
    assert_eq!(report(&limiter, &third), [(0, 60_000), (1, TIMEOUT_MS)]);
    let denied = consume(&limiter, "key", NOW_MS);
    assert_eq!(denied.verdict, Verdict::Denied { limit: 0 });
    assert_eq!(report(&limiter, &denied), [(0, 60_000), (1, TIMEOUT_MS)]);
}

#[test]
fn a_grant_to_a_key_leaves_its_places_taken() {
    let limiter = limiter(vec![parallel(1, TIMEOUT_MS), day("day", 5)]);
    let running = consume(&limiter, "key", NOW_MS);
    limiter
        .grant(limiter.hash("key"), 0, "day", 1_000, false, NOW_MS)
        .unwrap();
    assert_eq!(consume(&limiter, "key", NOW_MS).verdict, Verdict::Denied { limit: 0 });
    assert!(release(&limiter, "key", &running, NOW_MS));
}

#[test]
fn a_cost_of_nothing_and_a_peek_take_no_place() {
    let limiter = limiter(vec![parallel(1, TIMEOUT_MS)]);
    let key = limiter.hash("key");
    for cost_milli in [0, 1_000] {
        let peeked = limiter.peek(key, 0, cost_milli, NOW_MS).unwrap();
        assert_eq!(
            (peeked.verdict, report(&limiter, &peeked)),
            (Verdict::Allowed, vec![(1, 0)])
        );
    }
    assert_eq!(limiter.consume(key, 0, 0, NOW_MS).unwrap().place, 0);
    assert_eq!(limiter.consume(key, 0, 1, NOW_MS).unwrap().verdict, Verdict::Allowed);
    assert_eq!(limiter.consume(key, 0, 0, NOW_MS).unwrap().verdict, Verdict::Allowed);
    let peeked = limiter.peek(key, 0, u64::MAX, NOW_MS).unwrap();
    assert_eq!(peeked.verdict, Verdict::Denied { limit: 0 }, "whatever it costs");
}

#[test]
fn places_stay_when_the_tier_changes_and_the_new_limit_counts_them() {
    let tiers = vec![
        tier("free", vec![parallel(1, TIMEOUT_MS), minute(10)]),
        tier("pro", vec![parallel(3, TIMEOUT_MS)]),
        tier("other", vec![minute(10)]),
    ];
    let limiter = limiter_of(tiers, 100);
    let key = limiter.hash("key");
    let consume = |tier: TierId| limiter.consume(key, tier, 1_000, NOW_MS).unwrap();
    let running: Vec<_> = (0..3).map(|_| consume(1)).collect();
    assert!(running.iter().all(|outcome| outcome.verdict == Verdict::Allowed));
    assert_eq!(consume(2).verdict, Verdict::Allowed);
    let denied = consume(0);
    assert_eq!(
        (denied.verdict, report(&limiter, &denied)[0]),
        (Verdict::Denied { limit: 0 }, (0, TIMEOUT_MS))
    );
    for outcome in &running[..2] {
        assert!(release(&limiter, "key", outcome, NOW_MS));
    }
    assert_ne!(consume(0).verdict, Verdict::Allowed);
    assert!(release(&limiter, "key", &running[2], NOW_MS));
    assert_eq!(consume(0).verdict, Verdict::Allowed);
}

#[test]
fn a_reset_frees_all_and_what_was_taken_before_frees_nothing_after() {
    let limiter = limiter(vec![parallel(2, TIMEOUT_MS)]);
    let before = consume(&limiter, "key", NOW_MS);
    limiter.reset(limiter.hash("key"));
    let after: Vec<_> = (0..2).map(|_| consume(&limiter, "key", NOW_MS)).collect();
    assert!(after.iter().all(|outcome| outcome.verdict == Verdict::Allowed));
    assert!(!release(&limiter, "key", &before, NOW_MS));
    assert_ne!(consume(&limiter, "key", NOW_MS).verdict, Verdict::Allowed);
}

#[test]
fn a_key_is_not_forgotten_while_it_holds_a_place() {
    let limiter = limiter(vec![parallel(1, TIMEOUT_MS)]);
    let sweep = |now_ms| {
        for _ in 0..400 {
            limiter.sweep(now_ms);
        }
        limiter.stats().keys
    };
    consume(&limiter, "held", NOW_MS);
    let given_back = consume(&limiter, "given back", NOW_MS);
    assert!(release(&limiter, "given back", &given_back, NOW_MS));
    assert_eq!(sweep(NOW_MS + TIMEOUT_MS - 1), 1);
    assert_ne!(
        consume(&limiter, "held", NOW_MS + TIMEOUT_MS - 1).verdict,
        Verdict::Allowed
    );
    assert_eq!(sweep(NOW_MS + TIMEOUT_MS), 0);
    assert_eq!(consume(&limiter, "held", NOW_MS + TIMEOUT_MS).verdict, Verdict::Allowed);
}

#[test]
fn a_forgotten_key_begins_without_places_also_if_the_clock_went_back() {
    let consume_first = |limiter: &Limiter| consume(limiter, "key", NOW_MS + 1);
    let peek = |limiter: &Limiter| limiter.peek(limiter.hash("key"), 0, 1_000, NOW_MS + 1).unwrap();
    let consume_together = |limiter: &Limiter| {
        let subject = Subject {
            key: limiter.hash("key"),
            tier: 0,
            cost: Cost::Every(1_000),
        };
        limiter.consume_together(&[subject], NOW_MS + 1).unwrap()[0]
    };
    for decide in [consume_first, peek, consume_together] {
        let limiter = limiter_of(vec![tier("free", vec![parallel(1, TIMEOUT_MS)])], 1);
        consume(&limiter, "key", NOW_MS);
        let other = consume(&limiter, "other", NOW_MS + TIMEOUT_MS);
        assert!(!other.overflow, "the key is forgotten for it");
        assert!(release(&limiter, "other", &other, NOW_MS + TIMEOUT_MS));
        let outcome = decide(&limiter);
        assert_eq!((outcome.verdict, outcome.overflow), (Verdict::Allowed, false));
    }
}

#[test]
fn keys_that_find_no_room_share_the_places_of_their_tier() {
    let limiter = limiter_of(vec![tier("free", vec![parallel(2, TIMEOUT_MS)])], 1);
    assert!(!consume(&limiter, "first", NOW_MS).overflow);
    let shared: Vec<_> = ["a", "b"].map(|key| consume(&limiter, key, NOW_MS)).into();
    assert!(
        shared
            .iter()
            .all(|outcome| outcome.overflow && outcome.verdict == Verdict::Allowed)
    );
    let peeked = limiter.peek(limiter.hash("c"), 0, 1_000, NOW_MS).unwrap();
    assert_eq!(peeked.verdict, Verdict::Denied { limit: 0 });
    assert_ne!(consume(&limiter, "c", NOW_MS).verdict, Verdict::Allowed);
    assert!(release(&limiter, "a", &shared[0], NOW_MS));
    assert_eq!(consume(&limiter, "c", NOW_MS).verdict, Verdict::Allowed);
    assert_eq!(
        consume(&limiter, "first", NOW_MS).verdict,
        Verdict::Allowed,
        "its own place is another"
    );
}

#[test]
fn nothing_of_it_is_stored() {
    let limiter = limiter(vec![parallel(1, TIMEOUT_MS), day("day", 10)]);
    consume(&limiter, "key", NOW_MS);
    let changes = limiter.changes(&limiter.drain_changed());
    let state = changes[0].state.as_ref().unwrap();
    assert_eq!(state.used[..2], [0, 1_000]);
    let rules = limiter.named_rules(&state.rule_set);
    assert_eq!(rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>(), ["day"]);
}

#[test]
fn a_key_of_nothing_else_is_not_stored() {
    let limiter = limiter(vec![parallel(1, TIMEOUT_MS)]);
    consume(&limiter, "key", NOW_MS);
    let changes = limiter.changes(&limiter.drain_changed());
    assert_eq!(
        changes.iter().map(|change| change.state.is_some()).collect::<Vec<_>>(),
        [false]
    );
}

#[test]
fn beside_a_limit_of_nothing_a_call_is_denied_by_that_and_a_boundless_cost_refused() {
    let most_milli = 1 << 62;
    for nothing in [minute(0), day("day", 0)] {
        let limiter = limiter(vec![parallel(1, TIMEOUT_MS), nothing]);
        let decide = |cost_milli| {
            let key = limiter.hash("key");
            let costs = Costs {
                version: limiter.version(),
                milli: [cost_milli; MAX_LIMITS],
            };
            let decided = limiter.consume(key, 0, cost_milli, NOW_MS);
            assert_eq!(limiter.consume_each(key, 0, &costs, NOW_MS), decided);
            decided.map(|outcome| (outcome.verdict, outcome.place))
        };
        for cost_milli in [1, most_milli] {
            assert_eq!(decide(cost_milli), Ok((Verdict::Denied { limit: 1 }, 0)));
        }
        for cost_milli in [most_milli + 1, u64::MAX] {
            assert_eq!(decide(cost_milli), Err(Error::CostExceedsCapacity { most_milli }));
        }
    }
}

#[test]
fn what_is_out_of_range_is_refused_by_name() {
    let refused = |limit| {
        let settings = Settings {
            tiers: vec![tier("free", vec![limit])],
            max_keys: 1,
            secret: [5; 16],
            durable: false,
        };
        Limiter::new(settings).unwrap_err().to_string()
    };
    for limit in [
        parallel(0, 1),
        parallel(10_001, 1),
        parallel(1, 0),
        parallel(1, 1 << 32),
    ] {
        assert_eq!(refused(limit), "limit parallel of tier free is out of range");
    }
}

#[derive(Debug, Clone)]
enum Step {
    Consume {
        tier: TierId,
        cost_milli: u64,
    },
    Peek {
        tier: TierId,
    },
    /// Of one of the decisions, counted from the last.
    Release(usize),
    Reset,
    Sweep,
}

fn steps() -> impl Strategy<Value = Vec<(u64, Step)>> {
    let advance = prop_oneof![6 => 0..40_u64, 2 => 0..2_000_u64, 1 => 0..100_000_u64];
    let step = prop_oneof![
        8 => (0..2_u64, prop_oneof![Just(0), Just(1_000), 1..3_000_u64])
            .prop_map(|(tier, cost_milli)| Step::Consume { tier, cost_milli }),
        2 => (0..2_u64).prop_map(|tier| Step::Peek { tier }),
        6 => (0..12_usize).prop_map(Step::Release),
        1 => Just(Step::Reset),
        1 => Just(Step::Sweep),
    ];
    vec((advance, step), 1..120)
}

/// A decision that took a place: when each of its places is over.
#[derive(Debug, Clone)]
struct Taken {
    number: u64,
    ends_ms: Vec<u64>,
    is_given_back: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_call_is_decided_as_a_list_of_places_decides(
        sizes in [1..5_u64, 1..5_u64],
        timeouts in [1..3_000_u64, 1..3_000_u64],
        steps in steps(),
    ) {
        // A bucket beside it, which begins full for new keys, so that a key may be forgotten and be as new.
        let limits = |at: usize| vec![minute(20), parallel(sizes[at], timeouts[at])];
        let limiter = limiter_of(vec![tier("a", limits(0)), tier("b", limits(1))], 10);
        let key = limiter.hash("key");
        let mut now_ms = NOW_MS;
        let mut tokens = 20_000_f64;
        let mut taken: Vec<Taken> = Vec::new();
        for (advance, step) in steps {
            now_ms += advance;
            tokens = (tokens + advance as f64 / 3.0).min(20_000.0);
            let present = |taken: &[Taken]| {
                let ends = taken.iter().filter(|one| !one.is_given_back).flat_map(|one| one.ends_ms.clone());
                ends.filter(|&end_ms| end_ms > now_ms).collect::<Vec<_>>()
            };
            match step {
                Step::Consume { tier, cost_milli } => {
                    let ends = present(&taken);
                    let outcome = limiter.consume(key, tier, cost_milli, now_ms).unwrap();
                    let at = usize::try_from(tier).unwrap();
                    let is_full = ends.len() as u64 >= sizes[at];
                    // Thirds of a thousandth are the unit here: what lies that close is left to the buckets' own tests.
                    prop_assume!((tokens - cost_milli as f64).abs() > 1.0 || cost_milli == 0);
                    let lacks = tokens < cost_milli as f64;
                    prop_assert_eq!(outcome.verdict == Verdict::Allowed, cost_milli == 0 || !(is_full || lacks));
                    prop_assert_eq!(outcome.place > 0, outcome.verdict == Verdict::Allowed && cost_milli > 0);
                    if outcome.place > 0 {
                        tokens -= cost_milli as f64;
                        let ends_ms = vec![now_ms + timeouts[at]];
                        taken.push(Taken { number: outcome.place, ends_ms, is_given_back: false });
                    }
                    let ends = present(&taken);
                    let report = &outcome.report(&limiter.tier(tier).unwrap())[1];
                    prop_assert_eq!(report.remaining_milli, 1_000 * sizes[at].saturating_sub(ends.len() as u64));
                    prop_assert_eq!(report.reset_ms, ends.iter().min().map_or(0, |end_ms| end_ms - now_ms));
                }
                Step::Peek { tier } => {
                    let at = usize::try_from(tier).unwrap();
                    let outcome = limiter.peek(key, tier, 1, now_ms).unwrap();
                    let ends = present(&taken);
                    let report = &outcome.report(&limiter.tier(tier).unwrap())[1];
                    prop_assert_eq!(report.remaining_milli, 1_000 * sizes[at].saturating_sub(ends.len() as u64));
                }
                Step::Release(back) => {
                    let count = taken.len();
                    let Some(one) = count.checked_sub(1 + back).and_then(|index| taken.get_mut(index)) else { continue };
                    let place = TakenPlace { number: one.number, ends_ms: &one.ends_ms, overflow: None };
                    let freed = limiter.release(key, &place, now_ms);
                    prop_assert_eq!(freed, !one.is_given_back && one.ends_ms[0] > now_ms);
                    one.is_given_back = true;
                }
                Step::Reset => {
                    limiter.reset(key);
                    tokens = 20_000.0;
                    for one in &mut *taken {
                        one.is_given_back = true;
                    }
                }
                Step::Sweep => (0..300).for_each(|_| limiter.sweep(now_ms)),
            }
        }
    }
}
