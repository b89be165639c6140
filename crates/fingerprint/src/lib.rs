//! What a client says about itself by how it opens a connection.
//!
//! From a TLS `ClientHello`, an HTTP/2 opening and request headers this crate computes JA3, JA3N,
//! JA4 (the TLS client part only) and its own hash of the header order, names the known clients that
//! open connections the same way, and says how alike two clients are. It does no I/O and keeps
//! nothing.
//!
//! ```
//! use tollkeeper_fingerprint::{Signals, identify};
//!
//! let signals = Signals::from_value(&serde_json::json!({
//!     "http2": { "akamai": "1:65536;2:0;4:6291456;6:262144|15663105|0|m,a,s,p" },
//! }))?;
//! let answer = identify(&signals);
//! assert_eq!(answer.candidates[0].client, "chromium");
//! # Ok::<(), tollkeeper_fingerprint::Error>(())
//! ```
//!
//! A fingerprint tells how a connection was opened, not who opened it: any of these signals can be
//! imitated, and many clients share one.

#![forbid(unsafe_code)]

mod akamai;
mod alpn;
mod batch;
mod client_hello;
mod consistency;
mod dataset;
mod decimal;
mod differences;
mod digest;
mod error;
mod evidence;
mod fields;
mod grease;
mod headers;
mod identify;
mod ja3;
mod ja4;
mod ja4_a;
mod ja4_raw;
mod json;
mod likeness;
mod profile;
mod reader;
mod signals;
mod similarity;
mod tls_records;
mod user_agent;

pub use akamai::{Akamai, MAX_AKAMAI, MAX_FRAMES, Priority};
pub use alpn::ProtocolNames;
pub use batch::BatchOutline;
pub use client_hello::{ClientHello, MAX_CIPHERS, MAX_EXTENSIONS, Transport};
pub use consistency::{Consistency, Flag};
pub use dataset::{DATASET_VERSION, Dataset};
pub use error::{Error, ErrorCode};
pub use evidence::Evidence;
pub use grease::is_grease;
pub use headers::{Headers, MAX_HEADERS, MAX_NAME, MAX_VALUE, header_order_hash};
pub use identify::{Candidate, Computed, Identification, identify};
pub use ja3::{Ja3, MAX_JA3};
pub use ja4::Ja4;
pub use ja4_raw::{Ja4Raw, MAX_JA4_R};
pub use json::{MAX_DEPTH, MAX_ID, MAX_INPUT, MAX_ITEMS, batch_json, compare_json, identify_json};
pub use signals::Signals;
pub use similarity::{Comparison, Components, MATCH_THRESHOLD, Resolution, compare};
pub use tls_records::MAX_CLIENT_HELLO;
pub use user_agent::{Family, UserAgent};
