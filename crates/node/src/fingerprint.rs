//! The fingerprints: JSON in, JSON out.

use napi::{Error, Result, Status};
use napi_derive::napi;
use tollkeeper_fingerprint::{Error as FingerprintError, batch_json, compare_json, identify_json};

/// Who a client may be: `{ fingerprint }` to what it computes to and its candidates.
#[napi]
pub fn identify(input: String) -> Result<String> {
    identify_json(&input).map_err(|why| problem(&why))
}

/// How alike two clients are: `{ a, b }` to their similarity.
#[napi]
pub fn compare(input: String) -> Result<String> {
    compare_json(&input).map_err(|why| problem(&why))
}

/// Many clients: `{ items }` to results in order, each an identification or a problem.
#[napi]
pub fn batch(input: String) -> Result<String> {
    batch_json(&input).map_err(|why| problem(&why))
}

/// An error whose message is JSON: the code, the path of the field, and a text for people.
fn problem(why: &FingerprintError) -> Error {
    let message = serde_json::json!({ "code": why.code(), "path": why.path(), "message": why.message() });
    Error::new(Status::InvalidArg, message.to_string())
}
