//! Buckets, quotas and tiers over one table of keys.
//!
//! A [`Limiter`] decides whether a key may spend tokens of every limit of its tier, all or nothing, in integers that
//! never round: a [`Bucket`](bucket::Bucket) counts in a unit of its own, a [`Quota`](quota::Quota) in thousandths of a
//! token. Time is a parameter, in whole milliseconds since the epoch. A denial is a value ([`Verdict::Denied`]), misuse
//! is an [`Error`].
//!
//! ```
//! use tollkeeper_limiter::{LimitSpec, Limiter, Period, Rule, Settings, TierSpec, Verdict};
//!
//! let month = Rule::Quota { limit_milli: 3_000, period: Period::Month { anchor_day: 1 } };
//! let limiter = Limiter::new(Settings {
//!     tiers: vec![TierSpec { name: "free".into(), limits: vec![LimitSpec { name: "month".into(), rule: month }] }],
//!     max_keys: 1_000,
//!     secret: [7; 16],
//!     durable: false,
//! })?;
//! let free = limiter.tier_id("free").expect("it was just configured");
//! let key = limiter.hash("acct:42");
//! let now_ms = 1_800_000_000_000;
//! for _ in 0..3 {
//!     assert_eq!(limiter.consume(key, free, 1_000, now_ms)?.verdict, Verdict::Allowed);
//! }
//! assert_eq!(limiter.consume(key, free, 1_000, now_ms)?.verdict, Verdict::Denied { limit: 0 });
//! # Ok::<(), tollkeeper_limiter::Error>(())
//! ```

#![forbid(unsafe_code)]

pub mod bucket;
mod call;
mod clock;
mod concurrency;
mod correction;
mod cost;
mod credit;
mod decision;
mod demand;
mod each_cost;
mod epoch;
mod error;
mod grants;
mod guarded;
mod held_shards;
mod joint_call;
mod journal;
mod key;
mod key_text;
mod keyspace;
mod lease;
mod lease_chunks;
mod lease_outcome;
mod lease_settings;
mod lease_shard;
mod lease_spans;
mod lease_table;
mod leases;
mod limit;
mod limiter;
pub mod ordered;
mod origin;
mod overflow;
mod overridden_tiers;
mod period;
mod placed_call;
mod places;
pub mod quota;
mod rates;
mod returns;
mod rule_set;
mod rule_sets;
mod settings;
mod shard;
mod slots;
mod snapshot;
mod span;
mod stamp;
mod state;
mod stats;
mod store_clock;
mod store_reply;
mod stored_keys;
mod stored_limiter;
mod subject;
mod table;
mod tier;
mod tier_versions;
mod times;
mod verdict;

pub use concurrency::Concurrency;
pub use correction::Correction;
pub use cost::{Cost, Costs, Delta};
pub use credit::Credit;
pub use decision::{Outcome, Report};
pub use epoch::{Epoch, MAX_EPOCH_COUNT, MAX_SERVERS};
pub use error::Error;
pub use key::{KeyHash, KeyHasher, Secret};
pub use lease_outcome::{Asked, KnownKey, LeaseOutcome, LeaseVerdict, Snapshot};
pub use lease_settings::{LeaseSettings, LeaseStats};
pub use leases::{CLOCK_LAG_MS, Leases};
pub use limit::{LimitSpec, Rule};
pub use limiter::Limiter;
pub use period::{Bounds, Period};
pub use places::TakenPlace;
pub use returns::Returned;
pub use rule_set::HeldRuleSet;
pub use settings::Settings;
pub use snapshot::{AdoptedRuleSet, Change, KeySnapshot, NamedRule};
pub use stats::{Stats, TierStats};
pub use store_reply::{Applied, StoreReply};
pub use subject::{Subject, SubjectError};
pub use tier::{Tier, TierId, TierRef, TierSpec};
pub use times::Times;
pub use verdict::Verdict;

/// Limits that one limiter can tell apart by name, over all its tiers.
pub const MAX_LIMITS: usize = 8;

/// The most that any limit can hold, in its own units, so that what is spent and a cost add up exactly even in the
/// doubles of JavaScript.
pub const MAX_CAPACITY: u64 = 1 << 51;

/// The largest amount spent that is kept: a debt beyond it is cut to it. It is at least twice what a limit holds, and
/// 4,096 times what one holds that counts in fewer than 2⁴⁰ units.
pub const MAX_AMOUNT: u64 = 1 << 52;

/// The longest block, in a bucket's units: an amount above [`MAX_AMOUNT`] is no debt, and says for how many units more
/// the bucket is blocked. So every amount is below 2⁵³.
pub const MAX_BLOCK: u64 = MAX_AMOUNT - 1;

/// The first instant, in milliseconds since the epoch, that can no longer be held: in the year 2248.
pub const MAX_INSTANT_MS: u64 = 1 << 43;

/// How many milliseconds it is until something that never comes: a denial that no wait ends, a period that never does.
pub const NEVER_MS: u64 = u64::MAX;
