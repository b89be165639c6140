//! The crossing from Node into the limiter and the fingerprints.
//!
//! What is called for every decision is in [`hot`], which is the only place with `unsafe` code. The rest is called now
//! and then, and speaks to JavaScript in strings and plain objects.

mod clock;
mod engine;
mod error;
mod fingerprint;
mod hot;
mod raw_batch;
mod registry;
mod tiers;

use napi_derive::{module_init, napi};

/// The release that this binary is part of: the library takes none of another.
#[napi]
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// State outlives the environment that made it, so the code must too: a worker that exits must not unmap the addon.
#[module_init]
fn keep_loaded() {
    napi::bindgen_prelude::retain_current_module_for_unload_safety();
}
