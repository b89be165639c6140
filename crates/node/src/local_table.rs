//! What one process decides alone: a limiter, and the file behind it. Opened with each engine of `src/engine/native.ts`, and
//! shared by those of one name.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use napi::{Error, Result};
use tollkeeper_limiter::{Limiter, Secret, Settings};
use tollkeeper_storage::Storage;

use crate::error::{self, closed, coded, conflict};
use crate::registry::{self, lock};
use crate::tiers::{self, GivenTiers};

/// How a table is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Options {
    /// Empty for a table of the caller's own.
    pub(crate) name: String,
    /// The JSON of `Object.entries(tiers)`.
    pub(crate) tiers: String,
    pub(crate) max_keys: usize,
    pub(crate) file: Option<String>,
}

/// A limiter, and the file behind it.
#[derive(Debug)]
pub(crate) struct LocalTable {
    /// Taken out when the last user closes, so that the memory of its keys is free at once: who holds this may be collected
    /// much later.
    limiter: RwLock<Option<Limiter>>,
    name: String,
    max_keys: usize,
    path: Option<String>,
    /// Taken out with it, so that the file is free, too.
    storage: RwLock<Option<Storage>>,
    /// Held while changes are taken and written, so that an older state never overwrites a newer one.
    saving: Mutex<()>,
    /// What is to be told of the file: a code, a colon and a text each.
    pub(crate) notes: Mutex<Vec<String>>,
    pub(crate) tiers: GivenTiers,
    users: AtomicUsize,
}

impl LocalTable {
    /// Opens a table, or joins the one of that name.
    pub(crate) fn open(options: &Options) -> Result<Arc<Self>> {
        let join = |table: Option<&Self>| {
            let table = table.filter(|table| table.agrees(options));
            let table = table.ok_or_else(|| conflict(&options.name, "tiers, storage or maxKeys"))?;
            table.users.fetch_add(1, Ordering::Relaxed);
            Ok(true)
        };
        registry::open(&options.name, join, |_| Self::new(options.clone()))
    }

    fn agrees(&self, options: &Options) -> bool {
        self.tiers.opens_with(&options.tiers) && self.max_keys == options.max_keys && self.path == options.file
    }

    fn new(
        Options {
            name,
            tiers,
            max_keys,
            file,
        }: Options,
    ) -> Result<Self> {
        let specs = tiers::parse(&tiers)?;
        let storage = file
            .as_deref()
            .map(|path| Storage::open(Path::new(path)).map_err(|why| error::storage(path, &why)))
            .transpose()?;
        let secret = match &storage {
            Some(storage) => storage.secret(),
            None => random_secret()?,
        };
        let settings = Settings {
            tiers: specs,
            max_keys,
            secret,
            durable: storage.is_some(),
        };
        let limiter = Limiter::new(settings).map_err(|why| error::limiter(&why))?;
        if let (Some(storage), Some(path)) = (&storage, &file) {
            storage.load(&limiter).map_err(|why| error::storage(path, &why))?;
        }
        Ok(Self {
            limiter: RwLock::new(Some(limiter)),
            name,
            max_keys,
            path: file,
            storage: RwLock::new(storage),
            saving: Mutex::default(),
            notes: Mutex::default(),
            tiers: GivenTiers::new(tiers),
            users: AtomicUsize::new(1),
        })
    }

    /// Stores what has changed; nothing without a file.
    pub(crate) fn save(&self) -> Result<()> {
        let _saving = lock(&self.saving);
        let Ok(limiter) = self.limiter() else { return Ok(()) };
        let saved = self.with_storage(|storage| storage.save(&limiter).map(|_| ()));
        if let (Some(notes), Some(path)) = (self.read_storage(Storage::drain_notes), &self.path) {
            let told = notes
                .iter()
                .map(|note| format!("{}: storage file {path}: {}", note.code, note.text));
            lock(&self.notes).extend(told);
        }
        saved.unwrap_or(Ok(()))
    }

    /// Writes or deletes a record, in a file that is written anew first if it was taken away.
    pub(crate) fn put_record(&self, name: &str, value: Option<&str>) -> Result<()> {
        let _saving = lock(&self.saving);
        let limiter = self.limiter()?;
        self.with_storage(|storage| {
            storage.put_back(&limiter)?;
            storage.put_record(name, value)
        })
        .unwrap_or_else(|| Err(closed()))
    }

    /// The limiter, as long as somebody has not closed it.
    pub(crate) fn limiter(&self) -> Result<Limiter> {
        let limiter = self.limiter.read().unwrap_or_else(PoisonError::into_inner);
        limiter.clone().ok_or_else(closed)
    }

    /// Lets one user go, once what has changed is stored; the last one takes the table along.
    pub(crate) fn close(&self) -> Result<()> {
        self.save()?;
        let is_over = registry::leave(&self.name, || self.users.fetch_sub(1, Ordering::Relaxed) == 1);
        if is_over {
            self.limiter.write().unwrap_or_else(PoisonError::into_inner).take();
            self.storage.write().unwrap_or_else(PoisonError::into_inner).take();
        }
        Ok(())
    }

    /// Reads of the storage what is in memory; None if there is no file.
    pub(crate) fn read_storage<T>(&self, read: impl FnOnce(&Storage) -> T) -> Option<T> {
        let storage = self.storage.read().unwrap_or_else(PoisonError::into_inner);
        storage.as_ref().map(read)
    }

    /// Calls the storage; None if there is no file.
    pub(crate) fn with_storage<T>(
        &self,
        call: impl FnOnce(&Storage) -> std::result::Result<T, tollkeeper_storage::StorageError>,
    ) -> Option<Result<T>> {
        let storage = self.storage.read().unwrap_or_else(PoisonError::into_inner);
        let path = self.path.as_deref().unwrap_or_default();
        storage
            .as_ref()
            .map(|storage| call(storage).map_err(|why| error::storage(path, &why)))
    }
}

pub(crate) fn random_secret() -> Result<Secret> {
    tollkeeper_storage::random_secret().map_err(|why| -> Error { coded("ERR_ENGINE_FAILED", why) })
}
