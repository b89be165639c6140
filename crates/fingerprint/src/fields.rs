//! Reading JSON by field, with errors that say which, what it was and what it may be: for the signals, and for the
//! bodies around them.

use serde_json::{Map, Value};

use crate::error::{Error, ErrorCode, invalid, shown};

/// What a value is, for a message: its kind, and its text where that is short.
pub(crate) fn described(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => shown(text),
        Value::Array(_) => "an array".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// The fields of an object whose only fields are `allowed`.
pub(crate) fn object<'a>(value: &'a Value, allowed: &[&str]) -> Result<&'a Map<String, Value>, Error> {
    let Value::Object(fields) = value else {
        return Err(invalid(format!(
            "is {}; it may be an object with {}",
            described(value),
            allowed.join(", ")
        )));
    };
    match fields.keys().find(|key| !allowed.contains(&key.as_str())) {
        None => Ok(fields),
        Some(key) => Err(invalid(format!(
            "has the field {}; it may have {}",
            shown(key),
            allowed.join(", ")
        ))),
    }
}

/// Reads the field `name`, if it is there and not null, through `read`.
pub(crate) fn field<'a, T>(
    fields: &'a Map<String, Value>,
    name: &str,
    read: impl FnOnce(&'a Value) -> Result<T, Error>,
) -> Result<Option<T>, Error> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => read(value).map(Some).map_err(|error| error.under(name)),
    }
}

pub(crate) fn string(value: &Value) -> Result<&str, Error> {
    value
        .as_str()
        .ok_or_else(|| invalid(format!("is {}; it may be a string", described(value))))
}

/// The items of an array of at most `limit`.
pub(crate) fn array(value: &Value, limit: usize) -> Result<&[Value], Error> {
    match value {
        Value::Array(items) if items.len() <= limit => Ok(items),
        Value::Array(items) => Err(Error::new(
            ErrorCode::InputTooLarge,
            format!("has {} items; it may have {limit}", items.len()),
        )),
        _ => Err(invalid(format!("is {}; it may be an array", described(value)))),
    }
}

/// An array of at most `limit` items, each read through `read`.
pub(crate) fn list<T>(value: &Value, limit: usize, read: impl Fn(&Value) -> Result<T, Error>) -> Result<Vec<T>, Error> {
    let items = array(value, limit)?.iter().enumerate();
    items
        .map(|(index, item)| read(item).map_err(|error| error.under(&format!("[{index}]"))))
        .collect()
}

/// A whole number that fits `T`; `771.0` is one, as some programs write it.
pub(crate) fn integer<T: TryFrom<u64>>(value: &Value) -> Result<T, Error> {
    value
        .as_u64()
        .or_else(|| whole(value.as_f64()?))
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| {
            let bits = 8 * size_of::<T>();
            invalid(format!(
                "is {}; it may be a whole number of {bits} bits",
                described(value)
            ))
        })
}

/// The number as an integer if it is whole and of up to 32 bits.
fn whole(number: f64) -> Option<u64> {
    let is_whole = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is whole and in range"
    )]
    is_whole.then_some(number as u64)
}
