//! The table of leases beside a model of it in a map, on random operations.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod lease;
mod model;
mod rules;

use model::Model;
use proptest::collection::vec;
use proptest::prelude::*;
use tollkeeper_limiter::{
    Epoch, LeaseOutcome, LeaseSettings, LeaseVerdict, Leases, LimitSpec, MAX_AMOUNT, MAX_BLOCK, MAX_LIMITS, Period,
    Rule, StoreReply, TierSpec, Times,
};

const START_MS: u64 = 1_799_999_990_000;
const LEASE_MS: u64 = 2_000;
const TIMEOUT_MS: u64 = 300;
const KEYS: [&str; 4] = ["a", "acct:1234567890123456789012345", "\u{e9}\u{142}", ""];

fn bucket(limit_milli: u64, burst_milli: u64) -> Rule {
    Rule::Bucket {
        limit_milli,
        window_ms: 7_000,
        burst_milli,
        block_ms: 0,
    }
}

/// The same bucket, with a block.
fn blocking(mut rule: Rule, milli: u64) -> Rule {
    if let Rule::Bucket { block_ms, .. } = &mut rule {
        *block_ms = milli;
    }
    rule
}

fn quota(limit_milli: u64, period: Period) -> Rule {
    Rule::Quota { limit_milli, period }
}

/// Tiers of two names of limits, or of three or eight; `size` is what a reload changes.
fn tiers(names: usize, size: u64) -> Vec<TierSpec> {
    let month = Period::Month { anchor_day: 1 };
    let day = if names > 2 { Period::Day } else { Period::Hour };
    let limits = |limits: &[(&str, Rule)]| {
        let limit = |&(name, rule): &(&str, Rule)| LimitSpec {
            name: name.into(),
            rule,
        };
        limits.iter().map(limit).collect::<Vec<_>>()
    };
    let mut tiers = vec![
        limits(&[
            ("burst", bucket(20_000 * size, 1_000)),
            ("day", quota(90_000 * size, day)),
        ]),
        limits(&[
            ("day", quota(70_000, day)),
            ("burst", blocking(bucket(33_001, 1_500), 5_000)),
        ]),
        limits(&[("burst", bucket(9_000_000_000 * size, 1_000))]),
        limits(&[]),
        limits(&[("day", quota(90_000, day)), ("burst", bucket(0, 1_000))]),
    ];
    // By slot they are in the order of their names, by which the model orders them.
    let more = limits(&[
        ("month", quota(8_000_000_000, month)),
        ("day2", bucket(60_000 * size, 1_200)),
        ("day5", bucket(80_000, 1_000)),
        ("day3", quota(150_000 * size, Period::Month { anchor_day: 15 })),
        ("day6", bucket(8_000_000_000 * size, 1_100)),
        ("day4", quota(100_000, Period::Day)),
    ]);
    tiers[2].splice(0..0, more[..names - 2].first().cloned());
    if names > 4 {
        tiers[0].extend([&more[1], &more[3], &more[5], &more[2], &more[4]].map(Clone::clone));
        tiers[1].splice(1..1, more[2..4].iter().cloned());
        tiers[2].push(more[4].clone());
    }
    let tier = |(limits, name): (Vec<LimitSpec>, char)| TierSpec {
        name: name.into(),
        limits,
    };
    tiers.into_iter().zip('a'..).map(tier).collect()
}

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a test makes few")]
enum Step {
    Wait(u64),
    Consume { key: usize, tier: u64, cost_milli: u64 },
    Peek { key: usize, tier: u64, cost_milli: u64 },
    Ask { key: usize, tier: u64, notes: bool },
    Apply { key: usize, reply: StoreReply, behind: u64 },
    Forget(usize),
    GiveBack(usize, bool),
    Sweep,
    Drain,
    Reload(u64),
}

fn costs() -> impl Strategy<Value = u64> {
    prop_oneof![2 => Just(0), 20 => 1..6_000_u64, 1 => 0..200_000_u64, 1 => 4_294_967_000..4_294_968_000_u64]
}

fn replies() -> impl Strategy<Value = StoreReply> {
    let granted = prop_oneof![
        1 => Just(None),
        1 => Just(Some((0, 0))),
        6 => (1..40_000_u64, 0..4_u64).prop_map(|(milli, kept)| Some((milli, if kept == 0 { 0 } else { milli }))),
        1 => (4_294_900_000..4_295_000_000_u64).prop_map(|milli| Some((milli, milli))),
    ];
    let wait = prop_oneof![
        Just(None),
        Just(Some(0)),
        (1..9_000_u64).prop_map(Some),
        Just(Some(2_678_400_000))
    ];
    let spent = vec(
        prop_oneof![
            9 => (0..1_u64 << 41).prop_map(Some),
            1 => Just(None),
            9 => (0..90_000_u64).prop_map(Some),
            1 => (MAX_AMOUNT..=MAX_AMOUNT + MAX_BLOCK).prop_map(Some),
        ],
        MAX_LIMITS,
    );
    let about = (0..6_u64, 0..2_usize, prop_oneof![8 => Just(0), 2 => 1..3_000_u64]);
    let flags = (any::<bool>(), any::<bool>());
    (granted, wait, flags, spent, about, 0..3_u64, -10..3_000_i64).prop_map(
        |(granted, wait_ms, (is_provisional, races), spent, (tier, version, behind_ms), epoch, lasts_ms)| StoreReply {
            tier,
            version,
            now_ms: 0,
            behind_ms,
            epoch: epoch.checked_sub(1).and_then(|count| Epoch::new(3, count)),
            spent: spent.try_into().unwrap(),
            granted_milli: granted.map(|(granted, _)| granted),
            held_milli: granted.map_or(0, |(_, held)| held),
            lasts_ms,
            wait_ms,
            is_provisional,
            mono_ms: 0,
            races,
        },
    )
}

fn steps() -> impl Strategy<Value = Step> {
    let key = || prop_oneof![5 => Just(0_usize), 1 => 0..KEYS.len()];
    let tier = || prop_oneof![9 => Just(0_u64), 2 => 0..6_u64];
    // Two of the longest are more than 32 bits hold.
    let waits = prop_oneof![6 => 0..60_u64, 3 => 0..900_u64, 1 => 0..100_000_u64, 2 => 0..3_000_000_000_u64];
    prop_oneof![
        8 => waits.prop_map(Step::Wait),
        24 => (key(), tier(), costs()).prop_map(|(key, tier, cost_milli)| Step::Consume { key, tier, cost_milli }),
        4 => (key(), tier(), costs()).prop_map(|(key, tier, cost_milli)| Step::Peek { key, tier, cost_milli }),
        4 => (key(), tier(), any::<bool>()).prop_map(|(key, tier, notes)| Step::Ask { key, tier, notes }),
        10 => (key(), replies(), prop_oneof![4 => Just(0), 1 => 0..500_u64])
            .prop_map(|(key, reply, behind)| Step::Apply { key, reply, behind }),
        1 => key().prop_map(Step::Forget),
        2 => (key(), any::<bool>()).prop_map(|(key, again)| Step::GiveBack(key, again)),
        4 => Just(Step::Sweep),
        1 => Just(Step::Drain),
        1 => (1..4_u64).prop_map(Step::Reload),
    ]
}

/// What is to be given back, in some order.
fn returns(leases: &Leases) -> Vec<(String, u64, u64, Vec<Rule>)> {
    let returned = leases.take_returns(usize::MAX).into_iter();
    let mut returns: Vec<_> = returned
        .map(|returned| {
            let rules = leases
                .named_rules(&returned.rules)
                .into_iter()
                .map(|named| named.rule)
                .collect();
            (
                String::from_utf16(&returned.key).unwrap(),
                returned.milli,
                returned.taken_ms,
                rules,
            )
        })
        .collect();
    returns.sort_by_key(|(key, milli, taken_ms, _)| (key.clone(), *milli, *taken_ms));
    returns
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn it_decides_as_a_map_of_leases_does(names in prop_oneof![Just(2_usize), Just(3), Just(8)], mono in prop_oneof![Just(0), 0..1_u64 << 41], steps in vec(steps(), 1..150)) {
        let mut model = Model::new(tiers(names, 1), LEASE_MS, TIMEOUT_MS);
        let leases = Leases::new(LeaseSettings {
            tiers: tiers(names, 1),
            max_keys: 100,
            secret: [3; 16],
            lease_ms: LEASE_MS,
            timeout_ms: TIMEOUT_MS,
        }).unwrap();
        let mut mono_ms = mono;
        let mut elapsed_ms = 0;
        for step in steps {
            let times = Times { store_ms: START_MS + elapsed_ms, mono_ms };
            match step {
                Step::Wait(ms) => {
                    mono_ms += ms;
                    elapsed_ms += ms;
                }
                Step::Consume { key, tier, cost_milli } => {
                    let mut out = LeaseOutcome::default();
                    let result = leases.consume(&units(KEYS[key]), tier, cost_milli, times, &mut out);
                    let expected = model.consume(KEYS[key], tier, cost_milli, times);
                    prop_assert_eq!(result.as_ref().err(), expected.as_ref().err());
                    if let Ok(expected) = expected {
                        prop_assert_eq!(told(out), told(expected));
                    }
                }
                Step::Peek { key, tier, cost_milli } => {
                    let out = leases.peek(&units(KEYS[key]), tier, cost_milli, times);
                    prop_assert_eq!(out.map(told), model.peek(KEYS[key], tier, cost_milli, times).map(told));
                }
                Step::Ask { key, tier, notes } => {
                    let asked = if notes {
                        leases.ask(&units(KEYS[key]), tier, mono_ms)
                    } else {
                        leases.look(&units(KEYS[key]), tier, mono_ms)
                    };
                    prop_assert_eq!(asked, model.ask(KEYS[key], tier, mono_ms, notes));
                }
                Step::Apply { key, reply, behind } => {
                    let now_ms = (times.store_ms + reply.behind_ms).saturating_sub(behind);
                    let reply = StoreReply { now_ms, mono_ms, ..reply };
                    prop_assert_eq!(leases.apply(&units(KEYS[key]), &reply), model.apply(KEYS[key], &reply));
                    prop_assert_eq!(leases.store_ms(mono_ms), Some(now_ms - reply.behind_ms.min(now_ms)));
                }
                Step::Forget(key) => {
                    leases.forget(&units(KEYS[key]));
                    model.leases.remove(KEYS[key]);
                }
                Step::GiveBack(key, again) => {
                    leases.give_back(&units(KEYS[key]), again, mono_ms);
                    model.give_back(KEYS[key], again, mono_ms);
                }
                Step::Sweep => {
                    prop_assert!(!leases.sweep(times));
                    model.sweep(times);
                }
                Step::Drain => {
                    leases.drain();
                    model.drain();
                }
                Step::Reload(size) => {
                    leases.reload(tiers(names, size)).unwrap();
                    model.reload(tiers(names, size));
                }
            }
            prop_assert_eq!(returns(&leases), model.take_returns());
            let stats = leases.stats();
            prop_assert_eq!((stats.counted.keys, stats.counted.evictions), (model.leases.len(), model.evictions));
            prop_assert_eq!(stats.held_milli, model.held());
            let counted = stats.counted.tiers.iter().map(|tier| (tier.allowed, tier.denied.iter().map(|(_, count)| count).sum()));
            prop_assert_eq!(counted.collect::<Vec<(u64, u64)>>(), model.counted.clone());
        }
    }
}

fn units(key: &str) -> Vec<u16> {
    key.encode_utf16().collect()
}

/// Of a call that is to be asked about nothing is told but whether something is to be given back.
fn told(out: LeaseOutcome) -> LeaseOutcome {
    if out.verdict == LeaseVerdict::Ask {
        LeaseOutcome {
            verdict: out.verdict,
            has_returns: out.has_returns,
            version: out.version,
            ..LeaseOutcome::default()
        }
    } else {
        out
    }
}
