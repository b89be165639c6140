//! Closes days, merges what is older than is kept into what is coarser, and lets the oldest go: a little with each flush of
//! a ledger.

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, WriteTransaction};

use crate::cell_row;
use crate::error::StorageError;
use crate::ledger_tables::{Level, Marks, marks, month_of, read_level, read_marks};
use crate::ledger_write::{decoded, row_of};

/// Rows that are moved in one transaction, so that none takes long.
const PART_ROWS: usize = 1 << 13;
/// After its end a day is open for so long.
const CLOSING_MS: u64 = 600_000;
const DAY_MS: u64 = 86_400_000;

/// For how long usage is kept, and how finely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Days of which each hour is known.
    pub hour_days: u32,
    /// Days that are known as such; months are merged when all of their days are older.
    pub day_days: u32,
    /// Months.
    pub months: u32,
}

/// What is to be where at an instant.
#[derive(Debug, Clone, Copy)]
struct Due {
    marks: Marks,
    /// The first hour of the first month that is kept.
    first_month: u32,
}

impl Due {
    fn at(now_ms: u64, retention: &Retention) -> Self {
        let hour_of = |day: u64| u32::try_from(day * 24).unwrap_or(u32::MAX);
        let today = now_ms / DAY_MS;
        let closed = hour_of(now_ms.saturating_sub(CLOSING_MS) / DAY_MS);
        let merged = hour_of(today.saturating_sub(retention.hour_days.into())).min(closed);
        let monthly = month_of(hour_of(today.saturating_sub(retention.day_days.into())))
            .0
            .min(merged);
        let mut first_month = month_of(hour_of(today)).0;
        for _ in 0..retention.months {
            first_month = month_of(first_month.saturating_sub(1)).0;
        }
        Self {
            marks: Marks([closed, merged, monthly]),
            first_month: first_month.min(monthly),
        }
    }

    /// Up to which hour, excluded, rows of a level are to leave it.
    fn until(&self, level: Level) -> u32 {
        self.marks.0.get(level as usize).copied().unwrap_or(self.first_month)
    }
}

/// Does some of what is due; whether anything was.
pub(crate) fn coarsen(database: &Database, now_ms: u64, retention: &Retention) -> Result<bool, StorageError> {
    let mut due = Due::at(now_ms, retention);
    let reading = database.begin_read()?;
    let Some(old) = read_marks(&reading)? else {
        return Ok(false);
    };
    for (mark, old) in due.marks.0.iter_mut().zip(old.0) {
        // Also if the clock was set back: what is closed stays so.
        *mark = old.max(*mark);
    }
    let mut level = None;
    for of_all in Level::ALL {
        if is_due(&reading, of_all, due.until(of_all))? {
            level = Some(of_all);
            break;
        }
    }
    if level.is_none() && due.marks == old {
        return Ok(false);
    }
    let transaction = database.begin_write()?;
    for (level, mark) in (0..).zip(due.marks.0) {
        marks(&transaction)?.insert(level, mark)?;
    }
    if let Some(level) = level {
        move_rows(&transaction, level, due.until(level))?;
    }
    transaction.commit()?;
    Ok(true)
}

/// Whether a level has rows of periods before an hour.
fn is_due(reading: &ReadTransaction, level: Level, until: u32) -> Result<bool, StorageError> {
    let Some(table) = read_level(reading, level)? else {
        return Ok(false);
    };
    Ok(table.first()?.is_some_and(|(key, _)| key.value().0 < until))
}

/// Moves some rows of periods before an hour into the next coarser level; out of the coarsest they go for good.
fn move_rows(transaction: &WriteTransaction, level: Level, until: u32) -> Result<(), StorageError> {
    let mut table = transaction.open_table(level.table())?;
    let mut rows = Vec::new();
    for entry in table.range::<(u32, &[u8])>(..(until, &[][..]))?.take(PART_ROWS) {
        let (key, row) = entry?;
        let (period, account) = key.value();
        rows.push((period, account.to_vec(), row.value().to_vec()));
    }
    if let Some(coarser) = level.coarser() {
        let mut target = transaction.open_table(coarser.table())?;
        for (period, account, row) in &rows {
            let to = coarser.period_of(*period);
            let mut sum = row_of(&target, to, account)?;
            for (kind, counts) in decoded(*period, row)? {
                cell_row::add(&mut sum, coarser.cell_of(kind).0, &counts);
            }
            target.insert((to, &**account), &*cell_row::encode(to, &sum))?;
        }
    }
    for (period, account, _) in &rows {
        table.remove((*period, &**account))?;
    }
    Ok(())
}
