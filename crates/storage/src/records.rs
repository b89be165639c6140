//! Small named records beside the keys: asked for in memory, and written to the file one by one.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redb::{Database, ReadableDatabase, ReadableTable};

use crate::error::StorageError;
use crate::tables::RECORDS;

/// All of them, so that the file can be written anew when it was taken away.
#[derive(Debug)]
pub(crate) struct Records(Mutex<BTreeMap<String, String>>);

impl Records {
    pub(crate) fn read(database: &Database) -> Result<Self, StorageError> {
        let mut records = BTreeMap::new();
        for entry in database.begin_read()?.open_table(RECORDS)?.iter()? {
            let (name, value) = entry?;
            records.insert(name.value().to_owned(), value.value().to_owned());
        }
        Ok(Self(Mutex::new(records)))
    }

    /// Writes all of them.
    pub(crate) fn write(&self, database: &Database) -> Result<(), StorageError> {
        let transaction = database.begin_write()?;
        for (name, value) in &*self.lock() {
            transaction.open_table(RECORDS)?.insert(name.as_str(), value.as_str())?;
        }
        Ok(transaction.commit()?)
    }

    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.lock().get(name).cloned()
    }

    /// At most `size` of them whose names begin so, ordered by name, after the one named `after`.
    pub(crate) fn list(&self, prefix: &str, size: usize, after: &str) -> Vec<(String, String)> {
        let from = if after > prefix {
            Bound::Excluded(after)
        } else {
            Bound::Included(prefix)
        };
        self.lock()
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix))
            .take(size)
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Notes what was written.
    pub(crate) fn put(&self, name: &str, value: Option<&str>) {
        let mut records = self.lock();
        match value {
            Some(value) => records.insert(name.to_owned(), value.to_owned()),
            None => records.remove(name),
        };
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes one, or deletes it.
pub(crate) fn write_record(database: &Database, name: &str, value: Option<&str>) -> Result<(), StorageError> {
    let transaction = database.begin_write()?;
    {
        let mut records = transaction.open_table(RECORDS)?;
        match value {
            Some(value) => records.insert(name, value)?,
            None => records.remove(name)?,
        };
    }
    Ok(transaction.commit()?)
}
