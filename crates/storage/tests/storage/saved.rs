//! What survives.

use std::fs;

use tollkeeper_limiter::{LimitSpec, Limiter, Period, Rule, Settings};
use tollkeeper_storage::Storage;

use crate::{bucket, free, left, limiter, quota, saved, spend, tier};

#[test]
fn what_was_saved_is_there_again() {
    let (_folder, path) = saved();
    let storage = Storage::open(&path).unwrap();
    let limiter = limiter(&storage, free());
    assert_eq!(storage.load(&limiter).unwrap(), 1);
    assert_eq!(left(&limiter, "acct:1"), [60_000, 960_000]);
    assert_eq!(storage.save(&limiter).unwrap(), 0, "what was loaded has not changed");
}

#[test]
fn only_what_changed_is_saved_and_a_forgotten_key_is_deleted() {
    let (_folder, path) = saved();
    let storage = Storage::open(&path).unwrap();
    let first = limiter(&storage, free());
    storage.load(&first).unwrap();
    for key in 0..50 {
        spend(&first, &format!("acct:{key}"), 1);
        spend(&first, &format!("acct:{key}"), 1);
    }
    assert_eq!(storage.save(&first).unwrap(), 50);
    first.reset(first.hash("acct:7"));
    spend(&first, "acct:8", 1);
    assert_eq!(storage.save(&first).unwrap(), 2);
    let second = limiter(&storage, free());
    assert_eq!(storage.load(&second).unwrap(), 49);
    assert_eq!(left(&second, "acct:7"), [100_000, 1_000_000]);
    assert_eq!(left(&second, "acct:8"), [97_000, 997_000]);
}

#[test]
fn what_was_granted_is_there_again_and_in_the_next_period_what_is_kept() {
    let (_folder, path) = saved();
    let storage = Storage::open(&path).unwrap();
    let first = limiter(&storage, free());
    storage.load(&first).unwrap();
    let month_ms = 31 * 86_400_000;
    let grant = |key: &str, tokens: u64, keeps: bool| {
        first
            .grant(first.hash(key), 0, "month", tokens * 1_000, keeps, crate::NOW_MS)
            .unwrap();
    };
    grant("acct:1", 2_000, false);
    grant("acct:1", 500, true);
    grant("new", 30, true);
    assert_eq!(storage.save(&first).unwrap(), 2);
    // Other slots, and a limit that there was not.
    let tiers = vec![tier("free", vec![quota("year", 5), quota("month", 1_000), bucket(100)])];
    let reopened = || {
        let second = limiter(&storage, tiers.clone());
        storage.load(&second).unwrap();
        second
    };
    let second = reopened();
    assert_eq!(left(&second, "acct:1")[1], 960_000 + 2_500_000);
    assert_eq!(left(&second, "new")[1], 1_030_000);
    let later = |limiter: &Limiter, key: &str| {
        let outcome = limiter.peek(limiter.hash(key), 0, 0, crate::NOW_MS + month_ms).unwrap();
        outcome.report(&limiter.tier(0).unwrap())[1].remaining_milli
    };
    assert_eq!(
        [later(&second, "acct:1"), later(&second, "new")],
        [1_500_000, 1_030_000]
    );
    first.reset(first.hash("new"));
    spend(&first, "acct:1", 10);
    storage.save(&first).unwrap();
    let second = reopened();
    assert_eq!(left(&second, "new")[1], 1_000_000, "a reset forgets what was granted");
    assert_eq!(left(&second, "acct:1")[1], 950_000 + 2_500_000);
}

#[test]
fn limits_are_found_by_name_and_converted_to_the_new_tiers() {
    let (_folder, path) = saved();
    let storage = Storage::open(&path).unwrap();
    // Other slots, another limit, a name that was dropped, and one that is new.
    let tiers = vec![tier("free", vec![quota("year", 5), bucket(200), quota("month", 50)])];
    let limiter = limiter(&storage, tiers);
    storage.load(&limiter).unwrap();
    assert_eq!(left(&limiter, "acct:1"), [5_000, 120_000, 10_000]);
}

#[test]
fn quotas_of_every_period_and_what_allows_nothing_are_found_again() {
    let periods = [
        Period::Hour,
        Period::Week { anchor_day: 7 },
        Period::Year { anchor_month: 4 },
        Period::Once,
    ];
    for period in periods {
        let quota = LimitSpec {
            name: "quota".into(),
            rule: Rule::Quota {
                limit_milli: 50_000,
                period,
            },
        };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limits.redb");
        let storage = Storage::open(&path).unwrap();
        let first = limiter(&storage, vec![tier("free", vec![quota.clone()])]);
        spend(&first, "acct:1", 20);
        assert_eq!(storage.save(&first).unwrap(), 1);
        drop(storage);
        let storage = Storage::open(&path).unwrap();
        let second = limiter(&storage, vec![tier("free", vec![quota, bucket(0)])]);
        storage.load(&second).unwrap();
        assert_eq!(left(&second, "acct:1"), [30_000, 0]);
        spend(&second, "acct:1", 1);
        storage.save(&second).unwrap();
        drop(storage);
        let storage = Storage::open(&path).unwrap();
        let third = limiter(&storage, second.tiers());
        storage.load(&third).unwrap();
        assert_eq!(left(&third, "acct:1"), [30_000, 0], "{period:?}");
    }
}

#[test]
fn a_limit_of_another_kind_is_another_limit() {
    let (_folder, path) = saved();
    let storage = Storage::open(&path).unwrap();
    let limiter = limiter(&storage, vec![tier("free", vec![quota("minute", 9)])]);
    storage.load(&limiter).unwrap();
    assert_eq!(left(&limiter, "acct:1"), [9_000]);
}

#[test]
fn a_crash_forgets_only_what_was_not_saved() {
    let (_folder, path) = saved();
    let storage = Storage::open(&path).unwrap();
    let first = limiter(&storage, free());
    storage.load(&first).unwrap();
    spend(&first, "acct:1", 10);
    storage.save(&first).unwrap();
    spend(&first, "acct:1", 5);
    // The file as it is while it is open, is what a crash would leave behind.
    let copy = path.with_extension("copy");
    fs::copy(&path, &copy).unwrap();
    let storage = Storage::open(&copy).unwrap();
    let second = limiter(&storage, free());
    storage.load(&second).unwrap();
    assert_eq!(left(&second, "acct:1"), [50_000, 950_000]);
}

#[test]
fn more_keys_than_the_table_may_hold_are_refused() {
    let (_folder, path) = saved();
    let storage = Storage::open(&path).unwrap();
    let first = limiter(&storage, free());
    spend(&first, "acct:2", 1);
    storage.save(&first).unwrap();
    let settings = Settings {
        tiers: free(),
        max_keys: 1,
        secret: storage.secret(),
        durable: true,
    };
    let refused = storage.load(&Limiter::new(settings).unwrap()).unwrap_err();
    assert_eq!(refused.code(), "ERR_STORAGE_FULL");
}

#[test]
fn records_are_kept_and_listed_by_prefix() {
    let (_folder, path) = saved();
    let storage = Storage::open(&path).unwrap();
    for name in ["key/b", "key/a", "kez", "other"] {
        storage.put_record(name, Some(name)).unwrap();
    }
    storage.put_record("other", None).unwrap();
    drop(storage);
    let storage = Storage::open(&path).unwrap();
    let found: Vec<_> = storage
        .records("key/", 9, "")
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(found, ["key/a", "key/b"]);
    assert_eq!(storage.record("kez").as_deref(), Some("kez"));
    assert_eq!(storage.record("other"), None);
}
