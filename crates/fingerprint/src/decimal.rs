//! Decimal numbers in the text of a signal, for the parsers of JA3 and of Akamai's.

use std::str::FromStr;

use crate::error::{Error, invalid, shown};

/// Reads digits alone as a number that fits `T`; `what` holds it.
pub(crate) fn decimal<T: FromStr>(text: &str, what: &str) -> Result<T, Error> {
    // `parse` would take a sign too.
    match text.parse() {
        Ok(number) if text.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
        _ => Err(invalid(format!(
            "{what} holds {}, which is not a number in range",
            shown(text)
        ))),
    }
}
