//! What is refused, and left as it is.

use std::fs;
use std::path::PathBuf;

use tollkeeper_storage::{Storage, StorageError};

use crate::{free, left, limiter, saved};

#[test]
fn the_file_is_open_once_at_a_time() {
    let (_folder, path) = saved();
    let storage = Storage::open(&path).unwrap();
    assert!(matches!(Storage::open(&path), Err(StorageError::Locked)));
    drop(storage);
    Storage::open(&path).unwrap();
}

#[test]
fn a_foreign_file_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notes.txt");
    fs::write(&path, "not a database").unwrap();
    assert!(matches!(Storage::open(&path), Err(StorageError::Foreign)));
    assert_eq!(fs::read(&path).unwrap(), b"not a database");

    let other = folder.path().join("other.redb");
    let database = redb::Database::create(&other).unwrap();
    let transaction = database.begin_write().unwrap();
    let table: redb::TableDefinition<u64, u64> = redb::TableDefinition::new("theirs");
    transaction.open_table(table).unwrap().insert(1, 1).unwrap();
    transaction.commit().unwrap();
    drop(database);
    let before = fs::read(&other).unwrap();
    assert!(matches!(Storage::open(&other), Err(StorageError::Foreign)));
    assert!(before == fs::read(&other).unwrap());
}

#[test]
fn another_format_is_refused() {
    let (_folder, path) = saved();
    let database = redb::Database::open(&path).unwrap();
    let transaction = database.begin_write().unwrap();
    let meta: redb::TableDefinition<&str, &[u8]> = redb::TableDefinition::new("tollkeeper");
    transaction
        .open_table(meta)
        .unwrap()
        .insert("format", &9_u64.to_le_bytes()[..])
        .unwrap();
    transaction.commit().unwrap();
    drop(database);
    let refused = Storage::open(&path).unwrap_err();
    assert!(matches!(refused, StorageError::Version(9)));
    assert!(refused.to_string().contains('9'));
}

#[test]
fn a_damaged_file_is_refused_or_whole_and_left_as_it_is() {
    let (_folder, path) = saved();
    let good = fs::read(&path).unwrap();
    let mut refused = 0;
    for position in (0..good.len()).step_by(509) {
        let mut bad = good.clone();
        bad[position] ^= 0x5A;
        fs::write(&path, &bad).unwrap();
        match Storage::open(&path) {
            // The damage is where nothing is kept.
            Ok(storage) => {
                let limiter = limiter(&storage, free());
                assert_eq!(storage.load(&limiter).unwrap(), 1, "byte {position}");
                assert_eq!(left(&limiter, "acct:1"), [60_000, 960_000], "byte {position}");
            }
            Err(error) => {
                refused += 1;
                assert!(
                    matches!(error, StorageError::Corrupt(_) | StorageError::Foreign),
                    "byte {position}: {error}"
                );
                assert!(bad == fs::read(&path).unwrap(), "byte {position}: the file was changed");
            }
        }
    }
    assert!(refused > 0);
}

#[test]
fn a_file_cut_short_is_refused_and_left_as_it_is() {
    let (_folder, path) = saved();
    let good = fs::read(&path).unwrap();
    for length in [5, 64, 4_096, good.len() / 2, good.len() - 1] {
        fs::write(&path, &good[..length]).unwrap();
        let error = Storage::open(&path).unwrap_err();
        assert!(
            matches!(error, StorageError::Corrupt(_) | StorageError::Foreign),
            "{length} bytes: {error}"
        );
        assert_eq!(fs::metadata(&path).unwrap().len(), length as u64);
    }
}

#[test]
fn a_folder_that_is_not_there_is_an_error_of_its_own() {
    let error = Storage::open(&PathBuf::from("/nowhere/at/all/limits.redb")).unwrap_err();
    assert_eq!(error.code(), "ERR_STORAGE_IO");
}

#[test]
fn what_is_no_regular_file_is_refused_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Storage::open(folder.path()).unwrap_err().code(), "ERR_STORAGE_IO");
    assert!(folder.path().exists());
}
