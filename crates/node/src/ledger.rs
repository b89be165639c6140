//! The ledger as JavaScript sees it, without its hot call: opened by `src/ledger/native-cells.ts`, called now and then.

#![allow(
    clippy::needless_pass_by_value,
    reason = "napi hands over what it has made of an argument"
)]
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "JavaScript has checked its numbers, and no count comes near 2^53"
)]

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use napi::bindgen_prelude::{AsyncTask, Float64Array, Utf16String};
use napi::{Env, Result, Task};
use napi_derive::napi;
use tollkeeper_ledger::{Account, By, Names, Page, Query, Stats};

use crate::clock::instant;
use crate::count::{self, Own};
use crate::error::{closed, contained};
use crate::hot::RawValue;
use crate::local_table::LocalTable;

/// Numbers of a row: the account's index, meter, plan, hour, hours, calls, units, denied, refunded, revision.
const ROW: usize = 10;

/// One environment's hold on the ledger of a table.
#[napi]
pub struct Ledger {
    table: Arc<LocalTable>,
    /// This environment's clone, also of its hot function; none from `close` on.
    ledger: Own,
}

/// Which cells are wanted.
#[napi(object)]
pub struct CellQuery {
    /// One account, or all.
    pub account: Option<Utf16String>,
    /// The first hour.
    pub from_hour: f64,
    /// The first hour no more.
    pub to_hour: f64,
    /// What is added up: `hour`, `day` or `range`.
    pub by: String,
    /// The account after which to go on.
    pub after: Option<Utf16String>,
    /// So many rows are enough.
    pub max: f64,
}

/// Some of the cells that are wanted.
#[napi(object)]
pub struct CellRows {
    /// Their accounts.
    pub accounts: Vec<Utf16String>,
    /// Ten numbers each: the account's index, meter, plan, hour, hours, calls, units, denied, refunded, revision.
    pub numbers: Float64Array,
    /// The account after which to go on.
    pub next: Option<Utf16String>,
}

/// What a ledger holds, and what it could not hold.
#[napi(object)]
pub struct LedgerStats {
    /// Cells in memory.
    pub cells: f64,
    /// Cells that memory may hold.
    pub max_cells: f64,
    /// Accounts whose names are in memory.
    pub accounts: f64,
    /// Calls that are in memory only.
    pub unwritten_calls: f64,
    /// Thousandths that are in memory only.
    pub unwritten_milli: f64,
    /// The first hour of which something is in memory only.
    pub oldest_unwritten_hour: Option<f64>,
    /// Calls counted without their account.
    pub overflow: f64,
    /// How often a cell could not hold all.
    pub saturated: f64,
    /// Calls of hours that were let go.
    pub forgotten_calls: f64,
}

impl Ledger {
    pub(crate) fn of(table: Arc<LocalTable>, ledger: Arc<tollkeeper_ledger::Ledger>) -> Self {
        Self {
            table,
            ledger: Rc::new(RefCell::new(Some(ledger))),
        }
    }

    fn with<T>(&self, call: impl FnOnce(&tollkeeper_ledger::Ledger) -> T) -> Result<T> {
        self.ledger.borrow().as_deref().map(call).ok_or_else(closed)
    }
}

#[napi]
impl Ledger {
    /// The function that counts; it takes its numbers from `frame` and leaves its answer there.
    #[napi(ts_return_type = "(account: string) => void")]
    pub fn counter(&self, env: Env, #[napi(ts_arg_type = "Float64Array")] frame: RawValue) -> Result<RawValue> {
        count::counter(env, &self.ledger, frame)
    }

    /// The number of a meter, or -1.
    #[napi(catch_unwind)]
    pub fn meter_id(&self, name: String) -> Result<f64> {
        self.with(|ledger| ledger.meters().find(&name).map_or(-1.0, f64::from))
    }

    /// The number of a plan; that of those that are too many if it can get none.
    #[napi(catch_unwind)]
    pub fn plan_id(&self, name: String) -> Result<f64> {
        self.with(|ledger| ledger.plans().number_of(&name).map_or(0.0, f64::from))
    }

    /// The names of all meters, by number.
    #[napi(catch_unwind)]
    pub fn meters(&self) -> Result<Vec<String>> {
        self.with(|ledger| texts(ledger.meters()))
    }

    /// The names of all plans, by number.
    #[napi(catch_unwind)]
    pub fn plans(&self) -> Result<Vec<String>> {
        self.with(|ledger| texts(ledger.plans()))
    }

    /// Cells, read on a thread of the pool.
    #[napi(ts_return_type = "Promise<CellRows>")]
    pub fn read(&self, query: CellQuery) -> Result<AsyncTask<Read>> {
        self.with(|_| ())?;
        let account = |text: Option<Utf16String>| text.map(|text| Account::new(&text));
        Ok(AsyncTask::new(Read {
            table: Arc::clone(&self.table),
            query: Query {
                account: account(query.account),
                from_hour: query.from_hour as u32,
                to_hour: query.to_hour as u32,
                by: match query.by.as_str() {
                    "day" => By::Day,
                    "range" => By::Range,
                    _ => By::Hour,
                },
                after: account(query.after),
                max: query.max as usize,
            },
        }))
    }

    /// Accounts that have cells, in their order, read on a thread of the pool.
    #[napi(ts_return_type = "Promise<string[]>")]
    pub fn accounts(&self, after: Option<Utf16String>, max: f64) -> Result<AsyncTask<ReadAccounts>> {
        self.with(|_| ())?;
        Ok(AsyncTask::new(ReadAccounts {
            table: Arc::clone(&self.table),
            after: after.map(|text| Account::new(&text)),
            max: max as usize,
        }))
    }

    /// Stores what has changed, and does what is due at an instant if one is told, on a thread of the pool.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn flush(&self, now_ms: Option<f64>) -> Result<AsyncTask<Flush>> {
        self.with(|_| ())?;
        Ok(AsyncTask::new(Flush {
            table: Arc::clone(&self.table),
            now_ms: now_ms.map(instant),
        }))
    }

    /// What it holds.
    #[napi(catch_unwind)]
    pub fn stats(&self) -> Result<LedgerStats> {
        self.with(|ledger| ledger.stats().into())
    }

    /// Lets go.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        self.ledger.borrow_mut().take();
    }
}

fn texts(names: &Names) -> Vec<String> {
    names.all().iter().map(ToString::to_string).collect()
}

fn utf16(account: &Account) -> Utf16String {
    // What is in a file was checked as it was read.
    account.units().unwrap_or_default().into()
}

/// A page that is being read.
pub struct Read {
    table: Arc<LocalTable>,
    query: Query,
}

impl Task for Read {
    type Output = CellRowsOutput;
    type JsValue = CellRows;

    fn compute(&mut self) -> Result<CellRowsOutput> {
        contained("the ledger", || Ok(flat(&self.table.read_usage(&self.query)?)))
    }

    fn resolve(&mut self, _: Env, (accounts, numbers, next): CellRowsOutput) -> Result<CellRows> {
        Ok(CellRows {
            accounts,
            numbers: Float64Array::new(numbers),
            next,
        })
    }
}

/// What is to become of a page, made where it holds nobody up.
type CellRowsOutput = (Vec<Utf16String>, Vec<f64>, Option<Utf16String>);

fn flat(page: &Page) -> CellRowsOutput {
    let mut numbers = Vec::with_capacity(ROW * page.accounts.iter().map(|(_, rows)| rows.len()).sum::<usize>());
    for (index, (_, rows)) in page.accounts.iter().enumerate() {
        for row in rows {
            numbers.extend([
                index as f64,
                row.kind.meter.into(),
                row.kind.plan.into(),
                row.kind.hour.into(),
                row.hours.into(),
                row.counts.calls as f64,
                row.counts.units_milli as f64,
                row.counts.denied as f64,
                row.counts.refunded_milli as f64,
                row.revision.into(),
            ]);
        }
    }
    let accounts = page.accounts.iter().map(|(account, _)| utf16(account)).collect();
    (accounts, numbers, page.next.as_ref().map(utf16))
}

/// Accounts that are being read.
pub struct ReadAccounts {
    table: Arc<LocalTable>,
    after: Option<Account>,
    max: usize,
}

impl Task for ReadAccounts {
    type Output = Vec<Utf16String>;
    type JsValue = Vec<Utf16String>;

    fn compute(&mut self) -> Result<Vec<Utf16String>> {
        contained("the ledger", || {
            let mut query = Query {
                account: None,
                from_hour: 0,
                to_hour: tollkeeper_ledger::MAX_HOUR,
                by: By::Range,
                after: self.after.take(),
                max: self.max,
            };
            let mut found = Vec::new();
            loop {
                let page = self.table.read_usage(&query)?;
                found.extend(page.accounts.iter().map(|(account, _)| utf16(account)));
                query.after = page.next;
                if found.len() >= self.max || query.after.is_none() {
                    found.truncate(self.max);
                    return Ok(found);
                }
            }
        })
    }

    fn resolve(&mut self, _: Env, accounts: Vec<Utf16String>) -> Result<Vec<Utf16String>> {
        Ok(accounts)
    }
}

/// A flush of a ledger.
pub struct Flush {
    table: Arc<LocalTable>,
    now_ms: Option<u64>,
}

impl Task for Flush {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> Result<()> {
        contained("the storage", || match self.now_ms {
            Some(now_ms) => self.table.save_usage(now_ms),
            None => self.table.save(),
        })
    }

    fn resolve(&mut self, _: Env, (): ()) -> Result<()> {
        Ok(())
    }
}

impl From<Stats> for LedgerStats {
    fn from(stats: Stats) -> Self {
        Self {
            cells: stats.cells as f64,
            max_cells: stats.max_cells as f64,
            accounts: stats.accounts as f64,
            unwritten_calls: stats.unwritten_calls as f64,
            unwritten_milli: stats.unwritten_milli as f64,
            oldest_unwritten_hour: stats.oldest_unwritten_hour.map(f64::from),
            overflow: stats.overflow as f64,
            saturated: stats.saturated as f64,
            forgotten_calls: stats.forgotten_calls as f64,
        }
    }
}
