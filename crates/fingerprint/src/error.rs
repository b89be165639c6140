//! The one error type: a stable code, the field it concerns, and a sentence. Every parser returns it.

use std::fmt;

/// Why an input was refused. The text form ([`ErrorCode::as_str`]) is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    /// The bytes end before the `ClientHello` does.
    ClientHelloTruncated,
    /// The bytes are neither a TLS handshake record nor a bare `ClientHello`.
    ClientHelloNotTls,
    /// The message is longer than [`crate::MAX_CLIENT_HELLO`].
    ClientHelloTooLarge,
    /// More than [`crate::MAX_CIPHERS`] ciphers, or [`crate::MAX_EXTENSIONS`] extensions or values of one of them.
    ClientHelloTooMany,
    /// A length inside the message contradicts another, or RFC 8446 forbids what it says.
    ClientHelloMalformed,
    /// A signal is not of the form its field takes.
    SignalInvalid,
    /// Neither TLS, HTTP/2 nor HTTP signals were given.
    NoSignal,
    /// Two fingerprints have no kind of signal in common.
    NotComparable,
    /// The text is not JSON.
    InputNotJson,
    /// The text, or a list in it, is longer than allowed.
    InputTooLarge,
}

impl ErrorCode {
    /// Every code, for documentation and the test that holds the two together.
    pub const ALL: [Self; 10] = [
        Self::ClientHelloTruncated,
        Self::ClientHelloNotTls,
        Self::ClientHelloTooLarge,
        Self::ClientHelloTooMany,
        Self::ClientHelloMalformed,
        Self::SignalInvalid,
        Self::NoSignal,
        Self::NotComparable,
        Self::InputNotJson,
        Self::InputTooLarge,
    ];

    /// The stable text of the code, `ERR_…`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClientHelloTruncated => "ERR_CLIENT_HELLO_TRUNCATED",
            Self::ClientHelloNotTls => "ERR_CLIENT_HELLO_NOT_TLS",
            Self::ClientHelloTooLarge => "ERR_CLIENT_HELLO_TOO_LARGE",
            Self::ClientHelloTooMany => "ERR_CLIENT_HELLO_TOO_MANY",
            Self::ClientHelloMalformed => "ERR_CLIENT_HELLO_MALFORMED",
            Self::SignalInvalid => "ERR_SIGNAL_INVALID",
            Self::NoSignal => "ERR_NO_SIGNAL",
            Self::NotComparable => "ERR_NOT_COMPARABLE",
            Self::InputNotJson => "ERR_INPUT_NOT_JSON",
            Self::InputTooLarge => "ERR_INPUT_TOO_LARGE",
        }
    }
}

/// A refused input: its [`ErrorCode`], the JSON path of the field, and what was wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    code: ErrorCode,
    path: String,
    message: String,
}

impl Error {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            path: String::new(),
            message: message.into(),
        }
    }

    /// The same error, its path read from `parent`: `ja4` under `tls` is `tls.ja4`.
    #[must_use]
    pub(crate) fn under(mut self, parent: &str) -> Self {
        self.path = match (parent, self.path.as_str()) {
            (parent, "") => parent.to_owned(),
            (parent, path) if path.starts_with('[') => format!("{parent}{path}"),
            (parent, path) => format!("{parent}.{path}"),
        };
        self
    }

    /// The stable code, `ERR_…`.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.code.as_str()
    }

    /// The code as a value to match on.
    #[must_use]
    pub const fn kind(&self) -> ErrorCode {
        self.code
    }

    /// JSON path of the refused field, such as `tls.client_hello`; empty for the whole input.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What was wrong, without the path.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

impl std::error::Error for Error {}

/// A signal that is not of the form its field takes.
pub(crate) fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::SignalInvalid, message)
}

/// At most this much of a refused value is shown in a message.
const SHOWN: usize = 48;

/// A refused value, short and free of control characters, for a message.
pub(crate) fn shown(value: &str) -> String {
    let mut text: String = value.chars().take(SHOWN).flat_map(char::escape_debug).collect();
    if value.chars().nth(SHOWN).is_some() {
        text.push('…');
    }
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_grow_from_the_inside() {
        let error = Error::new(ErrorCode::SignalInvalid, "is 7")
            .under("[3]")
            .under("ciphers")
            .under("tls");
        assert_eq!(error.path(), "tls.ciphers[3]");
        assert_eq!(error.to_string(), "tls.ciphers[3]: is 7");
        assert_eq!(error.code(), "ERR_SIGNAL_INVALID");
        assert_eq!(Error::new(ErrorCode::NoSignal, "none").to_string(), "none");
    }

    #[test]
    fn codes_are_distinct_and_prefixed() {
        let mut codes: Vec<_> = ErrorCode::ALL.iter().map(|code| code.as_str()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ErrorCode::ALL.len());
        assert!(codes.iter().all(|code| code.starts_with("ERR_")));
    }

    #[test]
    fn refused_values_are_shown_short_and_clean() {
        assert_eq!(shown("a\nb"), "\"a\\nb\"");
        assert_eq!(shown(&"é".repeat(60)), format!("\"{}…\"", "é".repeat(48)));
    }
}
