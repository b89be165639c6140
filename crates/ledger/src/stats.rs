//! What a ledger says of itself when metrics are read.

/// What a ledger holds, and what it could not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Cells in memory, those among them that are being written.
    pub cells: usize,
    /// Cells that memory may hold.
    pub max_cells: usize,
    /// Accounts whose names are in memory.
    pub accounts: usize,
    /// Calls, served and denied, that are in memory only.
    pub unwritten_calls: u64,
    /// Thousandths that are in memory only.
    pub unwritten_milli: u64,
    /// The first hour of which something is in memory only.
    pub oldest_unwritten_hour: Option<u32>,
    /// Calls counted without their account, since there was no room.
    pub overflow: u64,
    /// How often a cell could not hold all of what was counted.
    pub saturated: u64,
    /// Calls of hours that were let go.
    pub forgotten_calls: u64,
}
