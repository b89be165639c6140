//! Keys of more than four limits, and files that were made before there were any.

use std::path::Path;

use redb::{Database, ReadableDatabase, ReadableTableMetadata, TableDefinition};
use tollkeeper_limiter::{LimitSpec, TierSpec};
use tollkeeper_storage::{FORMAT, Storage, WIDE_FORMAT};

use crate::{NOW_MS, bucket, free, left, limiter, quota, saved, spend, tier};

const META: TableDefinition<&str, &[u8]> = TableDefinition::new("tollkeeper");
const KEYS: TableDefinition<&[u8; 16], &[u8; 44]> = TableDefinition::new("keys");
const WIDE_KEYS: TableDefinition<&[u8; 16], &[u8; 76]> = TableDefinition::new("wide keys");

/// A bucket and seven quotas of 1,000 to 7,000.
fn eight() -> Vec<LimitSpec> {
    let quotas = (1..8).map(|number| quota(&format!("quota{number}"), 1_000 * number));
    [bucket(100)].into_iter().chain(quotas).collect()
}

/// A tier of all eight limits, and one of the first two.
fn wide() -> Vec<TierSpec> {
    let mut narrow = eight();
    narrow.truncate(2);
    vec![tier("free", eight()), tier("narrow", narrow)]
}

/// The version of the format, and how many keys are in which table.
fn found(path: &Path) -> (u64, u64, u64) {
    let database = Database::open(path).unwrap();
    let transaction = database.begin_read().unwrap();
    let meta = transaction.open_table(META).unwrap();
    let format = meta.get("format").unwrap().unwrap();
    (
        u64::from_le_bytes(format.value().try_into().unwrap()),
        transaction.open_table(KEYS).unwrap().len().unwrap(),
        transaction.open_table(WIDE_KEYS).unwrap().len().unwrap(),
    )
}

#[test]
fn a_file_without_wide_keys_is_of_the_format_that_every_release_reads() {
    let (_folder, path) = saved();
    assert_eq!(found(&path), (FORMAT, 1, 0));
}

#[test]
fn eight_limits_are_there_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    let storage = Storage::open(&path).unwrap();
    let first = limiter(&storage, wide());
    spend(&first, "acct:1", 40);
    spend(&first, "acct:2", 1);
    let narrow = first.tier_id("narrow").unwrap();
    first.consume(first.hash("acct:3"), narrow, 1_000, NOW_MS).unwrap();
    storage.save(&first).unwrap();
    let expected: Vec<_> = [60_000]
        .into_iter()
        .chain((1..8).map(|q| q * 1_000_000 - 40_000))
        .collect();
    let second = limiter(&storage, wide());
    assert_eq!(storage.load(&second).unwrap(), 3);
    assert_eq!(left(&second, "acct:1"), expected);
    assert_eq!(storage.save(&second).unwrap(), 0, "what was loaded has not changed");
    drop(storage);
    assert_eq!(found(&path), (WIDE_FORMAT, 1, 2));
}

#[test]
fn a_key_stands_in_one_of_the_tables_whichever_tiers_it_comes_under() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    let tables = |storage: Storage| {
        drop(storage);
        let (_, narrow, wide) = found(&path);
        (narrow, wide)
    };

    let storage = Storage::open(&path).unwrap();
    let first = limiter(&storage, wide());
    let narrow = first.tier_id("narrow").unwrap();
    for key in ["acct:1", "acct:2"] {
        first.consume(first.hash(key), narrow, 5_000, NOW_MS).unwrap();
    }
    storage.save(&first).unwrap();
    assert_eq!(tables(storage), (2, 0));

    // Under the larger tier a key gets wide,
    let storage = Storage::open(&path).unwrap();
    spend(&first, "acct:1", 5);
    storage.save(&first).unwrap();
    assert_eq!(tables(storage), (1, 1));

    // and narrow again in a limiter that knows no more than two of its limits.
    let storage = Storage::open(&path).unwrap();
    let second = limiter(&storage, vec![tier("free", vec![quota("quota1", 1_000), bucket(100)])]);
    assert_eq!(storage.load(&second).unwrap(), 2);
    assert_eq!(left(&second, "acct:1"), [990_000, 90_000]);
    spend(&second, "acct:1", 1);
    storage.save(&second).unwrap();
    assert_eq!(tables(storage), (2, 0));

    // What is forgotten is in neither.
    let storage = Storage::open(&path).unwrap();
    let third = limiter(&storage, wide());
    storage.load(&third).unwrap();
    spend(&third, "acct:2", 1);
    storage.save(&third).unwrap();
    for key in ["acct:1", "acct:2"] {
        third.reset(third.hash(key));
    }
    storage.save(&third).unwrap();
    assert_eq!(tables(storage), (0, 0));
}

#[test]
fn a_file_of_an_older_release_opens_with_all_that_is_in_it_and_takes_wide_keys() {
    let (_folder, path) = saved();
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    assert!(transaction.delete_table(WIDE_KEYS).unwrap());
    transaction.commit().unwrap();
    drop(database);

    let storage = Storage::open(&path).unwrap();
    let first = limiter(&storage, free());
    assert_eq!(storage.load(&first).unwrap(), 1);
    assert_eq!(left(&first, "acct:1"), [60_000, 960_000]);

    let more: Vec<_> = eight().into_iter().chain([quota("month", 1_000)]).skip(1).collect();
    let second = limiter(&storage, vec![tier("free", more)]);
    storage.load(&second).unwrap();
    spend(&second, "acct:1", 1);
    storage.save(&second).unwrap();
    drop(storage);
    assert_eq!(found(&path), (WIDE_FORMAT, 0, 1));
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    let storage = Storage::open(&path).unwrap();
    let first = limiter(&storage, wide());
    spend(&first, "acct:1", 1);
    storage.save(&first).unwrap();
    drop(storage);
    let database = Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    {
        let wide = transaction.open_table(WIDE_KEYS).unwrap();
        let (key, row) = redb::ReadableTable::first(&wide).unwrap().unwrap();
        let mut keys = transaction.open_table(KEYS).unwrap();
        keys.insert(key.value(), row.value().first_chunk::<44>().unwrap())
            .unwrap();
    }
    transaction.commit().unwrap();
    drop(database);
    let storage = Storage::open(&path).unwrap();
    let refused = storage.load(&limiter(&storage, wide())).unwrap_err();
    assert_eq!(refused.code(), "ERR_STORAGE_CORRUPT");
}
