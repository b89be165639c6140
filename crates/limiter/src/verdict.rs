//! Whether a call may go on: what a tier says of what a key has spent.

/// Whether a call may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verdict {
    /// The cost was spent, or for a peek would be.
    #[default]
    Allowed,
    /// Nothing was spent.
    Denied {
        /// Index, in its tier, of the denying limit with the longest wait.
        limit: u8,
    },
}
