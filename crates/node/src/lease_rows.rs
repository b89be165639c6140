//! What a table of leases tells by the frame's rows: what is to be given back, and what is known. Asked by each sweep, and
//! when a server has lost what it knew.

#![expect(clippy::cast_precision_loss, reason = "no count comes near 2^53")]

use std::collections::BTreeMap;
use std::vec::IntoIter;

use napi::bindgen_prelude::Utf16String;
use napi_derive::napi;
use tollkeeper_limiter::{HeldRuleSet, KnownKey, Leases, NamedRule};

use crate::hot::ROWS;
use crate::hot::at::{KEY_LENGTH, NOW};
use crate::lease_calls::write_snapshot;
use crate::lease_frame::{Frame, Row, at};
use crate::tiers;

/// So many rules are remembered, which saves looking them up again.
const SPARE_RULES: usize = 4_096;

/// Rows that were written.
#[napi(object)]
pub struct RowsRead {
    /// How many.
    pub count: u32,
    /// Their keys, joined.
    pub keys: Utf16String,
}

impl Default for RowsRead {
    fn default() -> Self {
        Self {
            count: 0,
            keys: Vec::new().into(),
        }
    }
}

/// Reads a table, rows by rows.
#[derive(Default)]
pub(crate) struct Rows {
    /// The rules that the rows written last are told in, by number, and many of those before.
    rules: BTreeMap<u64, Vec<NamedRule>>,
    /// The part of the table that is reported next.
    next_shard: usize,
    /// What was copied out of the one before it.
    report: IntoIter<KnownKey>,
}

impl Rows {
    fn begin(&mut self) {
        if self.rules.len() > SPARE_RULES {
            self.rules.clear();
        }
    }

    pub(crate) fn take_returns(&mut self, leases: &Leases, frame: &Frame) -> RowsRead {
        self.begin();
        let mut keys = Vec::new();
        let returns = leases.take_returns(ROWS);
        for (index, returned) in returns.iter().enumerate() {
            let row = frame.row(index);
            self.name(leases, row, &returned.rules);
            add(&mut keys, row, &returned.key);
            row[at::HELD] = returned.milli as f64;
            row[NOW] = returned.taken_ms as f64;
        }
        told(returns.len(), keys)
    }

    pub(crate) fn start_report(&mut self) {
        self.next_shard = 0;
        self.report = IntoIter::default();
    }

    pub(crate) fn next_report(&mut self, leases: &Leases, frame: &Frame) -> RowsRead {
        self.begin();
        let mut keys = Vec::new();
        let mut count = 0;
        while count < ROWS
            && let Some(KnownKey { key, rules, snapshot }) = self.next_key(leases)
        {
            let row = frame.row(count);
            let rules = self.name(leases, row, &rules);
            let mut ordered = snapshot;
            for (spent, rule) in ordered.spent.iter_mut().zip(rules) {
                *spent = snapshot.spent[rule.slot];
            }
            write_snapshot(row, &ordered);
            add(&mut keys, row, &key);
            count += 1;
        }
        told(count, keys)
    }

    fn next_key(&mut self, leases: &Leases) -> Option<KnownKey> {
        loop {
            if let Some(key) = self.report.next() {
                return Some(key);
            }
            self.report = leases.known_of(self.next_shard)?.into_iter();
            self.next_shard += 1;
        }
    }

    /// Writes which rules a row is told in.
    fn name(&mut self, leases: &Leases, row: &mut Row, rules: &HeldRuleSet) -> &[NamedRule] {
        row[at::RULES] = rules.serial() as f64;
        let named = self.rules.entry(rules.serial());
        named.or_insert_with(|| leases.named_rules(rules))
    }

    /// The JSON of the rules of a row just written; None if none was told in them.
    pub(crate) fn rules_of(&self, number: u64) -> Option<String> {
        self.rules.get(&number).map(|rules| tiers::counted(rules))
    }
}

fn add(keys: &mut Vec<u16>, row: &mut Row, key: &[u16]) {
    row[KEY_LENGTH] = key.len() as f64;
    keys.extend_from_slice(key);
}

#[expect(clippy::cast_possible_truncation, reason = "no more than there are rows")]
fn told(count: usize, keys: Vec<u16>) -> RowsRead {
    RowsRead {
        count: count as u32,
        keys: keys.into(),
    }
}
