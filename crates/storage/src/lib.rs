//! The storage file of a limiter: what each key has spent, under which limits, and small named records beside them; and
//! what a ledger has counted.
//!
//! It is a [redb](https://docs.rs/redb) database: transactions, page checksums, one process at a time. Keys are in it
//! only as the keyed hashes that the limiter works with; the secret of the hash is in it too, so the file is readable by
//! its owner alone. A file that can't be used is left as it was found.

#![forbid(unsafe_code)]

mod cell_row;
mod coarsening;
mod compaction;
mod connection;
mod create;
mod credit_row;
mod database;
mod draft;
mod error;
mod examination;
mod exposure;
mod file;
#[cfg(test)]
mod full_disk;
mod key_row;
mod ledger_reader;
mod ledger_tables;
mod ledger_write;
mod location;
mod overlay;
mod path_lock;
mod records;
mod rule_set_json;
mod stored_rule_sets;
mod tables;
mod usage;

pub use coarsening::Retention;
pub use error::StorageError;
pub use file::{Note, Storage};
pub use ledger_reader::UsageReader;
pub use tables::random_secret;

/// The version of the format in which files are made.
pub const FORMAT: u64 = 1;

/// The version that a file is of from then on that something stands in it which format 1 has no place for: a limit in the
/// fifth slot or a later one. This release reads both.
pub const WIDE_FORMAT: u64 = 2;
