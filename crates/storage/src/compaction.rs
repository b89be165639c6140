//! Giving back what a file no longer needs, when it is opened.

use std::fs::File;

use redb::Database;

use crate::database::{Opener, contained};
use crate::error::StorageError;

/// A file below this size is not worth it.
const MIN_BYTES: u64 = 2 << 20;
/// A file is compacted when less than one part in so many holds something. To write every key again and again leaves two
/// in five in use, so that alone never leads to it.
const SHARE: u64 = 4;

/// Opens a file, and makes it smaller if most of it is free.
pub(crate) fn open_compacted(file: File, opener: Opener) -> Result<Database, StorageError> {
    let mut database = opener(file.try_clone()?)?;
    if !is_mostly_free(&database, file.metadata()?.len())? {
        return Ok(database);
    }
    if contained(|| Ok(database.compact()?)).is_ok() {
        return Ok(database);
    }
    // It is as sound as before, and only larger than it has to be; but redb uses no database that once failed.
    let _ = contained(|| {
        drop(database);
        Ok(())
    });
    opener(file)
}

fn is_mostly_free(database: &Database, len: u64) -> Result<bool, StorageError> {
    if len < MIN_BYTES {
        return Ok(false);
    }
    let transaction = database.begin_write()?;
    let stats = transaction.stats()?;
    transaction.abort()?;
    Ok(stats.allocated_pages() * (stats.page_size() as u64) < len / SHARE)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use tempfile::TempDir;
    use tollkeeper_limiter::{LimitSpec, Limiter, Period, Rule, Settings, TierSpec};

    use super::*;
    use crate::Storage;
    use crate::full_disk::{FAULTS, WRITES, on_a_disk_that_may_be_full};

    const NOW_MS: u64 = 1_790_000_000_000;
    const KEYS: usize = 30_000;
    const KEPT: usize = 1_000;

    fn limiter(storage: &Storage) -> Limiter {
        let day = LimitSpec {
            name: "day".into(),
            rule: Rule::Quota {
                limit_milli: 1 << 40,
                period: Period::Day,
            },
        };
        let settings = Settings {
            tiers: vec![TierSpec {
                name: "free".into(),
                limits: vec![day],
            }],
            max_keys: KEYS,
            secret: storage.secret(),
            durable: true,
        };
        Limiter::new(settings).unwrap()
    }

    fn spend(limiter: &Limiter, keys: usize) {
        for key in 0..keys {
            let hash = limiter.hash(&format!("key {key}"));
            limiter.consume(hash, 0, 1 + key as u64, NOW_MS).unwrap();
        }
    }

    fn len(path: &Path) -> u64 {
        fs::metadata(path).unwrap().len()
    }

    /// A closed file of few keys that once held many.
    fn mostly_free() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limits.redb");
        let storage = Storage::open(&path).unwrap();
        let limiter = limiter(&storage);
        // Where redb finds the end of a file free it cuts it off by itself; after this there is something everywhere.
        for _ in 0..3 {
            spend(&limiter, KEYS);
            storage.save(&limiter).unwrap();
        }
        for key in KEPT..KEYS {
            limiter.reset(limiter.hash(&format!("key {key}")));
        }
        storage.save(&limiter).unwrap();
        drop(storage);
        assert!(len(&path) > MIN_BYTES, "{} bytes", len(&path));
        (folder, path)
    }

    /// Whether every key that was kept has spent what it had, three times, and no other is there.
    fn is_whole(storage: &Storage) -> bool {
        let limiter = limiter(storage);
        let spent = |key: usize| {
            let hash = limiter.hash(&format!("key {key}"));
            limiter.peek(hash, 0, 0, NOW_MS).unwrap().spent[0]
        };
        storage.load(&limiter).unwrap() == KEPT && (0..KEPT).all(|key| spent(key) == 3 * (1 + key as u64))
    }

    #[test]
    fn a_file_that_is_mostly_free_is_small_once_opened_again() {
        let (_folder, path) = mostly_free();
        let storage = Storage::open(&path).unwrap();
        assert!(len(&path) < MIN_BYTES, "{} bytes", len(&path));
        assert!(is_whole(&storage));
        drop(storage);
        assert!(is_whole(&Storage::open(&path).unwrap()));
    }

    #[test]
    fn a_file_that_is_in_use_stays_as_it_is() {
        let (_folder, path) = mostly_free();
        let storage = Storage::open(&path).unwrap();
        let limiter = limiter(&storage);
        for _ in 0..3 {
            spend(&limiter, KEYS);
            storage.save(&limiter).unwrap();
        }
        drop(storage);
        let before = len(&path);
        assert!(before > MIN_BYTES);
        drop(Storage::open(&path).unwrap());
        assert_eq!(len(&path), before);
    }

    #[test]
    fn rewriting_the_same_keys_does_not_make_a_file_grow_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limits.redb");
        let storage = Storage::open(&path).unwrap();
        let limiter = limiter(&storage);
        let rewrite = |times| {
            for _ in 0..times {
                spend(&limiter, KEYS / 10);
                storage.save(&limiter).unwrap();
            }
            len(&path)
        };
        let early = rewrite(5);
        assert!(rewrite(30) <= early);
    }

    #[test]
    fn a_compaction_that_is_cut_short_at_any_write_loses_nothing() {
        let (_folder, path) = mostly_free();
        let before = fs::read(&path).unwrap();
        // Whether it opens, and is whole; None if it does not open.
        let open = |faults: (usize, usize)| {
            fs::write(&path, &before).unwrap();
            WRITES.set(0);
            FAULTS.set(faults);
            let opened = on_a_disk_that_may_be_full(&path).and_then(Storage::of);
            let whole = opened.as_ref().ok().map(is_whole);
            let writes = WRITES.get();
            drop(opened);
            FAULTS.set((0, 0));
            (whole, writes)
        };
        let (whole, writes) = open((0, 0));
        assert!(whole == Some(true) && writes > 20, "{writes} writes");
        // The first write is that of opening it.
        for from in (1..writes).step_by(6) {
            // As a crash does, after which nothing is written; and as a fault that passes, in spite of which it opens.
            for (to, opens) in [(usize::MAX, None), (from + 1, Some(true))] {
                assert_eq!(open((from, to)).0, opens, "writes {from} to {to}");
                assert!(is_whole(&Storage::open(&path).unwrap()), "after writes {from} to {to}");
            }
        }
    }
}
