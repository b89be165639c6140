//! What tells the cells of an account apart.

pub(crate) const HOUR_BITS: u32 = 22;
pub(crate) const METER_BITS: u32 = 8;
pub(crate) const PLAN_BITS: u32 = 11;

/// The first hour since the epoch that can no longer be counted: in the year 2448.
pub const MAX_HOUR: u32 = 1 << HOUR_BITS;
/// Meters that a ledger tells apart over all of time.
pub const MAX_METERS: u16 = 1 << METER_BITS;
/// Plans that it tells apart, among them the one of those that are too many.
pub const MAX_PLANS: u16 = 1 << PLAN_BITS;

/// Of which hour, meter and plan a cell is. Ordered by hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// Whole hours since the epoch, below [`MAX_HOUR`].
    pub hour: u32,
    /// The number of the meter.
    pub meter: u16,
    /// The number of the plan.
    pub plan: u16,
}
