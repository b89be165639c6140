//! The fingerprints: JSON in, JSON out. Called by `src/fingerprint/` for each identification, comparison and batch.

#![allow(
    clippy::needless_pass_by_value,
    reason = "napi hands over what it has made of an argument"
)]
#![cfg_attr(test, allow(dead_code, reason = "napi registers nothing in a test build"))]

use napi::bindgen_prelude::AsyncTask;
use napi::{Env, Error, Result, Status, Task};
use napi_derive::napi;
use tollkeeper_fingerprint::{Error as FingerprintError, batch_json, compare_json, identify_json};

use crate::error::contained;

/// Whose panic it is.
pub(crate) const WHOSE: &str = "the computation of fingerprints";

/// Who a client may be: a fingerprint to what it computes to and its candidates.
#[napi(catch_unwind)]
pub fn identify(input: String) -> Result<String> {
    identify_json(&input).map_err(|why| problem(&why))
}

/// How alike two clients are: `{ a, b }` to their similarity.
#[napi(catch_unwind)]
pub fn compare(input: String) -> Result<String> {
    compare_json(&input).map_err(|why| problem(&why))
}

/// Many clients, on a thread of the pool: the texts of `{ id, fingerprint }` to results in order, each with an
/// identification or a problem, whose paths count from `first`.
#[napi(ts_return_type = "Promise<string>")]
pub fn batch(items: Vec<String>, first: u32) -> AsyncTask<Batch> {
    AsyncTask::new(Batch { items, first })
}

/// A batch under way.
pub struct Batch {
    items: Vec<String>,
    first: u32,
}

impl Task for Batch {
    type Output = String;
    type JsValue = String;

    fn compute(&mut self) -> Result<String> {
        contained(WHOSE, || {
            batch_json(&self.items, self.first as usize).map_err(|why| problem(&why))
        })
    }

    fn resolve(&mut self, _: Env, output: String) -> Result<String> {
        Ok(output)
    }
}

/// A refusal, by its status; its message is JSON: the code, the path of the field, and a text for people.
pub(crate) fn problem(why: &FingerprintError) -> Error {
    let message = serde_json::json!({ "code": why.code(), "path": why.path(), "message": why.message() });
    Error::new(Status::InvalidArg, message.to_string())
}
