//! The JSON surface: text in, text out, as the HTTP API has it without `request_id` and `cost`. The crossing calls it.

use serde::Serialize;
use serde_json::Value;

use crate::error::{Error, ErrorCode, invalid};
use crate::fields::{described, field, object, string};
use crate::identify::{Identification, identify};
use crate::signals::Signals;
use crate::similarity::compare;

/// Longest text accepted, in bytes.
pub const MAX_INPUT: usize = 512 * 1024;
/// Most arrays and objects within each other; the parser's own bound.
pub const MAX_DEPTH: usize = 127;
/// Most items in a batch.
pub const MAX_ITEMS: usize = 100;
/// Longest `id` of a batch's item, in bytes.
pub const MAX_ID: usize = 256;

/// Identifies a client from the text of a fingerprint object ([`Signals::from_value`]); answers
/// with the text of an [`Identification`].
///
/// # Errors
/// `ERR_INPUT_TOO_LARGE`, `ERR_INPUT_NOT_JSON`, or those of [`Signals::from_value`].
pub fn identify_json(input: &str) -> Result<String, Error> {
    let signals = Signals::from_value(&parse(input)?)?;
    Ok(text(&identify(&signals)))
}

/// Compares two clients from the text of `{ "a": …, "b": … }`, each a fingerprint object; answers
/// with the text of a [`crate::Comparison`].
///
/// # Errors
/// As [`identify_json`], the path starting with `a` or `b`; and `ERR_NOT_COMPARABLE`.
pub fn compare_json(input: &str) -> Result<String, Error> {
    let value = parse(input)?;
    let fields = object(&value, &["a", "b"])?;
    let side = |name: &str| {
        field(fields, name, Signals::from_value)?
            .ok_or_else(|| invalid("is missing; it takes a fingerprint").under(name))
    };
    Ok(text(&compare(&side("a")?, &side("b")?)?))
}

/// One answer of a batch: the item's `id`, and its result or its problem.
#[derive(Serialize)]
struct Answer {
    id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<Identification<'static>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

#[derive(Serialize)]
struct Problem {
    code: &'static str,
    path: String,
    detail: String,
}

/// Identifies each of at most [`MAX_ITEMS`] items, each the text of `{ "id": …, "fingerprint": … }`; `id` is a string and
/// may be left out. An item that can't be read fails alone, and its `id` is then null. Answers with the text of an array
/// in the same order, of `{ "id", "result" }` or, for an item that is refused, `{ "id", "problem": { "code", "path",
/// "detail" } }`. The path starts with `items[n]`, where `n` counts from `first`: a long batch may come in parts.
///
/// # Errors
/// `ERR_INPUT_TOO_LARGE` if there are more.
pub fn batch_json<T: AsRef<str>>(items: &[T], first: usize) -> Result<String, Error> {
    if items.len() > MAX_ITEMS {
        let message = format!("has {} items; it may have {MAX_ITEMS}", items.len());
        return Err(Error::new(ErrorCode::InputTooLarge, message).under("items"));
    }
    let numbered = items.iter().zip(first..);
    let answers: Vec<Answer> = numbered.map(|(item, index)| answer(index, item.as_ref())).collect();
    Ok(text(&answers))
}

fn answer(index: usize, item: &str) -> Answer {
    let item = parse(item);
    let id = item.as_ref().ok().and_then(|item| item.get("id")?.as_str());
    let id = id.filter(|id| id.len() <= MAX_ID).map(str::to_owned);
    let (result, problem) = match item.and_then(|item| one(&item)) {
        Ok(result) => (Some(result), None),
        Err(error) => {
            let error = error.under(&format!("items[{index}]"));
            let problem = Problem {
                code: error.code(),
                path: error.path().to_owned(),
                detail: error.message().to_owned(),
            };
            (None, Some(problem))
        }
    };
    Answer { id, result, problem }
}

fn one(item: &Value) -> Result<Identification<'static>, Error> {
    let fields = object(item, &["id", "fingerprint"])?;
    field(fields, "id", |value| {
        if string(value)?.len() > MAX_ID {
            return Err(invalid(format!("is {}; it may have {MAX_ID} bytes", described(value))));
        }
        Ok(())
    })?;
    let signals = field(fields, "fingerprint", Signals::from_value)?;
    let missing = || invalid("is missing; it takes a fingerprint").under("fingerprint");
    Ok(identify(&signals.ok_or_else(missing)?))
}

fn parse(input: &str) -> Result<Value, Error> {
    if input.len() > MAX_INPUT {
        return Err(Error::new(
            ErrorCode::InputTooLarge,
            format!("has {} bytes; it may have {MAX_INPUT}", input.len()),
        ));
    }
    serde_json::from_str(input).map_err(|error| Error::new(ErrorCode::InputNotJson, unreadable(&error.to_string())))
}

/// What the parser found, in words for who sent it. It tells its reasons only by their text, which a test holds.
fn unreadable(reason: &str) -> String {
    if reason.starts_with("recursion limit exceeded") {
        return format!("is nested too deep; it may be nested {MAX_DEPTH} deep");
    }
    if reason.starts_with("lone leading surrogate") || reason.starts_with("unexpected end of hex escape") {
        return "holds a string that is not valid Unicode: half of a surrogate pair without the other".to_owned();
    }
    format!("is not JSON: {reason}")
}

fn text(answer: &impl Serialize) -> String {
    serde_json::to_string(answer).expect("answers hold only strings, numbers and lists of them")
}
