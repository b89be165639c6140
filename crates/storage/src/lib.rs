//! The storage file of a limiter: what each key has spent, under which limits, and small named records beside them.
//!
//! It is a [redb](https://docs.rs/redb) database: transactions, page checksums, one process at a time. Keys are in it
//! only as the keyed hashes that the limiter works with; the secret of the hash is in it too, so the file is readable by
//! its owner alone. A file that can't be used is left as it was found.

#![forbid(unsafe_code)]

mod compaction;
mod connection;
mod error;
mod exposure;
mod file;
mod place;
mod plan;
mod stored_plans;
mod trial;

pub use connection::{FORMAT, random_secret};
pub use error::StorageError;
pub use file::{Note, Storage};
