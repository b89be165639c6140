//! The numbers of a cell, as they are told: counted, written, read and added up.

/// The most thousandths that are kept, so that they are exact in the doubles of JavaScript.
pub const MAX_MILLI: u64 = (1 << 53) - 1;

/// How much has been served. Numbers only grow, and saturate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Calls that were served.
    pub calls: u64,
    /// What they cost, in thousandths of a token, less what was given back.
    pub units_milli: u64,
    /// Calls that were denied.
    pub denied: u64,
    /// What was charged and then given back, in thousandths.
    pub refunded_milli: u64,
}

impl Counts {
    /// Adds others.
    pub fn add(&mut self, other: &Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.units_milli = added_milli(self.units_milli, other.units_milli);
        self.denied = self.denied.saturating_add(other.denied);
        self.refunded_milli = added_milli(self.refunded_milli, other.refunded_milli);
    }

    /// Calls, served or denied.
    #[must_use]
    pub fn all_calls(&self) -> u64 {
        self.calls.saturating_add(self.denied)
    }
}

pub(crate) fn added_milli(one: u64, other: u64) -> u64 {
    one.saturating_add(other).min(MAX_MILLI)
}
