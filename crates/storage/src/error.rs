//! Why a storage file can't be used. The crossing makes its code and its text an error of JavaScript.

use std::fmt;

use tollkeeper_limiter::Error as LimiterError;

/// Why a storage file can't be used. The file is as it was.
#[derive(Debug)]
pub enum StorageError {
    /// It was not written by tollkeeper.
    Foreign,
    /// It is of another format version than [`FORMAT`](crate::FORMAT) and [`WIDE_FORMAT`](crate::WIDE_FORMAT).
    Version(u64),
    /// It was, and is damaged; what is wrong.
    Corrupt(String),
    /// It is open in another process, or in this one.
    Locked,
    /// It holds more than the limiter takes; why.
    Refused(LimiterError),
    /// Another file stands in its place, or somebody else has written into it; that one is left as it is.
    Replaced,
    /// It can't be read or written; why.
    Io(String),
}

impl StorageError {
    /// A stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Foreign => "ERR_STORAGE_FOREIGN",
            Self::Version(_) => "ERR_STORAGE_VERSION",
            Self::Corrupt(_) => "ERR_STORAGE_CORRUPT",
            Self::Locked => "ERR_STORAGE_LOCKED",
            Self::Refused(_) => "ERR_STORAGE_FULL",
            Self::Replaced => "ERR_STORAGE_REPLACED",
            Self::Io(_) => "ERR_STORAGE_IO",
        }
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("it was not written by tollkeeper; name another file, or move this one away"),
            Self::Version(found) => {
                write!(
                    f,
                    "it is of format {found}, and this release reads formats {} to {}",
                    crate::FORMAT,
                    crate::WIDE_FORMAT
                )
            }
            Self::Corrupt(what) => {
                write!(
                    f,
                    "it is damaged ({what}) and was left as it is; restore a copy, or move it away to begin anew"
                )
            }
            Self::Locked => f.write_str("it is open elsewhere; one process at a time may open it"),
            Self::Replaced => f.write_str(
                "another file has taken its place while it was open, and was left as it is; move that one away, and what \
                 is in memory is written there",
            ),
            Self::Refused(why) => write!(f, "{why}"),
            Self::Io(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for StorageError {}

impl From<LimiterError> for StorageError {
    fn from(why: LimiterError) -> Self {
        Self::Refused(why)
    }
}

impl From<std::io::Error> for StorageError {
    fn from(why: std::io::Error) -> Self {
        Self::Io(why.to_string())
    }
}

impl From<redb::Error> for StorageError {
    fn from(why: redb::Error) -> Self {
        match why {
            redb::Error::DatabaseAlreadyOpen => Self::Locked,
            redb::Error::Corrupted(what) => Self::Corrupt(what),
            redb::Error::Io(why) if why.kind() == std::io::ErrorKind::InvalidData => Self::Corrupt(why.to_string()),
            redb::Error::Io(why) if why.kind() == std::io::ErrorKind::UnexpectedEof => {
                Self::Corrupt("it is cut short".into())
            }
            // The tables are there, but not as this release makes them.
            redb::Error::TableTypeMismatch { .. } | redb::Error::TableDoesNotExist(_) => Self::Foreign,
            other => Self::Io(other.to_string()),
        }
    }
}

/// Every error of redb's calls is one of its own `Error`.
macro_rules! from_redb {
    ($($error:ty),*) => {
        $(impl From<$error> for StorageError {
            fn from(why: $error) -> Self {
                redb::Error::from(why).into()
            }
        })*
    };
}

from_redb!(
    redb::DatabaseError,
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::CompactionError
);
