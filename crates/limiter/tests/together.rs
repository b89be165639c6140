//! Calls of several subjects, beside the same calls made one after the other and taken back by hand.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod specs;

use proptest::array;
use proptest::collection::vec;
use proptest::prelude::*;
use specs::{blocking, bucket, month, tier};
use tollkeeper_limiter::{
    Correction, Cost, Costs, Delta, Error, KeyHash, Limiter, MAX_LIMITS, Outcome, Settings, Subject, SubjectError,
    TierId, Verdict,
};

const NOW_MS: u64 = 1_790_000_000_000;

fn limiter(max_keys: usize) -> Limiter {
    Limiter::new(Settings {
        tiers: vec![
            tier("small", vec![bucket("minute", 10, 1_500), month(100)]),
            tier("large", vec![bucket("minute", 30, 1_500)]),
            tier("route", vec![blocking("route", 5, 1_500, 45_000)]),
            tier("unlimited", Vec::new()),
        ],
        max_keys,
        secret: [7; 16],
        durable: true,
    })
    .unwrap()
}

/// Whether nothing is spent of any limit of its tier.
fn is_free(subject: &Subject) -> bool {
    match (subject.cost, subject.tier) {
        (_, 3) => true,
        (Cost::Every(milli), _) => milli == 0,
        (Cost::Each(costs), 0) => costs.milli[..2] == [0, 0],
        (Cost::Each(costs), _) => costs.milli[0] == 0,
    }
}

/// Makes the calls one after the other, and takes back what was spent if one is denied.
fn one_by_one(limiter: &Limiter, subjects: &[Subject], now_ms: u64) -> Vec<Outcome> {
    let decide = |subject: &Subject| match subject.cost {
        Cost::Every(milli) => limiter.consume(subject.key, subject.tier, milli, now_ms).unwrap(),
        Cost::Each(costs) => limiter.consume_each(subject.key, subject.tier, &costs, now_ms).unwrap(),
    };
    let outcomes: Vec<_> = subjects.iter().map(decide).collect();
    if outcomes.iter().all(|outcome| outcome.verdict == Verdict::Allowed) {
        return outcomes;
    }
    for (subject, outcome) in subjects.iter().zip(&outcomes) {
        if outcome.verdict == Verdict::Allowed && !is_free(subject) {
            let refund = Correction {
                delta: match subject.cost {
                    Cost::Every(milli) => Delta::Every(-milli.cast_signed()),
                    Cost::Each(costs) => Delta::Each(costs.milli.map(|milli| -milli.cast_signed())),
                },
                version: outcome.version,
                charged_at_ms: outcome.now_ms,
                overflow: outcome.overflow,
                quotas_only: false,
            };
            limiter.correct(subject.key, subject.tier, refund, now_ms).unwrap();
        }
    }
    outcomes
}

#[derive(Debug, Clone)]
struct Asked {
    key: usize,
    tier: TierId,
    cost: Cost,
}

fn asked() -> impl Strategy<Value = Asked> {
    let milli = || prop_oneof![Just(0), Just(1_000), 1_u64..5_000];
    let each = array::uniform::<_, MAX_LIMITS>(milli()).prop_map(|milli| Cost::Each(Costs { version: 0, milli }));
    let cost = prop_oneof![2 => milli().prop_map(Cost::Every), 1 => each];
    (0_usize..4, 0_u64..4, cost).prop_map(|(key, tier, cost)| Asked { key, tier, cost })
}

proptest! {
    #[test]
    fn all_spend_or_none(steps in vec((vec(asked(), 1..=8), 0_u64..20_000), 1..40)) {
        let (together, apart) = (limiter(100), limiter(100));
        let keys: Vec<KeyHash> = (0..4).map(|key| together.hash(&format!("key {key}"))).collect();
        let mut now_ms = NOW_MS;
        for (asked, advance_ms) in steps {
            now_ms += advance_ms;
            let subjects: Vec<_> = asked
                .iter()
                .map(|&Asked { key, tier, cost }| Subject { key: keys[key], tier, cost })
                .collect();
            let outcomes = together.consume_together(&subjects, now_ms).unwrap();
            let expected = one_by_one(&apart, &subjects, now_ms);
            let is_allowed = expected.iter().all(|outcome| outcome.verdict == Verdict::Allowed);
            for ((outcome, expected), subject) in outcomes.iter().zip(&expected).zip(&subjects) {
                prop_assert_eq!(outcome.verdict, expected.verdict);
                // What costs nothing is told as it stands before.
                prop_assert!(!is_allowed || is_free(subject) || outcome == expected);
            }
            for key in &keys {
                for tier in 0..4 {
                    let peeked = together.peek(*key, tier, 0, now_ms).unwrap();
                    prop_assert_eq!(peeked, apart.peek(*key, tier, 0, now_ms).unwrap());
                }
            }
        }
        let changed = |limiter: &Limiter| -> Vec<_> {
            let changes = limiter.changes(&limiter.drain_changed()).into_iter();
            changes.map(|change| (change.key, change.state.map(|state| (state.at_ms, state.used, state.credits)))).collect()
        };
        prop_assert_eq!(changed(&together), changed(&apart));
    }
}

#[test]
fn sixty_four_callers_on_shared_subjects_spend_of_all_or_of_none_to_the_token() {
    let limiter = limiter(100);
    let keys = |caller: usize| {
        [
            format!("team {}", caller % 4),
            format!("route {}", caller % 7),
            "all".into(),
        ]
    };
    let call = |caller: usize| {
        let limiter = limiter.clone();
        let [team, route, all] = keys(caller).map(|key| limiter.hash(&key));
        let subject = |key, tier, milli| Subject {
            key,
            tier,
            cost: Cost::Every(milli),
        };
        let mut subjects = [subject(team, 0, 2_000), subject(route, 2, 250), subject(all, 1, 1_000)];
        subjects.rotate_left(caller % 3);
        let passes = |_: &usize| {
            let outcomes = limiter.consume_together(&subjects, NOW_MS).unwrap();
            outcomes.iter().all(|outcome| outcome.verdict == Verdict::Allowed)
        };
        (0..20).filter(passes).count()
    };
    let passed: Vec<usize> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..64).map(|caller| scope.spawn(move || call(caller))).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    // Each team has tokens for five calls, so all four for twenty of the thirty that there are.
    assert_eq!(passed.iter().sum::<usize>(), 20);
    let spent = |key: &str, tier, limit_milli| {
        let reports = limiter.peek(limiter.hash(key), tier, 0, NOW_MS).unwrap();
        limit_milli - reports.report(&limiter.tier(tier).unwrap())[0].remaining_milli
    };
    let passed_of = |key: &str| {
        let of_key = passed
            .iter()
            .enumerate()
            .filter(|(caller, _)| keys(*caller).iter().any(|own| own == key));
        of_key.map(|(_, passed)| *passed as u64).sum::<u64>()
    };
    for team in 0..4 {
        assert_eq!(
            (
                passed_of(&format!("team {team}")),
                spent(&format!("team {team}"), 0, 10_000)
            ),
            (5, 10_000)
        );
    }
    for route in 0..7 {
        let key = format!("route {route}");
        assert_eq!(spent(&key, 2, 5_000), 250 * passed_of(&key));
    }
    assert_eq!(spent("all", 1, 30_000), 20_000);
}

#[test]
fn what_would_have_been_allowed_says_where_it_stands_and_is_not_counted() {
    let limiter = limiter(10);
    let [spent, fresh] = ["spent", "fresh"].map(|key| limiter.hash(key));
    limiter.consume(spent, 0, 10_000, NOW_MS).unwrap();
    let subject = |key| Subject {
        key,
        tier: 0,
        cost: Cost::Every(2_000),
    };
    let outcomes = limiter
        .consume_together(&[subject(fresh), subject(spent)], NOW_MS)
        .unwrap();
    assert_eq!(outcomes[0].verdict, Verdict::Allowed);
    assert_eq!(outcomes[1].verdict, Verdict::Denied { limit: 0 });
    assert_eq!(outcomes[0], limiter.peek(fresh, 0, 0, NOW_MS).unwrap());
    let stats = limiter.stats();
    assert_eq!((stats.tiers[0].allowed, stats.keys), (1, 2));
    assert_eq!(stats.tiers[0].denied, [("minute".to_owned(), 1)]);
}

#[test]
fn a_subject_that_is_wrong_is_told_and_nothing_is_spent() {
    let limiter = limiter(10);
    let key = limiter.hash("a");
    let good = Subject {
        key,
        tier: 0,
        cost: Cost::Every(1_000),
    };
    let costly = Subject {
        cost: Cost::Every(15_001),
        ..good
    };
    let unknown = Subject { tier: 9, ..good };
    let each = |version, milli| Subject {
        cost: Cost::Each(Costs { version, milli }),
        ..good
    };
    let most = Error::CostExceedsCapacity { most_milli: 15_000 };
    assert_eq!(
        limiter.consume_together(&[good, costly], NOW_MS),
        Err(SubjectError { index: 1, error: most })
    );
    let error = Error::TierUnknown;
    let refused = limiter.consume_together(&[good, good, unknown], NOW_MS).unwrap_err();
    assert_eq!(refused, SubjectError { index: 2, error });
    assert_eq!(refused.to_string(), "subject 2: no such tier");
    for (wrong, error) in [
        (
            each(0, [15_001, 0, 0, 0, 0, 0, 0, 0]),
            Error::CostExceedsCapacity { most_milli: 15_000 },
        ),
        (each(1, [0; MAX_LIMITS]), Error::TierUnknown),
    ] {
        let refused = limiter.consume_together(&[good, wrong], NOW_MS);
        assert_eq!(refused, Err(SubjectError { index: 1, error }));
    }
    assert_eq!(limiter.stats().keys, 0);
    assert_eq!(limiter.consume_together(&[], NOW_MS), Ok(Vec::new()));
}

#[test]
fn keys_that_find_no_room_share_the_overflow_bucket_and_give_back_to_it() {
    let limiter = limiter(1);
    let subject = |key: &str, cost_milli| Subject {
        key: limiter.hash(key),
        tier: 0,
        cost: Cost::Every(cost_milli),
    };
    let call = |cost_milli| {
        let subjects = ["a", "b", "c"].map(|key| subject(key, cost_milli));
        limiter.consume_together(&subjects, NOW_MS).unwrap()
    };
    let overflows = |outcomes: &[Outcome]| outcomes.iter().map(|outcome| outcome.overflow).collect::<Vec<_>>();
    assert_eq!(overflows(&call(4_000)), [false, true, true]);
    // Two are left of what b and c share, and six of a.
    let denied = call(2_000);
    let verdicts: Vec<_> = denied.iter().map(|outcome| outcome.verdict).collect();
    assert_eq!(
        verdicts,
        [Verdict::Allowed, Verdict::Allowed, Verdict::Denied { limit: 0 }]
    );
    assert!(call(1_000).iter().all(|outcome| outcome.verdict == Verdict::Allowed));
    assert_eq!(limiter.stats().keys, 1);
}

#[test]
fn room_is_made_by_keys_that_are_idle() {
    let limiter = limiter(3);
    for key in ["a", "b", "c"] {
        limiter.consume(limiter.hash(key), 1, 1_000, NOW_MS).unwrap();
    }
    let subjects = ["d", "e", "f"].map(|key| Subject {
        key: limiter.hash(key),
        tier: 1,
        cost: Cost::Every(1_000),
    });
    let full = limiter.consume_together(&subjects, NOW_MS + 1).unwrap();
    assert!(full.iter().all(|outcome| outcome.overflow));
    let roomy = limiter.consume_together(&subjects, NOW_MS + 600_000).unwrap();
    assert!(roomy.iter().all(|outcome| !outcome.overflow));
    assert_eq!((limiter.stats().keys, limiter.stats().evictions), (3, 3));
}
