//! The database behind a storage file: opened, asked by each save and record, and opened again after a failure.

use std::fs::OpenOptions;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use redb::Database;
use tollkeeper_limiter::Secret;

use crate::compaction::open_compacted;
use crate::create::open_file;
use crate::database::{Opener, contained, open_database};
use crate::draft::Draft;
use crate::error::StorageError;
use crate::examination::examine;
use crate::exposure::keep_to_owner;
use crate::location::{Found, Location, target_of};
use crate::path_lock::PathLock;
use crate::stored_rule_sets::StoredRuleSets;

/// An open database. redb uses none again that once failed to write, so after a failure it is closed, and opened anew for
/// the next call.
#[derive(Debug)]
pub(crate) struct Connection {
    opener: Opener,
    secret: Secret,
    database: RwLock<Option<Database>>,
    pub(crate) rule_sets: Mutex<StoredRuleSets>,
    /// Who else could read or replace the file when it was opened.
    pub(crate) exposure: Option<String>,
    location: Mutex<Location>,
    lock: Mutex<Option<PathLock>>,
}

impl Connection {
    /// Opens a file, or makes a new one.
    pub(crate) fn open(path: &Path) -> Result<Self, StorageError> {
        Self::open_with(path, open_database)
    }

    pub(crate) fn open_with(path: &Path, opener: Opener) -> Result<Self, StorageError> {
        contained(|| {
            // It may have to be opened again when the process works in another folder.
            let path = std::path::absolute(path)?;
            let lock = PathLock::acquire(&path)?;
            let file = open_file(&path)?;
            let secret = examine(&file)?;
            let exposure = keep_to_owner(&file, &path);
            let kept = file.try_clone()?;
            Ok(Self {
                opener,
                secret,
                database: RwLock::new(Some(open_compacted(file, opener)?)),
                rule_sets: Mutex::default(),
                exposure,
                location: Mutex::new(Location::new(path, kept)?),
                lock: Mutex::new(lock),
            })
        })
    }

    fn location(&self) -> MutexGuard<'_, Location> {
        self.location.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether the file is still in its place, as it was left.
    pub(crate) fn found(&self) -> Result<Found, StorageError> {
        let found = self.location().look()?;
        if found == Found::Overwritten {
            // To close it would mean to write into what is somebody else's now.
            std::mem::forget(self.database.write().unwrap_or_else(PoisonError::into_inner).take());
        }
        Ok(found)
    }

    /// Makes a file of the same secret beside the place of one that has gone.
    pub(crate) fn draft(&self) -> Result<Draft, StorageError> {
        contained(|| Draft::new(&target_of(self.location().path())?, self.secret, self.opener))
    }

    /// Puts a draft in the place of a file that has gone, and goes on with it.
    pub(crate) fn install(&self, draft: Draft, rule_sets: StoredRuleSets) -> Result<(), StorageError> {
        let Draft { database, file, name } = draft;
        file.sync_all()?;
        let mut location = self.location();
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if !lock.as_ref().is_some_and(|lock| lock.is_for(location.path())) {
            *lock = PathLock::acquire(location.path())?;
        }
        if !matches!(location.look()?, Found::Gone | Found::CutShort) {
            return Err(StorageError::Replaced);
        }
        // What it may replace is empty, or our own.
        name.put_at(&target_of(location.path())?)?;
        *location = Location::new(location.path().to_path_buf(), file)?;
        *self.rule_sets.lock().unwrap_or_else(PoisonError::into_inner) = rule_sets;
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
        self.location().remember()?;
        result
    }

    /// Calls the database as it was opened, also if its file has no name any more; None if it is closed.
    pub(crate) fn with_open<T>(
        &self,
        call: impl FnOnce(&Database) -> Result<T, StorageError>,
    ) -> Option<Result<T, StorageError>> {
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        database.as_ref().map(|database| contained(|| call(database)))
    }

    fn revive(&self) -> Result<(), StorageError> {
        if self.database.read().unwrap_or_else(PoisonError::into_inner).is_some() {
            return Ok(());
        }
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            let opened = contained(|| {
                let mut location = self.location();
                let file = OpenOptions::new().read(true).write(true).open(location.path())?;
                if location.look()? != Found::Ours || examine(&file)? != self.secret {
                    return Err(StorageError::Replaced);
                }
                let kept = file.try_clone()?;
                let database = (self.opener)(file)?;
                *location = Location::new(location.path().to_path_buf(), kept)?;
                Ok(database)
            })?;
            *self.rule_sets.lock().unwrap_or_else(PoisonError::into_inner) = StoredRuleSets::default();
            *database = Some(opened);
        }
        Ok(())
    }
}
