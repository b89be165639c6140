//! How a file becomes a database of redb. Called wherever one is opened: for good, as a draft, or to be examined.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::backends::FileBackend;
use redb::{Builder, Database, StorageBackend};

use crate::error::StorageError;

const CACHE_BYTES: usize = 64 << 20;

/// What opens a file: [`open_database`], but for the tests.
pub(crate) type Opener = fn(File) -> Result<Database, StorageError>;

pub(crate) fn open_database(file: File) -> Result<Database, StorageError> {
    build(FileBackend::new(file)?, false)
}

pub(crate) fn build(backend: impl StorageBackend, checks: bool) -> Result<Database, StorageError> {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(checks);
    Ok(builder.create_with_backend(backend)?)
}

/// redb may panic on a file that was tampered with.
pub(crate) fn contained<T>(call: impl FnOnce() -> Result<T, StorageError>) -> Result<T, StorageError> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|_| Err(StorageError::Corrupt("its structure".into())))
}
