//! A lock beside a storage file, held by a connection as long as the file is open.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use crate::error::StorageError;
use crate::exposure::private;
use crate::location::{is_same, target_of};

const LOCK_ATTEMPTS: usize = 8;

/// The right to a path, held as long as its file is open: the lock of the file itself goes where the file goes.
#[derive(Debug)]
pub(crate) struct PathLock {
    path: PathBuf,
    file: File,
}

impl PathLock {
    /// Takes the right to a path; none where a folder can't be written to or knows no locks.
    pub(crate) fn acquire(path: &Path) -> Result<Option<Self>, StorageError> {
        let path = lock_of(path)?;
        for _ in 0..LOCK_ATTEMPTS {
            let Ok(file) = private().create(true).truncate(false).open(&path) else {
                return Ok(None);
            };
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(StorageError::Locked),
                Err(TryLockError::Error(_)) => return Ok(None),
            }
            // Who had it before may have taken it away meanwhile.
            let lock = Self {
                path: path.clone(),
                file,
            };
            if lock.is_there() {
                return Ok(Some(lock));
            }
        }
        Err(StorageError::Locked)
    }

    /// Whether it is for the file that a path leads to now.
    pub(crate) fn is_for(&self, path: &Path) -> bool {
        lock_of(path).is_ok_and(|path| path == self.path) && self.is_there()
    }

    fn is_there(&self) -> bool {
        let ours = self.file.metadata().ok();
        ours.zip(fs::metadata(&self.path).ok())
            .is_some_and(|(ours, there)| is_same(&ours, &there))
    }
}

impl Drop for PathLock {
    fn drop(&mut self) {
        if self.is_there() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// The file that is locked for another.
fn lock_of(path: &Path) -> io::Result<PathBuf> {
    let target = target_of(path)?;
    let mut name = OsString::from(".");
    name.push(target.file_name().unwrap_or_default());
    name.push(".lock");
    Ok(target.with_file_name(name))
}
