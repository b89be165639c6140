//! Errors, as JavaScript gets them.

use napi::{Error, Status};

/// An error whose message is a stable code, a colon and a text for people; JavaScript takes the two apart.
pub(crate) fn coded(code: &str, text: impl std::fmt::Display) -> Error {
    Error::new(Status::GenericFailure, format!("{code}: {text}"))
}

pub(crate) fn limiter(error: &tollkeeper_limiter::Error) -> Error {
    use tollkeeper_limiter::Error::{CostExceedsCapacity, TierUnknown, TiersInvalid, TooManyKeys};
    let code = match error {
        TierUnknown => "ERR_TIER_UNKNOWN",
        CostExceedsCapacity { .. } => "ERR_COST_EXCEEDS_CAPACITY",
        TiersInvalid(_) => "ERR_TIERS_INVALID",
        TooManyKeys { .. } => "ERR_STORAGE_FULL",
    };
    coded(code, error)
}

pub(crate) fn storage(path: &str, error: &tollkeeper_storage::StorageError) -> Error {
    coded(error.code(), format_args!("storage file {path}: {error}"))
}
