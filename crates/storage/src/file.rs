//! The file.

use std::collections::HashMap;
use std::path::Path;
use std::sync::PoisonError;

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use tollkeeper_limiter::{
    Change, KeyHash, KeySnapshot, Limiter, MAX_AMOUNT, MAX_INSTANT_MS, MAX_LIMITS, PlanId, Secret,
};

use crate::connection::Connection;
use crate::error::StorageError;
use crate::plan;

pub(crate) const PLANS: TableDefinition<u32, &str> = TableDefinition::new("plans");
pub(crate) const KEYS: TableDefinition<&[u8; 16], &[u8; STATE]> = TableDefinition::new("keys");
pub(crate) const RECORDS: TableDefinition<&str, &str> = TableDefinition::new("records");

/// Keys written in one transaction: neighbours in the file, so that none of its pages is written twice. All at once they
/// would double the file, and their memory, given back in one piece, would hold up every other thread.
const PART_KEYS: usize = 1 << 15;

/// Bytes of a stored key: the instant, the plan, and the amount spent per slot.
const STATE: usize = 8 + 4 + 8 * MAX_LIMITS;

/// An open storage file. Its calls block; what takes long belongs on a thread that may wait.
#[derive(Debug)]
pub struct Storage {
    pub(crate) connection: Connection,
}

impl Storage {
    /// Opens a storage file, or makes a new one that only its owner can read, also in the place of an empty one.
    ///
    /// # Errors
    /// Any [`StorageError`] but `Refused`; a file that is there is then as it was.
    pub fn open(path: &Path) -> Result<Self, StorageError> {
        Ok(Self {
            connection: Connection::open(path)?,
        })
    }

    /// The secret under which the stored keys are hashed.
    #[must_use]
    pub fn secret(&self) -> Secret {
        self.connection.secret()
    }

    /// Takes every stored key up into a limiter, made with [`secret`](Self::secret); says how many there were.
    ///
    /// # Errors
    /// [`StorageError::Refused`] if they are more than the limiter takes, [`StorageError::Corrupt`] if one of them is
    /// damaged, and as of [`save`](Self::save).
    pub fn load(&self, limiter: &Limiter) -> Result<usize, StorageError> {
        self.connection.with(|database| load(database, limiter))
    }

    /// Stores every key that has changed since the last call; says how many there were. If it fails, the next call tries
    /// again.
    ///
    /// # Errors
    /// [`StorageError::Io`], or after a failure any of [`open`](Self::open).
    pub fn save(&self, limiter: &Limiter) -> Result<usize, StorageError> {
        let keys = limiter.take_changed();
        let mut rest = &keys[..];
        while let Some(part) = rest.chunks(PART_KEYS).next() {
            let changes = limiter.changes(part);
            self.connection
                .with(|database| self.write(database, limiter, &changes))
                .inspect_err(|_| limiter.give_back_changed(rest))?;
            rest = &rest[part.len()..];
        }
        Ok(keys.len())
    }

    fn write(&self, database: &Database, limiter: &Limiter, changes: &[Change]) -> Result<(), StorageError> {
        let transaction = database.begin_write()?;
        let mut known = self
            .connection
            .plans
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
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
        *self.connection.plans.lock().unwrap_or_else(PoisonError::into_inner) = known;
        Ok(())
    }

    /// A record.
    ///
    /// # Errors
    /// As of [`save`](Self::save).
    pub fn record(&self, name: &str) -> Result<Option<String>, StorageError> {
        self.connection.with(|database| {
            let transaction = database.begin_read()?;
            let value = transaction.open_table(RECORDS)?.get(name)?;
            Ok(value.map(|value| value.value().to_owned()))
        })
    }

    /// Every record whose name begins so, ordered by name.
    ///
    /// # Errors
    /// As of [`save`](Self::save).
    pub fn records(&self, prefix: &str) -> Result<Vec<(String, String)>, StorageError> {
        self.connection.with(|database| {
            let transaction = database.begin_read()?;
            let mut found = Vec::new();
            for entry in transaction.open_table(RECORDS)?.range(prefix..)? {
                let (name, value) = entry?;
                if !name.value().starts_with(prefix) {
                    break;
                }
                found.push((name.value().to_owned(), value.value().to_owned()));
            }
            Ok(found)
        })
    }

    /// Writes a record, or deletes it; durable when this returns. If it fails, either may be found afterwards.
    ///
    /// # Errors
    /// As of [`save`](Self::save).
    pub fn put_record(&self, name: &str, value: Option<&str>) -> Result<(), StorageError> {
        self.connection.with(|database| {
            let transaction = database.begin_write()?;
            {
                let mut records = transaction.open_table(RECORDS)?;
                match value {
                    Some(value) => records.insert(name, value)?,
                    None => records.remove(name)?,
                };
            }
            Ok(transaction.commit()?)
        })
    }
}

fn load(database: &Database, limiter: &Limiter) -> Result<usize, StorageError> {
    let transaction = database.begin_read()?;
    let mut plans = HashMap::new();
    for entry in transaction.open_table(PLANS)?.iter()? {
        let (id, json) = entry?;
        let limits = plan::decode(json.value()).ok_or_else(|| StorageError::Corrupt("a plan".into()))?;
        plans.insert(id.value(), limiter.adopt(&limits)?);
    }
    let mut keys = 0;
    for entry in transaction.open_table(KEYS)?.iter()? {
        let (key, state) = entry?;
        let (at_ms, stored_plan, spent) = decode(state.value()).ok_or_else(|| StorageError::Corrupt("a key".into()))?;
        let plan = plans
            .get(&stored_plan)
            .ok_or_else(|| StorageError::Corrupt("a plan is missing".into()))?;
        limiter.restore(to_hash(key.value()), at_ms, *plan, spent)?;
        keys += 1;
    }
    Ok(keys)
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

#[cfg(test)]
mod tests {
    use std::fs;

    use tollkeeper_limiter::{LimitSpec, Period, Rule, Settings, TierSpec};

    use super::*;
    use crate::connection::tests::{FULL, on_a_disk_that_may_be_full};

    const NOW_MS: u64 = 1_790_000_000_000;

    fn limiter(storage: &Storage) -> Limiter {
        let rule = Rule::Quota {
            limit_milli: 9_000,
            period: Period::Day,
        };
        let limits = vec![LimitSpec {
            name: "day".into(),
            rule,
        }];
        let tiers = vec![TierSpec {
            name: "free".into(),
            limits,
        }];
        Limiter::new(Settings {
            tiers,
            max_keys: 10,
            secret: storage.secret(),
            durable: true,
        })
        .unwrap()
    }

    #[test]
    fn what_could_not_be_written_is_written_when_there_is_room_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limits.redb");
        let connection = on_a_disk_that_may_be_full(&path).unwrap();
        let storage = Storage { connection };
        let spender = limiter(&storage);
        spender.consume(spender.hash("key"), 0, 4_000, NOW_MS).unwrap();
        FULL.set(true);
        for _ in 0..3 {
            assert_eq!(storage.save(&spender).unwrap_err().code(), "ERR_STORAGE_IO");
            assert!(storage.put_record("name", Some("value")).is_err());
        }
        FULL.set(false);
        storage.put_record("name", Some("value")).unwrap();
        assert_eq!(storage.save(&spender).unwrap(), 1);
        drop(storage);
        let storage = Storage::open(&path).unwrap();
        let reader = limiter(&storage);
        storage.load(&reader).unwrap();
        let spent = reader.peek(reader.hash("key"), 0, 0, NOW_MS).unwrap().spent[0];
        assert_eq!(
            (spent, storage.record("name").unwrap().as_deref()),
            (4_000, Some("value"))
        );
    }

    #[test]
    fn after_a_failure_only_the_same_file_is_opened_again_and_any_other_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limits.redb");
        let connection = on_a_disk_that_may_be_full(&path).unwrap();
        let storage = Storage { connection };
        FULL.set(true);
        storage.put_record("name", Some("value")).unwrap_err();
        FULL.set(false);
        let away = folder.path().join("away");
        fs::rename(&path, &away).unwrap();
        assert_eq!(storage.record("name").unwrap_err().code(), "ERR_STORAGE_IO");
        assert!(!path.exists());
        for other in [&b""[..], b"not a database"] {
            fs::write(&path, other).unwrap();
            assert_eq!(storage.record("name").unwrap_err().code(), "ERR_STORAGE_FOREIGN");
            assert_eq!(fs::read(&path).unwrap(), other);
        }
        fs::remove_file(&path).unwrap();
        drop(Storage::open(&path).unwrap());
        let before = fs::read(&path).unwrap();
        assert_eq!(storage.put_record("name", None).unwrap_err().code(), "ERR_STORAGE_IO");
        assert!(before == fs::read(&path).unwrap());
        fs::rename(&away, &path).unwrap();
        storage.put_record("name", Some("value")).unwrap();
        assert_eq!(storage.record("name").unwrap().as_deref(), Some("value"));
    }

    #[test]
    fn a_panic_is_an_error_and_the_next_call_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::open(&folder.path().join("limits.redb")).unwrap();
        let panicked = storage.connection.with(|database| -> Result<(), StorageError> {
            let _transaction = database.begin_write()?;
            panic!("as redb may on a file that was tampered with")
        });
        assert_eq!(panicked.unwrap_err().code(), "ERR_STORAGE_CORRUPT");
        storage.put_record("name", Some("value")).unwrap();
    }
}
