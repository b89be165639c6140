//! Reads what was served as it was written up to one moment, account by account.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Bound;

use redb::{Range, ReadTransaction};
use tollkeeper_ledger::{Account, Query, Row};

use crate::error::StorageError;
use crate::ledger_tables::{Level, RowKey, read_level};
use crate::ledger_write::decoded;

/// The usage of a storage file, of one moment: what is written later is not in it.
pub struct UsageReader {
    transaction: ReadTransaction,
}

impl UsageReader {
    pub(crate) fn new(transaction: ReadTransaction) -> Self {
        Self { transaction }
    }

    /// What was written of what is wanted, in order of account.
    ///
    /// # Errors
    /// [`StorageError::Io`] and [`StorageError::Corrupt`], also for each account.
    pub fn read(
        &self,
        query: &Query,
    ) -> Result<impl Iterator<Item = Result<(Account, Vec<Row>), StorageError>> + use<>, StorageError> {
        let mut merged = Merged::default();
        for level in Level::ALL {
            self.add_level(level, query, &mut merged)?;
        }
        Ok(merged)
    }

    /// Adds a source for each period of a level that the query may want something of.
    fn add_level(&self, level: Level, query: &Query, merged: &mut Merged) -> Result<(), StorageError> {
        let Some(table) = read_level(&self.transaction, level)? else {
            return Ok(());
        };
        let mut from = level.period_of(query.from_hour);
        // From one period that there is to the next, since a clock may have been far ahead.
        while let Some(entry) = table.range::<(u32, &[u8])>((from, &[][..])..)?.next() {
            let period = entry?.0.value().0;
            if period >= query.to_hour {
                break;
            }
            let account = query.account.as_ref().or(query.after.as_ref()).map(Account::as_bytes);
            let first = (period, account.unwrap_or_default());
            let (first, end) = if let Some(wanted) = &query.account {
                (Bound::Included(first), Bound::Included((period, wanted.as_bytes())))
            } else {
                let is_after = query.after.is_some();
                let first = if is_after {
                    Bound::Excluded(first)
                } else {
                    Bound::Included(first)
                };
                (first, Bound::Excluded((period + 1, &[][..])))
            };
            let rows = table.range::<(u32, &[u8])>((first, end))?;
            merged.add(Source { level, period, rows })?;
            from = level.next_period(period);
        }
        Ok(())
    }
}

/// The rows of one period, by account.
struct Source {
    level: Level,
    period: u32,
    rows: Range<'static, RowKey, &'static [u8]>,
}

/// The next row of a source: ordered by account, then source.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Next {
    account: Account,
    source: usize,
    row: Vec<u8>,
}

/// The rows of several periods, by account.
#[derive(Default)]
struct Merged {
    sources: Vec<Source>,
    next: BinaryHeap<Reverse<Next>>,
}

impl Merged {
    fn add(&mut self, source: Source) -> Result<(), StorageError> {
        self.sources.push(source);
        self.advance(self.sources.len() - 1)
    }

    /// Reads the next row of a source.
    fn advance(&mut self, source: usize) -> Result<(), StorageError> {
        if let Some(entry) = self.sources[source].rows.next() {
            let (key, row) = entry?;
            let account = Account::of(key.value().1);
            let row = row.value().to_vec();
            self.next.push(Reverse(Next { account, source, row }));
        }
        Ok(())
    }

    /// The rows of the next account.
    fn account(&mut self) -> Result<Option<(Account, Vec<Row>)>, StorageError> {
        let Some(Reverse(first)) = self.next.peek() else {
            return Ok(None);
        };
        let account = first.account.clone();
        if account.units().is_none() {
            return Err(StorageError::Corrupt("an account".into()));
        }
        let mut rows = Vec::new();
        while self.next.peek().is_some_and(|Reverse(next)| next.account == account) {
            let Some(Reverse(Next { source, row, .. })) = self.next.pop() else {
                break;
            };
            let Source { level, period, .. } = self.sources[source];
            for (kind, cell) in decoded(period, &row)? {
                let hours = level.cell_of(kind).1;
                rows.push(Row {
                    kind,
                    hours,
                    counts: cell.counts,
                    revision: cell.revision,
                });
            }
            self.advance(source)?;
        }
        Ok(Some((account, rows)))
    }
}

impl Iterator for Merged {
    type Item = Result<(Account, Vec<Row>), StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.account().transpose()
    }
}
