//! The database behind a storage file: made, opened, and opened again after a failure.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase, StorageBackend, TableDefinition};
use tollkeeper_limiter::Secret;

use crate::compaction::open_compacted;
use crate::error::StorageError;
use crate::exposure::keep_to_owner;
use crate::file::{KEYS, PLANS, RECORDS};
use crate::place::{Found, Guard, Place, is_same, target_of};
use crate::stored_plans::StoredPlans;
use crate::trial::Trial;

/// The version of the format that this release reads and writes.
pub const FORMAT: u64 = 1;

/// `format` as a little-endian u64, and `secret`.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("tollkeeper");
const CACHE_BYTES: usize = 64 << 20;
/// With which every redb file begins; see its `docs/design.md`.
const MAGIC: &[u8; 9] = b"redb\x1A\x0A\xA9\x0D\x0A";

const OPEN_ATTEMPTS: usize = 8;

pub(crate) type Opener = fn(File) -> Result<Database, StorageError>;

/// An open database. redb uses none again that once failed to write, so after a failure it is closed, and opened anew for
/// the next call.
#[derive(Debug)]
pub(crate) struct Connection {
    opener: Opener,
    secret: Secret,
    database: RwLock<Option<Database>>,
    pub(crate) plans: Mutex<StoredPlans>,
    /// Who else could read or replace the file when it was opened.
    pub(crate) exposure: Option<String>,
    place: Mutex<Place>,
    guard: Mutex<Option<Guard>>,
}

/// A complete file that is yet to be put in its place.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) database: Database,
    file: File,
    scrap: Scrap,
}

/// A name that nothing is to be left of.
#[derive(Debug)]
struct Scrap(PathBuf);

impl Drop for Scrap {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Connection {
    /// Opens a file, or makes a new one.
    pub(crate) fn open(path: &Path) -> Result<Self, StorageError> {
        Self::open_with(path, open_database)
    }

    fn open_with(path: &Path, opener: Opener) -> Result<Self, StorageError> {
        contained(|| {
            // It may have to be opened again when the process works in another folder.
            let path = std::path::absolute(path)?;
            let guard = Guard::take(&path)?;
            let file = open_file(&path)?;
            let secret = examine(&file)?;
            let exposure = keep_to_owner(&file, &path);
            let kept = file.try_clone()?;
            Ok(Self {
                opener,
                secret,
                database: RwLock::new(Some(open_compacted(file, opener)?)),
                plans: Mutex::default(),
                exposure,
                place: Mutex::new(Place::new(path, kept)?),
                guard: Mutex::new(guard),
            })
        })
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether the file is still in its place, as it was left.
    pub(crate) fn found(&self) -> Result<Found, StorageError> {
        let found = self.place().look()?;
        if found == Found::Overwritten {
            // To close it would mean to write into what is somebody else's now.
            std::mem::forget(self.database.write().unwrap_or_else(PoisonError::into_inner).take());
        }
        Ok(found)
    }

    /// Makes a file of the same secret beside the place of one that has gone.
    pub(crate) fn draft(&self) -> Result<Draft, StorageError> {
        contained(|| {
            let scrap = Scrap(draft_of(&target_of(self.place().path())?)?);
            let file = private().create_new(true).open(&scrap.0)?;
            let database = (self.opener)(file.try_clone()?)?;
            begin(&database, self.secret)?;
            Ok(Draft { database, file, scrap })
        })
    }

    /// Puts a draft in the place of a file that has gone, and goes on with it.
    pub(crate) fn settle(&self, draft: Draft, plans: StoredPlans) -> Result<(), StorageError> {
        let Draft { database, file, scrap } = draft;
        file.sync_all()?;
        let mut place = self.place();
        let mut guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        if !guard.as_ref().is_some_and(|guard| guard.is_for(place.path())) {
            *guard = Guard::take(place.path())?;
        }
        if !matches!(place.look()?, Found::Gone | Found::CutShort) {
            return Err(StorageError::Replaced);
        }
        let target = target_of(place.path())?;
        match fs::hard_link(&scrap.0, &target) {
            Ok(()) => {}
            // It is empty, or our own.
            Err(_) => fs::rename(&scrap.0, &target)?,
        }
        sync_folder(&target);
        *place = Place::new(place.path().to_path_buf(), file)?;
        *self.plans.lock().unwrap_or_else(PoisonError::into_inner) = plans;
        let old = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(database);
        let _ = contained(|| {
            drop(old);
            Ok(())
        });
        Ok(())
    }

    pub(crate) fn secret(&self) -> Secret {
        self.secret
    }

    /// Calls the database. One that failed is closed, and what was not committed is as if it had not been asked for.
    pub(crate) fn with<T>(&self, call: impl Fn(&Database) -> Result<T, StorageError>) -> Result<T, StorageError> {
        self.revive()?;
        let result = match &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            Some(database) => contained(|| call(database)),
            None => Err(StorageError::Io("it has just been closed after a failure".into())),
        };
        if matches!(result, Err(StorageError::Io(_) | StorageError::Corrupt(_))) {
            let failed = self.database.write().unwrap_or_else(PoisonError::into_inner).take();
            // To close it means to write, which may fail once more.
            let _ = contained(|| {
                drop(failed);
                Ok(())
            });
        }
        self.place().remember()?;
        result
    }

    fn revive(&self) -> Result<(), StorageError> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let mut place = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if place.is_none() {
            let database = contained(|| {
                let mut place = self.place();
                let file = OpenOptions::new().read(true).write(true).open(place.path())?;
                if place.look()? != Found::Ours || examine(&file)? != self.secret {
                    return Err(StorageError::Replaced);
                }
                let kept = file.try_clone()?;
                let database = (self.opener)(file)?;
                *place = Place::new(place.path().to_path_buf(), kept)?;
                Ok(database)
            })?;
            *self.plans.lock().unwrap_or_else(PoisonError::into_inner) = StoredPlans::default();
            *place = Some(database);
        }
        Ok(())
    }
}

/// redb may panic on a file that was tampered with.
pub(crate) fn contained<T>(call: impl FnOnce() -> Result<T, StorageError>) -> Result<T, StorageError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(StorageError::Corrupt("its structure".into())))
}

/// The file, which is made if it isn't there or is empty.
fn open_file(path: &Path) -> Result<File, StorageError> {
    // More than twice only if others make and empty it meanwhile.
    for _ in 0..OPEN_ATTEMPTS {
        let file = private().create(true).truncate(false).open(path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(StorageError::Io("it is no regular file".into()));
        }
        if found.len() > 0 {
            return Ok(file);
        }
        replace(&file, path)?;
    }
    Err(StorageError::Io("it is emptied again and again".into()))
}

/// Makes a new file under another name and, when it is complete, puts it in the place of an empty one: neither a crash
/// nor another process ever finds one that is half made. Does nothing if there is another file in that place by now.
fn replace(empty: &File, path: &Path) -> Result<(), StorageError> {
    // Of all that would replace this file one at a time goes on, until its `empty` is dropped.
    match empty.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(StorageError::Locked),
        // A file system without locks.
        Err(TryLockError::Error(why)) if why.kind() == ErrorKind::Unsupported => {}
        Err(TryLockError::Error(why)) => return Err(why.into()),
    }
    // A link to the file stays.
    let path = fs::canonicalize(path)?;
    let scrap = Scrap(draft_of(&path)?);
    make(&scrap.0)?;
    if is_there(empty, &path)? {
        fs::rename(&scrap.0, &path)?;
        sync_folder(&path);
    }
    Ok(())
}

/// Another name for a file, in the same folder.
fn draft_of(path: &Path) -> Result<PathBuf, StorageError> {
    let unique = u128::from_ne_bytes(random_secret()?);
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".new-{unique:032x}"));
    Ok(path.with_file_name(name))
}

/// So that the name of a file is durable too, where folders can be synced.
fn sync_folder(path: &Path) {
    let _ = path.parent().map(|folder| File::open(folder)?.sync_all());
}

/// Whether an empty file is still empty, and still where it was.
fn is_there(empty: &File, path: &Path) -> Result<bool, StorageError> {
    let found = fs::metadata(path)?;
    let ours = empty.metadata()?;
    Ok(is_same(&ours, &found) && ours.len() == 0 && found.len() == 0)
}

/// To open a file that, if it is made, is for its owner alone.
pub(crate) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a file with a secret and nothing else in it, durable when this returns.
fn make(draft: &Path) -> Result<(), StorageError> {
    let file = private().create_new(true).open(draft)?;
    let database = open_database(file.try_clone()?)?;
    begin(&database, random_secret()?)?;
    database.close()?;
    Ok(file.sync_all()?)
}

fn begin(database: &Database, secret: Secret) -> Result<(), StorageError> {
    let transaction = database.begin_write()?;
    transaction
        .open_table(META)?
        .insert("format", &FORMAT.to_le_bytes()[..])?;
    transaction.open_table(META)?.insert("secret", &secret[..])?;
    open_tables(&transaction)?;
    Ok(transaction.commit()?)
}

fn open_tables(transaction: &redb::WriteTransaction) -> Result<(), StorageError> {
    transaction.open_table(PLANS)?;
    transaction.open_table(KEYS)?;
    transaction.open_table(RECORDS)?;
    Ok(())
}

fn open_database(file: File) -> Result<Database, StorageError> {
    build(FileBackend::new(file)?, false)
}

fn build(backend: impl StorageBackend, checks: bool) -> Result<Database, StorageError> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(checks);
    Ok(builder.create_with_backend(backend)?)
}

/// Finds out, without changing it, whether a file can be used, and with what secret.
fn examine(file: &File) -> Result<Secret, StorageError> {
    check_magic(file)?;
    try_out(FileBackend::new(file.try_clone()?)?)
}

fn check_magic(file: &File) -> Result<(), StorageError> {
    let mut begin = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut begin)?;
    if begin == MAGIC {
        Ok(())
    } else {
        Err(StorageError::Foreign)
    }
}

/// Opens the file as it will be opened, repair included, but without changing it.
fn try_out(file: FileBackend) -> Result<Secret, StorageError> {
    let database = build(Trial::new(file)?, true)?;
    let secret = read_secret(&database)?;
    let transaction = database.begin_read()?;
    transaction.open_table(PLANS)?;
    transaction.open_table(KEYS)?;
    transaction.open_table(RECORDS)?;
    Ok(secret)
}

fn read_secret(database: &Database) -> Result<Secret, StorageError> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let format = meta
        .get("format")?
        .and_then(|format| Some(u64::from_le_bytes(*format.value().first_chunk()?)));
    match format {
        Some(FORMAT) => {}
        Some(other) => return Err(StorageError::Version(other)),
        None => return Err(StorageError::Foreign),
    }
    let secret = meta.get("secret")?.and_then(|secret| secret.value().try_into().ok());
    secret.ok_or_else(|| StorageError::Corrupt("the secret".into()))
}

/// A new random secret.
///
/// # Errors
/// [`StorageError::Io`] if the system has no randomness to give.
pub fn random_secret() -> Result<Secret, StorageError> {
    let mut secret = Secret::default();
    getrandom::fill(&mut secret).map_err(|why| StorageError::Io(why.to_string()))?;
    Ok(secret)
}

#[cfg(test)]
pub(crate) mod tests {
    use std::cell::Cell;
    use std::io;
    use std::ops::Bound;

    use redb::BackendError;

    use super::*;

    thread_local! {
        /// Whether the disk is full.
        pub(crate) static FULL: Cell<bool> = const { Cell::new(false) };
        /// Writes so far.
        pub(crate) static WRITES: Cell<usize> = const { Cell::new(0) };
        /// Which of them fail, from and to.
        pub(crate) static FAULTS: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    }

    /// A file on that disk.
    #[derive(Debug)]
    struct Disk(FileBackend);

    impl StorageBackend for Disk {
        fn len(&self) -> io::Result<u64> {
            self.0.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.0.read(offset, out)
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            self.0.set_len(len)
        }

        fn sync_data(&self) -> io::Result<()> {
            self.0.sync_data()
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            let write = WRITES.replace(WRITES.get() + 1);
            let (from, to) = FAULTS.get();
            if FULL.get() || (from..to).contains(&write) {
                return Err(ErrorKind::StorageFull.into());
            }
            self.0.write(offset, data)
        }

        fn close(&self) -> io::Result<()> {
            self.0.close()
        }

        fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
            self.0.try_lock_range(start, end)
        }

        fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
            self.0.unlock_range(start, end)
        }
    }

    /// A connection to a file on that disk.
    pub(crate) fn on_a_disk_that_may_be_full(path: &Path) -> Result<Connection, StorageError> {
        Connection::open_with(path, |file| build(Disk(FileBackend::new(file)?), false))
    }
}
