//! The ledger, as the crossing and storage have it: counted by many threads, taken out cell by cell to be written.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crossbeam_utils::CachePadded;
use tollkeeper_limiter::{KeyHash, KeyHasher, Secret};

use crate::account::{Account, MAX_ACCOUNT};
use crate::counts::Counts;
use crate::error::Error;
use crate::kind::{Kind, MAX_HOUR, MAX_METERS, MAX_PLANS};
use crate::names::Names;
use crate::overflow::Overflow;
use crate::query::{Query, Row, Unwritten};
use crate::shard::Shard;
use crate::stats::Stats;
use crate::totals::Totals;

/// Cells that a shard is made for.
const SHARD_CELLS: usize = 1 << 10;
/// So many that two threads seldom want the same one.
const MIN_SHARDS: usize = 1 << 8;
const MAX_SHARDS: usize = 1 << 13;
/// The part of all shards in which one sweep forgets idle names.
const SWEEPS: usize = 1 << 6;

/// How a ledger is made.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Cells held at once; what finds no room is counted without its account.
    pub max_cells: usize,
    /// Of the hash by which accounts are found.
    pub secret: Secret,
}

/// Whether there is room for what comes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// There is.
    Free,
    /// A quarter of all is left: what is held should be written soon.
    Scarce,
    /// There was none: it was counted without its account.
    None,
}

/// A cell that was taken out to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drained {
    /// Of which hour, meter and plan.
    pub kind: Kind,
    /// Whose.
    pub account: Account,
    /// What it had counted.
    pub counts: Counts,
}

/// What was served, by account, meter, plan and hour: in memory, until it is written.
///
/// A cell that was [drained](Self::drain) keeps its place in memory until it is told to be [written](Self::written) or is
/// [given back](Self::give_back), so that there is always room for it.
#[derive(Debug)]
pub struct Ledger {
    hasher: KeyHasher,
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    overflow: Mutex<Overflow>,
    /// What is taken out and not told to be written. Its lock is the first to be taken, then that of a shard or of what found
    /// no room.
    drained: Mutex<Totals>,
    max_cells: usize,
    /// Cells that have a place.
    cells: CachePadded<AtomicUsize>,
    meters: Names,
    plans: Names,
    cursor: AtomicUsize,
    overflow_calls: AtomicU64,
    saturated: AtomicU64,
    forgotten_calls: AtomicU64,
}

impl Ledger {
    /// A ledger in which nothing is counted. It knows one plan, of no name: the one of those that are too many.
    #[must_use]
    pub fn new(Settings { max_cells, secret }: Settings) -> Self {
        let shards = max_cells
            .div_ceil(SHARD_CELLS)
            .next_power_of_two()
            .clamp(MIN_SHARDS, MAX_SHARDS);
        let plans = Names::new(MAX_PLANS);
        plans.number_of("");
        Self {
            hasher: KeyHasher::new(&secret),
            shards: std::iter::repeat_with(CachePadded::default).take(shards).collect(),
            overflow: Mutex::default(),
            drained: Mutex::default(),
            max_cells,
            cells: CachePadded::default(),
            meters: Names::new(MAX_METERS),
            plans,
            cursor: AtomicUsize::new(0),
            overflow_calls: AtomicU64::new(0),
            saturated: AtomicU64::new(0),
            forgotten_calls: AtomicU64::new(0),
        }
    }

    /// The meters.
    #[must_use]
    pub fn meters(&self) -> &Names {
        &self.meters
    }

    /// The plans; the first is that of those that are too many.
    #[must_use]
    pub fn plans(&self) -> &Names {
        &self.plans
    }

    /// Counts for an account, told by its UTF-16 units.
    ///
    /// # Errors
    /// Nothing is counted for what is no account, meter, plan or hour.
    #[inline]
    pub fn count(&self, account: &[u16], kind: Kind, counted: &Counts) -> Result<Room, Error> {
        if account.is_empty() || account.len() > MAX_ACCOUNT {
            return Err(Error::AccountInvalid);
        }
        if kind.hour >= MAX_HOUR || kind.meter >= self.meters.len() || kind.plan >= self.plans.len() {
            return Err(Error::KindUnknown);
        }
        let hash = self.hasher.hash(account);
        // Its lock goes with it: a new cell takes it again.
        let added = self.shard(hash).add(hash, kind, counted);
        let fits = match added {
            Some(fits) => fits,
            None => match self.insert(hash, || Account::new(account), kind, counted) {
                Some(fits) => fits,
                None => return Ok(Room::None),
            },
        };
        if !fits {
            self.saturated.fetch_add(1, Ordering::Relaxed);
        }
        let is_scarce = self.cells.load(Ordering::Relaxed) > self.max_cells - self.max_cells / 4;
        Ok(if is_scarce { Room::Scarce } else { Room::Free })
    }

    /// Counts in a cell that was not there; without the account if there is no room for it, and says so by None.
    #[cold]
    fn insert(&self, hash: KeyHash, account: impl FnOnce() -> Account, kind: Kind, counted: &Counts) -> Option<bool> {
        let mut shard = self.shard(hash);
        // Another thread may have brought it meanwhile.
        if let Some(fits) = shard.add(hash, kind, counted) {
            return Some(fits);
        }
        if self.reserve() {
            if let Some(fits) = shard.insert(hash, account, kind, counted) {
                return Some(fits);
            }
            self.release(1);
        }
        drop(shard);
        self.overflow_calls.fetch_add(counted.all_calls(), Ordering::Relaxed);
        lock(&self.overflow).add(kind, counted);
        None
    }

    /// Takes cells out to be written, all of a shard together, until there are so many; ordered by hour, then account.
    #[must_use]
    pub fn drain(&self, max: usize) -> Vec<Drained> {
        let mut cells = Vec::new();
        let mut drained = lock(&self.drained);
        for (kind, counts) in lock(&self.overflow).drain() {
            cells.push(Drained {
                kind,
                account: Account::OVERFLOW,
                counts,
            });
        }
        for _ in 0..self.shards.len() {
            if cells.len() >= max {
                break;
            }
            let next = self.cursor.fetch_add(1, Ordering::Relaxed) % self.shards.len();
            lock(&self.shards[next]).drain(|account, kind, counts| {
                cells.push(Drained {
                    kind,
                    account: account.clone(),
                    counts,
                });
            });
        }
        drained.join(&totals_of(&cells));
        drop(drained);
        cells.sort_unstable_by(|one, other| {
            (one.kind.hour, &one.account, one.kind).cmp(&(other.kind.hour, &other.account, other.kind))
        });
        cells
    }

    /// Lets go of drained cells that were written.
    pub fn written(&self, cells: &[Drained]) {
        undrain(&mut lock(&self.drained), cells);
        self.release(places_of(cells));
    }

    /// Takes drained cells back that could not be written.
    pub fn give_back(&self, cells: &[Drained]) {
        let mut drained = lock(&self.drained);
        undrain(&mut drained, cells);
        for Drained { kind, account, counts } in cells {
            if account.is_overflow() {
                lock(&self.overflow).add(*kind, counts);
                continue;
            }
            let hash = self.hasher.hash(&account.units().unwrap_or_default());
            let mut shard = self.shard(hash);
            let added = shard.add(hash, *kind, counts);
            let fits = match added {
                Some(fits) => Some(fits),
                None => shard.insert(hash, || account.clone(), *kind, counts),
            };
            drop(shard);
            // It was counted anew meanwhile, and has one place too many; or no account more can be told apart.
            if added.is_some() || fits.is_none() {
                self.release(1);
            }
            match fits {
                Some(true) => {}
                Some(false) => _ = self.saturated.fetch_add(1, Ordering::Relaxed),
                None => {
                    self.overflow_calls.fetch_add(counts.all_calls(), Ordering::Relaxed);
                    lock(&self.overflow).add(*kind, counts);
                }
            }
        }
    }

    /// Forgets the names of accounts that have no cells, in the next few shards.
    pub fn sweep(&self) {
        for _ in 0..self.shards.len() / SWEEPS {
            let next = self.cursor.fetch_add(1, Ordering::Relaxed) % self.shards.len();
            lock(&self.shards[next]).forget_idle();
        }
    }

    /// Lets go all cells of hours before one, where nothing will ever write them, and the names of their accounts.
    pub fn forget_before(&self, hour: u32) {
        let mut gone = lock(&self.overflow).forget_before(hour);
        for shard in &self.shards {
            let mut shard = lock(shard);
            let of_shard = shard.forget_before(hour);
            shard.forget_idle();
            drop(shard);
            self.release(of_shard.cells);
            gone.join(&of_shard);
        }
        self.forgotten_calls.fetch_add(gone.calls, Ordering::Relaxed);
    }

    /// What is in memory of what is asked for; of the first `max` accounts. What is drained is not among it.
    #[must_use]
    pub fn unwritten(&self, query: &Query) -> Unwritten {
        let mut unwritten = Unwritten::new(query);
        let row = |kind: Kind, counts| Row {
            kind,
            hours: 1,
            counts,
            revision: 0,
        };
        if unwritten.wants(&Account::OVERFLOW) {
            lock(&self.overflow).each(|kind, counts| unwritten.add(&Account::OVERFLOW, row(kind, counts)));
        }
        if let Some(account) = &query.account {
            let hash = self.hasher.hash(&account.units().unwrap_or_default());
            self.shard(hash)
                .each_of(hash, |kind, counts| unwritten.add(account, row(kind, counts)));
        } else {
            for shard in &self.shards {
                lock(shard).each(|account, kind, counts| unwritten.add(account, row(kind, counts)));
            }
        }
        unwritten
    }

    /// What it holds, and what it could not hold.
    #[must_use]
    pub fn stats(&self) -> Stats {
        // Held, so that what is drained meanwhile is neither missed nor counted twice.
        let drained = lock(&self.drained);
        let mut totals = *drained;
        totals.join(&lock(&self.overflow).totals());
        let mut accounts = 0;
        for shard in &self.shards {
            let (of_shard, names) = lock(shard).totals();
            totals.join(&of_shard);
            accounts += names;
        }
        Stats {
            cells: totals.cells,
            max_cells: self.max_cells,
            accounts,
            unwritten_calls: totals.calls,
            unwritten_milli: totals.units_milli,
            oldest_unwritten_hour: (totals.oldest_hour != u32::MAX).then_some(totals.oldest_hour),
            overflow: self.overflow_calls.load(Ordering::Relaxed),
            saturated: self.saturated.load(Ordering::Relaxed),
            forgotten_calls: self.forgotten_calls.load(Ordering::Relaxed),
        }
    }

    /// Takes a place for a cell that is to be inserted, if there is one.
    fn reserve(&self) -> bool {
        let another = |cells| (cells < self.max_cells).then_some(cells + 1);
        self.cells
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, another)
            .is_ok()
    }

    fn release(&self, places: usize) {
        self.cells.fetch_sub(places, Ordering::Relaxed);
    }

    /// A shard orders by the first half of the hash, so this takes the second.
    fn shard(&self, hash: KeyHash) -> MutexGuard<'_, Shard> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits will do")]
        let bits = hash.0[1] as usize;
        lock(&self.shards[bits & (self.shards.len() - 1)])
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes cells off the totals of what is drained.
fn undrain(drained: &mut Totals, cells: &[Drained]) {
    let done = totals_of(cells);
    drained.cells -= done.cells;
    drained.calls = drained.calls.wrapping_sub(done.calls);
    drained.units_milli = drained.units_milli.wrapping_sub(done.units_milli);
    if drained.cells == 0 {
        *drained = Totals::default();
    }
}

/// The places that cells have taken: those of what found no room have none.
fn places_of(cells: &[Drained]) -> usize {
    cells.iter().filter(|cell| !cell.account.is_overflow()).count()
}

fn totals_of(cells: &[Drained]) -> Totals {
    let mut totals = Totals {
        cells: cells.len(),
        ..Totals::default()
    };
    for Drained { kind, counts, .. } in cells {
        totals.add(kind.hour, counts);
    }
    totals
}
