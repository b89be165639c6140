//! What is called for every decision, and with its parts the only `unsafe` code.
//!
//! A decision crosses into Rust as one call of a plain function, made with a pointer to its [`Hot`] data: looking up a
//! method of a class costs twice as much as the decision. The key is read once, as UTF-16 into the stack: as Latin-1
//! two keys could become one, and as UTF-8 or a `String` it would cost more. It is the only argument, and nothing is
//! returned: every number that Node-API reads or makes costs as much as the arithmetic of a decision. They stand in the
//! *frame* instead, a `Float64Array` that JavaScript allocated and that stays alive as long as the function; over a
//! `SharedArrayBuffer`, since any other can be taken away by transferring it.

#![allow(unsafe_code)]

mod frame;
mod prefetch;
mod raw_value;

use std::cell::RefCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;
use std::rc::Rc;

use napi::{Env, Result, sys};
use tollkeeper_limiter::{Error, KeyHash, Limiter, Outcome, TierId, Verdict};

use self::frame::{Frame, ROWS, Row, at, outcome};
use self::prefetch::prefetch;
pub use self::raw_value::RawValue;
use crate::clock::{coarse_ms, given, instant, system_ms};
use crate::error::coded;

/// The longest key, in UTF-16 units.
const MAX_KEY: usize = 512;

/// What the hot functions do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    Peek,
    Consume,
    ConsumeMany,
}

/// What a hot function works with.
struct Hot {
    /// This environment's clone; none from `close` on.
    limiter: Rc<RefCell<Option<Limiter>>>,
    operation: Operation,
    frame: Frame,
    /// Room for the keys of a batch.
    units: RefCell<Vec<u16>>,
}

/// Makes the functions `(key) => void` that peek and consume, and `(keys, count) => void` that consumes many keys, joined.
pub(crate) fn deciders(env: Env, limiter: &Rc<RefCell<Option<Limiter>>>, frame: RawValue) -> Result<Vec<RawValue>> {
    [Operation::Peek, Operation::Consume, Operation::ConsumeMany]
        .map(|operation| decider(env, Rc::clone(limiter), operation, frame))
        .into_iter()
        .collect()
}

fn decider(env: Env, limiter: Rc<RefCell<Option<Limiter>>>, operation: Operation, frame: RawValue) -> Result<RawValue> {
    let env = env.raw();
    let frame = Frame::new(env, frame).ok_or_else(|| {
        coded(
            "ERR_ENGINE_FAILED",
            "the frame is not a Float64Array of the right length over a SharedArrayBuffer",
        )
    })?;
    let hot = Box::into_raw(Box::new(Hot {
        limiter,
        operation,
        frame,
        units: RefCell::default(),
    }));
    let mut function = ptr::null_mut();
    // SAFETY: as above; `hot` is a live allocation that only `release` frees, when the function is collected.
    let made = unsafe {
        sys::napi_create_function(env, c"decide".as_ptr(), -1, Some(decide), hot.cast(), &raw mut function)
            == sys::Status::napi_ok
            && sys::napi_add_finalizer(
                env,
                function,
                hot.cast(),
                Some(release),
                ptr::null_mut(),
                ptr::null_mut(),
            ) == sys::Status::napi_ok
    };
    if made {
        Ok(RawValue(function))
    } else {
        Err(coded("ERR_ENGINE_FAILED", "the hot function can't be made"))
    }
}

/// Frees the data of a function that was collected, or whose environment ends.
unsafe extern "C" fn release(env: sys::napi_env, hot: *mut c_void, _: *mut c_void) {
    // SAFETY: `hot` came from `Box::into_raw` in `decider`, and Node calls a finalizer once.
    let hot = unsafe { Box::from_raw(hot.cast::<Hot>()) };
    hot.frame.release(env);
}

unsafe extern "C" fn decide(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value {
    let mut arguments = [ptr::null_mut(); 2];
    let mut count = arguments.len();
    let mut data = ptr::null_mut();
    // SAFETY: Node passes a live environment and call; it fills both arguments, with undefined if need be.
    let known = unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            &raw mut count,
            arguments.as_mut_ptr(),
            ptr::null_mut(),
            &raw mut data,
        )
    };
    if known == sys::Status::napi_ok {
        // SAFETY: `data` is the `Hot` given in `decider`, which lives as long as the function that is being called.
        let hot = unsafe { &*data.cast::<Hot>() };
        let [key, count] = arguments;
        hot.frame.contain(|| hot.call(env, key, count));
    }
    // Null is undefined; where nothing was decided, what JavaScript had written before the call stands in the frame.
    ptr::null_mut()
}

impl Hot {
    fn call(&self, env: sys::napi_env, key: sys::napi_value, count: sys::napi_value) {
        if self.operation == Operation::ConsumeMany {
            return self.call_many(env, key, count);
        }
        // One unit more than the longest key, to tell a longer one, and one for the terminating zero.
        let mut units = [const { MaybeUninit::<u16>::uninit() }; MAX_KEY + 2];
        let mut length = 0;
        // SAFETY: the buffer is as long as is said; a value that is no string is refused with a status.
        let read = unsafe {
            sys::napi_get_value_string_utf16(env, key, units.as_mut_ptr().cast(), units.len(), &raw mut length)
        };
        if read != sys::Status::napi_ok {
            length = 0;
        }
        // SAFETY: Node has written `length` units, and they are within the buffer.
        let key = unsafe { std::slice::from_raw_parts(units.as_ptr().cast::<u16>(), length) };
        let row = self.frame.row(0);
        match &*self.limiter.borrow() {
            Some(limiter) => self.decide(limiter, row, hash(limiter, key), given(row[at::NOW])),
            None => row[at::CODE] = outcome::CLOSED,
        }
    }

    /// Decides for the keys of the first `count` rows, which come as one string. What can't be told apart stays undecided.
    fn call_many(&self, env: sys::napi_env, keys: sys::napi_value, count: sys::napi_value) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, and is bounded"
        )]
        let count = (number(env, count).unwrap_or(0.0) as usize).min(ROWS);
        let mut units = self.units.borrow_mut();
        units.resize(ROWS * MAX_KEY + 1, 0);
        let mut length = 0;
        // SAFETY: the buffer is as long as is said; a value that is no string is refused with a status.
        let read = unsafe {
            sys::napi_get_value_string_utf16(env, keys, units.as_mut_ptr().cast(), units.len(), &raw mut length)
        };
        let limiter = self.limiter.borrow();
        let Some(limiter) = &*limiter else {
            (0..count).for_each(|row| self.frame.row(row)[at::CODE] = outcome::CLOSED);
            return;
        };
        // One instant for all.
        let now_ms = Some(instant(self.frame.row(0)[at::NOW]));
        let mut rest = units.get(..length).filter(|_| read == sys::Status::napi_ok);
        let mut hashes = [None; ROWS];
        let mut told = 0;
        for hash in &mut hashes[..count] {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates, and is checked"
            )]
            let length = self.frame.row(told)[at::KEY_LENGTH] as usize;
            let Some((key, others)) = rest.and_then(|rest| rest.split_at_checked(length)) else {
                break;
            };
            *hash = self::hash(limiter, key);
            rest = Some(others);
            told += 1;
        }
        let hashes = &hashes[..told];
        // Else each decision would wait for memory by itself, which with many keys takes longer than all the rest.
        limiter.prefetch_addresses(hashes.iter().flatten().copied(), prefetch);
        for (row, hash) in hashes.iter().enumerate() {
            self.decide(limiter, self.frame.row(row), *hash, now_ms);
        }
    }

    /// Makes the decision that a row asks for, at an instant, and writes it there.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "what comes in is checked or saturates, what goes out is below 2^53"
    )]
    #[inline]
    fn decide(&self, limiter: &Limiter, row: &mut Row, key: Option<KeyHash>, now_ms: Option<u64>) {
        let (tier, cost) = (row[at::TIER], row[at::COST]);
        let Some(key) = key else {
            row[at::CODE] = outcome::KEY_INVALID;
            return;
        };
        if cost.is_nan() || cost < 0.0 {
            row[at::CODE] = outcome::COST_INVALID;
        } else if tier.is_nan() || tier < 0.0 {
            row[at::CODE] = outcome::TIER_UNKNOWN;
        } else {
            let (tier, cost) = (tier as TierId, cost as u64);
            let mut decided = Outcome::default();
            let result = if self.operation == Operation::Peek {
                limiter
                    .peek(key, tier, cost, now_ms.unwrap_or_else(system_ms))
                    .map(|peeked| decided = peeked)
            } else {
                // The coarse clock may allow a call of a known key, but only the better one deny it or begin a new one.
                let cheap_ms = now_ms.unwrap_or_else(coarse_ms);
                limiter.consume_by(
                    key,
                    tier,
                    cost,
                    cheap_ms,
                    || now_ms.unwrap_or_else(system_ms),
                    &mut decided,
                )
            };
            match result {
                Ok(()) => {
                    let denied = match decided.verdict {
                        Verdict::Allowed => 0.0,
                        Verdict::Denied { limit } => f64::from(limit) + 1.0,
                    };
                    row[at::CODE] = denied + if decided.overflow { outcome::OVERFLOW } else { 0.0 };
                    if decided.behind_ms > 0 {
                        row[at::CODE] += outcome::BEHIND;
                        row[at::BEHIND] = decided.behind_ms as f64;
                    }
                    row[at::VERSION] = decided.version as f64;
                    // Signed, since that takes one instruction where unsigned takes six.
                    row[at::NOW] = decided.now_ms.cast_signed() as f64;
                    for (number, spent) in row[at::SPENT..].iter_mut().zip(decided.spent) {
                        *number = spent.cast_signed() as f64;
                    }
                }
                Err(Error::CostExceedsCapacity { .. }) => row[at::CODE] = outcome::COST_EXCEEDS_CAPACITY,
                Err(_) => row[at::CODE] = outcome::TIER_UNKNOWN,
            }
        }
    }
}

/// What stands for a key; None if it can't be one.
#[inline]
fn hash(limiter: &Limiter, key: &[u16]) -> Option<KeyHash> {
    (1..=MAX_KEY).contains(&key.len()).then(|| limiter.hash_utf16(key))
}

/// A number of JavaScript, or None if it is none.
fn number(env: sys::napi_env, value: sys::napi_value) -> Option<f64> {
    let mut number = 0.0;
    // SAFETY: the value is of the running call; one that is no number is refused with a status.
    let read = unsafe { sys::napi_get_value_double(env, value, &raw mut number) };
    (read == sys::Status::napi_ok).then_some(number)
}
