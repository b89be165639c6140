//! The rule sets that stand in the file, and their numbers. Each save asks for the number of those of its keys.

use std::collections::HashMap;

use redb::{ReadableTable, WriteTransaction};
use tollkeeper_limiter::{HeldRuleSet, Limiter};

use crate::error::StorageError;
use crate::rule_set_json;
use crate::tables::{RULE_SETS, mark_wide};

/// So many rule sets of the limiter are known by their serial; those of others are looked up by what they are.
const MOST_KNOWN: usize = 1 << 12;

/// A rule set in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredRuleSet {
    pub(crate) number: u32,
    /// Whether keys under it are wide.
    pub(crate) is_wide: bool,
}

/// What is known of the rule sets in the file since it was opened.
#[derive(Debug, Default)]
pub(crate) struct StoredRuleSets {
    /// By the serial of the limiter's rule set.
    known: HashMap<u64, StoredRuleSet>,
    /// Every rule set of the file, as it is written; read when it is first needed.
    written: Option<HashMap<String, u32>>,
    next: u32,
}

impl StoredRuleSets {
    /// A rule set as it is in the file; it is written if it is new.
    pub(crate) fn of(
        &mut self,
        transaction: &WriteTransaction,
        limiter: &Limiter,
        held: &HeldRuleSet,
    ) -> Result<StoredRuleSet, StorageError> {
        if let Some(&stored) = self.known.get(&held.serial()) {
            return Ok(stored);
        }
        let rules = limiter.named_rules(held);
        let is_wide = rule_set_json::is_wide(&rules);
        let json = rule_set_json::encode(&rules);
        let mut table = transaction.open_table(RULE_SETS)?;
        if self.written.is_none() {
            let mut written = HashMap::new();
            for entry in table.iter()? {
                let (number, json) = entry?;
                written.insert(json.value().to_owned(), number.value());
                self.next = number.value() + 1;
            }
            self.written = Some(written);
        }
        let written = self.written.get_or_insert_default();
        let number = if let Some(&number) = written.get(&json) {
            number
        } else {
            table.insert(self.next, json.as_str())?;
            if is_wide {
                mark_wide(transaction)?;
            }
            written.insert(json, self.next);
            self.next += 1;
            self.next - 1
        };
        if self.known.len() >= MOST_KNOWN {
            self.known.clear();
        }
        let stored = StoredRuleSet { number, is_wide };
        self.known.insert(held.serial(), stored);
        Ok(stored)
    }
}
