//! What one replica holds of the keys that many share: a table of leases, and what its threads have in common. Opened with
//! each engine of `src/engine/native-leases.ts`, and shared by those of one name.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use napi::Result;
use napi::bindgen_prelude::Utf16String;
use tollkeeper_limiter::{LeaseSettings, Leases};

use crate::error::{self, closed, conflict};
use crate::local_table::random_secret;
use crate::registry::{self, lock};
use crate::servers::Servers;
use crate::tiers::{self, GivenTiers};

/// How a table of leases is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LeaseOptions {
    /// Empty for a table of the caller's own.
    pub(crate) name: String,
    /// What else its threads have to agree on.
    pub(crate) agreement: String,
    /// The JSON of `Object.entries(tiers)`.
    pub(crate) tiers: String,
    pub(crate) max_keys: usize,
    pub(crate) lease_ms: u64,
    pub(crate) timeout_ms: u64,
    /// Names the replica if the table is made.
    pub(crate) replica: String,
}

/// A table of leases, and the threads that share it.
#[derive(Debug)]
pub(crate) struct LeaseTable {
    /// Taken out when the last user closes, so that the memory of its keys is free at once.
    leases: RwLock<Option<Leases>>,
    options: LeaseOptions,
    pub(crate) tiers: GivenTiers,
    pub(crate) servers: Servers,
    /// What threads that have ended still owed the store.
    left: Mutex<Vec<Utf16String>>,
    /// Threads that were ever here.
    lanes: AtomicUsize,
    users: AtomicUsize,
}

impl LeaseTable {
    /// Opens a table, or joins the one of that name.
    ///
    /// # Errors
    /// `ERR_TIERS_INVALID`, `ERR_NAME_CONFLICT`
    pub(crate) fn open(options: &LeaseOptions) -> Result<Arc<Self>> {
        let join = |table: Option<&Self>| {
            let agrees = table.is_some_and(|table| table.agrees(options));
            // Whom nobody has any more stands in nobody's way.
            if !agrees && table.is_some_and(|table| table.users() == 0) {
                return Ok(false);
            }
            let table = table.filter(|_| agrees);
            let table = table.ok_or_else(|| conflict(&options.name, "tiers, storage or maxKeys"))?;
            table.users.fetch_add(1, Ordering::Relaxed);
            Ok(true)
        };
        registry::open(&options.name, join, |before| match before {
            Some(before) => Self::after(before, options),
            None => Self::new(options.clone()),
        })
    }

    /// One in the place of another that nobody has any more: the same replica, and what that one owed is owed by it, if it
    /// has the same store.
    fn after(before: &Self, options: &LeaseOptions) -> Result<Self> {
        if before.options.agreement != options.agreement {
            return Self::new(options.clone());
        }
        let replica = before.options.replica.clone();
        let table = Self::new(LeaseOptions {
            replica,
            ..options.clone()
        })?;
        table
            .lanes
            .store(before.lanes.load(Ordering::Relaxed), Ordering::Relaxed);
        *lock(&table.left) = before.inherit();
        Ok(table)
    }

    fn agrees(&self, options: &LeaseOptions) -> bool {
        let asked = LeaseOptions {
            tiers: self.options.tiers.clone(),
            replica: self.options.replica.clone(),
            ..options.clone()
        };
        self.tiers.opens_with(&options.tiers) && self.options == asked
    }

    fn new(options: LeaseOptions) -> Result<Self> {
        let settings = LeaseSettings {
            tiers: tiers::parse(&options.tiers)?,
            max_keys: options.max_keys,
            secret: random_secret()?,
            lease_ms: options.lease_ms,
            timeout_ms: options.timeout_ms,
        };
        let leases = Leases::new(settings).map_err(|why| error::limiter(&why))?;
        Ok(Self {
            leases: RwLock::new(Some(leases)),
            tiers: GivenTiers::new(options.tiers.clone()),
            options,
            servers: Servers::default(),
            left: Mutex::default(),
            lanes: AtomicUsize::new(0),
            users: AtomicUsize::new(1),
        })
    }

    /// The leases, as long as somebody has not closed them.
    pub(crate) fn leases(&self) -> Result<Leases> {
        let leases = self.leases.read().unwrap_or_else(PoisonError::into_inner);
        leases.clone().ok_or_else(closed)
    }

    pub(crate) fn is_shared(&self) -> bool {
        !self.options.name.is_empty()
    }

    pub(crate) fn replica(&self) -> &str {
        &self.options.replica
    }

    /// A number for a thread that comes, which no other ever has.
    pub(crate) fn next_lane(&self) -> usize {
        self.lanes.fetch_add(1, Ordering::Relaxed)
    }

    /// Threads that have it open.
    pub(crate) fn users(&self) -> usize {
        self.users.load(Ordering::Relaxed)
    }

    /// One user leaves; says whether nobody is left. Who opens the name then makes a table of their own, and is another
    /// replica: this one may say farewell to the store.
    pub(crate) fn leave(&self) -> bool {
        registry::leave(&self.options.name, || self.drop_user())
    }

    /// One user is gone who has not left. The table stays, even without any: there may be something to inherit.
    pub(crate) fn lose_user(&self) {
        self.drop_user();
    }

    fn drop_user(&self) -> bool {
        self.users.fetch_sub(1, Ordering::Relaxed) == 1
    }

    /// Keeps what one user owed until somebody inherits it.
    pub(crate) fn bequeath(&self, outbox: BTreeMap<u64, Utf16String>) {
        if self.is_shared() {
            lock(&self.left).extend(outbox.into_values());
        }
    }

    /// What was left, once.
    pub(crate) fn inherit(&self) -> Vec<Utf16String> {
        std::mem::take(&mut *lock(&self.left))
    }

    /// Frees the memory of its keys, once nobody is there.
    pub(crate) fn free(&self) {
        self.leases.write().unwrap_or_else(PoisonError::into_inner).take();
    }
}
