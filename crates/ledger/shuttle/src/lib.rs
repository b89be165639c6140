//! The ledger as it is, but on shuttle's locks and atomics; see `build.rs`.

include!(concat!(env!("OUT_DIR"), "/lib.rs"));
