//! `JA4_a`, the section that a JA4 and a `JA4_r` start with, `t13d1516h2`: transport, version, whether the server was
//! named, the counts of ciphers and of extensions, and the first ALPN name. Its source is that of [`crate::ja4`].

use crate::alpn::ProtocolNames;
use crate::client_hello::{ClientHello, Transport};
use crate::digest::hex_digit;
use crate::grease::{is_grease, without_grease};

/// The length of the section, in bytes and in characters.
pub(crate) const JA4_A: usize = 10;
const VERSIONS: [&str; 10] = ["13", "12", "11", "10", "s3", "s2", "d1", "d2", "d3", "00"];

/// The `JA4_a` of a hello.
pub(crate) fn ja4_a(hello: &ClientHello) -> String {
    let count = |values: &[u16]| values.iter().filter(|value| !is_grease(**value)).count().min(99);
    format!(
        "{}{}{}{:02}{:02}{}",
        match hello.transport {
            Transport::Tcp => 't',
            Transport::Quic => 'q',
        },
        version(hello.legacy_version, &hello.supported_versions),
        if hello.has_sni() { 'd' } else { 'i' },
        count(&hello.ciphers),
        count(&hello.extensions),
        alpn(&hello.alpn),
    )
}

/// Whether `text` is of the form of a `JA4_a`.
pub(crate) fn is_ja4_a(text: &str) -> bool {
    text.len() == JA4_A
        && text.is_ascii()
        && matches!(text.as_bytes()[0], b't' | b'q' | b'd')
        && VERSIONS.contains(&&text[1..3])
        && matches!(text.as_bytes()[3], b'd' | b'i')
        && text[4..8].bytes().all(|byte| byte.is_ascii_digit())
        && text[8..].bytes().all(|byte| byte.is_ascii_alphanumeric())
}

fn version(legacy: u16, supported: &[u16]) -> &'static str {
    match without_grease(supported).into_iter().max().unwrap_or(legacy) {
        0x0304 => "13",
        0x0303 => "12",
        0x0302 => "11",
        0x0301 => "10",
        0x0300 => "s3",
        0x0002 => "s2",
        0xfeff => "d1",
        0xfefd => "d2",
        0xfefc => "d3",
        _ => "00",
    }
}

fn alpn(names: &ProtocolNames) -> String {
    let first = names.iter().find(|name| !is_grease_name(name));
    let (Some(head), Some(tail)) = (first.and_then(<[u8]>::first), first.and_then(<[u8]>::last)) else {
        return "00".to_owned();
    };
    if head.is_ascii_alphanumeric() && tail.is_ascii_alphanumeric() {
        [char::from(*head), char::from(*tail)].iter().collect()
    } else {
        [hex_digit(head >> 4), hex_digit(*tail)].iter().collect()
    }
}

/// RFC 8701 reserves sixteen protocol names of two equal bytes too.
fn is_grease_name(name: &[u8]) -> bool {
    matches!(*name, [high, low] if is_grease(u16::from_be_bytes([high, low])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpn_by_the_published_examples() {
        let first_of = |names: &[&[u8]]| alpn(&names.iter().collect());
        for (name, expected) in [
            (&b"h2"[..], "h2"),
            (b"http/1.1", "h1"),
            (b"x", "xx"),
            (b"", "00"),
            (&[0xab], "ab"),
            (&[0xab, 0xcd], "ad"),
            (&[0x30, 0xab], "3b"),
            (&[0x30, 0x31, 0xab, 0xcd], "3d"),
            (&[0x30, 0xab, 0xcd, 0x31], "01"),
        ] {
            assert_eq!(first_of(&[name]), expected, "{name:?}");
        }
        assert_eq!(first_of(&[]), "00");
        assert_eq!(first_of(&[&[0x0a, 0x0a], b"h2"]), "h2");
        assert_eq!(first_of(&[&[0x0a, 0x0a]]), "00");
        assert_eq!(first_of(&[b"", b"h2"]), "00");
    }

    #[test]
    fn versions_by_the_published_table() {
        for (legacy, expected) in [
            (0x0304, "13"),
            (0x0303, "12"),
            (0x0302, "11"),
            (0x0301, "10"),
            (0x0300, "s3"),
            (0x0002, "s2"),
            (0xfeff, "d1"),
            (0xfefd, "d2"),
            (0xfefc, "d3"),
            (0x0305, "00"),
        ] {
            assert_eq!(version(legacy, &[]), expected);
        }
        assert_eq!(version(0x0301, &[0x0302, 0xfafa, 0x0303]), "12");
    }
}
