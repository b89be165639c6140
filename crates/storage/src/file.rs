//! The file, as the crossing has it: loaded once, saved every few moments, asked for records, each on a thread that may
//! wait.

use std::cell::Cell;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{ReadableDatabase, WriteTransaction};
use tollkeeper_ledger::{Drained, Ledger};
use tollkeeper_limiter::{KeyHash, Limiter, Secret};

use crate::coarsening::{Retention, coarsen};
use crate::connection::Connection;
use crate::database::contained;
use crate::error::StorageError;
use crate::ledger_reader::UsageReader;
use crate::ledger_tables::{self, StoredNames};
use crate::ledger_write::write_cells;
use crate::location::Found;
use crate::records::{Records, write_record};
use crate::stored_rule_sets::StoredRuleSets;
use crate::usage::{load, write};

/// Keys written in one transaction: neighbours in the file, so that none of its pages is written twice. All at once they
/// would double the file, and their memory, given back in one piece, would hold up every other thread.
const PART_KEYS: usize = 1 << 15;
/// Cells written with them.
const PART_CELLS: usize = 1 << 15;

/// What has happened to a storage file that its owner should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// A stable code.
    pub code: &'static str,
    /// For people.
    pub text: String,
}

/// An open storage file. Its calls block; what takes long belongs on a thread that may wait.
#[derive(Debug)]
pub struct Storage {
    connection: Connection,
    records: Records,
    /// Names of the ledger that are in the file.
    names: Mutex<StoredNames>,
    /// Cells of which nobody knows whether they are in the file, since the write failed; and which save it was.
    in_doubt: Mutex<Option<(u32, Vec<Drained>)>>,
    /// What is to be told of the file.
    notes: Mutex<Vec<Note>>,
}

impl Storage {
    /// Opens a storage file, or makes a new one that only its owner can read, also in the place of an empty one.
    ///
    /// # Errors
    /// Any [`StorageError`] but `Refused`; a file that is there is then as it was.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        Self::of(Connection::open(path)?)
    }

    pub(crate) fn of(connection: Connection) -> Result<Self, StorageError> {
        let records = connection.with(Records::read)?;
        let names = connection.with(|database| StoredNames::look(&database.begin_read()?))?;
        let exposed = |text| Note {
            code: "ERR_STORAGE_EXPOSED",
            text,
        };
        let notes = connection.exposure.clone().map(exposed).into_iter().collect();
        Ok(Self {
            connection,
            records,
            names: Mutex::new(names),
            in_doubt: Mutex::default(),
            notes: Mutex::new(notes),
        })
    }

    /// What has happened to the file that its owner should know, since this was asked last.
    #[must_use]
    pub fn drain_notes(&self) -> Vec<Note> {
        std::mem::take(&mut *lock(&self.notes))
    }

    /// The secret under which the stored keys are hashed.
    #[must_use]
    pub fn secret(&self) -> Secret {
        self.connection.secret()
    }

    /// Takes every stored key up into a limiter, made with [`secret`](Self::secret); says how many there were.
    ///
    /// # Errors
    /// [`StorageError::Refused`] if they are more than the limiter takes, [`StorageError::Corrupt`] if one of them is
    /// damaged, and as of [`save`](Self::save).
    pub fn load(&self, limiter: &Limiter) -> Result<usize, StorageError> {
        self.connection.with(|database| load(database, limiter))
    }

    /// Stores every key that has changed since the last call; says how many there were. If it fails, the next call tries
    /// again. A file that was removed or cut short since is written anew, with all that there is.
    ///
    /// # Errors
    /// [`StorageError::Replaced`] if another file stands in its place; [`StorageError::Io`], or after a failure any of
    /// [`open`](Self::open).
    pub fn save(&self, limiter: &Limiter) -> Result<usize, StorageError> {
        self.save_all(limiter, None)
    }

    /// The same, with what a ledger has counted, in the same transactions.
    ///
    /// # Errors
    /// As of [`save`](Self::save).
    pub fn save_all(&self, limiter: &Limiter, ledger: Option<&Ledger>) -> Result<usize, StorageError> {
        let put_back = self.put_back(limiter)?;
        if let Some(ledger) = ledger {
            self.settle(ledger)?;
        }
        let keys = limiter.drain_changed();
        let cells = ledger.map(|ledger| ledger.drain(usize::MAX)).unwrap_or_default();
        let (mut keys_left, mut cells_left) = (&keys[..], &cells[..]);
        while !(keys_left.is_empty() && cells_left.is_empty()) {
            let (part, later) = keys_left.split_at(keys_left.len().min(PART_KEYS));
            let (cells, later_cells) = cells_left.split_at(cells_left.len().min(PART_CELLS));
            let written = match ledger {
                Some(ledger) if !cells.is_empty() => self.write_with_cells(limiter, part, ledger, cells),
                _ => self.write_keys(limiter, part, |_| Ok(())),
            };
            if written.is_err() {
                limiter.give_back_changed(keys_left);
                if let Some(ledger) = ledger {
                    ledger.give_back(later_cells);
                }
            }
            written?;
            (keys_left, cells_left) = (later, later_cells);
        }
        Ok(put_back.unwrap_or(keys.len()))
    }

    fn write_keys(
        &self,
        limiter: &Limiter,
        keys: &[KeyHash],
        also: impl Fn(&WriteTransaction) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let changes = limiter.changes(keys);
        self.connection
            // The rule sets are those of the database as it is when it is asked.
            .with(|database| write(database, limiter, &changes, &mut self.rule_sets(), &also))
    }

    /// Cells are added to what is in the file, so that each may come there once: not again after a write that only seems to
    /// have failed.
    fn write_with_cells(
        &self,
        limiter: &Limiter,
        keys: &[KeyHash],
        ledger: &Ledger,
        cells: &[Drained],
    ) -> Result<(), StorageError> {
        let save = Cell::new(None);
        let names = Cell::new(*self.names());
        let written = self.write_keys(limiter, keys, |transaction| {
            let mut now_stored = *self.names();
            now_stored.write(transaction, ledger)?;
            names.set(now_stored);
            write_cells(transaction, cells)?;
            save.set(Some(ledger_tables::count_save(transaction)?));
            Ok(())
        });
        match (&written, save.get()) {
            (Ok(()), _) => {
                *self.names() = names.get();
                ledger.written(cells);
            }
            (Err(_), None) => ledger.give_back(cells),
            (Err(_), Some(save)) => {
                *lock(&self.in_doubt) = Some((save, cells.to_vec()));
                // If that can't be known now, then before anything else is written or read.
                let _ = self.settle(ledger);
            }
        }
        if written.is_err() {
            let mut names = self.names();
            *names = names.unknown();
        }
        written
    }

    /// Finds out what a write that failed has come to: what is not in the file is given back to the ledger.
    ///
    /// # Errors
    /// As of [`save`](Self::save).
    pub fn settle(&self, ledger: &Ledger) -> Result<(), StorageError> {
        let mut in_doubt = lock(&self.in_doubt);
        let Some((save, cells)) = &*in_doubt else {
            return Ok(());
        };
        let saves = self
            .connection
            .with(|database| ledger_tables::read_saves(&database.begin_read()?))?;
        if saves == *save {
            ledger.written(cells);
        } else {
            ledger.give_back(cells);
        }
        *in_doubt = None;
        Ok(())
    }

    /// Writes the file anew if it was removed or cut short while open; says how many keys are in it then. What was served
    /// comes along if the file can still be read.
    ///
    /// # Errors
    /// As of [`save`](Self::save).
    pub fn put_back(&self, limiter: &Limiter) -> Result<Option<usize>, StorageError> {
        let found = self.connection.found()?;
        let what = match found {
            Found::Ours => return Ok(None),
            Found::Other | Found::Overwritten => return Err(StorageError::Replaced),
            Found::Gone => "it was removed while open",
            Found::CutShort => "it was cut short while open",
        };
        let draft = self.connection.draft()?;
        let keeps_usage = found == Found::Gone && self.copy_usage(&draft.database);
        // What was noted is among all that there is.
        let changed = limiter.drain_changed();
        let keys = limiter.keys();
        let written = contained(|| {
            self.records.write(&draft.database)?;
            let mut rule_sets = StoredRuleSets::default();
            for part in keys.chunks(PART_KEYS) {
                write(&draft.database, limiter, &limiter.changes(part), &mut rule_sets, |_| {
                    Ok(())
                })?;
            }
            Ok(rule_sets)
        });
        written
            .and_then(|rule_sets| self.connection.install(draft, rule_sets))
            .inspect_err(|_| {
                limiter.give_back_changed(&changed);
                limiter.give_back_changed(&keys);
            })?;
        let mut names = self.names();
        let lost = if names.has_usage && !keeps_usage {
            "; of what was served, some or all that was counted before is lost"
        } else {
            ""
        };
        // All of them are written with the next cells.
        *names = names.unknown();
        let note = Note {
            code: "ERR_STORAGE_REPLACED",
            text: format!("{what}; it is written anew, with all usage and records{lost}"),
        };
        lock(&self.notes).push(note);
        Ok(Some(keys.len()))
    }

    fn rule_sets(&self) -> MutexGuard<'_, StoredRuleSets> {
        lock(&self.connection.rule_sets)
    }

    fn names(&self) -> MutexGuard<'_, StoredNames> {
        lock(&self.names)
    }

    /// Has a new ledger know the meters and plans of what is in the file, by their numbers.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`], and as of [`save`](Self::save).
    pub fn load_names(&self, ledger: &Ledger) -> Result<(), StorageError> {
        let load = |database: &redb::Database| StoredNames::load(&database.begin_read()?, ledger);
        *self.names() = self.connection.with(load)?;
        Ok(())
    }

    /// What was served, as it is written now.
    ///
    /// # Errors
    /// As of [`save`](Self::save).
    pub fn usage(&self) -> Result<UsageReader, StorageError> {
        self.connection
            .with(|database| Ok(UsageReader::new(database.begin_read()?)))
    }

    /// Closes days, merges usage that is older than is kept, and lets the oldest go: some of it; says whether anything was
    /// to be done.
    ///
    /// # Errors
    /// As of [`save`](Self::save); [`StorageError::Replaced`] also if the file was removed, until it is written anew.
    pub fn coarsen(&self, now_ms: u64, retention: &Retention) -> Result<bool, StorageError> {
        if self.connection.found()? != Found::Ours {
            return Err(StorageError::Replaced);
        }
        self.connection.with(|database| coarsen(database, now_ms, retention))
    }

    /// Whether all that was served could be copied out of a file that has no name any more.
    fn copy_usage(&self, to: &redb::Database) -> bool {
        let copied = self
            .connection
            .with_open(|database| ledger_tables::copy(&database.begin_read()?, to, PART_CELLS));
        matches!(copied, Some(Ok(())))
    }

    /// A record.
    #[must_use]
    pub fn record(&self, name: &str) -> Option<String> {
        self.records.get(name)
    }

    /// At most `size` records whose names begin so, ordered by name, after the one named `after`.
    #[must_use]
    pub fn records(&self, prefix: &str, size: usize, after: &str) -> Vec<(String, String)> {
        self.records.list(prefix, size, after)
    }

    /// Writes a record, or deletes it; durable when this returns. If it fails, either may be found afterwards.
    ///
    /// # Errors
    /// As of [`save`](Self::save); [`StorageError::Replaced`] also if the file was removed, until it is written anew.
    pub fn put_record(&self, name: &str, value: Option<&str>) -> Result<(), StorageError> {
        if self.connection.found()? != Found::Ours {
            return Err(StorageError::Replaced);
        }
        self.connection.with(|database| write_record(database, name, value))?;
        self.records.put(name, value);
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tollkeeper_limiter::{LimitSpec, Period, Rule, Settings, TierSpec};

    use super::*;
    use crate::full_disk::{FULL, on_a_disk_that_may_be_full};

    const NOW_MS: u64 = 1_790_000_000_000;

    fn limiter(storage: &Storage) -> Limiter {
        let rule = Rule::Quota {
            limit_milli: 9_000,
            period: Period::Day,
        };
        let limits = vec![LimitSpec {
            name: "day".into(),
            rule,
        }];
        let tiers = vec![TierSpec {
            name: "free".into(),
            limits,
        }];
        Limiter::new(Settings {
            tiers,
            max_keys: 10,
            secret: storage.secret(),
            durable: true,
        })
        .unwrap()
    }

    #[test]
    fn what_could_not_be_written_is_written_when_there_is_room_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limits.redb");
        let connection = on_a_disk_that_may_be_full(&path).unwrap();
        let storage = Storage::of(connection).unwrap();
        let spender = limiter(&storage);
        spender.consume(spender.hash("key"), 0, 4_000, NOW_MS).unwrap();
        FULL.set(true);
        for _ in 0..3 {
            assert_eq!(storage.save(&spender).unwrap_err().code(), "ERR_STORAGE_IO");
            assert!(storage.put_record("name", Some("value")).is_err());
        }
        FULL.set(false);
        storage.put_record("name", Some("value")).unwrap();
        assert_eq!(storage.save(&spender).unwrap(), 1);
        drop(storage);
        let storage = Storage::open(&path).unwrap();
        let reader = limiter(&storage);
        storage.load(&reader).unwrap();
        let spent = reader.peek(reader.hash("key"), 0, 0, NOW_MS).unwrap().spent[0];
        assert_eq!((spent, storage.record("name").as_deref()), (4_000, Some("value")));
    }

    #[test]
    fn after_a_failure_only_the_same_file_is_opened_again_and_any_other_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limits.redb");
        let connection = on_a_disk_that_may_be_full(&path).unwrap();
        let storage = Storage::of(connection).unwrap();
        let put = || storage.put_record("name", Some("value"));
        FULL.set(true);
        put().unwrap_err();
        FULL.set(false);
        let away = folder.path().join("away");
        fs::rename(&path, &away).unwrap();
        assert_eq!(put().unwrap_err().code(), "ERR_STORAGE_REPLACED");
        assert!(!path.exists());
        for other in [&b""[..], b"not a database"] {
            fs::write(&path, other).unwrap();
            assert_eq!(put().unwrap_err().code(), "ERR_STORAGE_REPLACED");
            assert_eq!(fs::read(&path).unwrap(), other);
        }
        let other = folder.path().join("other");
        drop(Storage::open(&other).unwrap());
        let before = fs::read(&other).unwrap();
        fs::rename(&other, &path).unwrap();
        assert_eq!(put().unwrap_err().code(), "ERR_STORAGE_REPLACED");
        assert!(before == fs::read(&path).unwrap());
        fs::rename(&away, &path).unwrap();
        put().unwrap();
        assert_eq!(storage.record("name").as_deref(), Some("value"));
    }

    #[test]
    fn a_file_that_has_gone_is_written_anew_when_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limits.redb");
        let storage = Storage::of(on_a_disk_that_may_be_full(&path).unwrap()).unwrap();
        let spender = limiter(&storage);
        storage.put_record("name", Some("value")).unwrap();
        for key in ["one", "two"] {
            spender.consume(spender.hash(key), 0, 4_000, NOW_MS).unwrap();
        }
        storage.save(&spender).unwrap();
        fs::remove_file(&path).unwrap();
        FULL.set(true);
        for _ in 0..2 {
            assert_eq!(storage.save(&spender).unwrap_err().code(), "ERR_STORAGE_IO");
        }
        assert!(!path.exists());
        FULL.set(false);
        assert_eq!(storage.save(&spender).unwrap(), 2);
        assert_eq!(storage.drain_notes().len(), 1);
        assert_eq!(storage.save(&spender).unwrap(), 0);
        drop(storage);
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            1,
            "no draft or lock is left"
        );
        let storage = Storage::open(&path).unwrap();
        let reader = limiter(&storage);
        assert_eq!(storage.load(&reader).unwrap(), 2);
        let spent = reader.peek(reader.hash("one"), 0, 0, NOW_MS).unwrap().spent[0];
        assert_eq!((spent, storage.record("name").as_deref()), (4_000, Some("value")));
    }

    #[test]
    fn a_panic_is_an_error_and_the_next_call_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open(&folder.path().join("limits.redb")).unwrap();
        let panicked = storage.connection.with(|database| -> Result<(), StorageError> {
            let _transaction = database.begin_write()?;
            panic!("as redb may on a file that was tampered with")
        });
        assert_eq!(panicked.unwrap_err().code(), "ERR_STORAGE_CORRUPT");
        storage.put_record("name", Some("value")).unwrap();
    }
}
