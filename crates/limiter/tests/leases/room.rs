//! What goes back to the store, and what is forgotten.

use tollkeeper_limiter::{Applied, LeaseVerdict, StoreReply};

use crate::{DAY_MS, LEASE_MS, amounts, at, granted, kept, leases, returns, units, verdict};

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
