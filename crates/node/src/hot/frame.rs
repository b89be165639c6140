//! The frame: rows of numbers that JavaScript and Rust both see, one for each key of a batch. Every hot call reads and
//! writes it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::rc::Rc;

use napi::{Env, Result, sys};
use tollkeeper_limiter::MAX_LIMITS;

use super::RawValue;
use crate::error::coded;

/// `OUTCOME` of `src/engine/frame.ts`.
pub(crate) mod outcome {
    pub(crate) const OVERFLOW: f64 = 16.0;
    pub(crate) const BEHIND: f64 = 32.0;
    pub(crate) const KEY_INVALID: f64 = -1.0;
    pub(crate) const TIER_UNKNOWN: f64 = -2.0;
    pub(crate) const COST_INVALID: f64 = -3.0;
    pub(crate) const COST_EXCEEDS_CAPACITY: f64 = -4.0;
    pub(crate) const FAILED: f64 = -5.0;
    pub(crate) const CLOSED: f64 = -6.0;
}

/// `FRAME` of `src/engine/frame.ts`: what a row holds where.
pub(crate) mod at {
    pub(crate) const TIER: usize = 0;
    pub(crate) const COST: usize = 1;
    /// After a decision that has taken a place: its number.
    pub(crate) const PLACE: usize = 1;
    /// The length of the key, in UTF-16 units; read for batches only.
    pub(crate) const KEY_LENGTH: usize = 2;
    /// After a decision with [`BEHIND`](super::outcome::BEHIND): by how many milliseconds.
    pub(crate) const BEHIND: usize = 2;
    /// When the decision is to be made, and then when it was.
    pub(crate) const NOW: usize = 3;
    pub(crate) const CODE: usize = 4;
    pub(crate) const VERSION: usize = 5;
    /// One amount for each limit of the tier.
    pub(crate) const SPENT: usize = 6;
    /// A cost for each limit of the tier, read if [`COST`] is [`EACH`].
    pub(crate) const COSTS: usize = SPENT + tollkeeper_limiter::MAX_LIMITS;
    /// Numbers of a row.
    pub(crate) const ROW: usize = COSTS + tollkeeper_limiter::MAX_LIMITS;
    /// In the place of a cost: each limit has one of its own.
    pub(crate) const EACH: std::ops::RangeInclusive<f64> = -1.0..=-1.0;
}

/// Amounts that are always written.
const NARROW: usize = 4;

/// Writes what is spent into a row: of keys of so many slots no more say anything, and as a rule these are few.
#[expect(clippy::cast_precision_loss, reason = "an amount is below 2^53")]
#[inline]
pub(crate) fn write_spent<const ROW: usize>(row: &mut [f64; ROW], spent: &[u64; MAX_LIMITS], slots: usize) {
    let (first, rest) = spent.split_at(NARROW);
    // Signed, since that takes one instruction where unsigned takes six.
    for (number, spent) in row[at::SPENT..].iter_mut().zip(first) {
        *number = spent.cast_signed() as f64;
    }
    if slots > NARROW {
        for (number, spent) in row[at::SPENT + NARROW..].iter_mut().zip(rest) {
            *number = spent.cast_signed() as f64;
        }
    }
}

/// Rows of a frame.
pub(crate) const ROWS: usize = 64;

/// An array of JavaScript, of rows of so many numbers, that stays alive as long as this.
pub(crate) struct Frame<const ROW: usize> {
    rows: *mut [f64; ROW],
    keep: sys::napi_ref,
    /// The environment that made it, in whose thread this is dropped.
    env: sys::napi_env,
}

impl<const ROW: usize> Frame<ROW> {
    /// # Errors
    /// Unless it is a `Float64Array` of the right length over a `SharedArrayBuffer`.
    pub(crate) fn new(env: Env, array: RawValue) -> Result<Rc<Self>> {
        let env = env.raw();
        let (mut kind, mut length, mut data, mut buffer) = (0, 0, ptr::null_mut(), ptr::null_mut());
        let (mut detachable, mut keep) = (true, ptr::null_mut());
        // SAFETY: the environment and the value are those of the running call, and every out-parameter is valid or null,
        // which means unwanted.
        let usable = unsafe {
            sys::napi_get_typedarray_info(
                env,
                array.0,
                &raw mut kind,
                &raw mut length,
                &raw mut data,
                &raw mut buffer,
                ptr::null_mut(),
            ) == sys::Status::napi_ok
                && sys::napi_is_arraybuffer(env, buffer, &raw mut detachable) == sys::Status::napi_ok
                && kind == sys::TypedarrayType::float64_array
                && length >= ROWS * ROW
                && !detachable
                && sys::napi_create_reference(env, array.0, 1, &raw mut keep) == sys::Status::napi_ok
        };
        if !usable {
            return Err(coded(
                "ERR_ENGINE_FAILED",
                "the frame is not a Float64Array of the right length over a SharedArrayBuffer",
            ));
        }
        Ok(Rc::new(Self {
            rows: data.cast(),
            keep,
            env,
        }))
    }

    /// A row of the frame.
    #[expect(
        clippy::mut_from_ref,
        reason = "the frame is JavaScript's, and each row is held alone"
    )]
    pub(crate) fn row(&self, row: usize) -> &mut [f64; ROW] {
        assert!(row < ROWS);
        // SAFETY: the array has so many rows, as `new` has checked, and is kept alive by `keep`; a SharedArrayBuffer
        // can't be detached or shrunk, and JavaScript does not run meanwhile. No caller holds the same row twice.
        unsafe { &mut *self.rows.add(row) }
    }

    /// Calls what decides; if it panics, every row says so, since nobody knows how far it came.
    pub(super) fn contain(&self, decide: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(decide)).is_err() {
            (0..ROWS).for_each(|row| self.row(row)[at::CODE] = outcome::FAILED);
        }
    }
}

impl<const ROW: usize> Drop for Frame<ROW> {
    /// Lets the array go.
    fn drop(&mut self) {
        if !self.keep.is_null() {
            // SAFETY: the reference was made in this environment and is deleted once. It may fail as the environment ends,
            // which then frees the reference itself.
            unsafe { sys::napi_delete_reference(self.env, self.keep) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_stays_in_the_call_and_every_row_says_that_it_failed() {
        let mut rows = [[0.0; at::ROW]; ROWS];
        let frame = Frame {
            rows: rows.as_mut_ptr(),
            keep: ptr::null_mut(),
            env: ptr::null_mut(),
        };
        frame.contain(|| {
            frame.row(0)[at::CODE] = outcome::OVERFLOW;
            panic!("on purpose");
        });
        let codes = || (0..ROWS).map(|row| frame.row(row)[at::CODE]).collect::<Vec<_>>();
        assert_eq!(codes(), [outcome::FAILED; ROWS]);
        frame.contain(|| frame.row(0)[at::CODE] = outcome::OVERFLOW);
        assert_eq!(codes()[..2], [outcome::OVERFLOW, outcome::FAILED]);
    }
}
