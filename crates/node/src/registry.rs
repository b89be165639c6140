//! The tables of this process, shared by name among all its threads: joined when an engine opens, left when it closes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, RwLock};

use napi::{Error, Result};
use tollkeeper_limiter::{Limiter, Settings};
use tollkeeper_storage::Storage;

use crate::error::{self, coded};
use crate::tiers;

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
pub(crate) struct Shared {
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
    /// The tiers of every version, as they were given.
    pub(crate) tiers: Mutex<Vec<String>>,
    users: Mutex<usize>,
}

/// Tables with a name, which stay as long as somebody has not closed them: the state of a worker that just exits is
/// there for the next.
static NAMED: LazyLock<Mutex<HashMap<String, Arc<Shared>>>> = LazyLock::new(Mutex::default);

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Opens a table, or joins the one of that name.
    pub(crate) fn open(options: Options) -> Result<Arc<Self>> {
        if options.name.is_empty() {
            return Ok(Arc::new(Self::new(options)?));
        }
        let mut named = lock(&NAMED);
        if let Some(shared) = named.get(&options.name) {
            let versions = lock(&shared.tiers);
            // A thread that starts after a reload opens it as all others did.
            let knows_tiers = [versions.first(), versions.last()].contains(&Some(&options.tiers));
            drop(versions);
            if !knows_tiers || shared.max_keys != options.max_keys || shared.path != options.file {
                let text = format_args!(
                    "a limiter named {} is open with other tiers, storage or maxKeys",
                    options.name
                );
                return Err(coded("ERR_NAME_CONFLICT", text));
            }
            *lock(&shared.users) += 1;
            return Ok(Arc::clone(shared));
        }
        let shared = Arc::new(Self::new(options)?);
        named.insert(shared.name.clone(), Arc::clone(&shared));
        Ok(shared)
    }

    fn new(
        Options {
            name,
            tiers,
            max_keys,
            file,
        }: Options,
    ) -> Result<Self> {
        let specs = tiers::parse(&tiers).map_err(|why| coded("ERR_TIERS_INVALID", why))?;
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
            tiers: Mutex::new(vec![tiers]),
            users: Mutex::new(1),
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
        let mut named = lock(&NAMED);
        let mut users = lock(&self.users);
        *users -= 1;
        if *users == 0 {
            named.remove(&self.name);
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

/// A call after `close`.
pub(crate) fn closed() -> Error {
    coded("ERR_LIMITER_CLOSED", "the limiter is closed")
}

fn random_secret() -> Result<tollkeeper_limiter::Secret> {
    tollkeeper_storage::random_secret().map_err(|why| -> Error { coded("ERR_ENGINE_FAILED", why) })
}
