//! Errors, as JavaScript gets them from every call here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use napi::{Error, Result, Status};

/// An error whose message is a stable code, a colon and a text for people; JavaScript takes the two apart.
pub(crate) fn coded(code: &str, text: impl std::fmt::Display) -> Error {
    Error::new(Status::GenericFailure, format!("{code}: {text}"))
}

/// A call after `close`.
pub(crate) fn closed() -> Error {
    coded("ERR_LIMITER_CLOSED", "the limiter is closed")
}

/// What is said to one who opens a name with what those who have it open did not agree on.
pub(crate) fn conflict(name: &str, other: &str) -> Error {
    coded(
        "ERR_NAME_CONFLICT",
        format_args!("a limiter named {name} is open with other {other}"),
    )
}

pub(crate) fn limiter(error: &tollkeeper_limiter::Error) -> Error {
    use tollkeeper_limiter::Error::{
        CostExceedsCapacity, GrantNoQuota, GrantTooLarge, NoRoom, TierUnknown, TiersInvalid, TooManyKeys,
        TooManyRuleSets,
    };
    let code = match error {
        TierUnknown => "ERR_TIER_UNKNOWN",
        CostExceedsCapacity { .. } => "ERR_COST_EXCEEDS_CAPACITY",
        TiersInvalid(_) => "ERR_TIERS_INVALID",
        TooManyRuleSets => "ERR_TOO_MANY_LIMITS",
        TooManyKeys { .. } => "ERR_STORAGE_FULL",
        GrantNoQuota | GrantTooLarge => "ERR_GRANT_INVALID",
        NoRoom { .. } => "ERR_TABLE_FULL",
    };
    coded(code, error)
}

pub(crate) fn storage(path: &str, error: &tollkeeper_storage::StorageError) -> Error {
    coded(error.code(), format_args!("storage file {path}: {error}"))
}

/// What was done on a thread of the pool. A panic of `whose` becomes an error: nobody else would catch it there, and the
/// process would end.
pub(crate) fn contained<T>(whose: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        Err(coded(
            "ERR_ENGINE_FAILED",
            format_args!("{whose} met a fault of its own"),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_that_says_whose_it_was() {
        assert_eq!(contained("it", || Ok(1)).unwrap(), 1);
        let error = contained("the storage", || -> Result<()> { panic!("on purpose") }).unwrap_err();
        assert_eq!(error.reason, "ERR_ENGINE_FAILED: the storage met a fault of its own");
    }
}
