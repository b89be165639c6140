//! A file that can be written to without being changed. The examination opens it so.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

const PAGE_BYTES: usize = 4096;
const PAGE: u64 = PAGE_BYTES as u64;

/// A storage file as it would be after the writes made to it, which stay in memory. The locks are the file's own.
///
/// A damaged file is found out by letting redb repair it; this is where it may try.
#[derive(Debug)]
pub(crate) struct Overlay {
    file: FileBackend,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// Length of the part of the file that still shows through.
    file_len: u64,
    pages: HashMap<u64, Box<[u8]>>,
}

impl Overlay {
    pub(crate) fn new(file: FileBackend) -> io::Result<Self> {
        let len = file.len()?;
        Ok(Self {
            file,
            written: Mutex::new(Written {
                len,
                file_len: len,
                pages: HashMap::new(),
            }),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Written> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The page as it is in the file; zeros where the file does not show through.
    fn page_of_file(&self, page: u64, file_len: u64) -> io::Result<Box<[u8]>> {
        let mut bytes = vec![0; PAGE_BYTES].into_boxed_slice();
        let there = file_len.saturating_sub(page * PAGE).min(PAGE) as usize;
        if there > 0 {
            self.file.read(page * PAGE, &mut bytes[..there])?;
        }
        Ok(bytes)
    }
}

/// The pages that a range covers: number, where in the page it begins, and how much of the range is in it.
#[expect(clippy::cast_possible_truncation, reason = "at most a page")]
fn pages(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, usize)> {
    let end = offset + len as u64;
    (offset / PAGE..end.div_ceil(PAGE)).map(move |page| {
        let from = offset.max(page * PAGE);
        let to = end.min((page + 1) * PAGE);
        (page, (from - page * PAGE) as usize, (to - from) as usize)
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.lock().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let written = self.lock();
        if offset + out.len() as u64 > written.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut rest = &mut out[..];
        for (page, from, len) in pages(offset, rest.len()) {
            let (part, after) = rest.split_at_mut(len);
            match written.pages.get(&page) {
                Some(bytes) => part.copy_from_slice(&bytes[from..from + len]),
                None => part.copy_from_slice(&self.page_of_file(page, written.file_len)?[from..from + len]),
            }
            rest = after;
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.lock();
        written.len = len;
        written.file_len = written.file_len.min(len);
        written.pages.retain(|page, _| page * PAGE < len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.lock();
        let file_len = written.file_len;
        let mut rest = data;
        for (page, from, len) in pages(offset, data.len()) {
            let (part, after) = rest.split_at(len);
            let bytes = match written.pages.entry(page) {
                Entry::Occupied(bytes) => bytes.into_mut(),
                Entry::Vacant(vacancy) => vacancy.insert(self.page_of_file(page, file_len)?),
            };
            bytes[from..from + len].copy_from_slice(part);
            rest = after;
        }
        written.len = written.len.max(offset + data.len() as u64);
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
