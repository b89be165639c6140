//! What was served: counted, written, closed, merged and read, over restarts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use tollkeeper_ledger::{Account, By, Counts, Kind, Ledger, Query, Row, Settings};
use tollkeeper_limiter::Limiter;
use tollkeeper_storage::{Retention, Storage};

use crate::{free, left, limiter, spend};

const DAY_MS: u64 = 86_400_000;
/// 15 January 2026.
const DAY: u32 = 20_468;
const RETENTION: Retention = Retention {
    hour_days: 2,
    day_days: 5,
    months: 1,
};

/// A file with a limiter and a ledger over it.
struct Open {
    storage: Storage,
    limiter: Limiter,
    ledger: Ledger,
}

impl Open {
    fn new(path: &Path) -> Self {
        let storage = Storage::open(path).unwrap();
        let limiter = limiter(&storage, free());
        storage.load(&limiter).unwrap();
        let ledger = Ledger::new(Settings {
            max_cells: 1_000,
            secret: [9; 16],
        });
        storage.load_names(&ledger).unwrap();
        for meter in ["identify", "compare"] {
            ledger.meters().number_of(meter).unwrap();
        }
        Self {
            storage,
            limiter,
            ledger,
        }
    }

    fn count(&self, account: &str, meter: &str, plan: &str, hour: u32, counts: Counts) {
        let kind = Kind {
            hour,
            meter: self.ledger.meters().find(meter).unwrap(),
            plan: self.ledger.plans().number_of(plan).unwrap(),
        };
        let units: Vec<u16> = account.encode_utf16().collect();
        self.ledger.count(&units, kind, &counts).unwrap();
    }

    fn save(&self) {
        self.storage.save_all(&self.limiter, Some(&self.ledger)).unwrap();
    }

    /// Does all that is due at the beginning of a day, and for so many more milliseconds.
    fn coarsen(&self, day: u32, more_ms: u64) {
        while self
            .storage
            .coarsen(u64::from(day) * DAY_MS + more_ms, &RETENTION)
            .unwrap()
        {}
    }

    /// Everything that a query wants, page by page.
    fn read(&self, query: &Query) -> Vec<(Account, Row)> {
        let mut query = query.clone();
        let mut found = Vec::new();
        loop {
            let unwritten = self.ledger.unwritten(&query);
            let reader = self.storage.usage().unwrap();
            let page = query.page(unwritten, reader.read(&query).unwrap()).unwrap();
            for (account, rows) in page.accounts {
                found.extend(rows.into_iter().map(|row| (account.clone(), row)));
            }
            if page.next.is_none() {
                return found;
            }
            query.after = page.next;
        }
    }
}

fn all() -> Query {
    Query {
        account: None,
        from_hour: 0,
        to_hour: tollkeeper_ledger::MAX_HOUR,
        by: By::Hour,
        after: None,
        max: 3,
    }
}

fn calls(calls: u64) -> Counts {
    Counts {
        calls,
        units_milli: calls * 1_000,
        denied: 1,
        refunded_milli: 5,
    }
}

#[derive(Debug, Clone)]
enum Step {
    Count(u8, u8, u8, u32, u64),
    Save,
    Coarsen,
    Day,
    Reopen,
    Read(Option<u8>, u32, u32, usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        12 => (0..4_u8, 0..2_u8, 0..2_u8, 0..60_u32, 0..9_u64)
            .prop_map(|(account, meter, plan, ago, calls)| Step::Count(account, meter, plan, ago, calls)),
        4 => Just(Step::Save),
        3 => Just(Step::Coarsen),
        3 => Just(Step::Day),
        1 => Just(Step::Reopen),
        4 => (proptest::option::of(0..4_u8), 0..300_u32, 0..300_u32, 1..9_usize)
            .prop_map(|(account, from, hours, max)| Step::Read(account, from, hours, max)),
    ];
    vec(step, 1..80)
}

/// By account, meter and plan; then by hour.
type Model = BTreeMap<(String, u8, u8), BTreeMap<u32, Counts>>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn sums_over_whole_periods_are_what_was_counted_whatever_was_written_closed_or_merged(steps in steps()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limits.redb");
        let mut open = Open::new(&path);
        let mut model = Model::new();
        let mut day = DAY;
        for step in steps {
            match step {
                Step::Count(account, meter, plan, ago, number) => {
                    // Up to sixty hours late, when the day may be closed, and its hours merged.
                    let hour = day * 24 + 20 - ago;
                    let account = format!("account {account}");
                    let (meter_name, plan_name) = (["identify", "compare"][usize::from(meter)], ["free", "pro"][usize::from(plan)]);
                    open.count(&account, meter_name, plan_name, hour, calls(number));
                    let hours = model.entry((account, meter, plan)).or_default();
                    hours.entry(hour).or_default().add(&calls(number));
                }
                Step::Save => open.save(),
                Step::Coarsen => open.coarsen(day, DAY_MS / 2),
                Step::Day => day += 1,
                Step::Reopen => {
                    open.save();
                    drop(open);
                    open = Open::new(&path);
                }
                Step::Read(account, from, hours, max) => {
                    // Whole days; hours may be known no more.
                    let from_hour = (day * 24 - from) / 24 * 24;
                    let account = account.map(|account| format!("account {account}"));
                    let query = Query {
                        account: account.as_deref().map(Account::from),
                        from_hour,
                        to_hour: from_hour + hours / 24 * 24,
                        by: By::Day,
                        after: None,
                        max,
                    };
                    let mut sums = BTreeMap::<(Account, u16, String), Counts>::new();
                    for (of, row) in open.read(&query) {
                        prop_assert!(row.hours == 24 || row.kind.hour < (day - RETENTION.day_days) * 24);
                        let plan = open.ledger.plans().all()[usize::from(row.kind.plan)].to_string();
                        sums.entry((of, row.kind.meter, plan)).or_default().add(&row.counts);
                    }
                    let mut wanted = BTreeMap::<(Account, u16, String), Counts>::new();
                    // The months of which days may be known no more.
                    let is_whole = from_hour >= (day - RETENTION.day_days) * 24;
                    for ((of, meter, plan), hours) in &model {
                        for (_, counts) in hours.iter().filter(|(hour, _)| query.wants_hour(**hour)) {
                            let key = (Account::from(of.as_str()), u16::from(*meter), ["free", "pro"][usize::from(*plan)].into());
                            if query.wants_account(&key.0) {
                                wanted.entry(key).or_default().add(counts);
                            }
                        }
                    }
                    if is_whole {
                        prop_assert_eq!(sums, wanted);
                    }
                }
            }
            let mut sum = Counts::default();
            open.read(&all()).iter().for_each(|(_, row)| sum.add(&row.counts));
            let mut wanted = Counts::default();
            model.values().flat_map(BTreeMap::values).for_each(|counts| wanted.add(counts));
            // At most a month and a half go by, so that nothing is let go.
            if day < DAY + 44 {
                prop_assert_eq!(sum, wanted);
            }
        }
    }
}

#[test]
fn hours_become_days_and_months_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let open = Open::new(&folder.path().join("limits.redb"));
    let count = |day: u32, hour: u32| open.count("a", "identify", "free", day * 24 + hour, calls(1));
    let found = || {
        let rows = open.read(&all());
        let rows = rows.iter().map(|(_, row)| {
            let (day, hour) = (row.kind.hour / 24, row.kind.hour % 24);
            (day - DAY, hour, row.hours, row.counts.calls, row.revision)
        });
        rows.collect::<Vec<_>>()
    };
    count(DAY, 3);
    count(DAY, 23);
    open.save();
    open.coarsen(DAY + 1, 600_000 - 1);
    count(DAY, 3);
    open.save();
    assert_eq!(
        found(),
        [(0, 3, 1, 2, 0), (0, 23, 1, 1, 0)],
        "it is open for ten minutes more"
    );
    open.coarsen(DAY + 1, 600_000);
    assert_eq!(found(), [(0, 3, 1, 2, 0), (0, 23, 1, 1, 0)], "it is closed");
    for _ in 0..2 {
        count(DAY, 3);
        count(DAY, 4);
        open.save();
    }
    let revised = [(0, 3, 1, 4, 2), (0, 4, 1, 2, 2), (0, 23, 1, 1, 0)];
    assert_eq!(found(), revised, "what comes later revises its cell");
    open.coarsen(DAY + 2, 0);
    assert_eq!(found(), revised);
    open.coarsen(DAY + 3, 0);
    assert_eq!(found(), [(0, 0, 24, 7, 2)], "its hours are merged");
    // As after a clock that was set back.
    open.coarsen(DAY, 0);
    count(DAY, 9);
    open.save();
    assert_eq!(found(), [(0, 0, 24, 8, 3)], "what is closed stays so");
    count(DAY + 16, 0);
    count(DAY + 17, 0);
    open.save();
    // 6 February: in January's last days there are some that are not old enough.
    open.coarsen(DAY + 21, 0);
    assert_eq!(found().len(), 3);
    open.coarsen(DAY + 22, 0);
    let rows: Vec<_> = open
        .read(&all())
        .iter()
        .map(|(_, row)| (row.kind.hour / 24, row.hours, row.counts.calls))
        .collect();
    assert_eq!(rows, [(DAY - 14, 31 * 24, 9), (DAY + 17, 24, 1)], "its days are merged");
    // 1 March: one month is kept beside the running one.
    open.coarsen(DAY + 45, 0);
    let rows: Vec<_> = open
        .read(&all())
        .iter()
        .map(|(_, row)| (row.kind.hour / 24, row.counts.calls))
        .collect();
    assert_eq!(rows, [(DAY + 17, 1)], "it is let go");
}

#[test]
fn a_file_of_an_older_release_opens_and_one_with_usage_is_of_the_same_format() {
    let (folder, path) = crate::saved();
    let open = Open::new(&path);
    assert!(open.read(&all()).is_empty());
    open.coarsen(DAY, 0);
    open.count("a", "identify", "free", DAY * 24, calls(1));
    open.save();
    drop(open);
    // As by a release that knows nothing of it.
    let storage = Storage::open(&path).unwrap();
    let older = limiter(&storage, free());
    assert_eq!(storage.load(&older).unwrap(), 1);
    spend(&older, "acct:1", 1);
    storage.save(&older).unwrap();
    drop(storage);
    let open = Open::new(&path);
    assert_eq!(open.read(&all()).len(), 1);
    assert_eq!(left(&open.limiter, "acct:1"), [59_000, 959_000]);
    drop((open, folder));
}

#[test]
fn an_hour_of_a_clock_that_was_far_ahead_does_not_hold_a_reader_up() {
    let folder = tempfile::tempdir().unwrap();
    let open = Open::new(&folder.path().join("limits.redb"));
    for hour in [0, DAY * 24, tollkeeper_ledger::MAX_HOUR - 1] {
        open.count("a", "identify", "free", hour, calls(1));
    }
    open.save();
    for account in [None, Some(Account::from("a"))] {
        assert_eq!(open.read(&Query { account, ..all() }).len(), 3);
    }
}

#[test]
fn names_keep_their_numbers_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    let open = Open::new(&path);
    for plan in ["z", "a"] {
        open.count("a", "compare", plan, DAY * 24, calls(1));
        open.save();
    }
    drop(open);
    let open = Open::new(&path);
    let plans: Vec<_> = open.ledger.plans().all().iter().map(ToString::to_string).collect();
    assert_eq!(plans, ["", "z", "a"]);
    open.ledger.meters().number_of("new").unwrap();
    open.count("a", "new", "y", DAY * 24, calls(1));
    open.save();
    drop(open);
    let open = Open::new(&path);
    let meters: Vec<_> = open.ledger.meters().all().iter().map(ToString::to_string).collect();
    assert_eq!(
        (meters, open.ledger.plans().len()),
        (["identify", "compare", "new"].map(String::from).to_vec(), 4)
    );
}

#[test]
fn a_file_that_was_removed_is_written_anew_with_all_that_was_served_and_one_cut_short_says_what_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("limits.redb");
    let open = Open::new(&path);
    for account in 0..50 {
        open.count(&format!("account {account}"), "identify", "free", DAY * 24, calls(1));
    }
    open.save();
    open.coarsen(DAY + 1, DAY_MS / 2);
    open.count("late", "identify", "free", DAY * 24, calls(1));
    fs::remove_file(&path).unwrap();
    open.save();
    let notes = open.storage.drain_notes();
    assert!(notes[0].text.ends_with("with all usage and records"), "{notes:?}");
    assert_eq!(open.ledger.stats().unwritten_calls, 0);
    drop(open);
    let open = Open::new(&path);
    let rows = open.read(&all());
    assert_eq!((rows.len(), rows[50].1.revision), (51, 1));
    open.count("last", "identify", "free", DAY * 24, calls(1));
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(4_096).unwrap();
    open.save();
    let notes = open.storage.drain_notes();
    assert!(
        notes[0].text.ends_with("some or all that was counted before is lost"),
        "{notes:?}"
    );
    assert_eq!(open.read(&all()).len(), 1, "what memory still had");
}
