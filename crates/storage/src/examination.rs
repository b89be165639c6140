//! What a file is found to be, without being changed, before it is opened or opened again.

use std::fs::File;
use std::io::Read;

use redb::backends::FileBackend;
use tollkeeper_limiter::Secret;

use crate::database::build;
use crate::error::StorageError;
use crate::overlay::Overlay;
use crate::tables::{check_tables, read_secret};

/// With which every redb file begins; see its `docs/design.md`.
const MAGIC: &[u8; 9] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// Finds out, without changing it, whether a file can be used, and with what secret.
pub(crate) fn examine(file: &File) -> Result<Secret, StorageError> {
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
    let database = build(Overlay::new(file)?, true)?;
    let secret = read_secret(&database)?;
    check_tables(&database)?;
    Ok(secret)
}
