//! What was served, as it is written by each save.

use redb::{ReadableTable, WriteTransaction};
use tollkeeper_ledger::Drained;

use crate::cell_row::{self, CellRow, RowCounts};
use crate::error::StorageError;
use crate::ledger_tables::{Level, Marks, marks};

/// Adds cells to what is in the file; they are ordered by hour, then account.
pub(crate) fn write_cells(transaction: &WriteTransaction, cells: &[Drained]) -> Result<(), StorageError> {
    let marks = Marks::read(&marks(transaction)?)?;
    for of_level in cells.chunk_by(|one, other| marks.level_of(one.kind.hour) == marks.level_of(other.kind.hour)) {
        let level = marks.level_of(of_level[0].kind.hour);
        let mut table = transaction.open_table(level.table())?;
        for of_row in of_level.chunk_by(|one, other| one.kind.hour == other.kind.hour && one.account == other.account) {
            let Drained { kind, account, .. } = &of_row[0];
            let period = level.period_of(kind.hour);
            let mut row = row_of(&table, period, account.as_bytes())?;
            for Drained { kind, counts, .. } in of_row {
                let kind = level.cell_of(*kind).0;
                // What comes to a closed day revises it.
                let revision = row.get(&kind).map_or(0, |there| there.revision);
                let revision = revision.saturating_add(u32::from(level != Level::Hours));
                let added = RowCounts {
                    counts: *counts,
                    revision,
                };
                cell_row::add(&mut row, kind, &added);
            }
            table.insert((period, account.as_bytes()), &*cell_row::encode(period, &row))?;
        }
    }
    Ok(())
}

/// The row of an account and a period, which is empty if there is none.
pub(crate) fn row_of(
    table: &impl ReadableTable<(u32, &'static [u8]), &'static [u8]>,
    period: u32,
    account: &[u8],
) -> Result<CellRow, StorageError> {
    match table.get((period, account))? {
        Some(row) => decoded(period, row.value()),
        None => Ok(CellRow::new()),
    }
}

pub(crate) fn decoded(period: u32, row: &[u8]) -> Result<CellRow, StorageError> {
    cell_row::decode(period, row).ok_or_else(|| StorageError::Corrupt("what was served".into()))
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use tollkeeper_ledger::{By, Counts, Kind, Ledger, Query, Settings};
    use tollkeeper_limiter::{Limiter, TierSpec};

    use crate::Storage;
    use crate::full_disk::{FAULTS, FULL, SYNCS, WRITES, on_a_disk_that_may_be_full};

    const HOUR: u32 = 497_000;

    struct Open {
        _folder: TempDir,
        storage: Storage,
        limiter: Limiter,
        ledger: Ledger,
    }

    impl Open {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("limits.redb");
            let storage = Storage::of(on_a_disk_that_may_be_full(&path).unwrap()).unwrap();
            let ledger = Ledger::new(Settings {
                max_cells: 100,
                secret: [1; 16],
            });
            ledger.meters().number_of("identify");
            let limiter = Limiter::new(tollkeeper_limiter::Settings {
                tiers: vec![TierSpec {
                    name: "free".into(),
                    limits: Vec::new(),
                }],
                max_keys: 10,
                secret: storage.secret(),
                durable: true,
            });
            Self {
                _folder: folder,
                storage,
                limiter: limiter.unwrap(),
                ledger,
            }
        }

        fn count(&self, accounts: u16) {
            for account in 1..=accounts {
                let kind = Kind {
                    hour: HOUR,
                    meter: 0,
                    plan: 0,
                };
                let call = Counts {
                    calls: 1,
                    ..Counts::default()
                };
                self.ledger.count(&[account], kind, &call).unwrap();
            }
        }

        fn save(&self) -> bool {
            self.storage.save_all(&self.limiter, Some(&self.ledger)).is_ok()
        }

        /// Calls in memory, and in the file.
        fn calls(&self) -> (u64, u64) {
            self.storage.settle(&self.ledger).unwrap();
            let all = Query {
                account: None,
                from_hour: 0,
                to_hour: u32::MAX,
                by: By::Range,
                after: None,
                max: 100,
            };
            let rows = self.storage.usage().unwrap().read(&all).unwrap();
            let rows = rows.flat_map(|row| row.unwrap().1);
            (
                self.ledger.stats().unwritten_calls,
                rows.map(|row| row.counts.calls).sum(),
            )
        }
    }

    #[test]
    fn what_found_no_room_on_the_disk_is_kept_and_written_once_when_there_is() {
        let open = Open::new();
        open.count(3);
        FULL.set(true);
        for calls in 3..6 {
            assert!(!open.save());
            assert_eq!(open.ledger.stats().unwritten_calls, calls);
            open.count(1);
        }
        FULL.set(false);
        assert_eq!(open.calls(), (6, 0));
        assert!(open.save());
        assert_eq!(open.calls(), (0, 6));
    }

    #[test]
    fn a_write_that_fails_anywhere_or_only_seems_to_loses_nothing_and_counts_nothing_twice() {
        let writes = {
            let open = Open::new();
            open.count(3);
            assert!(open.save());
            WRITES.set(0);
            open.count(2);
            assert!(open.save());
            WRITES.get()
        };
        let mut seen = [0; 2];
        for fault in 0..writes + 4 {
            for for_good in [false, true] {
                let open = Open::new();
                open.count(3);
                assert!(open.save());
                open.count(2);
                WRITES.set(0);
                if fault < writes {
                    FAULTS.set((fault, if for_good { usize::MAX } else { fault + 1 }));
                } else {
                    SYNCS.set(fault - writes);
                }
                let is_saved = open.save();
                FAULTS.set((0, 0));
                SYNCS.set(usize::MAX);
                let calls = open.calls();
                assert!(calls == (2, 3) || calls == (0, 5), "{calls:?} at {fault}");
                assert!(!is_saved || calls == (0, 5));
                seen[usize::from(calls == (0, 5) && !is_saved)] += 1;
                assert!(open.save());
                assert_eq!(open.calls(), (0, 5), "at {fault}");
            }
        }
        assert!(seen.iter().all(|times| *times > 0), "{seen:?}");
    }
}
