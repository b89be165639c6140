//! Limits: what one allows. Made when tiers are put in force or a rule set is adopted, asked by every decision that is
//! not the usual one.

use crate::MAX_CAPACITY;
use crate::bucket::Bucket;
use crate::concurrency::Concurrency;
use crate::credit::Credit;
use crate::period::Period;
use crate::quota::Quota;

/// The highest cost, in thousandths, of a limit that allows nothing: it and what is spent can be added up.
pub(crate) const MOST_DENIED_MILLI: u64 = 1 << 62;

/// A limit as configured. Limits of one name share one slot of state over all tiers, and are of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LimitSpec {
    /// Name of the limit.
    pub name: String,
    /// What it allows.
    pub rule: Rule,
}

/// What a limit allows. Tokens, seconds and factors are in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A token bucket.
    Bucket {
        /// Tokens refilled in one window; of none it denies everything that costs something.
        limit_milli: u64,
        /// Length of the window in milliseconds.
        window_ms: u64,
        /// Capacity as a multiple of the limit.
        burst_milli: u64,
        /// For how many milliseconds a denial for want of tokens in it denies all other calls; 0 if it does not.
        block_ms: u64,
    },
    /// A quota per calendar period.
    Quota {
        /// Tokens of one period; of none it denies everything that costs something.
        limit_milli: u64,
        /// What it counts by.
        period: Period,
    },
    /// Calls that run at the same time.
    Concurrency {
        /// How many, up to [`Concurrency::MAX_LIMIT`].
        limit: u64,
        /// How long, in milliseconds, one holds its place at most, up to [`Concurrency::MAX_TIMEOUT_MS`].
        timeout_ms: u64,
    },
}

impl Rule {
    /// What all limits of one name must be alike in.
    pub(crate) fn kind(self) -> &'static str {
        let period = match self {
            Self::Bucket { .. } => return "bucket",
            Self::Concurrency { .. } => return "concurrency",
            Self::Quota { period, .. } => period,
        };
        match period {
            Period::Hour => "hour quota",
            Period::Day => "day quota",
            Period::Week { .. } => "week quota",
            Period::Month { .. } => "month quota",
            Period::Year { .. } => "year quota",
            Period::Once => "once quota",
        }
    }

    /// Whether what is spent of it is told to anybody outside of the process, or outlives it: calls that run do not.
    pub(crate) fn is_kept(self) -> bool {
        !matches!(self, Self::Concurrency { .. })
    }
}

/// A limit, ready to decide.
#[derive(Debug)]
pub(crate) enum Limit {
    Bucket(Bucket),
    Quota(Quota),
    Concurrency(Concurrency),
}

/// A limit of a tier and where its state is kept.
#[derive(Debug)]
pub(crate) struct TierLimit {
    pub(crate) slot: usize,
    pub(crate) limit: Limit,
}

impl Limit {
    /// None if a number is out of range.
    pub(crate) fn new(rule: Rule) -> Option<Self> {
        match rule {
            Rule::Bucket {
                limit_milli,
                window_ms,
                burst_milli,
                block_ms,
            } => Bucket::new(limit_milli, window_ms, burst_milli)?
                .blocking(block_ms)
                .map(Self::Bucket),
            Rule::Quota { limit_milli, period } => {
                let is_sound = period.is_sound() && limit_milli <= MAX_CAPACITY;
                is_sound.then(|| Self::Quota(Quota::new(limit_milli, period)))
            }
            Rule::Concurrency { limit, timeout_ms } => Concurrency::new(limit, timeout_ms).map(Self::Concurrency),
        }
    }

    pub(crate) fn initial(&self) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.initial(),
            Self::Quota(_) | Self::Concurrency(_) => 0,
        }
    }

    pub(crate) fn max_cost_milli(&self) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.max_cost_milli(),
            Self::Quota(quota) => quota.max_cost_milli(),
            // Whatever it costs, a call takes one place.
            Self::Concurrency(_) => u64::MAX,
        }
    }

    /// The highest cost that is decided on, in thousandths: what a limit of nothing denies is denied, and not refused as more
    /// than it can hold.
    pub(crate) fn most_milli(&self) -> u64 {
        match self.max_cost_milli() {
            0 => MOST_DENIED_MILLI,
            most_milli => most_milli,
        }
    }

    /// The milliseconds until a cost above 0 passes. Of a limit of concurrency `spent` is how it stands, and not what the
    /// key's state says of it.
    pub(crate) fn wait_ms(&self, spent: u64, cost_milli: u64, now_ms: u64) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.wait_ms(spent, cost_milli),
            Self::Quota(quota) => quota.wait_ms(spent, cost_milli, now_ms),
            Self::Concurrency(concurrency) => concurrency.wait_ms(spent),
        }
    }

    /// Whether a denial for want of room in it begins a block.
    pub(crate) fn is_blocking(&self) -> bool {
        matches!(self, Self::Bucket(bucket) if bucket.is_blocking())
    }

    /// What is spent after a call of this cost was denied, be it by another limit.
    pub(crate) fn after_denial(&self, spent: u64, cost_milli: u64) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.after_denial(spent, cost_milli),
            Self::Quota(_) | Self::Concurrency(_) => spent,
        }
    }

    /// What is spent after so many thousandths of a token more, or less, counted by another limit of the same kind: of a
    /// bucket the same fraction, of a quota, which was granted something maybe, the same amount.
    pub(crate) fn charged(&self, spent: u64, delta_milli: i64, counted: &Self, credit: Credit) -> u64 {
        match (self, counted) {
            (Self::Bucket(bucket), Self::Bucket(counted)) => bucket.charged(spent, delta_milli, counted),
            (Self::Quota(quota), Self::Quota(_)) => quota.charged(spent, delta_milli, credit.granted_milli),
            // A place is given back by itself.
            (Self::Concurrency(_), Self::Concurrency(_)) => spent,
            _ => unreachable!("a slot's kind never changes: Slots::claim refuses it"),
        }
    }

    /// What is still spent at `now_ms` of what was spent at `at_ms`, and what is left of what was granted. If it is not told,
    /// nothing was.
    pub(crate) fn carried(&self, spent: u64, credit: Option<&mut Credit>, at_ms: u64, now_ms: u64) -> u64 {
        match (self, credit) {
            (Self::Quota(quota), Some(credit)) if quota.has_ended(at_ms, now_ms) => {
                *credit = credit.carried(quota, spent);
                credit.spent(0)
            }
            _ => self.advanced(spent, at_ms, now_ms),
        }
    }

    /// What is still spent at `now_ms` of what was spent at `at_ms`, if nothing was granted.
    pub(crate) fn advanced(&self, spent: u64, at_ms: u64, now_ms: u64) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.refilled(spent, now_ms.saturating_sub(at_ms)),
            Self::Quota(quota) => quota.rolled(spent, at_ms, now_ms),
            // Until when a place is taken at the latest.
            Self::Concurrency(_) => {
                if now_ms < spent {
                    spent
                } else {
                    0
                }
            }
        }
    }

    /// What is spent at `now_ms` by a key that comes from another limit of the same kind: there it had spent `before` at
    /// `at_ms`, of which `left` remains at `now_ms`.
    pub(crate) fn converted(&self, before: u64, left: u64, from: &Self, at_ms: u64, now_ms: u64) -> u64 {
        match (self, from) {
            (Self::Bucket(bucket), Self::Bucket(from)) => bucket.converted(left, from),
            // Not what the old quota has left of it, whose period may have ended where this one's goes on.
            (Self::Quota(quota), Self::Quota(from)) => quota.converted(before, from, at_ms, now_ms),
            (Self::Concurrency(_), Self::Concurrency(_)) => left,
            _ => unreachable!("a slot's kind never changes: Slots::claim refuses it"),
        }
    }
}
