//! The crossing from Node into the limiter and the fingerprints.
//!
//! What is called for every decision goes through [`hot`], which is the only place with `unsafe` code. The rest is called now
//! and then, and speaks to JavaScript in strings and plain objects.

mod clock;
mod count;
mod decide;
mod engine;
mod error;
mod fingerprint;
mod hot;
mod lease_calls;
mod lease_engine;
mod lease_frame;
mod lease_rows;
mod lease_table;
mod ledger;
mod local_table;
mod raw_batch;
mod registry;
mod servers;
mod stats;
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
