//! The file that a path leads to, made where there is none. Called when a storage file is opened.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

use crate::database::open_database;
use crate::draft::Draft;
use crate::error::StorageError;
use crate::exposure::private;
use crate::location::is_same;
use crate::tables::random_secret;

const OPEN_ATTEMPTS: usize = 8;

/// The file, which is made if it isn't there or is empty.
pub(crate) fn open_file(path: &Path) -> Result<File, StorageError> {
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
    let made = Draft::new(&path, random_secret()?, open_database)?.close()?;
    if is_there(empty, &path)? {
        made.replace(&path)?;
    }
    Ok(())
}

/// Whether an empty file is still empty, and still where it was.
fn is_there(empty: &File, path: &Path) -> Result<bool, StorageError> {
    let found = fs::metadata(path)?;
    let ours = empty.metadata()?;
    Ok(is_same(&ours, &found) && ours.len() == 0 && found.len() == 0)
}
