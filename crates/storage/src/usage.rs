//! What keys have spent, as it is written in the file: by each save, and read by a load.

use std::collections::HashMap;

use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableError, TableHandle,
    WriteTransaction,
};
use tollkeeper_limiter::{AdoptedRuleSet, Change, Credit, Limiter, MAX_LIMITS};

use crate::credit_row;
use crate::error::StorageError;
use crate::key_row::{decode, encode, to_bytes, to_hash};
use crate::rule_set_json;
use crate::stored_rule_sets::StoredRuleSets;
use crate::tables::{CREDITS, KEYS, RULE_SETS, WIDE_KEYS, wide_keys};

/// Writes what has become of keys, and the rule sets that they are under; `also` writes more in the same transaction.
pub(crate) fn write(
    database: &Database,
    limiter: &Limiter,
    changes: &[Change],
    rule_sets: &mut StoredRuleSets,
    also: impl FnOnce(&WriteTransaction) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    // What a write has learnt that fails is not in the file.
    let mut known = std::mem::take(rule_sets);
    let transaction = database.begin_write()?;
    {
        let mut keys = transaction.open_table(KEYS)?;
        let mut wide = transaction.open_table(WIDE_KEYS)?;
        for Change { key, state } in changes {
            let key = to_bytes(*key);
            let rule_set = match state {
                Some(state) => Some(known.of(&transaction, limiter, &state.rule_set)?),
                None => None,
            };
            let is_wide = rule_set.map(|rule_set| rule_set.is_wide);
            // As a rule one of the tables is empty, and not even looked into.
            if is_wide != Some(false) && !keys.is_empty()? {
                keys.remove(&key)?;
            }
            if is_wide != Some(true) && !wide.is_empty()? {
                wide.remove(&key)?;
            }
            if let (Some(state), Some(rule_set)) = (state, rule_set) {
                if rule_set.is_wide {
                    wide.insert(&key, &encode(state, rule_set.number))?;
                } else {
                    keys.insert(&key, &encode(state, rule_set.number))?;
                }
            }
        }
    }
    write_credits(&transaction, changes)?;
    also(&transaction)?;
    transaction.commit()?;
    *rule_sets = known;
    Ok(())
}

/// Writes what keys were granted; a file in which no key ever was is left without the table.
fn write_credits(transaction: &WriteTransaction, changes: &[Change]) -> Result<(), StorageError> {
    let row = |Change { key, state }: &Change| {
        let row = state.as_ref().map(|state| credit_row::encode(&state.credits));
        (to_bytes(*key), row.unwrap_or_default())
    };
    let rows: Vec<_> = changes.iter().map(row).collect();
    if rows.iter().all(|(_, row)| row.is_empty()) && !has_credits(transaction)? {
        return Ok(());
    }
    let mut credits = transaction.open_table(CREDITS)?;
    for (key, row) in rows {
        if row.is_empty() {
            credits.remove(&key)?;
        } else {
            credits.insert(&key, &row[..])?;
        }
    }
    Ok(())
}

fn has_credits(transaction: &WriteTransaction) -> Result<bool, StorageError> {
    let name = CREDITS.name();
    Ok(transaction.list_tables()?.any(|table| table.name() == name))
}

/// What keys were granted, by the bytes of their hashes.
fn read_credits(transaction: &ReadTransaction) -> Result<HashMap<[u8; 16], [Credit; MAX_LIMITS]>, StorageError> {
    let mut credits = HashMap::new();
    let table = match transaction.open_table(CREDITS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(credits),
        table => table?,
    };
    for entry in table.iter()? {
        let (key, row) = entry?;
        let of_key = credit_row::decode(row.value()).ok_or_else(|| StorageError::Corrupt("what was granted".into()))?;
        credits.insert(*key.value(), of_key);
    }
    Ok(credits)
}

/// Takes every key up into a limiter; says how many there were.
pub(crate) fn load(database: &Database, limiter: &Limiter) -> Result<usize, StorageError> {
    let transaction = database.begin_read()?;
    let mut rule_sets = HashMap::new();
    for entry in transaction.open_table(RULE_SETS)?.iter()? {
        let (id, json) = entry?;
        let rules =
            rule_set_json::decode(json.value()).ok_or_else(|| StorageError::Corrupt("a set of limits".into()))?;
        rule_sets.insert(id.value(), limiter.adopt(&rules)?);
    }
    let credits = read_credits(&transaction)?;
    let narrow = transaction.open_table(KEYS)?;
    let mut keys = 0;
    for entry in narrow.iter()? {
        let (key, row) = entry?;
        restore(limiter, &rule_sets, &credits, key.value(), row.value())?;
        keys += 1;
    }
    let Some(wide) = wide_keys(&transaction)? else {
        return Ok(keys);
    };
    for entry in wide.iter()? {
        let (key, row) = entry?;
        if narrow.get(key.value())?.is_some() {
            return Err(StorageError::Corrupt("a key is there twice".into()));
        }
        restore(limiter, &rule_sets, &credits, key.value(), row.value())?;
        keys += 1;
    }
    Ok(keys)
}

fn restore<const BYTES: usize>(
    limiter: &Limiter,
    rule_sets: &HashMap<u32, AdoptedRuleSet>,
    credits: &HashMap<[u8; 16], [Credit; MAX_LIMITS]>,
    key: &[u8; 16],
    row: &[u8; BYTES],
) -> Result<(), StorageError> {
    let (at_ms, number, used) = decode(row).ok_or_else(|| StorageError::Corrupt("a key".into()))?;
    let rule_set = rule_sets
        .get(&number)
        .ok_or_else(|| StorageError::Corrupt("a set of limits is missing".into()))?;
    let credits = credits.get(key).copied().unwrap_or_default();
    Ok(limiter.restore(to_hash(key), at_ms, rule_set, used, credits)?)
}
