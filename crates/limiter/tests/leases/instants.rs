//! Clocks that run for months, and jump.

use tollkeeper_limiter::{Applied, LeaseVerdict, StoreReply};

use crate::{DAY_MS, LEASE_MS, START_MS, amounts, at, consume, granted, kept, leases, returns, units, verdict};

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
