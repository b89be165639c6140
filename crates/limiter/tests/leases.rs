//! What the table of leases does with clocks, grants and rules, one case each.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::cell::Cell;

use tollkeeper_limiter::{
    Applied, Asked, CLOCK_LAG_MS, Epoch, LeaseOutcome, LeaseSettings, LeaseVerdict, Leases, LimitSpec, MAX_LIMITS,
    Period, Rule, StoreReply, TierSpec, Times,
};

const START_MS: u64 = 1_800_000_000_000;
const LEASE_MS: u64 = 2_000;
const DAY_MS: u64 = 86_400_000;

fn bucket(limit: u64) -> Rule {
    Rule::Bucket {
        limit_milli: limit * 1_000,
        window_ms: 60_000,
        burst_milli: 1_000,
        block_ms: 0,
    }
}

fn day(limit: u64) -> Rule {
    Rule::Quota {
        limit_milli: limit * 1_000,
        period: Period::Day,
    }
}

fn tier(name: &str, limits: &[(&str, Rule)]) -> TierSpec {
    let limit = |&(name, rule): &(&str, Rule)| LimitSpec {
        name: name.into(),
        rule,
    };
    TierSpec {
        name: name.into(),
        limits: limits.iter().map(limit).collect(),
    }
}

fn leases(max_keys: usize) -> Leases {
    Leases::new(LeaseSettings {
        tiers: vec![
            tier("free", &[("minute", bucket(600)), ("day", day(10_000))]),
            tier("pro", &[("minute", bucket(6_000)), ("day", day(100_000))]),
        ],
        max_keys,
        secret: [7; 16],
        lease_ms: LEASE_MS,
        timeout_ms: 500,
    })
    .unwrap()
}

fn at(mono_ms: u64) -> Times {
    Times {
        store_ms: START_MS + mono_ms,
        mono_ms,
    }
}

fn units(key: &str) -> Vec<u16> {
    key.encode_utf16().collect()
}

/// What a take is answered that was granted so many tokens, to be held for the time of a lease.
fn granted(leases: &Leases, tier: &str, tokens: u64, mono_ms: u64) -> StoreReply {
    StoreReply {
        tier: leases.tier_id(tier).unwrap(),
        version: leases.version(),
        now_ms: START_MS + mono_ms,
        behind_ms: 0,
        epoch: Epoch::new(1, 1),
        spent: [Some(0); MAX_LIMITS],
        granted_milli: Some(tokens * 1_000),
        held_milli: tokens * 1_000,
        lasts_ms: i64::try_from(LEASE_MS).unwrap(),
        wait_ms: Some(0),
        is_provisional: false,
        mono_ms,
        races: false,
    }
}

fn kept(leases: &Leases, key: &str, reply: &StoreReply) {
    assert_eq!(leases.apply(&units(key), reply), Applied::Kept);
}

/// Amounts of the first limits; those of the others are not known.
fn amounts(known: &[u64]) -> [Option<u64>; MAX_LIMITS] {
    std::array::from_fn(|limit| known.get(limit).copied())
}

fn consume(leases: &Leases, key: &str, tier: &str, tokens: u64, mono_ms: u64) -> LeaseOutcome {
    let mut out = LeaseOutcome::default();
    let tier = leases.tier_id(tier).unwrap();
    leases
        .consume(&units(key), tier, tokens * 1_000, at(mono_ms), &mut out)
        .unwrap();
    out
}

fn verdict(leases: &Leases, key: &str, tokens: u64, mono_ms: u64) -> LeaseVerdict {
    consume(leases, key, "free", tokens, mono_ms).verdict
}

/// What is to be given back, in tokens, and when it was taken.
fn returns(leases: &Leases) -> Vec<(String, u64, u64)> {
    let returned = leases.take_returns(usize::MAX).into_iter();
    returned
        .map(|returned| {
            let key = String::from_utf16(&returned.key).unwrap();
            (key, returned.milli / 1_000, returned.taken_ms - START_MS)
        })
        .collect()
}

#[test]
fn what_is_held_is_handed_out_and_what_is_not_is_asked() {
    let leases = leases(10);
    assert_eq!(
        verdict(&leases, "k", 1, 0),
        LeaseVerdict::Ask,
        "a key that is not known"
    );
    let reply = StoreReply {
        spent: amounts(&[0, 7_000]),
        ..granted(&leases, "free", 5, 0)
    };
    assert_eq!(leases.apply(&units("k"), &reply), Applied::Kept);
    let out = consume(&leases, "k", "free", 2, 0);
    assert_eq!(
        (out.verdict, out.now_ms, out.spent[1]),
        (LeaseVerdict::Allowed, START_MS, 4_000)
    );
    assert_eq!(verdict(&leases, "k", 4, 1), LeaseVerdict::Ask, "more than is held");
    assert_eq!(verdict(&leases, "k", 3, 1), LeaseVerdict::Allowed);
    assert_eq!(verdict(&leases, "k", 1, 1), LeaseVerdict::Ask);
    assert_eq!(leases.stats().counted.tiers[0].allowed, 2);
}

#[test]
fn the_cheap_clock_ends_a_grant_early_and_the_better_one_ends_it_in_time() {
    let leases = leases(10);
    kept(&leases, "k", &granted(&leases, "free", 5, 0));
    let reads = Cell::new(0);
    let consume_by = |cheap_ms, better_ms| {
        let mut out = LeaseOutcome::default();
        let better = || {
            reads.set(reads.get() + 1);
            at(better_ms)
        };
        let free = leases.tier_id("free").unwrap();
        leases
            .consume_by(&units("k"), free, 1_000, at(cheap_ms), better, &mut out)
            .unwrap();
        (out.verdict, reads.get())
    };
    let lag = u64::from(CLOCK_LAG_MS);
    assert_eq!(consume_by(LEASE_MS - lag - 1, 0), (LeaseVerdict::Allowed, 0));
    assert_eq!(consume_by(LEASE_MS - lag, LEASE_MS - 1), (LeaseVerdict::Allowed, 1));
    assert_eq!(consume_by(LEASE_MS - lag, LEASE_MS), (LeaseVerdict::Ask, 2));
}

#[test]
fn a_denial_is_believed_by_the_better_clock_and_no_longer_than_it_lasts() {
    let leases = leases(10);
    let denied = StoreReply {
        spent: amounts(&[0, 10_000_000]),
        wait_ms: Some(300),
        is_provisional: true,
        ..granted(&leases, "free", 0, 0)
    };
    kept(&leases, "k", &denied);
    let out = consume(&leases, "k", "free", 1, 100);
    assert_eq!((out.verdict, out.back_ms), (LeaseVerdict::Denied { limit: 1 }, 200));
    assert_eq!(verdict(&leases, "k", 1, 300), LeaseVerdict::Ask);
    let mut out = LeaseOutcome::default();
    let free = leases.tier_id("free").unwrap();
    leases
        .consume_by(&units("k"), free, 1_000, at(299), || at(300), &mut out)
        .unwrap();
    assert_eq!(out.verdict, LeaseVerdict::Ask);
    kept(
        &leases,
        "k",
        &StoreReply {
            wait_ms: Some(DAY_MS),
            is_provisional: false,
            ..denied
        },
    );
    let out = consume(&leases, "k", "free", 1, 4_999);
    assert_eq!((out.verdict, out.back_ms), (LeaseVerdict::Denied { limit: 1 }, 0));
    assert_eq!(verdict(&leases, "k", 1, 5_000), LeaseVerdict::Ask, "it looks again");
    assert_eq!(leases.stats().counted.tiers[0].denied, [("day".into(), 2)]);
}

#[test]
fn a_key_that_runs_low_is_told_once_until_whoever_asked_has_had_his_time() {
    let leases = leases(10);
    kept(&leases, "k", &granted(&leases, "free", 100, 0));
    let is_low = |mono_ms| consume(&leases, "k", "free", 10, mono_ms).is_low;
    assert!(!is_low(2), "first it is watched");
    let pause = LEASE_MS / 16;
    assert!(!is_low(pause - 1), "what a take brought was worked out just before");
    assert!(is_low(pause));
    let patience = LEASE_MS / 16 + 500;
    assert_eq!(
        [pause + 1, pause + patience - 1, pause + patience].map(is_low),
        [false, false, true]
    );
    let free = leases.tier_id("free").unwrap();
    leases.ask(&units("k"), free, 800).unwrap();
    assert!(!is_low(1_299), "it is being asked");
    assert!(is_low(1_300), "whoever asked is gone");
    kept(&leases, "k", &granted(&leases, "free", 0, 1_300));
    assert!(!is_low(1_301), "there was nothing to be had");
}

#[test]
fn what_is_granted_beyond_32_bits_is_given_back_and_a_larger_cost_is_asked() {
    let leases = leases(10);
    let max = u64::from(u32::MAX);
    let reply = StoreReply {
        granted_milli: Some(max + 7),
        held_milli: max + 7,
        ..granted(&leases, "free", 0, 3)
    };
    kept(&leases, "k", &reply);
    let returned = leases.take_returns(9);
    assert_eq!(
        (returned.len(), returned[0].milli, returned[0].taken_ms),
        (1, 7, START_MS + 3)
    );
    kept(
        &leases,
        "k",
        &StoreReply {
            held_milli: max,
            ..reply
        },
    );
    assert_eq!(leases.stats().held_milli, 2 * max);
    leases.reload(vec![tier("free", &[("day", day(1 << 40))])]).unwrap();
    let mut out = LeaseOutcome::default();
    let free = leases.tier_id("free").unwrap();
    kept(&leases, "vast", &StoreReply { version: 1, ..reply });
    kept(&leases, "vast", &StoreReply { version: 1, ..reply });
    leases.consume(&units("vast"), free, max + 1, at(3), &mut out).unwrap();
    assert_eq!(out.verdict, LeaseVerdict::Ask);
    leases.consume(&units("vast"), free, max, at(3), &mut out).unwrap();
    assert_eq!(out.verdict, LeaseVerdict::Allowed);
}

#[test]
fn a_key_that_goes_to_other_rules_leaves_its_grants_and_comes_to_rest_under_these() {
    let leases = leases(10);
    let reply = StoreReply {
        spent: amounts(&[0, 7_000_000]),
        ..granted(&leases, "free", 5, 0)
    };
    kept(&leases, "k", &reply);
    let out = consume(&leases, "k", "pro", 1, 10);
    assert_eq!((out.verdict, out.has_returns), (LeaseVerdict::Ask, true));
    let returned = leases.take_returns(9);
    assert_eq!((returned[0].milli, returned[0].taken_ms), (5_000, START_MS));
    let minute = leases.named_rules(&returned[0].rules)[0].rule;
    assert_eq!(minute, bucket(600), "told by the rules that counted them");
    let asked = leases.ask(&units("k"), leases.tier_id("pro").unwrap(), 10).unwrap();
    assert_eq!(
        asked.snapshot.unwrap().spent[1],
        Some(7_000_000),
        "a quota keeps its count"
    );
    assert_eq!(leases.apply(&units("k"), &reply), Applied::Stale, "of the rules before");
    assert_eq!(
        leases.apply(&units("k"), &granted(&leases, "pro", 5, 10)),
        Applied::Kept
    );
    let out = consume(&leases, "k", "pro", 1, 10);
    assert_eq!((out.verdict, out.has_returns), (LeaseVerdict::Allowed, false));
    let asked = leases.ask(&units("k"), leases.tier_id("free").unwrap(), 10).unwrap();
    let nothing = Asked {
        version: 0,
        held_milli: 0,
        ahead_milli: 0,
        snapshot: None,
    };
    assert_eq!(asked, nothing);
}

#[test]
fn a_key_whose_limits_are_those_of_several_tiers_does_not_ask_for_ever() {
    let leases = Leases::new(LeaseSettings {
        tiers: vec![tier("a", &[("minute", bucket(60))]), tier("b", &[("day", day(60))])],
        max_keys: 10,
        secret: [7; 16],
        lease_ms: LEASE_MS,
        timeout_ms: 500,
    })
    .unwrap();
    for (name, mono_ms) in [("a", 0), ("b", 1), ("a", 2), ("b", 3)] {
        assert_eq!(consume(&leases, "k", name, 1, mono_ms).verdict, LeaseVerdict::Ask);
        kept(&leases, "k", &granted(&leases, name, 2, mono_ms));
        assert_eq!(consume(&leases, "k", name, 1, mono_ms).verdict, LeaseVerdict::Allowed);
    }
    consume(&leases, "k", "a", 1, 4);
    let asked = leases.ask(&units("k"), leases.tier_id("a").unwrap(), 4).unwrap();
    assert_eq!(
        asked.snapshot.unwrap().spent[0],
        None,
        "of a limit that the rules before lacked nothing is known"
    );
}

#[test]
fn what_has_expired_or_lies_idle_is_given_back_once() {
    let leases = leases(10);
    kept(&leases, "idle", &granted(&leases, "free", 3, 0));
    let short = StoreReply {
        lasts_ms: 100,
        ..granted(&leases, "free", 2, 5)
    };
    kept(&leases, "short", &short);
    kept(&leases, "late", &StoreReply { lasts_ms: 0, ..short });
    assert_eq!(returns(&leases), [("late".into(), 2, 5)]);
    assert!(!leases.sweep(at(104)));
    assert_eq!(returns(&leases), []);
    leases.sweep(at(105));
    assert_eq!(returns(&leases), [("short".into(), 2, 5)]);
    assert_eq!(verdict(&leases, "idle", 1, 900), LeaseVerdict::Allowed);
    leases.sweep(at(900 + LEASE_MS / 2 - 1));
    assert_eq!(returns(&leases), []);
    leases.sweep(at(900 + LEASE_MS / 2));
    assert_eq!(returns(&leases), [("idle".into(), 2, 0)]);
    leases.sweep(at(10_000));
    assert_eq!((returns(&leases), leases.stats().held_milli), (vec![], 0));
}

#[test]
fn what_somebody_else_changed_is_given_back_and_what_was_reset_is_gone() {
    let leases = leases(10);
    let denied = StoreReply {
        wait_ms: Some(500),
        spent: amounts(&[0, 10_000_000]),
        ..granted(&leases, "free", 2, 0)
    };
    for key in ["again", "later", "reset"] {
        kept(&leases, key, &denied);
    }
    leases.give_back(&units("again"), true, 10);
    leases.give_back(&units("later"), false, 10);
    leases.forget(&units("reset"));
    leases.give_back(&units("nobody"), true, 10);
    assert_eq!(returns(&leases), [("again".into(), 2, 0), ("later".into(), 2, 0)]);
    assert_eq!(verdict(&leases, "again", 1, 11), LeaseVerdict::Ask);
    assert_eq!(verdict(&leases, "later", 1, 11), LeaseVerdict::Denied { limit: 1 });
    assert_eq!(leases.stats().counted.keys, 2);
    kept(&leases, "reset", &granted(&leases, "free", 2, 20));
    leases.drain();
    assert_eq!(
        (returns(&leases), leases.stats().held_milli),
        (vec![("reset".into(), 2, 20)], 0)
    );
}

#[test]
fn what_is_said_by_other_rules_or_a_tier_that_is_gone_ends_a_denial() {
    let leases = leases(10);
    let denied = StoreReply {
        wait_ms: Some(DAY_MS),
        spent: amounts(&[0, 10_000_000]),
        ..granted(&leases, "free", 0, 0)
    };
    let correction = StoreReply {
        granted_milli: None,
        wait_ms: None,
        ..granted(&leases, "pro", 0, 10)
    };
    let gone = StoreReply {
        version: 9,
        ..correction
    };
    let take = granted(&leases, "pro", 1, 10);
    let (stands, asks) = (LeaseVerdict::Denied { limit: 1 }, LeaseVerdict::Ask);
    let peeked = |correction| StoreReply {
        epoch: None,
        ..correction
    };
    for (reply, became, verdict_then) in [
        (correction, Applied::Stale, asks),
        (gone, Applied::Unknown, asks),
        (take, Applied::Stale, asks),
        (peeked(correction), Applied::Stale, stands),
        (peeked(gone), Applied::Unknown, stands),
    ] {
        kept(&leases, "k", &denied);
        assert_eq!(verdict(&leases, "k", 1, 10), stands);
        assert_eq!(leases.apply(&units("k"), &reply), became);
        assert_eq!(verdict(&leases, "k", 1, 10), verdict_then);
    }
}

#[test]
fn an_earlier_answer_of_the_same_epoch_teaches_nothing_and_its_grant_is_held() {
    let leases = leases(10);
    let free = leases.tier_id("free").unwrap();
    let spent = || leases.look(&units("k"), free, 0).unwrap().snapshot.unwrap().spent[1];
    let reply = |milli, at_ms| StoreReply {
        spent: amounts(&[0, milli]),
        ..granted(&leases, "free", 1, at_ms)
    };
    kept(&leases, "k", &reply(5_000, 50));
    kept(&leases, "k", &reply(4_000, 49));
    assert_eq!(spent(), Some(5_000));
    kept(
        &leases,
        "k",
        &StoreReply {
            epoch: None,
            ..reply(6_000, 60)
        },
    );
    assert_eq!(spent(), Some(5_000));
    kept(
        &leases,
        "k",
        &StoreReply {
            epoch: Epoch::new(1, 2),
            ..reply(3_000, 40)
        },
    );
    assert_eq!(spent(), Some(3_000), "another epoch");
    assert_eq!(leases.look(&units("k"), free, 0).unwrap().held_milli, 4_000);
    kept(
        &leases,
        "k",
        &StoreReply {
            spent: [Some(u64::MAX >> 1); MAX_LIMITS],
            ..reply(0, 70)
        },
    );
    assert_eq!(spent(), Some((1 << 53) - 1), "more than can be");
}

#[test]
fn of_two_answers_of_one_instant_the_larger_amount_of_each_limit_counts_if_they_race() {
    let below = |milli: u64| 0_u64.wrapping_sub(milli);
    for (races, known, told, then) in [
        (
            true,
            [Some(7), Some(5_000)],
            [Some(9), Some(4_000)],
            [Some(9), Some(5_000)],
        ),
        (true, [None, Some(5_000)], [Some(9), None], [Some(9), Some(5_000)]),
        (
            true,
            [Some(0), Some(below(3_000))],
            [Some(0), Some(below(4_000))],
            [Some(0), Some(below(3_000))],
        ),
        (
            true,
            [Some(0), Some(below(3_000))],
            [Some(1), Some(0)],
            [Some(1), Some(0)],
        ),
        (
            false,
            [Some(7), Some(5_000)],
            [Some(9), Some(4_000)],
            [Some(9), Some(4_000)],
        ),
        (false, [Some(7), Some(5_000)], [None, Some(4_000)], [None, Some(4_000)]),
    ] {
        let leases = leases(10);
        let free = leases.tier_id("free").unwrap();
        let apply = |spent: [Option<u64>; 2], at_ms, epoch| {
            let reply = StoreReply {
                spent: std::array::from_fn(|limit| spent.get(limit).copied().flatten()),
                epoch: Epoch::new(1, epoch),
                races,
                ..granted(&leases, "free", 1, at_ms)
            };
            kept(&leases, "k", &reply);
            let spent = leases.look(&units("k"), free, 0).unwrap().snapshot.unwrap().spent;
            [spent[0], spent[1]]
        };
        apply(known, 50, 1);
        assert_eq!(apply(told, 50, 1), then, "{races} {known:?} {told:?}");
        assert_eq!(apply(told, 51, 1), told, "of a later instant");
        apply(known, 52, 1);
        assert_eq!(apply(told, 52, 2), told, "of another epoch");
    }
}

#[test]
fn a_peek_says_what_a_call_would_be_told_and_changes_nothing() {
    let leases = leases(10);
    let free = leases.tier_id("free").unwrap();
    let peek = |tokens: u64, mono_ms| {
        leases
            .peek(&units("k"), free, tokens * 1_000, at(mono_ms))
            .unwrap()
            .verdict
    };
    assert_eq!(peek(1, 0), LeaseVerdict::Ask);
    kept(
        &leases,
        "k",
        &StoreReply {
            spent: amounts(&[0, 9_500_000]),
            lasts_ms: 9_000,
            ..granted(&leases, "free", 2, 0)
        },
    );
    assert_eq!(
        [0, 502, 503].map(|tokens| peek(tokens, 0)),
        [
            LeaseVerdict::Allowed,
            LeaseVerdict::Allowed,
            LeaseVerdict::Denied { limit: 1 }
        ]
    );
}

#[test]
fn what_holds_nothing_makes_room_and_where_all_hold_something_the_answer_is_the_callers() {
    let leases = leases(2);
    assert_eq!(
        leases.apply(&units("a"), &granted(&leases, "free", 1, 0)),
        Applied::Kept
    );
    assert_eq!(
        leases.apply(&units("b"), &granted(&leases, "free", 1, 0)),
        Applied::Kept
    );
    assert_eq!(
        leases.apply(&units("c"), &granted(&leases, "free", 1, 0)),
        Applied::Full
    );
    leases.give_back(&units("a"), true, 0);
    leases.ask(&units("a"), leases.tier_id("free").unwrap(), 0).unwrap();
    assert_eq!(
        leases.apply(&units("c"), &granted(&leases, "free", 1, 0)),
        Applied::Full,
        "it is being asked about"
    );
    kept(&leases, "a", &granted(&leases, "free", 0, 1));
    leases.give_back(&units("a"), true, 1);
    assert_eq!(
        leases.apply(&units("c"), &granted(&leases, "free", 1, 1)),
        Applied::Kept
    );
    let stats = leases.stats();
    assert_eq!((stats.counted.keys, stats.counted.evictions, stats.overflow), (2, 1, 2));
    assert_eq!(verdict(&leases, "a", 1, 1), LeaseVerdict::Ask);
    assert_eq!(verdict(&leases, "b", 1, 1), LeaseVerdict::Allowed);
    let unknown = StoreReply {
        tier: 9,
        ..granted(&leases, "free", 1, 0)
    };
    assert_eq!(leases.apply(&units("d"), &unknown), Applied::Unknown);
    let unlearned = StoreReply {
        epoch: None,
        ..granted(&leases, "free", 1, 0)
    };
    assert_eq!(leases.apply(&units("d"), &unlearned), Applied::Full);
    let peeked = StoreReply {
        granted_milli: None,
        ..granted(&leases, "free", 1, 0)
    };
    assert_eq!(leases.apply(&units("d"), &peeked), Applied::Kept);
    assert_eq!((leases.stats().counted.keys, leases.stats().overflow), (2, 2));
}

#[test]
fn keys_that_are_as_good_as_new_are_forgotten_and_no_others() {
    let leases = leases(100);
    let used = |key: &str, minute, day| {
        let reply = StoreReply {
            spent: amounts(&[minute, day]),
            ..granted(&leases, "free", 0, 0)
        };
        kept(&leases, key, &reply);
    };
    used("new", 0, 0);
    used("day", 0, 1);
    used("denied", 0, 0);
    kept(
        &leases,
        "denied",
        &StoreReply {
            wait_ms: Some(5_000),
            ..granted(&leases, "free", 0, 0)
        },
    );
    kept(&leases, "held", &granted(&leases, "free", 1, 0));
    leases.sweep(at(1));
    assert_eq!(leases.stats().counted.keys, 3);
    leases.sweep(at(6_000));
    assert_eq!((leases.stats().counted.keys, leases.stats().counted.evictions), (1, 3));
    leases.sweep(at(2 * DAY_MS));
    assert_eq!(leases.stats().counted.keys, 0);
}

#[test]
fn a_table_that_is_kept_for_months_tells_its_instants_anew_in_time() {
    let leases = leases(10);
    let mut mono_ms = 0;
    while mono_ms < 200 * DAY_MS {
        let key = units("k");
        assert_eq!(leases.apply(&key, &granted(&leases, "free", 3, mono_ms)), Applied::Kept);
        assert_eq!(verdict(&leases, "k", 1, mono_ms + LEASE_MS - 1), LeaseVerdict::Allowed);
        assert_eq!(
            verdict(&leases, "k", 1, mono_ms + LEASE_MS),
            LeaseVerdict::Ask,
            "after {mono_ms}"
        );
        leases.sweep(at(mono_ms + LEASE_MS));
        assert_eq!(returns(&leases), [("k".into(), 2, mono_ms)]);
        let denied = StoreReply {
            spent: amounts(&[0, 10_000_000]),
            wait_ms: Some(31 * DAY_MS),
            is_provisional: true,
            ..granted(&leases, "free", 0, mono_ms)
        };
        kept(&leases, "k", &denied);
        let out = consume(&leases, "k", "free", 1, mono_ms);
        assert_eq!(out.verdict, LeaseVerdict::Denied { limit: 1 });
        mono_ms += DAY_MS * 5 / 2;
        assert_eq!(verdict(&leases, "k", 1, mono_ms), LeaseVerdict::Ask, "long ago denied");
    }
    kept(&leases, "left", &granted(&leases, "free", 3, mono_ms));
    assert_eq!(verdict(&leases, "left", 1, mono_ms + 100 * DAY_MS), LeaseVerdict::Ask);
    leases.sweep(at(mono_ms + 100 * DAY_MS));
    assert_eq!(returns(&leases), [("left".into(), 3, mono_ms)]);
}

#[test]
fn what_expired_months_ago_stays_for_the_sweep_when_an_answer_brings_nothing() {
    let leases = leases(10);
    let later_ms = 100 * DAY_MS;
    kept(&leases, "k", &granted(&leases, "free", 3, 0));
    for (tokens, lasts_ms) in [(0, 2_000), (5, 0)] {
        let reply = StoreReply {
            lasts_ms,
            ..granted(&leases, "free", tokens, later_ms)
        };
        kept(&leases, "k", &reply);
    }
    assert_eq!(returns(&leases), [("k".into(), 5, later_ms)]);
    leases.sweep(at(later_ms));
    assert_eq!(returns(&leases), [("k".into(), 3, 0)]);
}

#[test]
fn a_store_whose_clock_jumps_years_is_given_back_with_the_instants_that_it_told() {
    let leases = leases(10);
    for years in [0_u64, 30, 1] {
        let now_ms = START_MS + years * 365 * DAY_MS;
        kept(
            &leases,
            "k",
            &StoreReply {
                now_ms,
                ..granted(&leases, "free", 1, 5)
            },
        );
        assert_eq!(leases.store_ms(10), Some(now_ms + 5));
        leases.drain();
        assert_eq!(leases.take_returns(9)[0].taken_ms, now_ms);
    }
}

#[test]
fn the_rules_of_what_waits_to_be_given_back_are_kept_when_nothing_else_is_under_them() {
    let leases = leases(10);
    let plain = leases.tier_id("free").unwrap();
    let override_tier = |limit: u64| {
        let spec = tier(&format!("free {limit}"), &[("minute", bucket(limit))]);
        leases.override_tier(0, plain, spec).unwrap()
    };
    let own = override_tier(77);
    kept(
        &leases,
        "k",
        &StoreReply {
            tier: own,
            ..granted(&leases, "free", 5, 0)
        },
    );
    leases.drain();
    leases.forget(&units("k"));
    for limit in 0..60_000 {
        override_tier(1_000 + limit);
        if limit % 100 == 0 {
            leases.sweep(at(1));
        }
    }
    assert_eq!(
        leases.apply(
            &units("k"),
            &StoreReply {
                tier: own,
                ..granted(&leases, "free", 5, 0)
            }
        ),
        Applied::Unknown
    );
    let returned = leases.take_returns(1);
    assert_eq!(leases.named_rules(&returned[0].rules)[0].rule, bucket(77));
}

#[test]
fn all_that_is_known_can_be_told_shard_by_shard() {
    let leases = leases(1_000);
    let keys: Vec<String> = (0..300).map(|key| format!("key {key} \u{142}")).collect();
    for (key, spent) in keys.iter().zip(0..) {
        kept(
            &leases,
            key,
            &StoreReply {
                spent: amounts(&[spent]),
                ..granted(&leases, "free", 0, 7)
            },
        );
    }
    let mut told: Vec<_> = (0..).map_while(|shard| leases.known_of(shard)).flatten().collect();
    told.sort_by_key(|known| known.snapshot.spent[0]);
    assert_eq!(told.len(), 300);
    for (known, (key, spent)) in told.iter().zip(keys.iter().zip(0..)) {
        assert_eq!(*known.key, *units(key));
        assert_eq!(
            (known.snapshot.at_ms, known.snapshot.spent),
            (START_MS + 7, amounts(&[spent]))
        );
        assert_eq!(leases.named_rules(&known.rules).len(), 2);
    }
}

#[test]
fn many_answers_are_taken_in_as_one_by_one_and_memory_is_fetched_first_where_keys_are_many() {
    const KEYS: usize = 1 << 15;
    let leases = leases(2 * KEYS);
    let keys: Vec<_> = (0..KEYS).map(|number| units(&format!("key {number}"))).collect();
    let apply_all = |replies: &[(&[u16], StoreReply)]| {
        let (mut fetched, mut told) = (0, Vec::new());
        let tell = |number, applied| told.push((number, applied));
        leases.apply_all(replies, |_| fetched += 1, tell);
        (fetched, told)
    };
    let one = granted(&leases, "free", 1, 0);
    let all: Vec<_> = keys.iter().map(|key| (&key[..], one)).collect();
    let kept = |replies: usize| (0..replies).map(|number| (number, Applied::Kept)).collect::<Vec<_>>();
    assert_eq!(apply_all(&all), (0, kept(KEYS)), "few keys stay in the caches");

    let mut some = all[100..230].to_vec();
    some[70].1 = granted(&leases, "pro", 1, 0);
    let mut told = kept(130);
    told[70].1 = Applied::Stale;
    assert_eq!(apply_all(&some), (130 * 4, told));
    assert_eq!(apply_all(&all[..1]), (0, kept(1)), "one waits for its memory by itself");
    for (key, tokens) in [(0, 2), (99, 1), (100, 2), (170, 1), (229, 2), (230, 1)] {
        let key = format!("key {key}");
        assert_eq!(verdict(&leases, &key, tokens, 10), LeaseVerdict::Allowed);
        assert_eq!(verdict(&leases, &key, 1, 10), LeaseVerdict::Ask);
    }
}
