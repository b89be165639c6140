//! Functions that are called for every decision, and with its parts the only `unsafe` code.
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

use std::cell::{RefCell, RefMut};
use std::ffi::c_void;
use std::mem::MaybeUninit;
use std::ptr;
use std::rc::Rc;

use napi::{Env, Result, sys};

pub(crate) use self::frame::{Frame, ROWS, at, outcome, write_spent};
pub(crate) use self::prefetch::prefetch;
pub use self::raw_value::RawValue;
use crate::error::coded;

/// The longest key of any table, in UTF-16 units.
const MAX_UNITS: usize = 1_057;

/// What a hot function works with.
struct Hot<const ROW: usize, F> {
    frame: Rc<Frame<ROW>>,
    call: F,
}

/// Makes a function `(key) => void` of what is done with the first row and the key, which may be none: it is cut after a
/// unit more than any has, and empty if it is no string.
pub(crate) fn of_key<const ROW: usize>(
    env: Env,
    frame: &Rc<Frame<ROW>>,
    call: impl Fn(&mut [f64; ROW], &[u16]) + 'static,
) -> Result<RawValue> {
    function(env, frame, move |env, frame: &Frame<ROW>, [key, _]| {
        // One unit more than the longest key, to tell a longer one, and one for the terminating zero.
        let mut units = [const { MaybeUninit::<u16>::uninit() }; MAX_UNITS + 2];
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
        call(frame.row(0), key);
    })
}

/// Makes a function `(keys, count) => void` of what is done with so many rows and the keys, joined; without any if they are
/// no string.
pub(crate) fn of_keys<const ROW: usize>(
    env: Env,
    frame: &Rc<Frame<ROW>>,
    call: impl Fn(&Frame<ROW>, usize, &[u16]) + 'static,
) -> Result<RawValue> {
    let room = RefCell::new(Vec::new());
    function(env, frame, move |env, frame: &Frame<ROW>, [keys, count]| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates, and is bounded"
        )]
        let count = (number(env, count).unwrap_or(0.0) as usize).min(ROWS);
        let told = (0..count).fold(0, |told: usize, row| told.saturating_add(length_in(frame, row)));
        let mut units: RefMut<'_, Vec<u16>> = room.borrow_mut();
        // One unit more, for the terminating zero.
        let wanted = told.min(ROWS * MAX_UNITS) + 1;
        if wanted > units.len() {
            units.resize(wanted, 0);
        }
        let mut length = 0;
        // SAFETY: the buffer is as long as is said; a value that is no string is refused with a status.
        let read = unsafe {
            sys::napi_get_value_string_utf16(env, keys, units.as_mut_ptr().cast(), units.len(), &raw mut length)
        };
        let units = units.get(..length).filter(|_| read == sys::Status::napi_ok);
        call(frame, count, units.unwrap_or_default());
    })
}

/// The key of each of the first `count` rows, out of all of them joined; None from the first on that is not there.
pub(crate) fn keys_of<'a, const ROW: usize>(
    frame: &Frame<ROW>,
    count: usize,
    mut rest: &'a [u16],
) -> impl Iterator<Item = &'a [u16]> {
    (0..count).map_while(move |row| {
        let (key, others) = rest.split_at_checked(length_in(frame, row))?;
        rest = others;
        Some(key)
    })
}

/// The length of a row's key, as it was told.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and is checked"
)]
fn length_in<const ROW: usize>(frame: &Frame<ROW>, row: usize) -> usize {
    frame.row(row)[at::KEY_LENGTH] as usize
}

fn function<const ROW: usize, F>(env: Env, frame: &Rc<Frame<ROW>>, call: F) -> Result<RawValue>
where
    F: Fn(sys::napi_env, &Frame<ROW>, [sys::napi_value; 2]) + 'static,
{
    let env = env.raw();
    let hot = Box::into_raw(Box::new(Hot {
        frame: Rc::clone(frame),
        call,
    }));
    let mut function = ptr::null_mut();
    // SAFETY: the environment is that of the running call; `hot` is a live allocation of the type that both callbacks are
    // made for, and only `release` frees it, when the function is collected.
    let made = unsafe {
        sys::napi_create_function(
            env,
            c"decide".as_ptr(),
            -1,
            Some(decide::<ROW, F>),
            hot.cast(),
            &raw mut function,
        ) == sys::Status::napi_ok
            && sys::napi_add_finalizer(
                env,
                function,
                hot.cast(),
                Some(release::<ROW, F>),
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
unsafe extern "C" fn release<const ROW: usize, F>(_: sys::napi_env, hot: *mut c_void, _: *mut c_void) {
    // SAFETY: `hot` came from `Box::into_raw` in `function`, and Node calls a finalizer once.
    drop(unsafe { Box::from_raw(hot.cast::<Hot<ROW, F>>()) });
}

unsafe extern "C" fn decide<const ROW: usize, F>(env: sys::napi_env, info: sys::napi_callback_info) -> sys::napi_value
where
    F: Fn(sys::napi_env, &Frame<ROW>, [sys::napi_value; 2]),
{
    let mut arguments = [ptr::null_mut(); 2];
    let mut count = arguments.len();
    let mut data = ptr::null_mut();
    // SAFETY: Node passes a live environment and call; it fills both arguments, with undefined if need be.
    let told = unsafe {
        sys::napi_get_cb_info(
            env,
            info,
            &raw mut count,
            arguments.as_mut_ptr(),
            ptr::null_mut(),
            &raw mut data,
        )
    };
    if told == sys::Status::napi_ok {
        // SAFETY: `data` is the `Hot` given in `function`, which lives as long as the function that is being called.
        let hot = unsafe { &*data.cast::<Hot<ROW, F>>() };
        hot.frame.contain(|| (hot.call)(env, &hot.frame, arguments));
    }
    // Null is undefined; where nothing was decided, what JavaScript had written before the call stands in the frame.
    ptr::null_mut()
}

/// A number of JavaScript, or None if it is none.
fn number(env: sys::napi_env, value: sys::napi_value) -> Option<f64> {
    let mut number = 0.0;
    // SAFETY: the value is of the running call; one that is no number is refused with a status.
    let read = unsafe { sys::napi_get_value_double(env, value, &raw mut number) };
    (read == sys::Status::napi_ok).then_some(number)
}
