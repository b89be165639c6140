//! What one process decides alone: a limiter, and the file behind it. Opened with each engine of `src/engine/native.ts`, and
//! shared by those of one name.

use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use napi::{Error, Result};
use tollkeeper_ledger::{Ledger, Page, Query};
use tollkeeper_limiter::{Limiter, Secret, Settings};
use tollkeeper_storage::{Retention, Storage};

use crate::error::{self, closed, coded, conflict};
use crate::registry::{self, lock};
use crate::tiers::{self, GivenTiers};

const DAY_MS: u64 = 86_400_000;

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

/// How a ledger is opened. The first to open that of a table decides, but for the meters.
#[derive(Debug)]
pub(crate) struct LedgerOptions {
    pub(crate) meters: Vec<String>,
    pub(crate) max_cells: usize,
    pub(crate) retention: Retention,
}

/// A ledger, and how long it is kept.
#[derive(Debug, Clone)]
struct OpenLedger {
    ledger: Arc<Ledger>,
    retention: Retention,
    /// The day of the last look for what is older than is kept, where there is no file.
    forgotten_day: Arc<AtomicU64>,
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
    /// What was served, from when somebody asked for it to be counted; taken out with the limiter.
    ledger: RwLock<Option<OpenLedger>>,
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
            ledger: RwLock::default(),
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
        let open = self.open_ledger();
        let ledger = open.as_ref().map(|open| &*open.ledger);
        let saved = self.with_storage(|storage| storage.save_all(&limiter, ledger).map(|_| ()));
        if let Some(ledger) = ledger {
            ledger.sweep();
        }
        self.note_of_storage();
        saved.unwrap_or(Ok(()))
    }

    fn note_of_storage(&self) {
        if let (Some(notes), Some(path)) = (self.read_storage(Storage::drain_notes), &self.path) {
            let told = notes
                .iter()
                .map(|note| format!("{}: storage file {path}: {}", note.code, note.text));
            lock(&self.notes).extend(told);
        }
    }

    /// The ledger, which is made if there is none.
    pub(crate) fn join_ledger(&self, options: &LedgerOptions) -> Result<Arc<Ledger>> {
        // So that nothing is read or written meanwhile.
        let _saving = lock(&self.saving);
        self.limiter()?;
        let mut place = self.ledger.write().unwrap_or_else(PoisonError::into_inner);
        let open = if let Some(open) = &*place {
            open.clone()
        } else {
            let ledger = Ledger::new(tollkeeper_ledger::Settings {
                max_cells: options.max_cells,
                secret: random_secret()?,
            });
            self.with_storage(|storage| storage.load_names(&ledger)).transpose()?;
            OpenLedger {
                ledger: Arc::new(ledger),
                retention: options.retention,
                forgotten_day: Arc::default(),
            }
        };
        for name in &options.meters {
            if open.ledger.meters().number_of(name).is_none() {
                let text = "meters are more than a ledger tells apart over all of time, 256";
                return Err(coded("ERR_OPTION_INVALID", text));
            }
        }
        let ledger = Arc::clone(&open.ledger);
        *place = Some(open);
        Ok(ledger)
    }

    fn open_ledger(&self) -> Option<OpenLedger> {
        self.ledger.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stores what has changed, closes days, and merges or lets go what is older than is kept.
    pub(crate) fn save_usage(&self, now_ms: u64) -> Result<()> {
        self.save()?;
        let Some(OpenLedger {
            ledger,
            retention,
            forgotten_day,
        }) = self.open_ledger()
        else {
            return Ok(());
        };
        let _saving = lock(&self.saving);
        if let Some(coarsened) = self.with_storage(|storage| storage.coarsen(now_ms, &retention)) {
            return coarsened.map(|_| ());
        }
        let today = now_ms / DAY_MS;
        if forgotten_day.swap(today, Ordering::Relaxed) != today {
            let first_day = today.saturating_sub(retention.hour_days.into());
            ledger.forget_before(u32::try_from(first_day * 24).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    /// Reads a page of usage: what is in memory and what was written, of one moment.
    pub(crate) fn read_usage(&self, query: &Query) -> Result<Page> {
        let (unwritten, reader) = {
            // Nothing is on its way from the one to the other.
            let _saving = lock(&self.saving);
            let OpenLedger { ledger, .. } = self.open_ledger().ok_or_else(closed)?;
            let settled_usage = |storage: &Storage| {
                storage.settle(&ledger)?;
                storage.usage()
            };
            let reader = self.with_storage(settled_usage).transpose()?;
            (ledger.unwritten(query), reader)
        };
        let Some(reader) = reader else {
            let nothing = std::iter::empty::<Result<_>>();
            return query.page(unwritten, nothing);
        };
        let path = self.path.as_deref().unwrap_or_default();
        let page = reader.read(query).and_then(|written| query.page(unwritten, written));
        page.map_err(|why| error::storage(path, &why))
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
            self.ledger.write().unwrap_or_else(PoisonError::into_inner).take();
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
