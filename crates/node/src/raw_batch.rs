//! A batch as it comes over HTTP, which never becomes values of JavaScript's.

#![cfg_attr(test, allow(dead_code, reason = "napi registers nothing in a test build"))]

use std::mem::take;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use napi::bindgen_prelude::{ArrayBuffer, AsyncTask, Uint8ArraySlice};
use napi::{Env, Result, Task};
use napi_derive::napi;
use tollkeeper_fingerprint::{BatchOutline, batch_json};

use crate::error::contained;
use crate::fingerprint::{WHOSE, problem};

/// The body of a batch. Its bytes are outside of V8's heap, and V8 doesn't count them: it would collect all garbage, and
/// hold the event loop for milliseconds, for every few megabytes of bodies.
#[napi]
#[derive(Default)]
pub struct RawBatch {
    bytes: Vec<u8>,
    read: Arc<OnceLock<Read>>,
}

/// A body that was read.
struct Read {
    /// With U+FFFD in place of what is not UTF-8.
    body: String,
    items: Vec<Range<usize>>,
}

#[napi]
impl RawBatch {
    /// One without bytes.
    #[napi(constructor)]
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends bytes.
    #[napi(catch_unwind)]
    pub fn push(&mut self, chunk: Uint8ArraySlice) {
        self.bytes.extend_from_slice(&chunk);
    }

    /// Appends bytes that nobody else reads, and frees their memory at once: it has none then.
    ///
    /// # Errors
    /// If its memory can't be freed.
    #[napi(catch_unwind)]
    pub fn take(&mut self, memory: ArrayBuffer) -> Result<()> {
        self.bytes.extend_from_slice(&memory);
        memory.detach()
    }

    /// Reads the body, on a thread of the pool, and resolves to it with `null` for each item.
    #[napi(ts_return_type = "Promise<string>")]
    pub fn outline(&mut self) -> AsyncTask<Outline> {
        let (bytes, read) = (take(&mut self.bytes), Arc::clone(&self.read));
        AsyncTask::new(Outline { bytes, read })
    }

    /// As `batch`, of `count` items of what was outlined, the first of them `first`.
    #[napi(ts_return_type = "Promise<string>")]
    pub fn part(&self, first: u32, count: u32) -> AsyncTask<Part> {
        let (first, read) = (first as usize, Arc::clone(&self.read));
        let last = first + count as usize;
        AsyncTask::new(Part { read, places: first..last })
    }

    /// Frees the bytes, as soon as nothing is computed with them.
    #[napi]
    pub fn free(&mut self) {
        *self = Self::default();
    }
}

/// A reading under way.
pub struct Outline {
    bytes: Vec<u8>,
    read: Arc<OnceLock<Read>>,
}

impl Task for Outline {
    type Output = String;
    type JsValue = String;

    fn compute(&mut self) -> Result<String> {
        contained(WHOSE, || {
            let body = String::from_utf8(take(&mut self.bytes))
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
            let BatchOutline { text, items } = BatchOutline::of(&body).map_err(|why| problem(&why))?;
            let _ = self.read.set(Read { body, items });
            Ok(text)
        })
    }

    fn resolve(&mut self, _: Env, output: String) -> Result<String> {
        Ok(output)
    }
}

/// A part of a batch under way.
pub struct Part {
    read: Arc<OnceLock<Read>>,
    places: Range<usize>,
}

impl Task for Part {
    type Output = String;
    type JsValue = String;

    fn compute(&mut self) -> Result<String> {
        contained(WHOSE, || {
            let Read { body, items } = self.read.get().expect("a body is read before its items");
            let texts: Vec<_> = items[self.places.clone()].iter().map(|place| &body[place.clone()]).collect();
            batch_json(&texts, self.places.start).map_err(|why| problem(&why))
        })
    }

    fn resolve(&mut self, _: Env, output: String) -> Result<String> {
        Ok(output)
    }
}
