//! What keys have spent, as it is written in the file: by each save, and read by a load.

use std::collections::HashMap;

use redb::{Database, ReadableDatabase, ReadableTable};
use tollkeeper_limiter::{Change, Limiter};

use crate::error::StorageError;
use crate::key_row::{decode, encode, to_bytes, to_hash};
use crate::rule_set_json;
use crate::stored_rule_sets::StoredRuleSets;
use crate::tables::{KEYS, RULE_SETS};

/// Writes what has become of keys, and the rule sets that they are under.
pub(crate) fn write(
    database: &Database,
    limiter: &Limiter,
    changes: &[Change],
    rule_sets: &mut StoredRuleSets,
) -> Result<(), StorageError> {
    // What a write has learnt that fails is not in the file.
    let mut known = std::mem::take(rule_sets);
    let transaction = database.begin_write()?;
    {
        let mut keys = transaction.open_table(KEYS)?;
        for Change { key, state } in changes {
            match state {
                None => keys.remove(&to_bytes(*key))?,
                Some(state) => {
                    let number = known.number(&transaction, limiter, &state.rule_set)?;
                    keys.insert(&to_bytes(*key), &encode(state, number))?
                }
            };
        }
    }
    transaction.commit()?;
    *rule_sets = known;
    Ok(())
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
    let mut keys = 0;
    for entry in transaction.open_table(KEYS)?.iter()? {
        let (key, state) = entry?;
        let (at_ms, number, spent) = decode(state.value()).ok_or_else(|| StorageError::Corrupt("a key".into()))?;
        let rule_set = rule_sets
            .get(&number)
            .ok_or_else(|| StorageError::Corrupt("a set of limits is missing".into()))?;
        limiter.restore(to_hash(key.value()), at_ms, rule_set, spent)?;
        keys += 1;
    }
    Ok(keys)
}
