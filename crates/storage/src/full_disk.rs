//! A disk that may be full, which tests of this crate put beneath a storage file.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use crate::connection::Connection;
use crate::database::build;
use crate::error::StorageError;

thread_local! {
    /// Whether the disk is full.
    pub(crate) static FULL: Cell<bool> = const { Cell::new(false) };
    /// Writes so far.
    pub(crate) static WRITES: Cell<usize> = const { Cell::new(0) };
    /// Which of them fail, from and to.
    pub(crate) static FAULTS: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    /// After how many more syncs one fails, of what was written before it.
    pub(crate) static SYNCS: Cell<usize> = const { Cell::new(usize::MAX) };
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
        self.0.sync_data()?;
        let left = SYNCS.get();
        SYNCS.set(left.wrapping_sub(1));
        if left == 0 {
            Err(ErrorKind::Other.into())
        } else {
            Ok(())
        }
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
