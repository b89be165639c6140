//! A file that is made under another name, and then put in its place: a new one at the opening, and one for a file that
//! has gone at the next save.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use redb::Database;
use tollkeeper_limiter::Secret;

use crate::database::Opener;
use crate::error::StorageError;
use crate::exposure::private;
use crate::tables::{begin, random_secret};

/// A file with a secret and nothing else in it, beside the place that it is for.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) database: Database,
    pub(crate) file: File,
    pub(crate) name: TemporaryName,
}

impl Draft {
    /// `target` is a path without links.
    pub(crate) fn new(target: &Path, secret: Secret, opener: Opener) -> Result<Self, StorageError> {
        let name = TemporaryName(draft_of(target)?);
        let file = private().create_new(true).open(&name.0)?;
        let database = opener(file.try_clone()?)?;
        begin(&database, secret)?;
        Ok(Self { database, file, name })
    }

    /// Closes it; durable when this returns.
    pub(crate) fn close(self) -> Result<TemporaryName, StorageError> {
        self.database.close()?;
        self.file.sync_all()?;
        Ok(self.name)
    }
}

/// A name that nothing is to be left of.
#[derive(Debug)]
pub(crate) struct TemporaryName(PathBuf);

impl TemporaryName {
    /// Puts what has the name in the place of what is there.
    pub(crate) fn replace(&self, target: &Path) -> io::Result<()> {
        fs::rename(&self.0, target)?;
        sync_folder(target);
        Ok(())
    }

    /// Puts what has the name where there is nothing, or else in the place of what is there.
    pub(crate) fn put_at(&self, target: &Path) -> io::Result<()> {
        if fs::hard_link(&self.0, target).is_err() {
            return self.replace(target);
        }
        sync_folder(target);
        Ok(())
    }
}

impl Drop for TemporaryName {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
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
