//! Misuse, as a type.

use std::fmt;

/// What can't be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Error {
    /// An account is 1 to [`MAX_ACCOUNT`](crate::MAX_ACCOUNT) UTF-16 units.
    AccountInvalid,
    /// The meter, the plan or the hour is none.
    KindUnknown,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AccountInvalid => "an account is 1 to 512 UTF-16 units",
            Self::KindUnknown => "there is no such meter, plan or hour",
        })
    }
}

impl std::error::Error for Error {}
