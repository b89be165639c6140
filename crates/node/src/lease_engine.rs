//! The engine of leases as JavaScript sees it, without its hot calls: opened by `src/engine/native-leases.ts`, called now
//! and then.

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

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use napi::bindgen_prelude::Utf16String;
use napi::{Env, Result};
use napi_derive::napi;
use tollkeeper_limiter::{Leases, TierId};

use crate::clock::{self, given};
use crate::error::{closed, coded};
use crate::hot::RawValue;
use crate::lease_calls::{self, Own};
use crate::lease_frame::{Frame, at};
use crate::lease_rows::{Rows, RowsRead};
use crate::lease_table::{LeaseOptions, LeaseTable};
use crate::stats::LeaseStats;
use crate::tiers;

/// `OUTCOME.LIMIT_MASK` of `src/engine/frame.ts`.
const LIMIT_MASK: u8 = 15;

/// How an engine of leases is opened.
#[napi(object)]
pub struct LeaseEngineOptions {
    /// Empty for a table of its own.
    pub name: String,
    /// What else the threads of one name must agree on.
    pub agreement: String,
    /// The JSON of `Object.entries(tiers)`.
    pub tiers: String,
    /// Keys of which something is known or held at once.
    pub max_keys: f64,
    /// For how long, in ms, tokens are taken ahead.
    pub lease_ms: f64,
    /// How long, in ms, the store is waited for.
    pub timeout_ms: f64,
    /// Names the replica if the table is new.
    pub replica: String,
}

/// One environment's hold on a table of leases.
#[napi]
pub struct LeaseEngine {
    table: Arc<LeaseTable>,
    /// This environment's clone, also of its hot functions; none from `close` on.
    leases: Own,
    frame: Rc<Frame>,
    rows: RefCell<Rows>,
    lane: usize,
    standing: Cell<Standing>,
    /// What this thread owes the store, by the thread's own numbers.
    outbox: RefCell<BTreeMap<u64, Utf16String>>,
}

/// Whether a thread is among those that share a table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
    User,
    Gone,
    /// Gone as the last.
    Last,
}

#[napi]
impl LeaseEngine {
    /// Opens a table, or joins the one of that name; the numbers of its calls go through `frame`.
    #[napi(factory, catch_unwind)]
    pub fn open(
        env: Env,
        #[napi(ts_arg_type = "Float64Array")] frame: RawValue,
        options: LeaseEngineOptions,
    ) -> Result<Self> {
        let frame = Frame::new(env, frame)?;
        let table = LeaseTable::open(&LeaseOptions {
            name: options.name,
            agreement: options.agreement,
            tiers: options.tiers,
            max_keys: options.max_keys as usize,
            lease_ms: options.lease_ms as u64,
            timeout_ms: options.timeout_ms as u64,
            replica: options.replica,
        })?;
        let leases = Rc::new(RefCell::new(Some(table.leases()?)));
        Ok(Self {
            lane: table.next_lane(),
            table,
            leases,
            frame,
            rows: RefCell::default(),
            standing: Cell::new(Standing::User),
            outbox: RefCell::default(),
        })
    }

    /// The functions that consume, peek, ask, look and apply; each takes its numbers from the frame and leaves its answer
    /// there.
    #[napi(
        ts_return_type = "[consume: (key: string) => void, peek: (key: string) => void, ask: (key: string) => void, look: (key: string) => void, apply: (keys: string, count: number) => void]"
    )]
    pub fn functions(&self, env: Env) -> Result<Vec<RawValue>> {
        lease_calls::functions(env, &self.leases, &self.frame)
    }

    /// Names the replica.
    #[napi(getter)]
    pub fn replica(&self) -> String {
        self.table.replica().to_owned()
    }

    /// Tells the threads of the replica apart.
    #[napi(getter)]
    pub fn lane(&self) -> f64 {
        self.lane as f64
    }

    /// Threads that share the table now.
    #[napi(getter)]
    pub fn users(&self) -> f64 {
        self.table.users() as f64
    }

    /// Counts the reloads.
    #[napi(getter)]
    pub fn version(&self) -> f64 {
        self.with(Leases::version).unwrap_or_default() as f64
    }

    /// The tiers of a version, as they were given; null if there was none.
    #[napi(catch_unwind)]
    pub fn tiers_of(&self, version: f64) -> Option<String> {
        self.table.tiers.of(version as usize)
    }

    /// The number of a tier in force, or -1.
    #[napi(catch_unwind)]
    pub fn tier_id(&self, name: String) -> f64 {
        self.with(|leases| leases.tier_id(&name).map_or(-1.0, |id| id as f64))
            .unwrap_or(-1.0)
    }

    /// Puts other tiers in force. `tiers` is the JSON of `Object.entries(tiers)`.
    #[napi(catch_unwind)]
    pub fn reload(&self, tiers: String) -> Result<()> {
        let enact = |specs| self.with(|leases| leases.reload(specs));
        self.table.tiers.reload(tiers, enact)
    }

    /// The number of a tier of a version with other limits, or -1 if that version has no such tier. `tier` is the JSON of
    /// `[[name, tier]]`.
    #[napi(catch_unwind)]
    pub fn override_tier(&self, version: f64, plain: f64, tier: String) -> Result<f64> {
        tiers::overridden(&tier, |spec| {
            self.with(|leases| leases.override_tier(version as usize, plain as TierId, spec))
        })
    }

    /// Forgets a key.
    #[napi(catch_unwind)]
    pub fn forget(&self, key: Utf16String) {
        // What is closed has no keys.
        let _ = self.with(|leases| leases.forget(&key));
    }

    /// Has what is held of a key be given back.
    #[napi(catch_unwind)]
    pub fn give_back(&self, key: Utf16String, again: bool) {
        let mono_ms = mono(self.frame.row(0)[at::MONO]);
        let _ = self.with(|leases| leases.give_back(&key, again, mono_ms));
    }

    /// Has what has expired or lies idle be given back, and forgets what is as good as new; a part of it. Says whether there
    /// is more.
    #[napi(catch_unwind)]
    pub fn sweep(&self, now_ms: f64, mono_ms: f64) -> bool {
        let swept = self.with(|leases| leases.sweep(lease_calls::times(leases, given(now_ms), mono(mono_ms))));
        swept.unwrap_or_default()
    }

    /// Has all that is held be given back.
    #[napi(catch_unwind)]
    pub fn drain(&self) {
        let _ = self.with(Leases::drain);
    }

    /// Takes out what is to be given back, as much as the frame has rows.
    #[napi(catch_unwind)]
    pub fn take_returns(&self) -> RowsRead {
        let mut rows = self.rows.borrow_mut();
        self.with(|leases| rows.take_returns(leases, &self.frame))
            .unwrap_or_default()
    }

    /// Begins to tell what is known.
    #[napi(catch_unwind)]
    pub fn start_report(&self) {
        self.rows.borrow_mut().start_report();
    }

    /// The next of it, as much as the frame has rows; none at the end.
    #[napi(catch_unwind)]
    pub fn next_report(&self) -> RowsRead {
        let mut rows = self.rows.borrow_mut();
        self.with(|leases| rows.next_report(leases, &self.frame))
            .unwrap_or_default()
    }

    /// The rules of a row just read, as JSON.
    #[napi(catch_unwind)]
    pub fn rules_of(&self, number: f64) -> Result<String> {
        let rules = self.rows.borrow().rules_of(number as u64);
        rules.ok_or_else(|| {
            coded(
                "ERR_ENGINE_FAILED",
                format_args!("no row just read is told in rules number {number}"),
            )
        })
    }

    /// The number of a server's name; -1 if there are too many.
    #[napi(catch_unwind)]
    pub fn server_id(&self, name: String) -> f64 {
        self.table.servers.id(&name).map_or(-1.0, |id| id as f64)
    }

    /// The name of a server's number; empty if it was never given.
    #[napi(catch_unwind)]
    pub fn server_name(&self, id: f64) -> String {
        let name = given(id).and_then(|id| self.table.servers.name(id as usize));
        name.unwrap_or_default().to_owned()
    }

    /// The store's time, as it was heard, or the system's.
    #[napi(catch_unwind)]
    pub fn store_ms(&self, mono_ms: f64) -> f64 {
        let store_ms = self.with(|leases| lease_calls::times(leases, None, mono(mono_ms)).store_ms);
        store_ms.unwrap_or_else(|_| clock::system_ms()) as f64
    }

    /// Counts a decision made elsewhere: `denied` is the limit that denied, from 1, or 0.
    #[napi(catch_unwind)]
    pub fn count(&self, version: f64, tier: f64, denied: f64) {
        let denied_by = (denied as u8 & LIMIT_MASK).checked_sub(1);
        let _ = self.with(|leases| leases.count(version as usize, tier as TierId, denied_by));
    }

    /// What was counted.
    #[napi(catch_unwind)]
    pub fn stats(&self) -> Result<LeaseStats> {
        self.with(Leases::stats).map(LeaseStats::from)
    }

    /// Keeps what this thread owes under a number of its own; nothing settles it.
    #[napi(catch_unwind)]
    pub fn keep_debt(&self, id: f64, text: Option<Utf16String>) {
        let mut outbox = self.outbox.borrow_mut();
        match text {
            Some(text) if self.table.is_shared() => outbox.insert(id as u64, text),
            _ => outbox.remove(&(id as u64)),
        };
    }

    /// What threads that have ended have left, once.
    #[napi(catch_unwind)]
    pub fn inherit(&self) -> Vec<Utf16String> {
        self.table.inherit()
    }

    /// Leaves the table; says whether nobody is left.
    #[napi(catch_unwind)]
    pub fn leave(&self) -> bool {
        if self.standing.get() == Standing::User {
            let standing = if self.table.leave() {
                Standing::Last
            } else {
                Standing::Gone
            };
            self.standing.set(standing);
        }
        self.standing.get() == Standing::Last
    }

    /// Lets the table go. What is still owed is left to those who stay.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        if self.leases.borrow_mut().take().is_none() {
            return;
        }
        self.table.bequeath(self.outbox.take());
        if self.leave() {
            self.table.free();
        }
    }

    /// Lets the table go as a thread that ends without closing: it stays, with what is owed.
    #[napi(catch_unwind)]
    pub fn abandon(&self) {
        if self.leases.borrow_mut().take().is_none() {
            return;
        }
        self.table.bequeath(self.outbox.take());
        if self.standing.replace(Standing::Gone) == Standing::User {
            self.table.lose_user();
        }
    }

    fn with<T>(&self, call: impl FnOnce(&Leases) -> T) -> Result<T> {
        self.leases.borrow().as_ref().map(call).ok_or_else(closed)
    }
}

impl Drop for LeaseEngine {
    /// A thread that ends without closing, as one that is terminated does: others settle what it owed, and the table stays.
    fn drop(&mut self) {
        self.abandon();
    }
}

/// An instant of the monotonic clock, given by JavaScript: what it is now for anything below 0.
fn mono(mono_ms: f64) -> u64 {
    given(mono_ms).unwrap_or_else(clock::mono_ms)
}
