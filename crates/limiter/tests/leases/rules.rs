//! Keys that go from rules to rules.

use tollkeeper_limiter::{Applied, Asked, LeaseSettings, LeaseVerdict, Leases, StoreReply};

use crate::specs::{day, minute, tier};
use crate::{DAY_MS, LEASE_MS, START_MS, amounts, at, consume, granted, kept, leases, units, verdict};

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
    let counted = leases.named_rules(&returned[0].rules)[0].rule;
    assert_eq!(counted, minute(600).rule, "told by the rules that counted them");
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
        tiers: vec![tier("a", vec![minute(60)]), tier("b", vec![day("day", 60)])],
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
fn the_rules_of_what_waits_to_be_given_back_are_kept_when_nothing_else_is_under_them() {
    let leases = leases(10);
    let plain = leases.tier_id("free").unwrap();
    let override_tier = |limit: u64| {
        let spec = tier(&format!("free {limit}"), vec![minute(limit)]);
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
    assert_eq!(leases.named_rules(&returned[0].rules)[0].rule, minute(77).rule);
}
