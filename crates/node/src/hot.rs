//! What is called for every decision, and the only `unsafe` code.
//!
//! A decision crosses into Rust as one call of a plain function, made with a pointer to its [`Hot`] data: looking up a
//! method of a class costs twice as much as the decision. The key is read once, as UTF-16 into the stack: as Latin-1
//! two keys could become one, and as UTF-8 or a `String` it would cost more. It is the only argument, and nothing is
//! returned: every number that Node-API reads or makes costs as much as the arithmetic of a decision. They stand in the
//! *frame* instead, a `Float64Array` that JavaScript allocated and that stays alive as long as the function; over a
//! `SharedArrayBuffer`, since any other can be taken away by transferring it.

#![allow(unsafe_code)]

use std::cell::RefCell;
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use napi::bindgen_prelude::{FromNapiValue, ToNapiValue, TypeName, ValidateNapiValue};
use napi::{Env, Result, ValueType, sys};
use tollkeeper_limiter::{Error, KeyHash, Limiter, Outcome, TierId, Verdict};

use crate::clock::{coarse_ms, given, instant, system_ms};
use crate::error::coded;

/// `OUTCOME` of `src/engine/types.ts`.
mod outcome {
    pub(super) const OVERFLOW: f64 = 8.0;
    pub(super) const KEY_INVALID: f64 = -1.0;
    pub(super) const TIER_UNKNOWN: f64 = -2.0;
    pub(super) const COST_INVALID: f64 = -3.0;
    pub(super) const COST_EXCEEDS_CAPACITY: f64 = -4.0;
    pub(super) const FAILED: f64 = -5.0;
    pub(super) const CLOSED: f64 = -6.0;
}

/// `FRAME` of `src/engine/types.ts`: what a row holds where. A batch has a row for each key.
mod frame {
    pub(super) const TIER: usize = 0;
    pub(super) const COST: usize = 1;
    /// The length of the key, in UTF-16 units; read for batches only.
    pub(super) const KEY_LENGTH: usize = 2;
    /// When the decision is to be made, and then when it was.
    pub(super) const NOW: usize = 3;
    pub(super) const CODE: usize = 4;
    pub(super) const VERSION: usize = 5;
    pub(super) const SPENT: usize = 6;
    pub(super) const ROW: usize = SPENT + tollkeeper_limiter::MAX_LIMITS;
}

/// Rows of the frame.
const ROWS: usize = 64;
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
    /// A clone of this environment's own.
    limiter: Limiter,
    closed: Arc<AtomicBool>,
    operation: Operation,
    frame: *mut [f64; frame::ROW],
    /// Keeps the array behind `frame` alive.
    keep: sys::napi_ref,
    /// Room for the keys of a batch.
    units: RefCell<Vec<u16>>,
}

/// A value of JavaScript that is passed on as it is.
#[derive(Clone, Copy)]
pub struct RawValue(sys::napi_value);

impl FromNapiValue for RawValue {
    unsafe fn from_napi_value(_: sys::napi_env, value: sys::napi_value) -> Result<Self> {
        Ok(Self(value))
    }
}

impl ToNapiValue for RawValue {
    unsafe fn to_napi_value(_: sys::napi_env, value: Self) -> Result<sys::napi_value> {
        Ok(value.0)
    }
}

impl TypeName for RawValue {
    fn type_name() -> &'static str {
        "unknown"
    }

    fn value_type() -> ValueType {
        ValueType::Unknown
    }
}

impl ValidateNapiValue for RawValue {
    unsafe fn validate(_: sys::napi_env, _: sys::napi_value) -> Result<sys::napi_value> {
        Ok(ptr::null_mut())
    }
}

/// Makes the functions `(key) => void` that peek and consume, and `(keys, count) => void` that consumes many keys, joined.
pub(crate) fn deciders(
    env: Env,
    limiter: &Limiter,
    closed: &Arc<AtomicBool>,
    frame: RawValue,
) -> Result<Vec<RawValue>> {
    [Operation::Peek, Operation::Consume, Operation::ConsumeMany]
        .map(|operation| decider(env, limiter.clone(), Arc::clone(closed), operation, frame))
        .into_iter()
        .collect()
}

fn decider(
    env: Env,
    limiter: Limiter,
    closed: Arc<AtomicBool>,
    operation: Operation,
    frame: RawValue,
) -> Result<RawValue> {
    let env = env.raw();
    let (mut kind, mut length, mut data, mut buffer) = (0, 0, ptr::null_mut(), ptr::null_mut());
    let (mut detachable, mut keep) = (true, ptr::null_mut());
    // SAFETY: the environment and the value are those of the running call, and every out-parameter is valid or null,
    // which means unwanted.
    let usable = unsafe {
        sys::napi_get_typedarray_info(
            env,
            frame.0,
            &raw mut kind,
            &raw mut length,
            &raw mut data,
            &raw mut buffer,
            ptr::null_mut(),
        ) == sys::Status::napi_ok
            && sys::napi_is_arraybuffer(env, buffer, &raw mut detachable) == sys::Status::napi_ok
            && kind == sys::TypedarrayType::float64_array
            && length >= ROWS * frame::ROW
            && !detachable
            && sys::napi_create_reference(env, frame.0, 1, &raw mut keep) == sys::Status::napi_ok
    };
    if !usable {
        return Err(coded(
            "ERR_ENGINE_FAILED",
            "the frame is not a Float64Array of the right length over a SharedArrayBuffer",
        ));
    }
    let hot = Box::into_raw(Box::new(Hot {
        limiter,
        closed,
        operation,
        frame: data.cast(),
        keep,
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
    // SAFETY: the reference was made in this environment and is deleted once. It may fail as the environment ends,
    // which then frees the reference itself.
    unsafe { sys::napi_delete_reference(env, hot.keep) };
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
        if catch_unwind(AssertUnwindSafe(|| hot.call(env, key, count))).is_err() {
            (0..ROWS).for_each(|row| hot.row(row)[frame::CODE] = outcome::FAILED);
        }
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
        let row = self.row(0);
        self.decide(row, self.hash(key), given(row[frame::NOW]));
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
        // One instant for all.
        let now_ms = Some(instant(self.row(0)[frame::NOW]));
        let mut rest = units.get(..length).filter(|_| read == sys::Status::napi_ok);
        let mut hashes = [None; ROWS];
        let mut told = 0;
        for hash in &mut hashes[..count] {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "saturates, and is checked"
            )]
            let length = self.row(told)[frame::KEY_LENGTH] as usize;
            let Some((key, others)) = rest.and_then(|rest| rest.split_at_checked(length)) else {
                break;
            };
            *hash = self.hash(key);
            rest = Some(others);
            told += 1;
        }
        let hashes = &hashes[..told];
        // Else each decision would wait for memory by itself, which with many keys takes longer than all the rest.
        self.limiter.places(hashes.iter().flatten().copied(), prefetch);
        for (row, hash) in hashes.iter().enumerate() {
            self.decide(self.row(row), *hash, now_ms);
        }
    }

    /// What stands for a key; None if it can't be one.
    fn hash(&self, key: &[u16]) -> Option<KeyHash> {
        (1..=MAX_KEY).contains(&key.len()).then(|| self.limiter.hash_utf16(key))
    }

    /// A row of the frame.
    #[expect(
        clippy::mut_from_ref,
        reason = "the frame is JavaScript's, and each row is held alone"
    )]
    fn row(&self, row: usize) -> &mut [f64; frame::ROW] {
        assert!(row < ROWS);
        // SAFETY: the array has so many rows, as `decider` has checked, and is kept alive by `keep`; a SharedArrayBuffer
        // can't be detached or shrunk, and JavaScript does not run meanwhile. No caller holds the same row twice.
        unsafe { &mut *self.frame.add(row) }
    }

    /// Makes the decision that a row asks for, at an instant, and writes it there.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "what comes in is checked or saturates, what goes out is below 2^53"
    )]
    #[inline]
    fn decide(&self, row: &mut [f64; frame::ROW], key: Option<KeyHash>, now_ms: Option<u64>) {
        let (tier, cost) = (row[frame::TIER], row[frame::COST]);
        let Some(key) = key.filter(|_| !self.closed.load(Ordering::Relaxed)) else {
            let closed = self.closed.load(Ordering::Relaxed);
            row[frame::CODE] = if closed { outcome::CLOSED } else { outcome::KEY_INVALID };
            return;
        };
        if cost.is_nan() || cost < 0.0 {
            row[frame::CODE] = outcome::COST_INVALID;
        } else if !(0.0..65_536.0).contains(&tier) {
            row[frame::CODE] = outcome::TIER_UNKNOWN;
        } else {
            let (limiter, tier, cost) = (&self.limiter, tier as TierId, cost as u64);
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
                    row[frame::CODE] = denied + if decided.overflow { outcome::OVERFLOW } else { 0.0 };
                    row[frame::VERSION] = decided.version as f64;
                    // Signed, since that takes one instruction where unsigned takes six.
                    row[frame::NOW] = decided.now_ms.cast_signed() as f64;
                    for (place, spent) in row[frame::SPENT..].iter_mut().zip(decided.spent) {
                        *place = spent.cast_signed() as f64;
                    }
                }
                Err(Error::CostExceedsCapacity { .. }) => row[frame::CODE] = outcome::COST_EXCEEDS_CAPACITY,
                Err(_) => row[frame::CODE] = outcome::TIER_UNKNOWN,
            }
        }
    }
}

/// Has the processor fetch what stands at an address, and the line after it, into which an entry may reach.
fn prefetch(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch of an address that is not there does nothing.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(at.cast());
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(64).cast());
        }
    }
    // Elsewhere the compiler offers none, and the lookups wait one after the other.
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// A number of JavaScript, or None if it is none.
fn number(env: sys::napi_env, value: sys::napi_value) -> Option<f64> {
    let mut number = 0.0;
    // SAFETY: the value is of the running call; one that is no number is refused with a status.
    let read = unsafe { sys::napi_get_value_double(env, value, &raw mut number) };
    (read == sys::Status::napi_ok).then_some(number)
}
