//! What was served, by account, meter, plan and hour.
//!
//! A [`Ledger`] counts in memory, for any number of threads, in cells of four whole numbers that only grow. Where the cells
//! last is somebody else's: they are taken out of it to be written, and given back if that fails, so that each count is in
//! one place at a time. It is bounded: what finds no room is counted without its account, and the ledger says how much.
//!
//! ```
//! use tollkeeper_ledger::{Account, By, Counts, Kind, Ledger, Query, Room, Settings};
//!
//! let ledger = Ledger::new(Settings { max_cells: 1_000, secret: [7; 16] });
//! let meter = ledger.meters().number_of("identify").expect("there is room for it");
//! let plan = ledger.plans().number_of("free").expect("there is room for it");
//! let account: Vec<u16> = "acct:42".encode_utf16().collect();
//! let kind = Kind { hour: 497_000, meter, plan };
//! for _ in 0..3 {
//!     let call = Counts { calls: 1, units_milli: 1_000, ..Counts::default() };
//!     assert_eq!(ledger.count(&account, kind, &call), Ok(Room::Free));
//! }
//!
//! // To write it:
//! let cells = ledger.drain(usize::MAX);
//! assert_eq!((cells[0].account.clone(), cells[0].counts.calls), (Account::from("acct:42"), 3));
//! ledger.written(&cells);
//! assert_eq!(ledger.stats().unwritten_calls, 0);
//! ```

#![forbid(unsafe_code)]

mod account;
mod cell;
mod counts;
mod error;
mod kind;
mod ledger;
mod names;
mod overflow;
mod query;
mod shard;
mod stats;
mod totals;

pub use account::{Account, MAX_ACCOUNT};
pub use counts::{Counts, MAX_MILLI};
pub use error::Error;
pub use kind::{Kind, MAX_HOUR, MAX_METERS, MAX_PLANS};
pub use ledger::{Drained, Ledger, Room, Settings};
pub use names::Names;
pub use query::{By, Page, Query, Row, Unwritten};
pub use stats::Stats;
