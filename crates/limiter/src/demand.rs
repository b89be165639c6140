//! How fast a key is used of late: counted by every call that is served of what is held, asked by what is taken ahead.

/// How long, in ms, a key is watched before its rate is told.
const WINDOW_MS: u32 = 100;
/// So long after the last watch, in ms, the rate before it says nothing any more.
const FORGET_MS: u32 = 10 * WINDOW_MS;
/// A key that was not watched for longer, in ms, was not for so long: a shard can't tell; see [`Origin`](crate::origin::Origin).
const LONGEST_MS: u32 = 1 << 29;

/// Since when what is used is counted, and at which rate it was before. The count is the caller's, who keeps it where every
/// call looks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demand {
    pub(crate) since: u32,
    /// Thousandths a millisecond.
    rate: f32,
}

impl Demand {
    pub(crate) const NONE: Self = Self { since: 0, rate: 0.0 };

    /// Watched from an instant on.
    pub(crate) fn from(now: u32) -> Self {
        Self {
            since: now,
            ..Self::NONE
        }
    }

    pub(crate) fn rate(self) -> f64 {
        self.rate.into()
    }

    /// Thousandths that will be used in so many milliseconds, as it goes, and not rounded up yet, after those `used` since the
    /// instant. Begins to watch anew when it is time, and counts from 0 then.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "a rate needs no more than 24 bits")]
    pub(crate) fn in_next(&mut self, used: &mut u32, ms: u32, now: u32) -> f64 {
        let elapsed = now.saturating_sub(self.since).min(LONGEST_MS);
        let latest = f64::from(*used) / f64::from(elapsed.max(WINDOW_MS));
        if elapsed < WINDOW_MS {
            return self.rate().max(latest) * f64::from(ms);
        }
        self.rate = if self.rate == 0.0 || elapsed > FORGET_MS {
            latest
        } else {
            f64::midpoint(self.rate(), latest)
        } as f32;
        *used = 0;
        self.since = now;
        self.rate() * f64::from(ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "whole numbers")]
    fn the_rate_is_that_of_the_last_window_and_half_of_what_it_was_before() {
        let mut demand = Demand {
            since: 1_000,
            ..Demand::NONE
        };
        let mut used = 0_u32;
        let mut in_next = |milli, now| {
            used = used.saturating_add(milli);
            demand.in_next(&mut used, 1_000, now).ceil()
        };
        assert_eq!(in_next(50, 1_099), 500.0, "the window is still open");
        assert_eq!(in_next(50, 1_100), 1_000.0);
        assert_eq!(in_next(0, 1_199), 1_000.0, "a rate is not lowered before its time");
        assert_eq!(in_next(300, 1_200), 2_000.0);
        assert_eq!(in_next(0, 1_300), 1_000.0);
        assert_eq!(in_next(1_001, 2_301), 1_000.0, "what is long ago counts no more");
        assert_eq!(in_next(0, 500), 1_000.0, "a clock that goes back");
        assert_eq!([u32::MAX, 1].map(|milli| in_next(milli, 2_302)), [42_949_672_950.0; 2]);
    }
}
