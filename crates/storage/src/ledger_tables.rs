//! The tables of the ledger. A file has them from the first usage on; releases that don't know them leave them as they are.

use redb::{ReadOnlyTable, ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction};
use tollkeeper_ledger::{Kind, Ledger};
use tollkeeper_limiter::Period;

use crate::error::StorageError;

/// The first hour of a period, and an account, by its bytes.
pub(crate) type RowKey = (u32, &'static [u8]);
type Definition = TableDefinition<'static, RowKey, &'static [u8]>;

/// Names of meters (0) and plans (1), by number.
const NAMES: TableDefinition<(u8, u16), &str> = TableDefinition::new("usage names");
/// The first hour that is not yet in a coarser level, by the level's number; and [`SAVES`].
const MARKS: TableDefinition<u8, u32> = TableDefinition::new("usage marks");

/// How often usage was written, by which it is told whether a write that failed has come to the file.
const SAVES: u8 = 255;

const METER: u8 = 0;
const PLAN: u8 = 1;
const HOUR_MS: u64 = 3_600_000;

/// How finely usage is known. Each has a table, with a row for each account and period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// The hours of open days: a row for each hour.
    Hours,
    /// Closed days: a row for each day, in which each hour has its cells.
    Days,
    /// Days whose hours were merged.
    WholeDays,
    /// Months whose days were merged.
    Months,
}

impl Level {
    pub(crate) const ALL: [Self; 4] = [Self::Hours, Self::Days, Self::WholeDays, Self::Months];

    pub(crate) fn table(self) -> Definition {
        TableDefinition::new(match self {
            Self::Hours => "usage hours",
            Self::Days => "usage days",
            Self::WholeDays => "usage whole days",
            Self::Months => "usage months",
        })
    }

    /// The next coarser one.
    pub(crate) fn coarser(self) -> Option<Self> {
        Self::ALL.get(self as usize + 1).copied()
    }

    /// The first hour of the period of an hour.
    pub(crate) fn period_of(self, hour: u32) -> u32 {
        match self {
            Self::Hours => hour,
            Self::Days | Self::WholeDays => hour - hour % 24,
            Self::Months => month_of(hour).0,
        }
    }

    /// The first hour of the period after the one that begins with an hour.
    pub(crate) fn next_period(self, period: u32) -> u32 {
        match self {
            Self::Hours => period + 1,
            Self::Days | Self::WholeDays => period + 24,
            Self::Months => month_of(period).1,
        }
    }

    /// The cell in which an hour is counted, and of how many hours it is.
    pub(crate) fn cell_of(self, kind: Kind) -> (Kind, u32) {
        match self {
            Self::Hours | Self::Days => (kind, 1),
            Self::WholeDays | Self::Months => {
                let hour = self.period_of(kind.hour);
                (Kind { hour, ..kind }, self.next_period(hour) - hour)
            }
        }
    }
}

/// The first hour of the month of an hour, and of the month after it.
pub(crate) fn month_of(hour: u32) -> (u32, u32) {
    let bounds = Period::Month { anchor_day: 1 }.bounds(u64::from(hour) * HOUR_MS);
    let hour_of = |at_ms: u64| u32::try_from(at_ms / HOUR_MS).unwrap_or(u32::MAX);
    (hour_of(bounds.start_ms), hour_of(bounds.end_ms))
}

/// Up to which hour, excluded, usage is in a level coarser than each of the first three. They only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Marks(pub(crate) [u32; 3]);

impl Marks {
    pub(crate) fn read(table: &impl ReadableTable<u8, u32>) -> Result<Self, StorageError> {
        let mut marks = Self::default();
        for (level, mark) in (0..).zip(&mut marks.0) {
            *mark = table.get(level)?.map_or(0, |mark| mark.value());
        }
        Ok(marks)
    }

    /// The level in which something of an hour is to be counted.
    pub(crate) fn level_of(&self, hour: u32) -> Level {
        let finest = self.0.iter().position(|mark| hour >= *mark);
        finest.map_or(Level::Months, |level| Level::ALL[level])
    }
}

pub(crate) fn marks(transaction: &WriteTransaction) -> Result<Table<'_, u8, u32>, StorageError> {
    Ok(transaction.open_table(MARKS)?)
}

/// The marks of a file; None if nothing was ever counted in it.
pub(crate) fn read_marks(transaction: &ReadTransaction) -> Result<Option<Marks>, StorageError> {
    match there(transaction.open_table(MARKS))? {
        Some(table) => Ok(Some(Marks::read(&table)?)),
        None => Ok(None),
    }
}

/// Counts one more write of usage; says how many there are with it.
pub(crate) fn count_save(transaction: &WriteTransaction) -> Result<u32, StorageError> {
    let mut table = transaction.open_table(MARKS)?;
    let saves = table.get(SAVES)?.map_or(0, |saves| saves.value()).wrapping_add(1);
    table.insert(SAVES, saves)?;
    Ok(saves)
}

/// How often usage was written.
pub(crate) fn read_saves(transaction: &ReadTransaction) -> Result<u32, StorageError> {
    let Some(table) = there(transaction.open_table(MARKS))? else {
        return Ok(0);
    };
    Ok(table.get(SAVES)?.map_or(0, |saves| saves.value()))
}

/// A level's table, if there ever was one.
pub(crate) fn read_level(
    transaction: &ReadTransaction,
    level: Level,
) -> Result<Option<ReadOnlyTable<RowKey, &'static [u8]>>, StorageError> {
    there(transaction.open_table(level.table()))
}

fn there<T>(opened: Result<T, TableError>) -> Result<Option<T>, StorageError> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(why) => Err(why.into()),
    }
}

/// How many names of a ledger the file has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct StoredNames {
    meters: u16,
    plans: u16,
    /// Whether the file has usage.
    pub(crate) has_usage: bool,
}

impl StoredNames {
    /// Writes those that are new.
    pub(crate) fn write(&mut self, transaction: &WriteTransaction, ledger: &Ledger) -> Result<(), StorageError> {
        let (meters, plans) = (ledger.meters().len(), ledger.plans().len());
        if (self.meters, self.plans) == (meters, plans) {
            return Ok(());
        }
        let mut table = transaction.open_table(NAMES)?;
        for (kind, names, stored) in [
            (METER, ledger.meters(), self.meters),
            (PLAN, ledger.plans(), self.plans),
        ] {
            for (number, name) in (0..).zip(names.all()).skip(stored.into()) {
                table.insert((kind, number), &*name)?;
            }
        }
        // More may have come since they were counted, and are written again.
        *self = Self {
            meters,
            plans,
            has_usage: true,
        };
        Ok(())
    }

    /// As if none were in the file: all are written again.
    pub(crate) fn unknown(self) -> Self {
        Self {
            meters: 0,
            plans: 0,
            ..self
        }
    }

    /// Looks whether the file has any.
    pub(crate) fn look(transaction: &ReadTransaction) -> Result<Self, StorageError> {
        let has_usage = there(transaction.open_table(NAMES))?.is_some();
        Ok(Self {
            has_usage,
            ..Self::default()
        })
    }

    /// Has a ledger know them, in which none has a number yet.
    pub(crate) fn load(transaction: &ReadTransaction, ledger: &Ledger) -> Result<Self, StorageError> {
        let Some(table) = there(transaction.open_table(NAMES))? else {
            return Ok(Self::default());
        };
        for entry in table.iter()? {
            let (key, name) = entry?;
            let (kind, number) = key.value();
            let names = if kind == METER { ledger.meters() } else { ledger.plans() };
            if kind > PLAN || names.number_of(name.value()) != Some(number) {
                return Err(StorageError::Corrupt("the names of meters and plans".into()));
            }
        }
        Ok(Self {
            meters: ledger.meters().len(),
            plans: ledger.plans().len(),
            has_usage: true,
        })
    }
}

/// Copies all usage of one file into another, in which there is none, in parts of so many rows.
pub(crate) fn copy(from: &ReadTransaction, to: &redb::Database, part: usize) -> Result<(), StorageError> {
    let transaction = to.begin_write()?;
    if let Some(names) = there(from.open_table(NAMES))? {
        let mut copied = transaction.open_table(NAMES)?;
        for entry in names.iter()? {
            let (key, name) = entry?;
            copied.insert(key.value(), name.value())?;
        }
    }
    if let Some(marks) = there(from.open_table(MARKS))? {
        let mut copied = transaction.open_table(MARKS)?;
        for entry in marks.iter()? {
            let (level, mark) = entry?;
            copied.insert(level.value(), mark.value())?;
        }
    }
    transaction.commit()?;
    for level in Level::ALL {
        let Some(table) = read_level(from, level)? else {
            continue;
        };
        let mut rows = table.iter()?.peekable();
        while rows.peek().is_some() {
            let transaction = to.begin_write()?;
            {
                let mut copied = transaction.open_table(level.table())?;
                for entry in rows.by_ref().take(part) {
                    let (key, row) = entry?;
                    copied.insert(key.value(), row.value())?;
                }
            }
            transaction.commit()?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Level::{Days, Hours, Months, WholeDays};
    use super::*;

    #[test]
    fn an_hour_is_counted_in_the_finest_level_that_still_has_it() {
        let marks = Marks([240, 120, 24]);
        let levels = [240, 239, 120, 119, 24, 23].map(|hour| marks.level_of(hour));
        assert_eq!(levels, [Hours, Days, Days, WholeDays, WholeDays, Months]);
    }

    #[test]
    fn periods_begin_and_end_as_those_of_the_calendar_in_utc() {
        // 29 February 2028, 13:00.
        let hour = 509_832 + 13;
        let kind = Kind {
            hour,
            meter: 1,
            plan: 2,
        };
        let cells = Level::ALL.map(|level| level.cell_of(kind));
        let hours = cells.map(|(kind, hours)| (kind.hour, hours));
        assert_eq!(
            hours,
            [(hour, 1), (hour, 1), (hour - 13, 24), (hour - 13 - 28 * 24, 29 * 24)]
        );
        assert_eq!(Level::Months.next_period(hour - 13 - 28 * 24), hour - 13 + 24);
    }
}
