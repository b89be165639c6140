//! What cells come to, all together.

use crate::counts::Counts;

/// Sums over cells that are in memory only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) cells: usize,
    pub(crate) calls: u64,
    pub(crate) units_milli: u64,
    /// The first hour of any; none where there is nothing.
    pub(crate) oldest_hour: u32,
}

impl Default for Totals {
    fn default() -> Self {
        Self {
            cells: 0,
            calls: 0,
            units_milli: 0,
            oldest_hour: u32::MAX,
        }
    }
}

impl Totals {
    /// Counts something more of an hour.
    #[inline]
    pub(crate) fn add(&mut self, hour: u32, counted: &Counts) {
        self.calls = self.calls.wrapping_add(counted.all_calls());
        self.units_milli = self.units_milli.wrapping_add(counted.units_milli);
        self.oldest_hour = self.oldest_hour.min(hour);
    }

    pub(crate) fn join(&mut self, other: &Self) {
        self.cells += other.cells;
        self.calls = self.calls.wrapping_add(other.calls);
        self.units_milli = self.units_milli.wrapping_add(other.units_milli);
        self.oldest_hour = self.oldest_hour.min(other.oldest_hour);
    }
}
