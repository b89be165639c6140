//! The tables of a storage file, and the secret under which its keys are hashed: made with the file, checked when it is
//! examined.

use redb::{Database, ReadableDatabase, TableDefinition};
use tollkeeper_limiter::{MAX_LIMITS, Secret};

use crate::FORMAT;
use crate::error::StorageError;

/// `format` as a little-endian u64, and `secret`.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("tollkeeper");
pub(crate) const RULE_SETS: TableDefinition<u32, &str> = TableDefinition::new("plans");
pub(crate) const KEYS: TableDefinition<&[u8; 16], &[u8; STATE_BYTES]> = TableDefinition::new("keys");
/// What keys were granted, of those that have any. A file has it from the first such key on.
pub(crate) const CREDITS: TableDefinition<&[u8; 16], &[u8]> = TableDefinition::new("credits");
pub(crate) const RECORDS: TableDefinition<&str, &str> = TableDefinition::new("records");

/// Bytes of a stored key: the instant, the number of the rule set, and the amount spent per slot.
pub(crate) const STATE_BYTES: usize = 8 + 4 + 8 * MAX_LIMITS;

/// Makes the tables of a new file, with nothing in them but its secret.
pub(crate) fn begin(database: &Database, secret: Secret) -> Result<(), StorageError> {
    let transaction = database.begin_write()?;
    transaction
        .open_table(META)?
        .insert("format", &FORMAT.to_le_bytes()[..])?;
    transaction.open_table(META)?.insert("secret", &secret[..])?;
    transaction.open_table(RULE_SETS)?;
    transaction.open_table(KEYS)?;
    transaction.open_table(RECORDS)?;
    Ok(transaction.commit()?)
}

/// Checks that the tables are there.
pub(crate) fn check_tables(database: &Database) -> Result<(), StorageError> {
    let transaction = database.begin_read()?;
    transaction.open_table(RULE_SETS)?;
    transaction.open_table(KEYS)?;
    transaction.open_table(RECORDS)?;
    Ok(())
}

pub(crate) fn read_secret(database: &Database) -> Result<Secret, StorageError> {
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

/// A new random secret.
///
/// # Errors
/// [`StorageError::Io`] if the system has no randomness to give.
pub fn random_secret() -> Result<Secret, StorageError> {
    let mut secret = Secret::default();
    getrandom::fill(&mut secret).map_err(|why| StorageError::Io(why.to_string()))?;
    Ok(secret)
}
