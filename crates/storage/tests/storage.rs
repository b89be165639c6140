//! What survives, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;
use tollkeeper_limiter::{LimitSpec, Limiter, Period, Rule, Settings, TierSpec, Verdict};
use tollkeeper_storage::{Storage, StorageError};

const NOW_MS: u64 = 1_790_000_000_000;

fn bucket(limit: u64) -> LimitSpec {
    LimitSpec {
        name: "minute".into(),
        rule: Rule::Bucket {
            limit_milli: limit * 1_000,
            window_ms: 60_000,
            burst_milli: 1_500,
        },
    }
}

fn quota(name: &str, limit: u64) -> LimitSpec {
    LimitSpec {
        name: name.into(),
        rule: Rule::Quota {
            limit_milli: limit * 1_000,
            period: Period::Month { anchor_day: 1 },
        },
    }
}

fn tier(name: &str, limits: Vec<LimitSpec>) -> TierSpec {
    TierSpec {
        name: name.into(),
        limits,
    }
}

fn limiter(storage: &Storage, tiers: Vec<TierSpec>) -> Limiter {
    Limiter::new(Settings {
        tiers,
        max_keys: 10_000,
        secret: storage.secret(),
        durable: true,
    })
    .unwrap()
}

fn free() -> Vec<TierSpec> {
    vec![tier("free", vec![bucket(100), quota("month", 1_000)])]
}

fn spend(limiter: &Limiter, key: &str, tokens: u64) -> Verdict {
    let tier = limiter.tier_id("free").unwrap();
    limiter
        .consume(limiter.hash(key), tier, tokens * 1_000, NOW_MS)
        .unwrap()
        .verdict
}

fn left(limiter: &Limiter, key: &str) -> Vec<u64> {
    let tier = limiter.tier_id("free").unwrap();
    let outcome = limiter.peek(limiter.hash(key), tier, 0, NOW_MS).unwrap();
    outcome
        .report(&limiter.tier(tier).unwrap())
        .iter()
        .map(|report| report.remaining_milli)
        .collect()
}

/// A file with one saved key that has spent 40 tokens.
fn saved() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    let storage = Storage::open(&path).unwrap();
    let limiter = limiter(&storage, free());
    spend(&limiter, "acct:1", 40);
    assert_eq!(storage.save(&limiter).unwrap(), 1);
    (folder, path)
}

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
fn the_file_is_open_once_at_a_time() {
    let (_folder, path) = saved();
    let storage = Storage::open(&path).unwrap();
    assert!(matches!(Storage::open(&path), Err(StorageError::Locked)));
    drop(storage);
    Storage::open(&path).unwrap();
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

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_file() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = saved();
    assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn an_empty_file_is_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    fs::write(&path, b"").unwrap();
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
fn a_file_that_another_is_just_making_is_locked_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    fs::write(&path, b"").unwrap();
    let making = redb::Database::create(&path).unwrap();
    assert!(matches!(
        Storage::open(&path),
        Err(StorageError::Locked | StorageError::Foreign)
    ));
    assert!(path.exists());
    drop(making);

    let empty = folder.path().join("empty.redb");
    let making = fs::File::create(&empty).unwrap();
    making.lock().unwrap();
    assert!(matches!(Storage::open(&empty), Err(StorageError::Locked)));
    assert_eq!(fs::metadata(&empty).unwrap().len(), 0);
    drop(making);
    Storage::open(&empty).unwrap();
}

#[test]
fn of_many_that_make_a_file_at_once_one_wins_and_no_other_replaces_it() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..40 {
        let path = folder.path().join(format!("{round}.redb"));
        if round % 2 == 0 {
            fs::write(&path, b"").unwrap();
        }
        // Some open it for a moment only, after which another may.
        let opened: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6)
                .map(|thread| {
                    let path = &path;
                    scope.spawn(move || {
                        Storage::open(path).map(|storage| (storage.secret(), (thread % 2 == 0).then_some(storage)))
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut secrets: Vec<_> = opened.iter().flatten().map(|(secret, _)| *secret).collect();
        for error in opened.iter().filter_map(|opened| opened.as_ref().err()) {
            assert!(matches!(error, StorageError::Locked), "{error:?}");
        }
        drop(opened);
        assert!(!secrets.is_empty());
        secrets.push(Storage::open(&path).unwrap().secret());
        secrets.dedup();
        assert_eq!(secrets.len(), 1, "round {round}: the file was replaced");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 40, "no draft is left");
}

#[test]
fn what_a_killed_process_left_of_the_making_does_not_disturb() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    let left = folder.path().join(".limits.redb.new-1");
    fs::write(&path, b"").unwrap();
    fs::write(&left, b"half").unwrap();
    let secret = Storage::open(&path).unwrap().secret();
    assert_eq!(Storage::open(&path).unwrap().secret(), secret);
    assert_eq!(fs::read(&left).unwrap(), b"half");
}

#[cfg(unix)]
#[test]
fn a_link_to_a_file_yet_to_be_made_stays_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join("link");
    let path = folder.path().join("limits.redb");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let secret = Storage::open(&link).unwrap().secret();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(Storage::open(&path).unwrap().secret(), secret);
}

#[test]
fn nothing_but_the_file_is_left_of_its_making() {
    let folder = tempfile::tempdir().unwrap();
    drop(Storage::open(&folder.path().join("limits.redb")).unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn what_is_no_regular_file_is_refused_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Storage::open(folder.path()).unwrap_err().code(), "ERR_STORAGE_IO");
    assert!(folder.path().exists());
}

#[cfg(unix)]
#[test]
fn an_empty_file_becomes_its_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    fs::write(&path, b"").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    drop(Storage::open(&path).unwrap());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}
