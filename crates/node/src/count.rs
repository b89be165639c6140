//! The hot call of a ledger: it counts. Handed to [`hot`](crate::hot) when a ledger opens.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use napi::{Env, Result};
use tollkeeper_ledger::{Counts, Error, Kind, Ledger, Room};

use crate::hot::{self, Frame, RawValue, at, outcome};

/// This environment's clone; none from `close` on.
pub(crate) type Own = Rc<RefCell<Option<Arc<Ledger>>>>;

/// `COUNT_FRAME` of `src/ledger/count-frame.ts`: what the row of the frame holds where.
mod place {
    use crate::hot::at;

    pub(super) const METER: usize = 0;
    pub(super) const PLAN: usize = 1;
    pub(super) const HOUR: usize = 2;
    pub(super) const CALLS: usize = 3;
    pub(super) const UNITS: usize = 5;
    pub(super) const DENIED: usize = 6;
    pub(super) const REFUNDED: usize = 7;
    /// Numbers of a row.
    pub(super) const ROW: usize = 8;

    // Where a panic is told.
    const _: () = assert!(at::CODE == CALLS + 1);
}

/// `COUNTED` of `src/ledger/count-frame.ts`: where there is a quarter of the room left, or none.
const SCARCE: f64 = 1.0;
const OVERFLOW: f64 = 2.0;

/// Makes the function `(account) => void` that counts.
pub(crate) fn counter(env: Env, ledger: &Own, frame: RawValue) -> Result<RawValue> {
    let frame = Frame::new(env, frame)?;
    let ledger = Rc::clone(ledger);
    hot::of_key(env, &frame, move |row, account| {
        row[at::CODE] = match &*ledger.borrow() {
            Some(ledger) => count(ledger, row, account),
            None => outcome::CLOSED,
        };
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what comes in is checked or saturates"
)]
#[inline]
fn count(ledger: &Ledger, row: &[f64; place::ROW], account: &[u16]) -> f64 {
    let kind = Kind {
        hour: row[place::HOUR] as u32,
        meter: row[place::METER] as u16,
        plan: row[place::PLAN] as u16,
    };
    // Signed, since that takes one instruction where unsigned takes six.
    let whole = |place: usize| (row[place] as i64).max(0).cast_unsigned();
    let counted = Counts {
        calls: whole(place::CALLS),
        units_milli: whole(place::UNITS),
        denied: whole(place::DENIED),
        refunded_milli: whole(place::REFUNDED),
    };
    match ledger.count(account, kind, &counted) {
        Ok(Room::Free) => 0.0,
        Ok(Room::Scarce) => SCARCE,
        Ok(Room::None) => OVERFLOW,
        Err(Error::AccountInvalid) => outcome::KEY_INVALID,
        Err(Error::KindUnknown) => outcome::COST_INVALID,
    }
}
