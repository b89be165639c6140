//! A token bucket in exact integers. `limit` holds one for each bucket of a tier; the usual decision goes by `rates`, which
//! are made of it.

use crate::{MAX_AMOUNT, MAX_BLOCK, MAX_CAPACITY, NEVER_MS};

/// How many units a bucket is given if it can do with fewer.
const SCALED_CAPACITY: u64 = 1 << 40;

/// A token bucket: `limit` tokens a window, refilled continuously, holding at most `limit × burst`.
///
/// What is spent is counted in a unit of the bucket's own, so small that a millisecond refills a whole number of units
/// and a thousandth of a token costs a whole number of them. So no rate, however uneven, ever rounds. The unit is then
/// halved as long as the capacity stays within 2⁴⁰, which leaves a change of tier, the one operation that has to round,
/// an error of 2⁻³⁹ of the capacity, and room for debts.
///
/// One that is [`blocking`](Self::blocking) is blocked by a denial: an amount above [`MAX_AMOUNT`] says for how many units
/// more, which go by as others are refilled. After them it is that of a new key.
///
/// The method is the generic cell rate algorithm (ITU-T I.371) with the theoretical arrival time kept as its distance
/// from the instant of the last call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// Units refilled in a millisecond.
    per_ms: u64,
    /// Units that a thousandth of a token costs.
    per_milli: u64,
    /// Units that the bucket can hold.
    capacity: u64,
    /// Units spent at the first call, which finds `limit` tokens and not more of the capacity.
    initial: u64,
    /// The highest cost that can ever pass, in thousandths.
    max_cost_milli: u64,
    /// Units that a block takes to go by; 0 if a denial begins none.
    block: u64,
}

impl Bucket {
    /// A bucket that never has anything: it denies everything that costs something. What is spent of it is always 0.
    const NONE: Self = Self {
        per_ms: 0,
        per_milli: 1,
        capacity: 0,
        initial: 0,
        max_cost_milli: 0,
        block: 0,
    };

    /// Tokens, seconds, and capacity as a multiple of the limit: each in thousandths, all but the tokens above 0. None if the
    /// three together are too fine to count exactly, or less than a thousandth of a token would fit in.
    #[must_use]
    pub fn new(limit_milli: u64, window_ms: u64, burst_milli: u64) -> Option<Self> {
        if window_ms == 0 || burst_milli == 0 {
            return None;
        }
        if limit_milli == 0 {
            return Some(Self::NONE);
        }
        let divisor = greatest_common_divisor(limit_milli, window_ms);
        let max_cost_milli = u64::try_from(u128::from(limit_milli) * u128::from(burst_milli) / 1_000).ok()?;
        let units = max_cost_milli
            .checked_mul(window_ms / divisor)
            .filter(|units| (1..=MAX_CAPACITY).contains(units))?;
        let scale = 1 << (SCALED_CAPACITY / units).max(1).ilog2();
        let per_milli = window_ms / divisor * scale;
        Some(Self {
            per_ms: limit_milli / divisor * scale,
            per_milli,
            capacity: units * scale,
            initial: max_cost_milli.saturating_sub(limit_milli) * per_milli,
            max_cost_milli,
            block: 0,
        })
    }

    /// The same bucket, which a denial blocks for so many milliseconds, if that is not 0. None if it is longer than an amount
    /// can say.
    #[must_use]
    pub fn blocking(mut self, block_ms: u64) -> Option<Self> {
        // A larger unit has room for a longer block. Without a factor of 2 in both it is as large as can be.
        let units = |bucket: &Self| u128::from(block_ms) * u128::from(bucket.per_ms);
        while units(&self) > u128::from(MAX_BLOCK) && (self.per_ms | self.per_milli) & 1 == 0 {
            self.per_ms /= 2;
            self.per_milli /= 2;
            self.capacity /= 2;
            self.initial /= 2;
        }
        self.block = u64::try_from(units(&self)).ok()?;
        (self.block <= MAX_BLOCK).then_some(self)
    }

    /// Whether a denial begins a block.
    pub(crate) fn is_blocking(&self) -> bool {
        self.block > 0
    }

    /// The amount spent at a key's first call.
    #[must_use]
    pub fn initial(&self) -> u64 {
        self.initial
    }

    /// The highest cost that can ever pass, in thousandths of a token; 0 if none can.
    #[must_use]
    pub fn max_cost_milli(&self) -> u64 {
        self.max_cost_milli
    }

    /// Units refilled in a millisecond.
    pub(crate) fn per_ms(&self) -> u64 {
        self.per_ms
    }

    /// Units that a thousandth of a token costs.
    pub(crate) fn per_milli(&self) -> u64 {
        self.per_milli
    }

    /// Units that the bucket can hold.
    pub(crate) fn capacity(&self) -> u64 {
        self.capacity
    }

    /// What is still spent after some milliseconds of refill.
    #[must_use]
    pub fn refilled(&self, spent: u64, elapsed_ms: u64) -> u64 {
        let refill = elapsed_ms.saturating_mul(self.per_ms);
        match block_left(spent) {
            0 => spent.saturating_sub(refill),
            left if refill < left => spent - refill,
            left => self.initial.saturating_sub(refill - left),
        }
    }

    /// The milliseconds until a call passes, rounded up: 0 if it passes now, [`NEVER_MS`] if it never does. Of a call that would
    /// begin a block, until it passes after that. The cost is at most [`max_cost_milli`](Self::max_cost_milli), or any of a
    /// bucket that never has anything.
    #[must_use]
    pub fn wait_ms(&self, spent: u64, cost_milli: u64) -> u64 {
        let spent = self.after_denial(spent, cost_milli);
        let left = block_left(spent);
        let present = if left > 0 { self.initial } else { spent };
        let missing = left + (present + cost_milli * self.per_milli).saturating_sub(self.capacity);
        if missing == 0 {
            0
        } else if self.per_ms == 0 {
            NEVER_MS
        } else {
            missing.div_ceil(self.per_ms)
        }
    }

    /// What is spent after a call of this cost was denied, be it by another limit: what was, unless it is for want of room
    /// here that this bucket is blocked from now on.
    #[must_use]
    pub fn after_denial(&self, spent: u64, cost_milli: u64) -> u64 {
        if !self.is_blocking() || cost_milli == 0 || block_left(spent) > 0 {
            return spent;
        }
        if spent + cost_milli * self.per_milli > self.capacity {
            MAX_AMOUNT + self.block
        } else {
            spent
        }
    }

    /// What is spent after so many thousandths of a token more, or less, that `counted` counts: the same fraction of this
    /// bucket as they are of that one. What is charged is rounded up, what is given back is rounded down. A block stays as it
    /// is.
    #[must_use]
    pub fn charged(&self, spent: u64, delta_milli: i64, counted: &Self) -> u64 {
        if block_left(spent) > 0 || counted.max_cost_milli == 0 {
            return spent; // Of nothing there is no fraction.
        }
        let units = u128::from(delta_milli.unsigned_abs()) * u128::from(self.capacity);
        let whole = u128::from(counted.max_cost_milli);
        let least = |units| u64::try_from(units).unwrap_or(u64::MAX);
        if delta_milli < 0 {
            spent.saturating_sub(least(units / whole))
        } else {
            spent.saturating_add(least(units.div_ceil(whole))).min(MAX_AMOUNT)
        }
    }

    /// Tokens left, in thousandths, rounded down.
    #[must_use]
    pub fn remaining_milli(&self, spent: u64) -> u64 {
        self.capacity.saturating_sub(spent) / self.per_milli
    }

    /// The milliseconds until the bucket is full, rounded up; [`NEVER_MS`] if it never has anything.
    #[must_use]
    pub fn reset_ms(&self, spent: u64) -> u64 {
        match block_left(spent) {
            _ if self.per_ms == 0 => NEVER_MS,
            0 => spent.div_ceil(self.per_ms),
            left => (left + self.initial).div_ceil(self.per_ms),
        }
    }

    /// The same fraction, rounded up, of this bucket as was spent of another; what is spent at a key's first call if that one
    /// never had anything. What is left of a block is left of it here; in a bucket that blocks nobody it is a debt.
    #[must_use]
    pub fn converted(&self, spent: u64, from: &Self) -> u64 {
        if from.capacity == 0 {
            return self.initial;
        }
        let left = block_left(spent);
        if left > 0 && self.capacity > 0 {
            let left_ms = left.div_ceil(from.per_ms);
            return if self.is_blocking() {
                MAX_AMOUNT + left_ms.min(MAX_BLOCK / self.per_ms) * self.per_ms
            } else {
                (self.capacity + left_ms.saturating_mul(self.per_ms).min(MAX_AMOUNT)).min(MAX_AMOUNT)
            };
        }
        let units = (u128::from(spent) * u128::from(self.capacity)).div_ceil(u128::from(from.capacity));
        u64::try_from(units).unwrap_or(MAX_AMOUNT).min(MAX_AMOUNT)
    }
}

/// For how many units more an amount says that its bucket is blocked; 0 if it is not.
fn block_left(spent: u64) -> u64 {
    spent.saturating_sub(MAX_AMOUNT)
}

fn greatest_common_divisor(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bucket(limit: u64, seconds: u64, burst_milli: u64) -> Bucket {
        Bucket::new(limit * 1_000, seconds * 1_000, burst_milli).unwrap()
    }

    #[test]
    fn an_uneven_rate_admits_the_limit_to_the_token() {
        for limit in [1, 3, 7, 11, 13, 333, 9_973] {
            let bucket = bucket(limit, 60, 1_500);
            let mut spent = bucket.initial();
            for call in 0..limit {
                assert_eq!(bucket.wait_ms(spent, 1_000), 0, "call {call} of {limit}");
                spent = bucket.charged(spent, 1_000, &bucket);
            }
            assert!(bucket.wait_ms(spent, 1_000) > 0);
            assert_eq!(bucket.remaining_milli(spent), 0);
        }
    }

    #[test]
    fn refilling_in_steps_is_refilling_at_once() {
        let bucket = bucket(7, 60, 2_000);
        let spent = bucket.charged(bucket.initial(), 7_000, &bucket);
        let stepped = (0..12_345).fold(spent, |spent, _| bucket.refilled(spent, 1));
        assert_eq!(stepped, bucket.refilled(spent, 12_345));
    }

    #[test]
    fn a_wait_is_exactly_long_enough() {
        let bucket = bucket(7, 60, 1_000);
        let spent = bucket.charged(bucket.initial(), 7_000, &bucket);
        let wait = bucket.wait_ms(spent, 1_000);
        assert_eq!(bucket.wait_ms(bucket.refilled(spent, wait), 1_000), 0);
        assert_eq!(bucket.wait_ms(bucket.refilled(spent, wait - 1), 1_000), 1);
    }

    #[test]
    fn refunds_never_go_past_full_and_no_debt_past_the_largest_amount() {
        let bucket = bucket(100, 60, 1_500);
        assert_eq!(bucket.charged(bucket.charged(0, 5_000, &bucket), -9_000, &bucket), 0);
        assert_eq!(bucket.charged(1, i64::MAX, &bucket), MAX_AMOUNT);
        assert_eq!(bucket.remaining_milli(MAX_AMOUNT), 0);
    }

    #[test]
    fn what_another_bucket_counted_is_its_fraction_charged_in_full_and_given_back_at_most() {
        let (free, pro) = (bucket(100, 60, 1_500), bucket(1_000, 60, 1_500));
        let empty = free.capacity();
        assert_eq!(free.remaining_milli(free.charged(empty, -100_000, &pro)), 10_000);
        assert_eq!(
            pro.remaining_milli(pro.charged(pro.capacity(), -10_000, &free)),
            100_000
        );
        let third = bucket(3, 7, 1_000);
        for delta_milli in 1..2_000 {
            let charged = third.charged(0, delta_milli, &pro);
            let exact = u128::from(third.capacity()) * u128::from(delta_milli.unsigned_abs());
            assert!(u128::from(charged) * u128::from(pro.max_cost_milli()) >= exact);
            let left = third.charged(charged, -delta_milli, &pro);
            assert!(left <= 1, "{delta_milli} leaves {left}");
        }
        assert_eq!(
            free.charged(1, i64::MAX, &Bucket::new(1, 1, 1_000).unwrap()),
            MAX_AMOUNT
        );
        assert_eq!(
            free.charged(MAX_AMOUNT, i64::MIN, &Bucket::new(1, 1, 1_000).unwrap()),
            0
        );
    }

    #[test]
    fn a_denial_blocks_until_the_block_is_over_and_then_the_bucket_is_that_of_a_new_key() {
        let bucket = bucket(5, 10, 2_000).blocking(60_000).unwrap();
        let empty = bucket.charged(bucket.initial(), 5_000, &bucket);
        assert_eq!(bucket.after_denial(empty, 0), empty, "nothing was asked for");
        assert_eq!(
            bucket.after_denial(bucket.initial(), 5_000),
            bucket.initial(),
            "there was room"
        );
        let blocked = bucket.after_denial(empty, 1);
        assert_eq!(
            (bucket.remaining_milli(blocked), bucket.wait_ms(blocked, 1)),
            (0, 60_000)
        );
        assert_eq!(bucket.reset_ms(blocked), 70_000, "full after the block and a refill");
        assert_eq!(bucket.wait_ms(blocked, 5_001), 60_002, "more than a new key has");
        assert_eq!(
            bucket.wait_ms(empty, 5_001),
            60_002,
            "which a call that begins it is told as well"
        );
        for later in [1, 30_000, 59_999] {
            let later_on = bucket.refilled(blocked, later);
            assert_eq!(bucket.wait_ms(later_on, 1), 60_000 - later);
            assert_eq!(bucket.after_denial(later_on, 1), later_on, "it is neither prolonged");
            assert_eq!(bucket.charged(later_on, 5_000, &bucket), later_on, "nor paid for");
            assert_eq!(bucket.charged(later_on, -5_000, &bucket), later_on, "nor bought off");
            assert_eq!(bucket.refilled(later_on, 60_000 - later), bucket.initial());
        }
        assert_eq!(bucket.remaining_milli(bucket.refilled(blocked, 61_000)), 5_500);
        assert_eq!(bucket.refilled(blocked, 70_000), 0);
        assert_eq!(bucket.refilled(blocked, u64::MAX), 0);
    }

    #[test]
    fn a_block_keeps_the_time_that_is_left_in_another_bucket() {
        let login = bucket(5, 4_500, 1_000).blocking(3_600_000).unwrap();
        let blocked = login.refilled(login.after_denial(login.capacity(), 1_000), 600_000);
        let shorter = bucket(7, 60, 1_500).blocking(1_000).unwrap();
        assert_eq!(shorter.wait_ms(shorter.converted(blocked, &login), 1), 3_000_000);
        let back = login.converted(shorter.converted(blocked, &login), &shorter);
        assert_eq!(back, blocked);
        let free = bucket(7, 60, 1_500);
        let debt = free.converted(blocked, &login);
        assert_eq!((free.remaining_milli(debt), free.wait_ms(debt, 0)), (0, 3_000_000));
        assert_eq!(free.remaining_milli(free.refilled(debt, 3_000_000)), 0);
        assert_eq!(free.remaining_milli(free.refilled(debt, 3_060_000)), 7_000);
        let fast = Bucket::new(1_000_000_000, 1_000, 1_000).unwrap();
        assert_eq!(fast.converted(MAX_AMOUNT + MAX_BLOCK, &login), MAX_AMOUNT);
        let longest = fast
            .clone()
            .blocking(1)
            .unwrap()
            .converted(MAX_AMOUNT + MAX_BLOCK, &login);
        assert!((MAX_AMOUNT + 1..=MAX_AMOUNT + MAX_BLOCK).contains(&longest));
    }

    #[test]
    fn a_block_is_as_long_as_an_amount_can_say() {
        let second = Bucket::new(10_000, 1_000, 1_000).unwrap();
        let day = second.clone().blocking(86_400_000).unwrap();
        assert!(day.capacity() < second.capacity(), "in a larger unit");
        assert_eq!(day.wait_ms(day.after_denial(day.capacity(), 1), 1), 86_400_000);
        assert_eq!(day.remaining_milli(0), 10_000);
        let longest = MAX_BLOCK / 10;
        assert!(second.clone().blocking(longest).is_some());
        assert_eq!(second.clone().blocking(longest + 1), None);
        assert_eq!(second.clone().blocking(u64::MAX), None);
        assert_eq!(second.clone().blocking(0), Some(second));
    }

    #[test]
    fn what_is_too_fine_to_count_exactly_is_refused() {
        assert_eq!(Bucket::new(1_000, 0, 1_000), None);
        assert_eq!(Bucket::new(1_000, 1_000, 0), None);
        assert_eq!(Bucket::new(MAX_CAPACITY - 1, 86_400_000, 1_500), None);
        assert_eq!(Bucket::new(u64::MAX, 1, u64::MAX), None);
    }

    #[test]
    fn what_holds_less_than_a_thousandth_is_refused() {
        assert_eq!(Bucket::new(999, 1_000, 1), None);
        assert_eq!(
            Bucket::new(1_000, 1_000, 1).map(|bucket| bucket.max_cost_milli()),
            Some(1)
        );
    }

    #[test]
    fn a_burst_below_one_holds_less_than_the_limit_and_begins_full() {
        let smooth = bucket(100, 60, 100);
        assert_eq!((smooth.initial(), smooth.max_cost_milli()), (0, 10_000));
        let mut spent = 0;
        let mut passed = 0;
        for _ in 0..60_000 {
            if smooth.wait_ms(spent, 1_000) == 0 {
                spent = smooth.charged(spent, 1_000, &smooth);
                passed += 1;
            }
            spent = smooth.refilled(spent, 1);
        }
        assert_eq!(passed, 100 + 9, "ten at once, and the rest at the rate");
        let smallest = Bucket::new(MAX_CAPACITY, 1, 1).unwrap();
        assert_eq!(smallest.wait_ms(0, smallest.max_cost_milli()), 0);
        assert_eq!(smallest.refilled(MAX_AMOUNT, 1_000), 0);
    }

    #[test]
    fn a_bucket_of_nothing_denies_all_that_costs_something_for_ever() {
        let none = Bucket::new(0, 60_000, 1_500).unwrap();
        let free = bucket(100, 60, 1_500);
        assert_eq!([0, 1, 1_000].map(|cost| none.wait_ms(0, cost)), [0, NEVER_MS, NEVER_MS]);
        assert_eq!(
            (none.initial(), none.max_cost_milli(), none.remaining_milli(0)),
            (0, 0, 0)
        );
        assert_eq!((none.reset_ms(0), none.refilled(0, u64::MAX)), (NEVER_MS, 0));
        assert_eq!(none.converted(free.capacity(), &free), 0);
        assert_eq!(free.converted(0, &none), free.initial());
        for delta_milli in [-5_000, 5_000] {
            assert_eq!(none.charged(0, delta_milli, &none), 0);
            assert_eq!(none.charged(0, delta_milli, &free), 0);
            assert_eq!(free.charged(7, delta_milli, &none), 7);
        }
    }
}
