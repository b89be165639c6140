//! Whom a call counts for, where it counts for several: what the crossing tells of each.

use std::fmt;

use crate::cost::Cost;
use crate::error::Error;
use crate::key::KeyHash;
use crate::tier::TierId;

/// One of those of whom a call spends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// Whose tokens.
    pub key: KeyHash,
    /// The tier under which they are counted.
    pub tier: TierId,
    /// What it is to spend.
    pub cost: Cost,
}

/// Why a call of several subjects can't be decided. Nothing was spent of any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubjectError {
    /// Index of the subject that is wrong.
    pub index: usize,
    /// What is wrong with it.
    pub error: Error,
}

impl fmt::Display for SubjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "subject {}: {}", self.index, self.error)
    }
}

impl std::error::Error for SubjectError {}
