//! A limit of calls that run at the same time. `limit` holds one for each of a tier; the places that are taken are kept
//! by `places`.

/// Milliseconds up to which an amount can tell how long a place lasts.
const SPAN_MS: u64 = 1 << 32;

/// So many calls at the same time, each for so long at most.
///
/// How one stands is told as one amount, as of the other limits: the places that are taken × 2³², and the milliseconds
/// until the first of them is over. It is below 2⁵².
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concurrency {
    limit: u64,
    timeout_ms: u64,
}

impl Concurrency {
    /// The most places that a limit has.
    pub const MAX_LIMIT: u64 = 10_000;
    /// The longest that a place can be held, in milliseconds.
    pub const MAX_TIMEOUT_MS: u64 = SPAN_MS - 1;

    /// None if there is no place or more than [`MAX_LIMIT`](Self::MAX_LIMIT), or the time-out is no millisecond or longer than
    /// [`MAX_TIMEOUT_MS`](Self::MAX_TIMEOUT_MS).
    #[must_use]
    pub fn new(limit: u64, timeout_ms: u64) -> Option<Self> {
        let is_sound = (1..=Self::MAX_LIMIT).contains(&limit) && (1..=Self::MAX_TIMEOUT_MS).contains(&timeout_ms);
        is_sound.then_some(Self { limit, timeout_ms })
    }

    /// How it stands where so many places are taken, of which the first is over in so many milliseconds.
    #[must_use]
    pub fn amount(taken: u64, first_ms: u64) -> u64 {
        taken * SPAN_MS + first_ms.min(Self::MAX_TIMEOUT_MS)
    }

    /// How long, in milliseconds, a place is held at most.
    #[must_use]
    pub fn timeout_ms(&self) -> u64 {
        self.timeout_ms
    }

    /// Places that are free.
    #[must_use]
    pub fn free(&self, amount: u64) -> u64 {
        self.limit.saturating_sub(amount / SPAN_MS)
    }

    /// The milliseconds until there is a free place at the latest: 0 if there is one now.
    ///
    /// Where more are taken than there are, by a key that comes from a larger limit, that is when the first of them is over.
    #[must_use]
    pub fn wait_ms(&self, amount: u64) -> u64 {
        if self.free(amount) > 0 {
            0
        } else {
            self.reset_ms(amount).max(1)
        }
    }

    /// The milliseconds until the first place is over; 0 if none is taken.
    #[must_use]
    pub fn reset_ms(&self, amount: u64) -> u64 {
        amount % SPAN_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_tells_the_places_and_the_wait() {
        let limit = Concurrency::new(10, 30_000).unwrap();
        assert_eq!((limit.free(0), limit.wait_ms(0), limit.reset_ms(0)), (10, 0, 0));
        let nine = Concurrency::amount(9, 12_345);
        assert_eq!(
            (limit.free(nine), limit.wait_ms(nine), limit.reset_ms(nine)),
            (1, 0, 12_345)
        );
        let eleven = Concurrency::amount(11, 1);
        assert_eq!((limit.free(eleven), limit.wait_ms(eleven)), (0, 1));
    }

    #[test]
    fn the_largest_amount_is_exact_in_a_double() {
        let most = Concurrency::amount(Concurrency::MAX_LIMIT, u64::MAX);
        assert!(most < crate::MAX_AMOUNT);
        let limit = Concurrency::new(Concurrency::MAX_LIMIT, Concurrency::MAX_TIMEOUT_MS).unwrap();
        assert_eq!(
            (limit.free(most), limit.wait_ms(most)),
            (0, Concurrency::MAX_TIMEOUT_MS)
        );
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        for (limit, timeout_ms) in [(0, 1), (1, 0), (10_001, 1), (1, 1 << 32)] {
            assert_eq!(Concurrency::new(limit, timeout_ms), None);
        }
    }
}
