//! What a decision says: filled by the keyspace, read by the crossing, and told limit by limit by who asks for a
//! report.

use crate::MAX_LIMITS;
use crate::limit::Limit;
use crate::tier::Tier;
use crate::verdict::Verdict;

/// The answer to one call. It holds amounts; [`report`](Self::report) makes sense of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Whether the call may go on.
    pub verdict: Verdict,
    /// Whether the key found no room and shared the overflow bucket of its tier.
    pub overflow: bool,
    /// The version of the tiers that decided; see [`Limiter::version`](crate::Limiter::version).
    pub version: usize,
    /// The instant of the decision: the latest that the key has seen.
    pub now_ms: u64,
    /// By how many milliseconds the instant that was told lies before that one. For so long the key stands still: nothing
    /// refills, and no period ends.
    pub behind_ms: u64,
    /// The number of the place that an allowed call has taken of limits of concurrency, to give it back; 0 if none.
    pub place: u64,
    /// What is spent of each limit of the tier after the call, in the limit's own units; of a quota of which less is used than
    /// was granted below 0, as two's complement.
    pub spent: [u64; MAX_LIMITS],
}

/// Where one limit stands after a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Name of the limit.
    pub name: String,
    /// Thousandths of a token left, rounded down.
    pub remaining_milli: u64,
    /// Milliseconds until the bucket is full or the period ends; [`NEVER_MS`](crate::NEVER_MS) if that is never.
    pub reset_ms: u64,
}

impl Outcome {
    /// Tells how long the key stands still by a better clock than the one that decided; that is read only if it does at all.
    #[inline]
    pub(crate) fn stand_still_until(&mut self, better_ms: impl FnOnce() -> u64) {
        if self.behind_ms > 0 {
            self.behind_ms = self.now_ms.saturating_sub(better_ms());
        }
    }

    /// Where each limit of the tier that decided stands.
    #[must_use]
    pub fn report(&self, tier: &Tier) -> Vec<Report> {
        let limits = tier.spec().limits.iter().zip(&tier.limits).zip(self.spent);
        limits
            .map(|((spec, limit), spent)| {
                let (remaining_milli, reset_ms) = match &limit.limit {
                    Limit::Bucket(bucket) => (bucket.remaining_milli(spent), bucket.reset_ms(spent)),
                    Limit::Quota(quota) => (quota.remaining_milli(spent), quota.reset_ms(self.now_ms)),
                    Limit::Concurrency(concurrency) => (1_000 * concurrency.free(spent), concurrency.reset_ms(spent)),
                };
                Report {
                    name: spec.name.clone(),
                    remaining_milli,
                    reset_ms: self.behind_ms.saturating_add(reset_ms),
                }
            })
            .collect()
    }

    /// The milliseconds, rounded up, until a call of this cost would pass: 0 when allowed, [`NEVER_MS`](crate::NEVER_MS) if
    /// no wait helps.
    #[must_use]
    pub fn retry_after_ms(&self, tier: &Tier, cost_milli: u64) -> u64 {
        match self.verdict {
            Verdict::Allowed => 0,
            Verdict::Denied { limit } => {
                let index = usize::from(limit);
                let limit = &tier.limits[index].limit;
                let wait_ms = limit.wait_ms(self.spent[index], cost_milli, self.now_ms);
                self.behind_ms.saturating_add(wait_ms)
            }
        }
    }
}
