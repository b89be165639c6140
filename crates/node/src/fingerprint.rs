//! The fingerprints: JSON in, JSON out.

#![allow(
    clippy::needless_pass_by_value,
    reason = "napi hands over what it has made of an argument"
)]
#![cfg_attr(test, allow(dead_code, reason = "napi registers nothing in a test build"))]

use std::borrow::Cow;

use napi::bindgen_prelude::{AsyncTask, Buffer};
use napi::{Env, Error, Result, Status, Task};
use napi_derive::napi;
use tollkeeper_fingerprint::{
    BatchOutline, Error as FingerprintError, batch_json, batch_part_json, compare_json, identify_json,
};

use crate::error::contained;

/// Whose panic it is.
const WHOSE: &str = "the computation of fingerprints";

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

/// What is to be known of the body of a batch before its items are read, on a thread of the pool. Nobody may write to the
/// body meanwhile.
#[napi(ts_return_type = "Promise<BatchBodyOutline>")]
pub fn batch_body_outline(body: Buffer) -> AsyncTask<Outline> {
    AsyncTask::new(Outline { body })
}

/// An outline of a body.
#[napi(object)]
pub struct BatchBodyOutline {
    /// The body with `null` for each item.
    pub text: String,
    /// The bytes at which each item starts and ends.
    pub items: Vec<u32>,
    /// The body with U+FFFD in place of what is not UTF-8, if there is such; that is then where the items are.
    pub body: Option<Buffer>,
}

/// An outline under way.
pub struct Outline {
    body: Buffer,
}

impl Task for Outline {
    type Output = BatchBodyOutline;
    type JsValue = BatchBodyOutline;

    fn compute(&mut self) -> Result<BatchBodyOutline> {
        contained(WHOSE, || {
            let body = String::from_utf8_lossy(&self.body);
            let BatchOutline { text, items } = BatchOutline::of(&body).map_err(|why| problem(&why))?;
            let places = items.into_iter().flat_map(|item| [item.start, item.end]);
            let items = places.map(|place| u32::try_from(place).unwrap_or(u32::MAX)).collect();
            let body = match body {
                Cow::Borrowed(_) => None,
                Cow::Owned(text) => Some(text.into_bytes().into()),
            };
            Ok(BatchBodyOutline { text, items, body })
        })
    }

    fn resolve(&mut self, _: Env, output: BatchBodyOutline) -> Result<BatchBodyOutline> {
        Ok(output)
    }
}

/// As `batch`, of items as they stand in a body, with the commas between them, which nobody may write to meanwhile; the
/// results as bytes of JSON.
#[napi(ts_return_type = "Promise<Buffer>")]
pub fn batch_part(items: Buffer, first: u32) -> AsyncTask<Part> {
    AsyncTask::new(Part { items, first })
}

/// A part of a batch's body under way.
pub struct Part {
    items: Buffer,
    first: u32,
}

impl Task for Part {
    type Output = String;
    type JsValue = Buffer;

    fn compute(&mut self) -> Result<String> {
        contained(WHOSE, || {
            batch_part_json(&self.items, self.first as usize).map_err(|why| problem(&why))
        })
    }

    fn resolve(&mut self, _: Env, output: String) -> Result<Buffer> {
        Ok(output.into_bytes().into())
    }
}

/// A refusal, by its status; its message is JSON: the code, the path of the field, and a text for people.
fn problem(why: &FingerprintError) -> Error {
    let message = serde_json::json!({ "code": why.code(), "path": why.path(), "message": why.message() });
    Error::new(Status::InvalidArg, message.to_string())
}
