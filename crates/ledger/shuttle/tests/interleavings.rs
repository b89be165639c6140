//! Threads that meet in one ledger, in very many orders; see `docs/proof.md`.

use std::sync::Arc;

use shuttle::scheduler::{PctScheduler, RandomScheduler};
use shuttle::{Config, Runner, thread};
use tollkeeper_ledger_shuttle::{Counts, Drained, Kind, Ledger, Room, Settings};

const HOUR: u32 = 497_000;

fn explore(test: impl Fn() + Send + Sync + Clone + 'static) {
    let rounds = std::env::var("SHUTTLE_ROUNDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2_000);
    let mut config = Config::new();
    config.stack_size = 1 << 18;
    Runner::new(RandomScheduler::new(rounds), config.clone()).run(test.clone());
    Runner::new(PctScheduler::new(3, rounds), config).run(test);
}

fn ledger(max_cells: usize) -> Arc<Ledger> {
    let ledger = Ledger::new(Settings {
        max_cells,
        secret: [3; 16],
    });
    ledger.meters().number_of("identify");
    Arc::new(ledger)
}

/// Counts a call for an account in the first so many hours; how many were without it.
fn count(ledger: &Ledger, account: &str, hours: u32) -> usize {
    let units: Vec<u16> = account.encode_utf16().collect();
    let call = Counts {
        calls: 1,
        units_milli: 1_000,
        ..Counts::default()
    };
    let counted = (0..hours).map(|hour| {
        ledger.count(
            &units,
            Kind {
                hour: HOUR + hour,
                meter: 0,
                plan: 0,
            },
            &call,
        )
    });
    counted.filter(|room| *room == Ok(Room::None)).count()
}

fn calls(cells: &[Drained]) -> u64 {
    cells.iter().map(|cell| cell.counts.calls).sum()
}

#[test]
fn what_threads_count_while_it_is_drained_written_and_given_back_is_there_once() {
    explore(|| {
        let ledger = ledger(10);
        let threads: Vec<_> = ["a", "b"]
            .into_iter()
            .map(|account| {
                let ledger = Arc::clone(&ledger);
                thread::spawn(move || count(&ledger, account, 2) + count(&ledger, "shared", 2))
            })
            .collect();
        let saver = Arc::clone(&ledger);
        let saving = thread::spawn(move || {
            let failed = saver.drain(usize::MAX);
            saver.give_back(&failed);
            saver.sweep();
            let cells = saver.drain(usize::MAX);
            saver.written(&cells);
            saver.sweep();
            calls(&cells)
        });
        let written = saving.join().expect("it does not panic");
        for thread in threads {
            assert_eq!(thread.join().expect("it does not panic"), 0);
        }
        let stats = ledger.stats();
        assert_eq!(
            (written + stats.unwritten_calls, stats.overflow, stats.saturated),
            (8, 0, 0)
        );
        let rest = ledger.drain(usize::MAX);
        assert_eq!(written + calls(&rest), 8);
        ledger.written(&rest);
        assert_eq!(ledger.stats().cells, 0);
    });
}

#[test]
fn the_bound_holds_whatever_is_given_back_and_all_is_counted() {
    explore(|| {
        let ledger = ledger(2);
        let threads: Vec<_> = ["a", "b"]
            .into_iter()
            .map(|account| {
                let ledger = Arc::clone(&ledger);
                thread::spawn(move || count(&ledger, account, 2))
            })
            .collect();
        let cells = ledger.drain(usize::MAX);
        let without: usize = {
            ledger.give_back(&cells);
            threads
                .into_iter()
                .map(|thread| thread.join().expect("it does not panic"))
                .sum()
        };
        let stats = ledger.stats();
        assert_eq!((stats.unwritten_calls, stats.overflow), (4, without as u64));
        let rest = ledger.drain(usize::MAX);
        let placed = rest.iter().filter(|cell| !cell.account.is_overflow()).count();
        assert!(placed <= 2 && calls(&rest) == 4, "{rest:?}");
        ledger.written(&rest);
        // Every place is free again.
        assert_eq!((count(&ledger, "c", 2), count(&ledger, "d", 1)), (0, 1));
    });
}

#[test]
fn totals_never_miss_what_is_on_its_way_out_or_back() {
    explore(|| {
        let ledger = ledger(10);
        assert_eq!(count(&ledger, "a", 3), 0);
        let saver = Arc::clone(&ledger);
        let saving = thread::spawn(move || {
            let cells = saver.drain(usize::MAX);
            saver.give_back(&cells);
        });
        for _ in 0..2 {
            let stats = ledger.stats();
            assert_eq!(
                (stats.cells, stats.unwritten_calls, stats.unwritten_milli),
                (3, 3, 3_000)
            );
            assert_eq!(stats.oldest_unwritten_hour, Some(HOUR));
        }
        saving.join().expect("it does not panic");
    });
}
