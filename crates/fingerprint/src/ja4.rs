//! JA4, the TLS client part only, by `FoxIO`'s published description (BSD-3-Clause).
//!
//! Source: <https://github.com/FoxIO-LLC/ja4/blob/main/technical_details/JA4.md>. GREASE is
//! ignored everywhere, signature algorithms included.

use std::fmt;
use std::ops::Range;

use crate::client_hello::ClientHello;
use crate::digest::{is_hex, sha256_hex};
use crate::error::{Error, invalid, shown};
use crate::ja4_a::{JA4_A, is_ja4_a};
use crate::ja4_raw::Ja4Raw;

/// A JA4: `t13d1516h2_8daaf6152771_e5627efa2ab1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ja4 {
    text: String,
}

/// A hash where its list is empty.
const EMPTY: &str = "000000000000";
/// The places of the two hashes.
const B: Range<usize> = 11..23;
const C: Range<usize> = 24..36;

impl Ja4 {
    /// The JA4 of a hello.
    #[must_use]
    pub fn of(hello: &ClientHello) -> Self {
        Self::of_raw(&Ja4Raw::of(hello))
    }

    /// The JA4 of the lists that a `JA4_r` shows.
    #[must_use]
    pub fn of_raw(raw: &Ja4Raw) -> Self {
        let hash = |list: &[u16], text: &str| {
            if list.is_empty() {
                EMPTY.to_owned()
            } else {
                sha256_hex(text, EMPTY.len())
            }
        };
        let b = hash(&raw.ciphers, &raw.ciphers_text());
        let c = hash(&raw.extensions, &raw.extensions_text());
        Self {
            text: format!("{}_{b}_{c}", raw.a()),
        }
    }

    /// Reads a JA4; its shape is checked, its hashes can't be.
    ///
    /// # Errors
    /// `ERR_SIGNAL_INVALID` if it is not of the form above.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let parts: Vec<&str> = text.split('_').collect();
        match parts.as_slice() {
            [a, b, c] if is_ja4_a(a) && is_hex(b, 12) && is_hex(c, 12) => Ok(Self { text: text.to_owned() }),
            _ => Err(invalid(format!(
                "is {}; a JA4 looks like t13d1516h2_8daaf6152771_e5627efa2ab1",
                shown(text)
            ))),
        }
    }

    /// The readable section, ten characters.
    #[must_use]
    pub fn a(&self) -> &str {
        &self.text[..JA4_A]
    }

    /// Hash of the sorted ciphers, twelve hexadecimal digits.
    #[must_use]
    pub fn b(&self) -> &str {
        &self.text[B]
    }

    /// Hash of the sorted extensions and the signature algorithms, twelve hexadecimal digits.
    #[must_use]
    pub fn c(&self) -> &str {
        &self.text[C]
    }

    /// Transport and version, `t13`.
    pub(crate) fn protocol(&self) -> &str {
        &self.text[..3]
    }

    /// First and last character of the first ALPN name, `h2`.
    pub(crate) fn alpn_ends(&self) -> &str {
        &self.text[8..JA4_A]
    }

    /// Whether nothing differs but what follows from the request: the named server, and what it adds to a count.
    pub(crate) fn is_of_same_client(&self, other: &Self) -> bool {
        [self.protocol(), self.alpn_ends(), self.b(), self.c()]
            == [other.protocol(), other.alpn_ends(), other.b(), other.c()]
    }

    /// The whole, 36 characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for Ja4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_ja4() {
        for text in [
            "",
            "t13d1516h2_8daaf6152771",
            "x13d1516h2_8daaf6152771_e5627efa2ab1",
            "t14d1516h2_8daaf6152771_e5627efa2ab1",
            "t13x1516h2_8daaf6152771_e5627efa2ab1",
            "t13d15x6h2_8daaf6152771_e5627efa2ab1",
            "t13d1516h-_8daaf6152771_e5627efa2ab1",
            "t13d1516é_8daaf6152771_e5627efa2ab1",
            "t13d1516h2_8DAAF6152771_e5627efa2ab1",
            "t13d1516h2_8daaf6152771_e5627efa2ab1_",
        ] {
            assert_eq!(Ja4::parse(text).unwrap_err().code(), "ERR_SIGNAL_INVALID", "{text}");
        }
    }
}
