//! The database behind a storage file: made, opened, and opened again after a failure.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase, StorageBackend, TableDefinition};
use tollkeeper_limiter::Secret;

use crate::error::StorageError;
use crate::file::{KEYS, PLANS, RECORDS};
use crate::trial::Trial;

/// The version of the format that this release reads and writes.
pub const FORMAT: u64 = 1;

/// `format` as a little-endian u64, and `secret`.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("tollkeeper");
const CACHE_BYTES: usize = 64 << 20;
/// With which every redb file begins; see its `docs/design.md`.
const MAGIC: &[u8; 9] = b"redb\x1A\x0A\xA9\x0D\x0A";

type Opener = fn(&Path) -> Result<Database, StorageError>;

/// An open database. redb uses none again that once failed to write, so after a failure it is closed, and opened anew for
/// the next call.
#[derive(Debug)]
pub(crate) struct Connection {
    path: PathBuf,
    opener: Opener,
    secret: Secret,
    database: RwLock<Option<Database>>,
}

impl Connection {
    /// Opens a file, or makes a new one.
    pub(crate) fn open(path: &Path) -> Result<Self, StorageError> {
        contained(|| {
            match fs::metadata(path) {
                Err(why) if why.kind() == ErrorKind::NotFound => publish(path)?,
                Err(why) => return Err(why.into()),
                Ok(found) if !found.is_file() => return Err(StorageError::Io("it is no regular file".into())),
                Ok(found) if found.len() == 0 => return Self::over(path, begin(private(path, false)?)?, open_database),
                Ok(_) => {}
            }
            check_magic(&File::open(path)?)?;
            try_out(FileBackend::new(private(path, false)?)?)?;
            Self::over(path, open_database(path)?, open_database)
        })
    }

    fn over(path: &Path, database: Database, opener: Opener) -> Result<Self, StorageError> {
        let secret = read_secret(&database)?;
        Ok(Self {
            path: path.into(),
            opener,
            secret,
            database: RwLock::new(Some(database)),
        })
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
        result
    }

    fn revive(&self) -> Result<(), StorageError> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let mut place = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if place.is_none() {
            let database = contained(|| (self.opener)(&self.path))?;
            if contained(|| read_secret(&database))? != self.secret {
                return Err(StorageError::Io("another file has taken its place".into()));
            }
            *place = Some(database);
        }
        Ok(())
    }
}

/// redb may panic on a file that was tampered with.
fn contained<T>(call: impl FnOnce() -> Result<T, StorageError>) -> Result<T, StorageError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(StorageError::Corrupt("its structure".into())))
}

/// Makes a new file under another name and gives it its own when it is complete: a crash leaves none that is half made,
/// and of several processes that do this at once one wins.
fn publish(path: &Path) -> Result<(), StorageError> {
    let name = path
        .file_name()
        .ok_or_else(|| StorageError::Io("it has no name".into()))?;
    let unique = u128::from_ne_bytes(random_secret()?);
    let draft = path.with_file_name(format!(".{}.new-{unique:032x}", name.to_string_lossy()));
    let made = private(&draft, true).and_then(begin).map(drop);
    let published = made.and_then(|()| match fs::hard_link(&draft, path) {
        // Another process was faster, and its file is the one to open.
        Err(why) if why.kind() == ErrorKind::AlreadyExists => Ok(()),
        // A file system without hard links.
        Err(_) if !path.exists() => Ok(fs::rename(&draft, path)?),
        linked => Ok(linked?),
    });
    let _ = fs::remove_file(&draft);
    published
}

/// Opens a file that is for its owner alone.
fn private(path: &Path, new: bool) -> Result<File, StorageError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(new);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    Ok(options.open(path)?)
}

/// Makes an empty file a storage file.
fn begin(file: File) -> Result<Database, StorageError> {
    #[cfg(unix)]
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let database = build(FileBackend::new(file)?, false)?;
    let secret = random_secret()?;
    let transaction = database.begin_write()?;
    transaction
        .open_table(META)?
        .insert("format", &FORMAT.to_le_bytes()[..])?;
    transaction.open_table(META)?.insert("secret", &secret[..])?;
    open_tables(&transaction)?;
    transaction.commit()?;
    Ok(database)
}

fn open_tables(transaction: &redb::WriteTransaction) -> Result<(), StorageError> {
    transaction.open_table(PLANS)?;
    transaction.open_table(KEYS)?;
    transaction.open_table(RECORDS)?;
    Ok(())
}

fn open_database(path: &Path) -> Result<Database, StorageError> {
    build(FileBackend::new(private(path, false)?)?, false)
}

fn build(backend: impl StorageBackend, checks: bool) -> Result<Database, StorageError> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(checks);
    Ok(builder.create_with_backend(backend)?)
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
fn try_out(file: FileBackend) -> Result<(), StorageError> {
    let database = build(Trial::new(file)?, true)?;
    read_secret(&database)?;
    let transaction = database.begin_read()?;
    transaction.open_table(PLANS)?;
    transaction.open_table(KEYS)?;
    transaction.open_table(RECORDS)?;
    Ok(())
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
    use std::io;
    use std::ops::Bound;
    use std::sync::atomic::{AtomicBool, Ordering};

    use redb::BackendError;

    use super::*;

    /// Whether the disk is full.
    pub(crate) static FULL: AtomicBool = AtomicBool::new(false);

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
            if FULL.load(Ordering::Relaxed) {
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

    /// A connection to a new file on that disk.
    pub(crate) fn on_a_disk_that_may_be_full(path: &Path) -> Connection {
        publish(path).unwrap();
        let opener: Opener = |path| build(Disk(FileBackend::new(private(path, false)?)?), false);
        Connection::over(path, opener(path).unwrap(), opener).unwrap()
    }
}
