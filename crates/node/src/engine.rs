//! The engine as JavaScript sees it, without its hot calls: opened by `src/engine/native.ts`, called now and then.

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

use napi::bindgen_prelude::{AsyncTask, Utf16String};
use napi::{Env, Result, Task};
use napi_derive::napi;
use tollkeeper_limiter::{Correction, Delta, Limiter, MAX_LIMITS, TakenPlace, TierId};
use tollkeeper_storage::{Retention, Storage};

use crate::clock::instant;
use crate::decide;
use crate::error::{self, closed, contained};
use crate::hot::RawValue;
use crate::ledger::Ledger;
use crate::local_table::{LedgerOptions, LocalTable, Options};
use crate::registry::lock;
use crate::stats::EngineStats;
use crate::tiers;

/// `ADJUST` of `src/engine/frame.ts`.
const QUOTAS_ONLY: u32 = 1;
const OVERFLOW: u32 = 16;

/// One environment's hold on a table.
#[napi]
pub struct Engine {
    table: Arc<LocalTable>,
    /// This environment's clone, also of its hot functions; none from `close` on.
    limiter: Rc<RefCell<Option<Limiter>>>,
}

/// What is to be known of a decision to correct it.
#[napi(object)]
pub struct DecisionRef {
    /// The version of the tiers that decided.
    pub version: f64,
    /// The number of the tier.
    pub tier: f64,
    /// When it was decided, in ms since the epoch.
    pub at_ms: f64,
}

/// For how long usage is kept.
#[napi(object)]
pub struct LedgerRetention {
    /// Days of which each hour is known.
    pub hour_days: u32,
    /// Days that are known as such.
    pub day_days: u32,
    /// Months.
    pub months: u32,
}

#[napi]
impl Engine {
    /// Opens a table, or joins the one of that name. `tiers` is the JSON of `Object.entries(tiers)`.
    #[napi(factory, catch_unwind)]
    pub fn open(name: String, tiers: String, max_keys: f64, file: Option<String>) -> Result<Self> {
        let max_keys = max_keys as usize;
        let table = LocalTable::open(&Options {
            name,
            tiers,
            max_keys,
            file,
        })?;
        let limiter = Rc::new(RefCell::new(Some(table.limiter()?)));
        Ok(Self { table, limiter })
    }

    /// The functions that peek, consume, consume many and consume all or none; each takes its numbers from `frame` and leaves its answer there.
    #[napi(
        ts_return_type = "[peek: (key: string) => void, consume: (key: string) => void, consumeMany: (keys: string, count: number) => void, consumeAll: (keys: string, count: number) => void]"
    )]
    pub fn deciders(&self, env: Env, #[napi(ts_arg_type = "Float64Array")] frame: RawValue) -> Result<Vec<RawValue>> {
        decide::deciders(env, &self.limiter, frame)
    }

    /// Counts the reloads.
    #[napi(getter)]
    pub fn version(&self) -> f64 {
        self.with(Limiter::version).unwrap_or_default() as f64
    }

    /// The tiers of a version, as they were given; null if there was none.
    #[napi(catch_unwind)]
    pub fn tiers_of(&self, version: f64) -> Option<String> {
        self.table.tiers.of(version as usize)
    }

    /// The number of a tier in force, or -1.
    #[napi(catch_unwind)]
    pub fn tier_id(&self, name: String) -> f64 {
        self.with(|limiter| limiter.tier_id(&name).map_or(-1.0, |id| id as f64))
            .unwrap_or(-1.0)
    }

    /// Corrects an allowed decision; says whether its tier was still known.
    #[napi(catch_unwind)]
    pub fn adjust(&self, key: Utf16String, delta_milli: f64, decision: DecisionRef, flags: u32, now_ms: f64) -> bool {
        self.correct(&key, Delta::Every(delta_milli as i64), &decision, flags, now_ms)
    }

    /// The same by its own amount for each limit of the tier, in its order.
    #[napi(catch_unwind)]
    pub fn adjust_each(
        &self,
        key: Utf16String,
        deltas_milli: Vec<f64>,
        decision: DecisionRef,
        flags: u32,
        now_ms: f64,
    ) -> bool {
        let mut deltas = [0; MAX_LIMITS];
        for (delta, milli) in deltas.iter_mut().zip(deltas_milli) {
            *delta = milli as i64;
        }
        self.correct(&key, Delta::Each(deltas), &decision, flags, now_ms)
    }

    /// Grants a key thousandths of a token of a quota, the limit of that name of a tier in force; says whether the tier is
    /// known.
    #[napi(catch_unwind)]
    pub fn grant(
        &self,
        key: Utf16String,
        tier: f64,
        limit: String,
        milli: f64,
        keeps: bool,
        now_ms: f64,
    ) -> Result<bool> {
        let granted = self.with(|limiter| {
            let key = limiter.hash_utf16(&key);
            limiter.grant(key, tier as TierId, &limit, milli as u64, keeps, instant(now_ms))
        })?;
        match granted {
            Ok(()) => Ok(true),
            Err(tollkeeper_limiter::Error::TierUnknown) => Ok(false),
            Err(why) => Err(error::limiter(&why)),
        }
    }

    /// Gives a place back that a decision has taken, which is over at one of the instants; says whether it was not over.
    /// `overflow` is the tier, if the decision was made on its overflow bucket.
    #[napi(catch_unwind)]
    pub fn release(
        &self,
        key: Utf16String,
        number: f64,
        ends_ms: Vec<f64>,
        overflow: Option<String>,
        now_ms: f64,
    ) -> bool {
        let ends_ms: Vec<_> = ends_ms.into_iter().map(|end_ms| end_ms as u64).collect();
        let place = TakenPlace {
            number: number as u64,
            ends_ms: &ends_ms,
            overflow: overflow.as_deref(),
        };
        // What is closed has no places.
        self.with(|limiter| limiter.release(limiter.hash_utf16(&key), &place, instant(now_ms)))
            .unwrap_or_default()
    }

    /// Forgets a key.
    #[napi(catch_unwind)]
    pub fn reset(&self, key: Utf16String) {
        // What is closed has no keys.
        let _ = self.with(|limiter| limiter.reset(limiter.hash_utf16(&key)));
    }

    /// Puts other tiers in force. `tiers` is the JSON of `Object.entries(tiers)`.
    #[napi(catch_unwind)]
    pub fn reload(&self, tiers: String) -> Result<()> {
        let enact = |specs| self.with(|limiter| limiter.reload(specs));
        self.table.tiers.reload(tiers, enact)
    }

    /// The number of a tier of a version with other limits, or -1 if that version has no such tier. `tier` is the JSON of
    /// `[[name, tier]]`.
    #[napi(catch_unwind)]
    pub fn override_tier(&self, version: f64, plain: f64, tier: String) -> Result<f64> {
        tiers::overridden(&tier, |spec| {
            self.with(|limiter| limiter.override_tier(version as usize, plain as TierId, spec))
        })
    }

    /// Looks at a small part of the table and forgets what is as good as new.
    #[napi(catch_unwind)]
    pub fn sweep(&self, now_ms: f64) {
        // What is closed has no keys.
        let _ = self.with(|limiter| limiter.sweep(instant(now_ms)));
    }

    /// The ledger of the table, which is made if there is none. Of older usage hours are kept for so many days, days for so
    /// many, and months; where there is no file, hours only.
    #[napi(catch_unwind)]
    pub fn open_ledger(&self, meters: Vec<String>, max_cells: f64, kept: LedgerRetention) -> Result<Ledger> {
        self.check_open()?;
        let ledger = self.table.join_ledger(&LedgerOptions {
            meters,
            max_cells: max_cells as usize,
            retention: Retention {
                hour_days: kept.hour_days,
                day_days: kept.day_days,
                months: kept.months,
            },
        })?;
        Ok(Ledger::of(Arc::clone(&self.table), ledger))
    }

    /// What was counted.
    #[napi(catch_unwind)]
    pub fn stats(&self) -> Result<EngineStats> {
        self.with(Limiter::stats).map(EngineStats::from)
    }

    /// Stores what has changed, on a thread of the pool.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn flush(&self) -> AsyncTask<Work> {
        AsyncTask::new(Work {
            table: Arc::clone(&self.table),
            job: Job::Flush,
        })
    }

    /// Lets go, after a last flush; call it again if that fails, and not if it does not.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn close(&self) -> AsyncTask<Work> {
        self.limiter.borrow_mut().take();
        AsyncTask::new(Work {
            table: Arc::clone(&self.table),
            job: Job::Close,
        })
    }

    /// A record of the storage file.
    #[napi(catch_unwind)]
    pub fn record(&self, name: String) -> Result<Option<String>> {
        self.check_open()?;
        Ok(self.table.read_storage(|storage| storage.record(&name)).flatten())
    }

    /// At most `size` records whose names begin so, after the one named `after`: name, value, name, value …
    #[napi(catch_unwind)]
    pub fn records(&self, prefix: String, size: f64, after: String) -> Result<Vec<String>> {
        self.check_open()?;
        let read = |storage: &Storage| storage.records(&prefix, size as usize, &after);
        let records = self.table.read_storage(read).unwrap_or_default();
        Ok(records.into_iter().flat_map(|(name, value)| [name, value]).collect())
    }

    /// What has happened to the storage file that its owner should know, since this was asked last.
    #[napi(catch_unwind)]
    pub fn storage_notes(&self) -> Vec<String> {
        std::mem::take(&mut *lock(&self.table.notes))
    }

    /// Writes or deletes a record, on a thread of the pool.
    #[napi(ts_return_type = "Promise<void>")]
    pub fn put_record(&self, name: String, value: Option<String>) -> Result<AsyncTask<Work>> {
        self.check_open()?;
        Ok(AsyncTask::new(Work {
            table: Arc::clone(&self.table),
            job: Job::PutRecord { name, value },
        }))
    }

    fn correct(&self, key: &[u16], delta: Delta, decision: &DecisionRef, flags: u32, now_ms: f64) -> bool {
        let correction = Correction {
            delta,
            version: decision.version as usize,
            charged_at_ms: decision.at_ms as u64,
            overflow: flags & OVERFLOW != 0,
            quotas_only: flags & QUOTAS_ONLY != 0,
        };
        let corrected = self.with(|limiter| {
            let key = limiter.hash_utf16(key);
            limiter.correct(key, decision.tier as TierId, correction, instant(now_ms))
        });
        // What is closed is corrected no more.
        !matches!(corrected, Ok(Err(_)))
    }

    fn check_open(&self) -> Result<()> {
        self.with(|_| ())
    }

    fn with<T>(&self, call: impl FnOnce(&Limiter) -> T) -> Result<T> {
        self.limiter.borrow().as_ref().map(call).ok_or_else(closed)
    }
}

impl Drop for Engine {
    /// An environment that ends without closing, other than by `process.exit`: what it changed is stored, a table of its
    /// own is given up, a table with a name stays.
    fn drop(&mut self) {
        if self.limiter.borrow_mut().take().is_some() {
            // There is nobody left to tell.
            let _ = self.table.save();
        }
    }
}

/// Something that blocks, done on a thread of the pool.
pub struct Work {
    table: Arc<LocalTable>,
    job: Job,
}

enum Job {
    Flush,
    Close,
    PutRecord { name: String, value: Option<String> },
}

impl Task for Work {
    type Output = ();
    type JsValue = ();

    fn compute(&mut self) -> Result<()> {
        contained("the storage", || match &self.job {
            Job::Flush => self.table.save(),
            Job::Close => self.table.close(),
            Job::PutRecord { name, value } => self.table.put_record(name, value.as_deref()),
        })
    }

    fn resolve(&mut self, _: Env, (): ()) -> Result<()> {
        Ok(())
    }
}
