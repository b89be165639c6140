//! What is called for every decision, and the only `unsafe` code.
//!
//! A decision crosses into Rust as one call of a plain function, made with a pointer to its [`Hot`] data: looking up a
//! method of a class costs twice as much as the decision. The key is read once, as UTF-16 into the stack: as Latin-1
//! two keys could become one, and as UTF-8 or a `String` it would cost more. What the decision says goes into a
//! `Float64Array` that JavaScript allocated and that stays alive as long as the function; over a `SharedArrayBuffer`, since
//! any other can be taken away by transferring it.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use napi::bindgen_prelude::{FromNapiValue, ToNapiValue, TypeName, ValidateNapiValue};
use napi::{Env, Result, ValueType, sys};
use tollkeeper_limiter::{Error, MAX_LIMITS, Outcome, Verdict};

use crate::error::coded;
use crate::registry::Shared;

/// `OUTCOME` of `src/engine/types.ts`.
mod outcome {
    pub(super) const OVERFLOW: i32 = 8;
    pub(super) const KEY_INVALID: i32 = -1;
    pub(super) const TIER_UNKNOWN: i32 = -2;
    pub(super) const COST_INVALID: i32 = -3;
    pub(super) const COST_EXCEEDS_CAPACITY: i32 = -4;
    pub(super) const FAILED: i32 = -5;
    pub(super) const CLOSED: i32 = -6;
}

/// `RESULT` of `src/engine/types.ts`: version, instant, amounts spent.
const RESULT_LENGTH: usize = 2 + MAX_LIMITS;
/// The longest key, in UTF-16 units.
const MAX_KEY: usize = 512;

/// What the hot function works with.
struct Hot {
    shared: Arc<Shared>,
    closed: Arc<AtomicBool>,
    spends: bool,
    result: *mut f64,
    /// Keeps the array behind `result` alive.
    keep: sys::napi_ref,
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

/// An instant given by JavaScript: the system's clock for anything below 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole milliseconds below 2^43"
)]
pub(crate) fn instant(now_ms: f64) -> u64 {
    if now_ms >= 0.0 {
        return now_ms as u64;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // Half the work of as_millis, which counts in 128 bits.
    since.as_secs() * 1_000 + u64::from(since.subsec_millis())
}

/// Makes the function that decides.
pub(crate) fn decider(
    env: &Env,
    shared: Arc<Shared>,
    closed: Arc<AtomicBool>,
    spends: bool,
    result: RawValue,
) -> Result<RawValue> {
    let env = env.raw();
    let (mut kind, mut length, mut data, mut buffer) = (0, 0, ptr::null_mut(), ptr::null_mut());
    let (mut detachable, mut keep) = (true, ptr::null_mut());
    // SAFETY: the environment and the value are those of the running call, and every out-parameter is valid or null,
    // which means unwanted.
    let usable = unsafe {
        sys::napi_get_typedarray_info(
            env,
            result.0,
            &raw mut kind,
            &raw mut length,
            &raw mut data,
            &raw mut buffer,
            ptr::null_mut(),
        ) == sys::Status::napi_ok
            && sys::napi_is_arraybuffer(env, buffer, &raw mut detachable) == sys::Status::napi_ok
            && kind == sys::TypedarrayType::float64_array
            && length >= RESULT_LENGTH
            && !detachable
            && sys::napi_create_reference(env, result.0, 1, &raw mut keep) == sys::Status::napi_ok
    };
    if !usable {
        return Err(coded(
            "ERR_ENGINE_FAILED",
            "the result is not a Float64Array of the right length over a SharedArrayBuffer",
        ));
    }
    let hot = Box::into_raw(Box::new(Hot {
        shared,
        closed,
        spends,
        result: data.cast(),
        keep,
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
    let mut arguments = [ptr::null_mut(); 4];
    let mut count = arguments.len();
    let mut data = ptr::null_mut();
    // SAFETY: Node passes a live environment and call; it fills all four arguments, with undefined if need be.
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
    if known != sys::Status::napi_ok {
        return ptr::null_mut();
    }
    // SAFETY: `data` is the `Hot` given in `decider`, which lives as long as the function that is being called.
    let hot = unsafe { &*data.cast::<Hot>() };
    let code = catch_unwind(AssertUnwindSafe(|| hot.call(env, arguments))).unwrap_or(outcome::FAILED);
    let mut value = ptr::null_mut();
    // SAFETY: the environment is live; if it fails the result is null, which JavaScript sees as undefined.
    unsafe { sys::napi_create_int32(env, code, &raw mut value) };
    value
}

impl Hot {
    fn call(&self, env: sys::napi_env, [key, tier, cost, now]: [sys::napi_value; 4]) -> i32 {
        if self.closed.load(Ordering::Relaxed) {
            return outcome::CLOSED;
        }
        // One unit more than the longest key, to tell a longer one, and one for the terminating zero.
        let mut units = [const { MaybeUninit::<u16>::uninit() }; MAX_KEY + 2];
        let mut length = 0;
        // SAFETY: the buffer is as long as is said; a value that is no string is refused with a status.
        let read = unsafe {
            sys::napi_get_value_string_utf16(env, key, units.as_mut_ptr().cast(), units.len(), &raw mut length)
        };
        if read != sys::Status::napi_ok || length == 0 || length > MAX_KEY {
            return outcome::KEY_INVALID;
        }
        // SAFETY: Node has written `length` units, and they are within the buffer.
        let key = unsafe { std::slice::from_raw_parts(units.as_ptr().cast::<u16>(), length) };
        let (Some(tier), Some(cost), Some(now)) = (number(env, tier), number(env, cost), number(env, now)) else {
            return outcome::FAILED;
        };
        if cost.is_nan() || cost < 0.0 {
            return outcome::COST_INVALID;
        }
        if !(0.0..65_536.0).contains(&tier) {
            return outcome::TIER_UNKNOWN;
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked, or saturates"
        )]
        let (tier, cost) = (tier as u16, cost as u64);
        let limiter = &self.shared.limiter;
        let key = limiter.hash_utf16(key);
        let decided = if self.spends {
            limiter.consume(key, tier, cost, instant(now))
        } else {
            limiter.peek(key, tier, cost, instant(now))
        };
        match decided {
            Ok(decided) => self.report(decided),
            Err(Error::CostExceedsCapacity { .. }) => outcome::COST_EXCEEDS_CAPACITY,
            Err(_) => outcome::TIER_UNKNOWN,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "instants and amounts are below 2^53")]
    fn report(
        &self,
        Outcome {
            verdict,
            overflow,
            version,
            now_ms,
            spent,
        }: Outcome,
    ) -> i32 {
        let [first, second, third, fourth] = spent.map(|spent| spent as f64);
        let result = [version as f64, now_ms as f64, first, second, third, fourth];
        // SAFETY: the array has at least this many elements, as `decider` has checked, and is kept alive by `keep`; a
        // SharedArrayBuffer can't be detached or shrunk, and JavaScript does not run meanwhile.
        unsafe { ptr::copy_nonoverlapping(result.as_ptr(), self.result, RESULT_LENGTH) };
        let denied = match verdict {
            Verdict::Allowed => 0,
            Verdict::Denied { limit } => i32::from(limit) + 1,
        };
        denied | if overflow { outcome::OVERFLOW } else { 0 }
    }
}

/// A number of JavaScript, or None if it is none.
fn number(env: sys::napi_env, value: sys::napi_value) -> Option<f64> {
    let mut number = 0.0;
    // SAFETY: the value is of the running call; one that is no number is refused with a status.
    let read = unsafe { sys::napi_get_value_double(env, value, &raw mut number) };
    (read == sys::Status::napi_ok).then_some(number)
}
