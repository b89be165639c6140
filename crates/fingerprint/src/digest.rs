//! Lower-case hexadecimal digests, of which the fingerprints are made.

use md5::Md5;
use sha2::{Digest, Sha256};

/// MD5 of `text`, 32 characters. JA3 is defined over it; nothing here relies on its strength.
pub(crate) fn md5_hex(text: &str) -> String {
    hex(&Md5::digest(text.as_bytes()))
}

/// The first `length` characters of the SHA-256 of `text`.
pub(crate) fn sha256_hex(text: &str, length: usize) -> String {
    let mut hex = hex(&Sha256::digest(text.as_bytes()));
    hex.truncate(length);
    hex
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.extend([byte >> 4, *byte].map(hex_digit));
    }
    text
}

/// The digit of a value below 16; of the low four bits otherwise.
pub(crate) fn hex_digit(nibble: u8) -> char {
    char::from(b"0123456789abcdef"[usize::from(nibble & 0xf)])
}

/// Whether `text` is `length` digits of lower-case hexadecimal.
pub(crate) fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_of_nothing() {
        assert_eq!(md5_hex(""), "d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(sha256_hex("", 12), "e3b0c44298fc");
    }

    #[test]
    fn hexadecimal_is_lower_case_and_whole() {
        assert!(is_hex("00ff", 4));
        assert!(!is_hex("00FF", 4));
        assert!(!is_hex("00f", 4));
    }
}
