//! The tables of a storage file, and the secret under which its keys are hashed: made with the file, checked when it is
//! examined.

use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, TableDefinition, TableError, WriteTransaction};
use tollkeeper_limiter::{MAX_LIMITS, Secret};

use crate::error::StorageError;
use crate::{FORMAT, WIDE_FORMAT};

/// `format` as a little-endian u64, and `secret`.
const META: TableDefinition<&str, &[u8]> = TableDefinition::new("tollkeeper");
pub(crate) const RULE_SETS: TableDefinition<u32, &str> = TableDefinition::new("plans");
/// Keys under limits of the first four slots only.
pub(crate) const KEYS: TableDefinition<&[u8; 16], &Row> = TableDefinition::new("keys");
/// All others; missing in files that older releases have made. No key is in both.
pub(crate) const WIDE_KEYS: TableDefinition<&[u8; 16], &WideRow> = TableDefinition::new("wide keys");
/// What keys were granted, of those that have any. A file has it from the first such key on.
pub(crate) const CREDITS: TableDefinition<&[u8; 16], &[u8]> = TableDefinition::new("credits");
pub(crate) const RECORDS: TableDefinition<&str, &str> = TableDefinition::new("records");

/// Slots of a key that is not wide.
pub(crate) const NARROW: usize = 4;

/// A stored key: the instant, the number of the rule set, and the amount spent per slot.
pub(crate) type Row = [u8; 12 + 8 * NARROW];
/// The same with all slots.
pub(crate) type WideRow = [u8; 12 + 8 * MAX_LIMITS];

/// Makes the tables of a new file, with nothing in them but its secret.
pub(crate) fn begin(database: &Database, secret: Secret) -> Result<(), StorageError> {
    let transaction = database.begin_write()?;
    transaction
        .open_table(META)?
        .insert("format", &FORMAT.to_le_bytes()[..])?;
    transaction.open_table(META)?.insert("secret", &secret[..])?;
    transaction.open_table(RULE_SETS)?;
    transaction.open_table(KEYS)?;
    transaction.open_table(WIDE_KEYS)?;
    transaction.open_table(RECORDS)?;
    Ok(transaction.commit()?)
}

/// Checks that the tables are there.
pub(crate) fn check_tables(database: &Database) -> Result<(), StorageError> {
    let transaction = database.begin_read()?;
    transaction.open_table(RULE_SETS)?;
    transaction.open_table(KEYS)?;
    wide_keys(&transaction)?;
    transaction.open_table(RECORDS)?;
    Ok(())
}

/// The wide keys, if there ever was a table of them.
pub(crate) fn wide_keys(
    transaction: &ReadTransaction,
) -> Result<Option<ReadOnlyTable<&'static [u8; 16], &'static WideRow>>, StorageError> {
    match transaction.open_table(WIDE_KEYS) {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(why) => Err(why.into()),
    }
}

/// Has releases that don't know of wide keys refuse the file.
pub(crate) fn mark_wide(transaction: &WriteTransaction) -> Result<(), StorageError> {
    let mut meta = transaction.open_table(META)?;
    meta.insert("format", &WIDE_FORMAT.to_le_bytes()[..])?;
    Ok(())
}

pub(crate) fn read_secret(database: &Database) -> Result<Secret, StorageError> {
    let transaction = database.begin_read()?;
    let meta = transaction.open_table(META)?;
    let format = meta
        .get("format")?
        .and_then(|format| Some(u64::from_le_bytes(*format.value().first_chunk()?)));
    match format {
        Some(FORMAT | WIDE_FORMAT) => {}
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
