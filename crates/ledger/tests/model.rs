//! The ledger against a plain map: whatever is counted, drained, written or given back, in memory or written it is once.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use tollkeeper_ledger::{Account, By, Counts, Drained, Kind, Ledger, Query, Room, Row, Settings};

const HOUR: u32 = 497_000;

#[derive(Debug, Clone)]
enum Step {
    Count(u8, Kind, Counts),
    Drain(usize),
    Write,
    GiveBack,
    Sweep,
    Read(Option<u8>, u32, u32, usize),
}

fn counts() -> impl Strategy<Value = Counts> {
    (0..3_u64, 0..5_000_u64, 0..3_u64, 0..100_u64).prop_map(|(calls, units_milli, denied, refunded_milli)| Counts {
        calls,
        units_milli,
        denied,
        refunded_milli,
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let kind = (0..30_u32, 0..2_u16, 0..3_u16).prop_map(|(hour, meter, plan)| Kind {
        hour: HOUR + hour,
        meter,
        plan,
    });
    let read = (proptest::option::of(0..9_u8), 0..30_u32, 0..31_u32, 1..9_usize);
    let step = prop_oneof![
        12 => (0..9_u8, kind, counts()).prop_map(|(account, kind, counts)| Step::Count(account, kind, counts)),
        1 => prop_oneof![0..9_usize, Just(usize::MAX)].prop_map(Step::Drain),
        1 => Just(Step::Write),
        1 => Just(Step::GiveBack),
        1 => Just(Step::Sweep),
        1 => read.prop_map(|(account, from, to, max)| Step::Read(account, HOUR + from, HOUR + to, max)),
    ];
    vec(step, 1..200)
}

fn text(account: u8) -> String {
    // Of all lengths, some of which need memory of their own.
    format!("{account}").repeat(1 + usize::from(account) * 5)
}

fn ledger(max_cells: usize) -> Ledger {
    let ledger = Ledger::new(Settings {
        max_cells,
        secret: [5; 16],
    });
    for name in ["identify", "compare"] {
        ledger.meters().number_of(name);
    }
    for name in ["free", "pro"] {
        ledger.plans().number_of(name);
    }
    ledger
}

fn count(ledger: &Ledger, account: &str, kind: Kind, counts: Counts) -> Room {
    let units: Vec<u16> = account.encode_utf16().collect();
    ledger.count(&units, kind, &counts).expect("it is sound")
}

type Map = BTreeMap<(Account, Kind), Counts>;

fn add(map: &mut Map, account: &Account, kind: Kind, counts: Counts) {
    map.entry((account.clone(), kind)).or_default().add(&counts);
}

/// Pages of so many rows, one after the other; what was written is there in order of account.
fn read(ledger: &Ledger, written: &Map, query: &Query) -> Vec<(Account, Row)> {
    let mut query = query.clone();
    let mut found = Vec::new();
    loop {
        let mut by_account = BTreeMap::<Account, Vec<Row>>::new();
        for ((account, kind), &counts) in written {
            if query.wants_account(account) {
                let row = Row {
                    kind: *kind,
                    hours: 1,
                    counts,
                    revision: 0,
                };
                by_account.entry(account.clone()).or_default().push(row);
            }
        }
        let page = query.page(ledger.unwritten(&query), by_account.into_iter().map(Ok::<_, ()>));
        let page = page.expect("nothing fails");
        for (account, rows) in page.accounts {
            found.extend(rows.into_iter().map(|row| (account.clone(), row)));
        }
        if page.next.is_none() {
            return found;
        }
        query.after = page.next;
    }
}

proptest! {
    #[test]
    fn each_count_is_in_memory_or_written_once(steps in steps(), max_cells in prop_oneof![0..12_usize, Just(1_000)]) {
        let ledger = ledger(max_cells);
        let (mut all, mut written) = (Map::new(), Map::new());
        let mut drained: Vec<Drained> = Vec::new();
        let (mut calls, mut overflow) = (0, 0);
        for step in steps {
            match step {
                Step::Count(account, kind, counts) => {
                    let room = count(&ledger, &text(account), kind, counts);
                    let is_overflow = room == Room::None;
                    let account = if is_overflow { Account::OVERFLOW } else { text(account).as_str().into() };
                    add(&mut all, &account, kind, counts);
                    calls += counts.all_calls();
                    overflow += if is_overflow { counts.all_calls() } else { 0 };
                }
                Step::Drain(max) => drained.extend(ledger.drain(max)),
                Step::Write => {
                    ledger.written(&drained);
                    for Drained { kind, account, counts } in drained.drain(..) {
                        add(&mut written, &account, kind, counts);
                        calls -= counts.all_calls();
                    }
                }
                Step::GiveBack => ledger.give_back(&std::mem::take(&mut drained)),
                Step::Sweep => (0..64).for_each(|_| ledger.sweep()),
                Step::Read(account, from_hour, to_hour, max) => {
                    let account = account.map(|account| Account::from(text(account).as_str()));
                    let query = Query { account, from_hour, to_hour, by: By::Hour, after: None, max };
                    let mut in_file = written.clone();
                    for Drained { kind, account, counts } in &drained {
                        add(&mut in_file, account, *kind, *counts);
                    }
                    let found = read(&ledger, &in_file, &query);
                    let found: Vec<_> = found.iter().map(|(account, row)| ((account, row.kind), row.counts)).collect();
                    let wanted = all.iter().filter(|((account, kind), _)| {
                        query.wants_account(account) && query.wants_hour(kind.hour)
                    });
                    let wanted: Vec<_> = wanted.map(|((account, kind), counts)| ((account, *kind), *counts)).collect();
                    prop_assert_eq!(found, wanted);
                }
            }
            let stats = ledger.stats();
            let exempt = drained.iter().filter(|cell| cell.account.is_overflow()).count();
            let unplaced = ledger.unwritten(&Query {
                account: Some(Account::OVERFLOW), from_hour: 0, to_hour: u32::MAX, by: By::Hour, after: None, max: 1,
            });
            let page = Query { account: None, from_hour: 0, to_hour: u32::MAX, by: By::Hour, after: None, max: 9 }
                .page(unplaced, std::iter::empty::<Result<_, ()>>()).expect("nothing fails");
            let exempt = exempt + page.accounts.iter().map(|(_, rows)| rows.len()).sum::<usize>();
            prop_assert!(stats.cells <= max_cells + exempt, "{stats:?} {exempt}");
            prop_assert_eq!((stats.unwritten_calls, stats.overflow, stats.saturated), (calls, overflow, 0));
        }
        ledger.give_back(&drained);
        let rest = ledger.drain(usize::MAX);
        prop_assert!(rest.is_sorted_by_key(|cell| (cell.kind.hour, cell.account.clone(), cell.kind)));
        for Drained { kind, account, counts } in &rest {
            add(&mut written, account, *kind, *counts);
        }
        ledger.written(&rest);
        prop_assert_eq!(written, all);
        let stats = ledger.stats();
        prop_assert_eq!((stats.cells, stats.unwritten_calls, stats.oldest_unwritten_hour), (0, 0, None));
    }

    #[test]
    fn what_is_added_up_is_the_sum_of_the_hours(steps in vec((0..4_u8, 0..60_u32, counts()), 1..60), from in 0..50_u32) {
        let ledger = ledger(1_000);
        let mut sums = BTreeMap::<(Account, u32), Counts>::new();
        for (account, hour, counts) in steps {
            count(&ledger, &text(account), Kind { hour: HOUR + hour, meter: 1, plan: 1 }, counts);
            if hour >= from {
                let day = (HOUR + hour) / 24;
                sums.entry((text(account).as_str().into(), day)).or_default().add(&counts);
            }
        }
        let query = Query { account: None, from_hour: HOUR + from, to_hour: u32::MAX, by: By::Day, after: None, max: 3 };
        let days = read(&ledger, &Map::new(), &query);
        let days: Vec<_> = days.into_iter().map(|(account, row)| ((account, row.kind.hour / 24), row.counts)).collect();
        prop_assert_eq!(days, sums.clone().into_iter().collect::<Vec<_>>());
        let ranges = read(&ledger, &Map::new(), &Query { by: By::Range, ..query });
        for (account, row) in ranges {
            let mut sum = Counts::default();
            sums.iter().filter(|((of, _), _)| *of == account).for_each(|(_, counts)| sum.add(counts));
            prop_assert_eq!((row.kind.hour, row.counts), (HOUR + from, sum));
        }
    }
}

#[test]
fn names_of_accounts_are_forgotten_when_their_cells_are_written() {
    let ledger = ledger(10_000);
    let kind = |day: u32| Kind {
        hour: HOUR + day * 24,
        meter: 0,
        plan: 1,
    };
    for day in 0..365 {
        for account in 0..200 {
            count(
                &ledger,
                &format!("day {day} account {account}"),
                kind(day),
                Counts {
                    calls: 1,
                    ..Counts::default()
                },
            );
        }
        // As a save does, of which there are many a minute.
        for _ in 0..64 {
            ledger.written(&ledger.drain(usize::MAX));
            ledger.sweep();
        }
        assert!(ledger.stats().accounts <= 400, "{:?}", ledger.stats());
    }
}

#[test]
fn old_hours_are_let_go_with_their_accounts_and_it_is_said() {
    let ledger = ledger(2);
    let call = Counts {
        calls: 2,
        denied: 1,
        ..Counts::default()
    };
    for (account, hour) in [("old", 0), ("new", 1), ("overflow", 0)] {
        count(
            &ledger,
            account,
            Kind {
                hour: HOUR + hour,
                meter: 0,
                plan: 1,
            },
            call,
        );
    }
    ledger.forget_before(HOUR + 1);
    let stats = ledger.stats();
    assert_eq!((stats.cells, stats.accounts, stats.forgotten_calls), (1, 1, 6));
    assert_eq!(
        (stats.unwritten_calls, stats.oldest_unwritten_hour),
        (3, Some(HOUR + 1))
    );
    assert_ne!(
        count(
            &ledger,
            "again",
            Kind {
                hour: HOUR + 1,
                meter: 0,
                plan: 1
            },
            call
        ),
        Room::None
    );
}

#[test]
fn misuse_is_an_error_and_counts_nothing() {
    use tollkeeper_ledger::Error::{AccountInvalid, KindUnknown};
    let ledger = ledger(10);
    let good = Kind {
        hour: HOUR,
        meter: 0,
        plan: 0,
    };
    let call = Counts {
        calls: 1,
        ..Counts::default()
    };
    for (account, kind, error) in [
        (vec![], good, AccountInvalid),
        (vec![1; 513], good, AccountInvalid),
        (vec![1], Kind { meter: 2, ..good }, KindUnknown),
        (vec![1], Kind { plan: 3, ..good }, KindUnknown),
        (
            vec![1],
            Kind {
                hour: tollkeeper_ledger::MAX_HOUR,
                ..good
            },
            KindUnknown,
        ),
    ] {
        assert_eq!(ledger.count(&account, kind, &call), Err(error));
        assert!(!error.to_string().is_empty());
    }
    assert_eq!(ledger.stats().unwritten_calls, 0);
    assert_eq!(ledger.count(&[1; 512], good, &call), Ok(Room::Free));
}

#[test]
fn a_full_cell_and_what_it_could_not_hold_are_told() {
    let ledger = ledger(10);
    let kind = Kind {
        hour: HOUR,
        meter: 0,
        plan: 0,
    };
    for _ in 0..3 {
        count(
            &ledger,
            "a",
            kind,
            Counts {
                calls: 1 << 31,
                ..Counts::default()
            },
        );
    }
    assert_eq!(ledger.stats().saturated, 2);
    assert_eq!(ledger.drain(1)[0].counts.calls, u64::from(u32::MAX));
}

#[test]
fn names_get_numbers_as_long_as_there_are_any() {
    let ledger = Ledger::new(Settings {
        max_cells: 1,
        secret: [1; 16],
    });
    let numbers: Vec<_> = (0..2_050)
        .map(|name| ledger.plans().number_of(&name.to_string()))
        .collect();
    assert_eq!(
        (numbers[0], numbers[2_046], numbers[2_047]),
        (Some(1), Some(2_047), None)
    );
    assert_eq!(
        (ledger.plans().number_of("0"), ledger.plans().all().len()),
        (Some(1), 2_048)
    );
    assert!(ledger.meters().is_empty());
}
