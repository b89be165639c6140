//! The file.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use redb::backends::FileBackend;
use redb::{Builder, Database, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use tollkeeper_limiter::{
    Change, KeyHash, KeySnapshot, Limiter, MAX_AMOUNT, MAX_INSTANT_MS, MAX_LIMITS, PlanId, Secret,
};

use crate::error::StorageError;
use crate::plan;
use crate::trial::Trial;

/// The version of the format that this release reads and writes.
pub const FORMAT: u64 = 1;

/// `format` as a little-endian u64, and `secret`.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("tollkeeper");
const PLANS: TableDefinition<u32, &str> = TableDefinition::new("plans");
const KEYS: TableDefinition<&[u8; 16], &[u8; STATE]> = TableDefinition::new("keys");
const RECORDS: TableDefinition<&str, &str> = TableDefinition::new("records");

/// Bytes of a stored key: the instant, the plan, and the amount spent per slot.
const STATE: usize = 8 + 4 + 8 * MAX_LIMITS;
const CACHE_BYTES: usize = 64 << 20;
/// With which every redb file begins; see its `docs/design.md`.
const MAGIC: &[u8; 9] = b"redb\x1A\x0A\xA9\x0D\x0A";

/// An open storage file. Its calls block; what takes long belongs on a thread that may wait.
#[derive(Debug)]
pub struct Storage {
    database: Database,
    secret: Secret,
    /// The number in the file of each plan of the limiter that was stored or loaded.
    plans: Mutex<HashMap<PlanId, u32>>,
}

impl Storage {
    /// Opens a storage file, or makes a new one that only its owner can read.
    ///
    /// # Errors
    /// Any [`StorageError`] but `Refused`; a file that is there is then as it was.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        let (file, new) = open_file(path)?;
        if !new {
            check_magic(&file)?;
            try_out(FileBackend::new(file.try_clone()?)?)?;
        }
        let made = Self::use_file(FileBackend::new(file)?, new);
        if made.is_err() && new {
            // Nothing of ours is in it yet.
            let _ = std::fs::remove_file(path);
        }
        made
    }

    fn use_file(backend: impl StorageBackend, new: bool) -> Result<Self, StorageError> {
        let database = Builder::new()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(backend)?;
        if new {
            let secret = random_secret()?;
            let transaction = database.begin_write()?;
            transaction
                .open_table(META)?
                .insert("format", &FORMAT.to_le_bytes()[..])?;
            transaction.open_table(META)?.insert("secret", &secret[..])?;
            transaction.open_table(PLANS)?;
            transaction.open_table(KEYS)?;
            transaction.open_table(RECORDS)?;
            transaction.commit()?;
        }
        let secret = read_secret(&database)?;
        Ok(Self {
            database,
            secret,
            plans: Mutex::default(),
        })
    }

    /// The secret under which the stored keys are hashed.
    #[must_use]
    pub fn secret(&self) -> Secret {
        self.secret
    }

    /// Takes every stored key up into a limiter, made with [`secret`](Self::secret); says how many there were.
    ///
    /// # Errors
    /// [`StorageError::Refused`] if they are more than the limiter takes.
    pub fn load(&self, limiter: &Limiter) -> Result<usize, StorageError> {
        let transaction = self.database.begin_read()?;
        let mut plans = HashMap::new();
        for entry in transaction.open_table(PLANS)?.iter()? {
            let (id, json) = entry?;
            let limits = plan::decode(json.value()).ok_or_else(|| StorageError::Corrupt("a plan".into()))?;
            plans.insert(id.value(), limiter.adopt(&limits)?);
        }
        let mut keys = 0;
        for entry in transaction.open_table(KEYS)?.iter()? {
            let (key, state) = entry?;
            let (at_ms, stored_plan, spent) =
                decode(state.value()).ok_or_else(|| StorageError::Corrupt("a key".into()))?;
            let plan = plans
                .get(&stored_plan)
                .ok_or_else(|| StorageError::Corrupt("a plan is missing".into()))?;
            limiter.restore(to_hash(key.value()), at_ms, *plan, spent)?;
            keys += 1;
        }
        Ok(keys)
    }

    /// Stores every key that has changed since the last call; says how many there were. If it fails, nothing is stored
    /// and the next call tries again.
    ///
    /// # Errors
    /// [`StorageError::Io`]
    pub fn save(&self, limiter: &Limiter) -> Result<usize, StorageError> {
        let changes = limiter.take_changes();
        if changes.is_empty() {
            return Ok(0);
        }
        self.write(limiter, &changes)
            .inspect_err(|_| limiter.give_back_changes(&changes))?;
        Ok(changes.len())
    }

    fn write(&self, limiter: &Limiter, changes: &[Change]) -> Result<(), StorageError> {
        let transaction = self.database.begin_write()?;
        let mut known = self.plans.lock().unwrap_or_else(PoisonError::into_inner).clone();
        {
            let mut keys = transaction.open_table(KEYS)?;
            for Change { key, state } in changes {
                match state {
                    None => keys.remove(&to_bytes(*key))?,
                    Some(state) => {
                        let plan = match known.get(&state.plan) {
                            Some(plan) => *plan,
                            None => *known
                                .entry(state.plan)
                                .or_insert(store_plan(&transaction, limiter, state.plan)?),
                        };
                        keys.insert(&to_bytes(*key), &encode(state, plan))?
                    }
                };
            }
        }
        transaction.commit()?;
        *self.plans.lock().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    /// A record.
    ///
    /// # Errors
    /// [`StorageError::Io`]
    pub fn record(&self, name: &str) -> Result<Option<String>, StorageError> {
        let transaction = self.database.begin_read()?;
        let value = transaction
            .open_table(RECORDS)?
            .get(name)?
            .map(|value| value.value().to_owned());
        Ok(value)
    }

    /// Every record whose name begins so, ordered by name.
    ///
    /// # Errors
    /// [`StorageError::Io`]
    pub fn records(&self, prefix: &str) -> Result<Vec<(String, String)>, StorageError> {
        let transaction = self.database.begin_read()?;
        let mut found = Vec::new();
        for entry in transaction.open_table(RECORDS)?.range(prefix..)? {
            let (name, value) = entry?;
            if !name.value().starts_with(prefix) {
                break;
            }
            found.push((name.value().to_owned(), value.value().to_owned()));
        }
        Ok(found)
    }

    /// Writes a record, or deletes it; durable when this returns.
    ///
    /// # Errors
    /// [`StorageError::Io`]
    pub fn put_record(&self, name: &str, value: Option<&str>) -> Result<(), StorageError> {
        let transaction = self.database.begin_write()?;
        {
            let mut records = transaction.open_table(RECORDS)?;
            match value {
                Some(value) => records.insert(name, value)?,
                None => records.remove(name)?,
            };
        }
        transaction.commit()?;
        Ok(())
    }
}

/// A new random secret.
///
/// # Errors
/// [`StorageError::Io`] if the system has no randomness to give.
pub fn random_secret() -> Result<Secret, StorageError> {
    let mut secret = Secret::default();
    getrandom::fill(&mut secret).map_err(|why| StorageError::Io(why.to_string()))?;
    Ok(secret)
}

/// The file, and whether it is new or still empty.
fn open_file(path: &Path) -> Result<(File, bool), StorageError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.clone().create_new(true).open(path) {
        Ok(file) => Ok((file, true)),
        Err(why) if why.kind() == ErrorKind::AlreadyExists => {
            let file = options.open(path)?;
            let new = file.metadata()?.len() == 0;
            Ok((file, new))
        }
        Err(why) => Err(why.into()),
    }
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
fn try_out(file: FileBackend) -> Result<(), StorageError> {
    let trial = Trial::new(file)?;
    // redb may panic on a file that was tampered with.
    catch_unwind(AssertUnwindSafe(|| {
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES).set_check_integrity_on_open(true);
        let database = builder.create_with_backend(trial)?;
        read_secret(&database)?;
        let transaction = database.begin_read()?;
        transaction.open_table(PLANS)?;
        transaction.open_table(KEYS)?;
        transaction.open_table(RECORDS)?;
        Ok(())
    }))
    .unwrap_or_else(|_| Err(StorageError::Corrupt("its structure".into())))
}

fn read_secret(database: &Database) -> Result<Secret, StorageError> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let format = meta
        .get("format")?
        .and_then(|format| Some(u64::from_le_bytes(*format.value().first_chunk()?)));
    match format {
        Some(FORMAT) => {}
        Some(other) => return Err(StorageError::Version(other)),
        None => return Err(StorageError::Foreign),
    }
    let secret = meta.get("secret")?.and_then(|secret| secret.value().try_into().ok());
    secret.ok_or_else(|| StorageError::Corrupt("the secret".into()))
}

/// The number in the file of a plan, which is stored if it is new.
fn store_plan(transaction: &redb::WriteTransaction, limiter: &Limiter, id: PlanId) -> Result<u32, StorageError> {
    let json = plan::encode(&limiter.plan_limits(id));
    let mut plans = transaction.open_table(PLANS)?;
    let mut next = 0;
    for entry in plans.iter()? {
        let (id, stored) = entry?;
        if stored.value() == json {
            return Ok(id.value());
        }
        next = id.value() + 1;
    }
    plans.insert(next, json.as_str())?;
    Ok(next)
}

fn to_bytes(KeyHash([first, second]): KeyHash) -> [u8; 16] {
    (u128::from(first) << 64 | u128::from(second)).to_be_bytes()
}

#[expect(clippy::cast_possible_truncation, reason = "each half is taken")]
fn to_hash(bytes: &[u8; 16]) -> KeyHash {
    let hash = u128::from_be_bytes(*bytes);
    KeyHash([(hash >> 64) as u64, hash as u64])
}

fn encode(state: &KeySnapshot, plan: u32) -> [u8; STATE] {
    let mut bytes = [0; STATE];
    bytes[..8].copy_from_slice(&state.at_ms.to_le_bytes());
    bytes[8..12].copy_from_slice(&plan.to_le_bytes());
    for (bytes, spent) in bytes[12..].chunks_exact_mut(8).zip(state.spent) {
        bytes.copy_from_slice(&spent.to_le_bytes());
    }
    bytes
}

/// The instant, the plan, and what is spent; None if a value is none that was ever written.
fn decode(bytes: &[u8; STATE]) -> Option<(u64, u32, [u64; MAX_LIMITS])> {
    let at_ms = u64::from_le_bytes(*bytes.first_chunk()?);
    let plan = u32::from_le_bytes(*bytes[8..].first_chunk()?);
    let mut spent = [0; MAX_LIMITS];
    for (spent, bytes) in spent.iter_mut().zip(bytes[12..].chunks_exact(8)) {
        *spent = u64::from_le_bytes(*bytes.first_chunk()?);
    }
    (at_ms < MAX_INSTANT_MS && spent.iter().all(|&spent| spent <= MAX_AMOUNT)).then_some((at_ms, plan, spent))
}
