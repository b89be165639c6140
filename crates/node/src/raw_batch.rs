//! A batch as it comes over HTTP, which never becomes values of JavaScript's. `src/fingerprint/` makes one per body,
//! and asks for its parts.

#![cfg_attr(test, allow(dead_code, reason = "napi registers nothing in a test build"))]

use std::cell::RefCell;
use std::mem::take;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use napi::bindgen_prelude::{ArrayBuffer, AsyncTask, Uint8ArraySlice};
use napi::{Env, Result, Task};
use napi_derive::napi;
use tollkeeper_fingerprint::{BatchOutline, batch_json};

use crate::error::{coded, contained};
use crate::fingerprint::{WHOSE, problem};

/// The body of a batch. Its bytes are outside of V8's heap, and V8 doesn't count them: it would collect all garbage, and
/// hold the event loop for milliseconds, for every few megabytes of bodies.
#[napi]
#[derive(Default)]
pub struct RawBatch {
    // A call that goes on in the pool keeps the batch borrowed, and it may be freed meanwhile.
    bytes: RefCell<Vec<u8>>,
    read: RefCell<Arc<OnceLock<Read>>>,
}

/// A body that was read.
struct Read {
    /// With U+FFFD in place of what is not UTF-8.
    body: String,
    items: Vec<Range<usize>>,
}

impl Read {
    fn texts(&self, items: Range<usize>) -> Option<Vec<&str>> {
        let items = self.items.get(items)?.iter();
        Some(items.map(|item| &self.body[item.clone()]).collect())
    }
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
    pub fn push(&self, chunk: Uint8ArraySlice) {
        self.bytes.borrow_mut().extend_from_slice(&chunk);
    }

    /// Appends bytes that nobody else reads, and frees their memory at once: it has none then. Not for memory that is marked
    /// as untransferable, as Node's pool of small buffers is: Node 24 would end the process.
    ///
    /// # Errors
    /// If its memory can't be freed.
    #[napi(catch_unwind)]
    pub fn take(&self, memory: ArrayBuffer) -> Result<()> {
        self.bytes.borrow_mut().extend_from_slice(&memory);
        memory.detach()
    }

    /// Reads the body, on a thread of the pool, and resolves to it with `null` for each item.
    #[napi(ts_return_type = "Promise<string>")]
    pub fn outline(&self) -> AsyncTask<Outline> {
        let (bytes, read) = (self.bytes.take(), Arc::clone(&self.read.borrow()));
        AsyncTask::new(Outline { bytes, read })
    }

    /// As `batch`, of `count` items of what was outlined, the first of them `first`.
    #[napi(ts_return_type = "Promise<string>")]
    pub fn part(&self, first: u32, count: u32) -> AsyncTask<Part> {
        let (first, read) = (first as usize, Arc::clone(&self.read.borrow()));
        let last = first + count as usize;
        AsyncTask::new(Part {
            read,
            items: first..last,
        })
    }

    /// Frees the bytes, as soon as nothing is computed with them.
    #[napi]
    pub fn free(&self) {
        self.bytes.take();
        self.read.take();
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
    items: Range<usize>,
}

impl Task for Part {
    type Output = String;
    type JsValue = String;

    fn compute(&mut self) -> Result<String> {
        contained(WHOSE, || {
            let texts = self.read.get().and_then(|read| read.texts(self.items.clone()));
            let texts =
                texts.ok_or_else(|| coded("ERR_ENGINE_FAILED", "a batch was asked for items that it does not have"))?;
            batch_json(&texts, self.items.start).map_err(|why| problem(&why))
        })
    }

    fn resolve(&mut self, _: Env, output: String) -> Result<String> {
        Ok(output)
    }
}
