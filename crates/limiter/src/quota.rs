//! A quota of tokens per calendar period. `limit` holds one for each quota of a tier.

use crate::period::{Bounds, Period};
use crate::span::Span;
use crate::{MAX_AMOUNT, NEVER_MS};

/// A quota: so many tokens per calendar period in UTC. What is spent is counted in thousandths of a token; where a key was
/// granted more than it has used, that is a number below 0, as two's complement.
#[derive(Debug)]
pub struct Quota {
    limit_milli: u64,
    period: Period,
    /// The period looked up last.
    last: Span,
}

impl Quota {
    /// A quota of thousandths of a token; of none it denies everything that costs something.
    #[must_use]
    pub fn new(limit_milli: u64, period: Period) -> Self {
        Self {
            limit_milli,
            period,
            last: Span::empty(),
        }
    }

    /// The highest cost that can ever pass, in thousandths of a token; 0 if none can.
    #[must_use]
    pub fn max_cost_milli(&self) -> u64 {
        self.limit_milli
    }

    /// The period that holds an instant.
    #[must_use]
    pub fn bounds(&self, now_ms: u64) -> Bounds {
        let last = self.last.get();
        if last.contains(now_ms) {
            return last;
        }
        let bounds = self.period.bounds(now_ms);
        self.last.set(bounds);
        bounds
    }

    /// What is still spent at `now_ms` of what was spent at `at_ms`: nothing once a new period has begun.
    #[must_use]
    pub fn rolled(&self, spent: u64, at_ms: u64, now_ms: u64) -> u64 {
        if self.has_ended(at_ms, now_ms) { 0 } else { spent }
    }

    /// Whether the period that holds `at_ms` is over at `now_ms`.
    pub(crate) fn has_ended(&self, at_ms: u64, now_ms: u64) -> bool {
        at_ms < self.bounds(now_ms).start_ms
    }

    /// Whether a call passes now.
    #[must_use]
    pub fn fits(&self, spent: u64, cost_milli: u64) -> bool {
        spent.wrapping_add(cost_milli).cast_signed() <= self.limit_milli.cast_signed()
    }

    /// The milliseconds until a call passes: 0 if it passes now, [`NEVER_MS`] if it never does.
    #[must_use]
    pub fn wait_ms(&self, spent: u64, cost_milli: u64, now_ms: u64) -> u64 {
        if self.fits(spent, cost_milli) {
            0
        } else {
            self.reset_ms(now_ms)
        }
    }

    /// What is spent after so many thousandths of a token more, or less; never less than if nothing were used of what was
    /// granted.
    #[must_use]
    pub fn charged(&self, spent: u64, delta_milli: i64, granted_milli: u64) -> u64 {
        let charged = spent.cast_signed().saturating_add(delta_milli);
        charged
            .clamp(-granted_milli.cast_signed(), MAX_AMOUNT.cast_signed())
            .cast_unsigned()
    }

    /// Tokens left, in thousandths.
    #[must_use]
    pub fn remaining_milli(&self, spent: u64) -> u64 {
        let left = self.limit_milli.cast_signed().saturating_sub(spent.cast_signed());
        left.max(0).cast_unsigned()
    }

    /// The milliseconds until the period ends; [`NEVER_MS`] if that brings nothing, or never comes.
    #[must_use]
    pub fn reset_ms(&self, now_ms: u64) -> u64 {
        let Bounds { end_ms, .. } = self.bounds(now_ms);
        if self.limit_milli == 0 || end_ms == NEVER_MS {
            NEVER_MS
        } else {
            end_ms - now_ms
        }
    }

    /// What is spent under this quota by a key that came from another at `at_ms`: all of it if both count the same
    /// period, nothing otherwise.
    #[must_use]
    pub fn converted(&self, spent: u64, from: &Self, at_ms: u64, now_ms: u64) -> u64 {
        if self.goes_on(from, at_ms, now_ms) { spent } else { 0 }
    }

    /// Whether this quota's period at `now_ms` is the one that another counted at `at_ms`.
    pub(crate) fn goes_on(&self, from: &Self, at_ms: u64, now_ms: u64) -> bool {
        from.bounds(at_ms).start_ms == self.bounds(now_ms).start_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAY_2026: u64 = 1_777_593_600_000;
    const DAY_MS: u64 = 86_400_000;

    #[test]
    fn a_new_period_starts_at_nothing() {
        let quota = Quota::new(5_000, Period::Month { anchor_day: 1 });
        assert_eq!(quota.rolled(3_000, MAY_2026 - 1, MAY_2026), 0);
        assert_eq!(quota.rolled(3_000, MAY_2026, MAY_2026 + 30 * DAY_MS), 3_000);
    }

    #[test]
    fn the_wait_is_the_rest_of_the_period() {
        let quota = Quota::new(5_000, Period::Day);
        assert_eq!(quota.wait_ms(4_500, 500, MAY_2026 + 10), 0);
        assert_eq!(quota.wait_ms(4_500, 501, MAY_2026 + 10), DAY_MS - 10);
    }

    #[test]
    fn no_wait_helps_where_nothing_begins_anew() {
        let trial = Quota::new(5_000, Period::Once);
        assert_eq!(trial.rolled(5_000, 0, MAY_2026), 5_000);
        assert_eq!(trial.wait_ms(4_500, 500, MAY_2026), 0);
        assert_eq!(trial.wait_ms(4_500, 501, MAY_2026), NEVER_MS);
        assert_eq!(trial.reset_ms(MAY_2026), NEVER_MS);
        let none = Quota::new(0, Period::Day);
        assert_eq!([0, 1].map(|cost| none.wait_ms(0, cost, MAY_2026)), [0, NEVER_MS]);
        assert_eq!((none.reset_ms(MAY_2026), none.remaining_milli(3)), (NEVER_MS, 0));
    }

    #[test]
    fn only_the_same_period_is_carried_over() {
        let first = Quota::new(5_000, Period::Month { anchor_day: 1 });
        let other = Quota::new(9_000, Period::Month { anchor_day: 15 });
        assert_eq!(
            Quota::new(9_000, Period::Month { anchor_day: 1 }).converted(3, &first, MAY_2026, MAY_2026 + 9),
            3
        );
        assert_eq!(other.converted(3, &first, MAY_2026, MAY_2026 + 9), 0);
    }

    #[test]
    fn corrections_stay_within_bounds() {
        let quota = Quota::new(5_000, Period::Day);
        assert_eq!(quota.charged(1, -2, 0), 0);
        assert_eq!(quota.charged(1, i64::MAX, 0), MAX_AMOUNT);
        assert_eq!(quota.remaining_milli(MAX_AMOUNT), 0);
    }

    #[test]
    fn what_was_granted_is_spent_as_if_the_quota_were_larger() {
        let quota = Quota::new(5_000, Period::Day);
        let spent = 0_u64.wrapping_sub(2_000);
        assert_eq!(quota.remaining_milli(spent), 7_000);
        assert!(quota.fits(spent, 7_000) && !quota.fits(spent, 7_001));
        assert_eq!(quota.charged(spent, 3_000, 2_000), 1_000);
        assert_eq!(quota.charged(1_000, -3_000, 2_000), spent);
        assert_eq!(quota.charged(spent, -1, 2_000), spent, "nothing is used");
    }
}
