//! Request headers: which names a client sends, in which order. Read of each signal that has them.

use crate::digest::sha256_hex;
use crate::error::{Error, invalid, shown};

/// Most headers accepted.
pub const MAX_HEADERS: usize = 128;
/// Longest name accepted, in bytes.
pub const MAX_NAME: usize = 256;
/// Longest value accepted, in bytes.
pub const MAX_VALUE: usize = 8 * 1024;

/// Names that follow from the request or the way it came, not from the client.
const OF_THE_REQUEST: [&str; 19] = [
    "authorization",
    "cdn-loop",
    "content-length",
    "content-type",
    "cookie",
    "forwarded",
    "host",
    "if-modified-since",
    "if-none-match",
    "origin",
    "range",
    "referer",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "true-client-ip",
    "via",
    "x-api-key",
    "x-real-ip",
];
const OF_THE_WAY: [&str; 3] = ["cf-", "x-amzn-", "x-forwarded-"];

/// Headers in the order sent.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Headers {
    /// Names in lower case, each with its value.
    pairs: Vec<(String, String)>,
}

impl Headers {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Headers from pairs of name and value, in order. Names are compared without case, since
    /// HTTP/2 has none. Pseudo-headers (`:method`) are refused: their order is the HTTP/2 signal's.
    ///
    /// # Errors
    /// `ERR_SIGNAL_INVALID` at the index of the pair that is too long or whose name is no token
    /// (RFC 9110, 5.6.2), or when there are more than [`MAX_HEADERS`].
    pub fn new(pairs: Vec<(String, String)>) -> Result<Self, Error> {
        if pairs.len() > MAX_HEADERS {
            return Err(invalid(format!(
                "holds {} headers; it may hold {MAX_HEADERS}",
                pairs.len()
            )));
        }
        let pairs = pairs
            .into_iter()
            .enumerate()
            .map(|(index, pair)| checked(pair).map_err(|error| error.under(&format!("[{index}]"))))
            .collect::<Result<_, Error>>()?;
        Ok(Self { pairs })
    }

    /// The value of the first header of this lower-case name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.pairs.iter().find(|(other, _)| other == name)?;
        Some(value)
    }

    /// The names that tell of the client, in order and lower case. Those that follow from the
    /// request (`cookie`, `referer`, `content-type`, …) or the proxies on its way are left out.
    #[must_use]
    pub fn client_names(&self) -> Vec<&str> {
        self.pairs
            .iter()
            .map(|(name, _)| name.as_str())
            .filter(|name| !OF_THE_REQUEST.contains(name) && !OF_THE_WAY.iter().any(|prefix| name.starts_with(prefix)))
            .collect()
    }
}

/// This project's hash of a header order: `hh1_` and twelve hexadecimal digits of the SHA-256 of
/// the names, joined by commas. A change of the method changes the number.
///
/// ```
/// let hash = tollkeeper_fingerprint::header_order_hash(&["user-agent", "accept"]);
/// assert_eq!(hash, "hh1_5594a17e7e7e");
/// ```
#[must_use]
pub fn header_order_hash(names: &[&str]) -> String {
    format!("hh1_{}", sha256_hex(&names.join(","), 12))
}

fn checked((name, value): (String, String)) -> Result<(String, String), Error> {
    if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_token) {
        return Err(invalid(format!(
            "has the name {}; a name is 1 to {MAX_NAME} letters, digits or !#$%&'*+-.^_`|~",
            shown(&name)
        )));
    }
    if value.len() > MAX_VALUE {
        return Err(invalid(format!(
            "has a value of {} bytes; it may have {MAX_VALUE}",
            value.len()
        )));
    }
    Ok((name.to_ascii_lowercase(), value))
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(names: &[&str]) -> Result<Headers, Error> {
        Headers::new(names.iter().map(|name| ((*name).to_owned(), "v".to_owned())).collect())
    }

    #[test]
    fn names_of_the_client_in_order() {
        let headers = headers(&["Host", "User-Agent", "Cookie", "X-Forwarded-For", "CF-Ray", "Accept"]).unwrap();
        assert_eq!(headers.client_names(), ["user-agent", "accept"]);
        assert_eq!(headers.get("host"), Some("v"));
        assert_eq!(headers.get("te"), None);
    }

    #[test]
    fn order_counts() {
        assert_ne!(
            header_order_hash(&["accept", "user-agent"]),
            header_order_hash(&["user-agent", "accept"])
        );
    }

    #[test]
    fn refused_headers_say_where() {
        for (names, path, part) in [
            (vec!["accept", ":method"], "[1]", ":method"),
            (vec![""], "[0]", "\"\""),
            (vec!["a b"], "[0]", "a b"),
            (vec!["a"; MAX_HEADERS + 1], "", "may hold 128"),
        ] {
            let error = headers(&names).unwrap_err();
            assert_eq!(error.path(), path);
            assert!(error.message().contains(part), "{error}");
        }
        let long = ("a".to_owned(), "v".repeat(MAX_VALUE + 1));
        assert!(
            Headers::new(vec![long])
                .unwrap_err()
                .message()
                .contains("may have 8192")
        );
    }
}
