//! What is decided from what is held and believed.

use std::cell::Cell;

use tollkeeper_limiter::{Applied, CLOCK_LAG_MS, LeaseOutcome, LeaseVerdict, StoreReply};

use crate::specs::{day, tier};
use crate::{DAY_MS, LEASE_MS, START_MS, amounts, at, consume, granted, kept, leases, units, verdict};

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
    leases.reload(vec![tier("free", vec![day("day", 1 << 40)])]).unwrap();
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
