//! `JA4_r`, the raw fingerprint: a JA4 with its lists in place of their hashes. Its source is that of [`crate::ja4`].

use std::fmt;

use crate::client_hello::{ALPN, ClientHello, MAX_CIPHERS, MAX_EXTENSIONS, SERVER_NAME};
use crate::digest::{hex_digit, is_hex};
use crate::error::{Error, invalid, shown};
use crate::grease::without_grease;
use crate::ja4_a::{is_ja4_a, ja4_a};

/// Longest `ja4_r` accepted, in bytes: full lists of four digits and a comma each.
pub const MAX_JA4_R: usize = 4 * 1024;

/// `JA4_r`: the lists a JA4 is the hash of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ja4Raw {
    a: String,
    /// Cipher suites, ascending.
    pub ciphers: Vec<u16>,
    /// Extension types, ascending, without `server_name` and ALPN.
    pub extensions: Vec<u16>,
    /// Signature algorithms in the client's order.
    pub signature_algorithms: Vec<u16>,
}

impl Ja4Raw {
    /// The `JA4_r` of a hello.
    #[must_use]
    pub fn of(hello: &ClientHello) -> Self {
        let mut ciphers = without_grease(&hello.ciphers);
        let mut extensions = without_grease(&hello.extensions);
        ciphers.sort_unstable();
        extensions.retain(|kind| ![SERVER_NAME, ALPN].contains(kind));
        extensions.sort_unstable();
        Self {
            a: ja4_a(hello),
            ciphers,
            extensions,
            signature_algorithms: without_grease(&hello.signature_algorithms),
        }
    }

    /// Reads a `JA4_r`, `t13d0203h2_1301,1302_000a,000d_0403,0804`; at most [`MAX_JA4_R`] bytes.
    ///
    /// # Errors
    /// `ERR_SIGNAL_INVALID` if it is not of that form, not sorted, or its counts are not those of
    /// its lists.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_JA4_R {
            return Err(invalid(format!(
                "has {} bytes; a JA4_r may have {MAX_JA4_R}",
                text.len()
            )));
        }
        let parts: Vec<&str> = text.split('_').collect();
        let (a, ciphers, extensions, algorithms) = match *parts.as_slice() {
            [a, ciphers, extensions] if is_ja4_a(a) => (a, ciphers, extensions, ""),
            [a, ciphers, extensions, algorithms] if is_ja4_a(a) && !algorithms.is_empty() => {
                (a, ciphers, extensions, algorithms)
            }
            _ => {
                return Err(invalid(format!(
                    "is {}; a JA4_r looks like t13d0203h2_1301,1302_000a,000d_0403,0804",
                    shown(text)
                )));
            }
        };
        let raw = Self {
            a: a.to_owned(),
            ciphers: hex_list(ciphers, MAX_CIPHERS, "ciphers")?,
            extensions: hex_list(extensions, MAX_EXTENSIONS, "extensions")?,
            signature_algorithms: hex_list(algorithms, MAX_EXTENSIONS, "signature algorithms")?,
        };
        if !raw.ciphers.is_sorted() || !raw.extensions.is_sorted() {
            return Err(invalid("is not sorted; JA4_ro, in the original order, is not accepted"));
        }
        if format!("{:02}", raw.ciphers.len().min(99)) != a[4..6] {
            return Err(invalid(format!(
                "counts {} ciphers but lists {}",
                &a[4..6],
                raw.ciphers.len()
            )));
        }
        // The count of extensions includes server_name and ALPN, however often they were sent; the list leaves them out.
        let least = raw.extensions.len().min(99);
        if *format!("{least:02}") > a[6..8] {
            return Err(invalid(format!("counts {} extensions but lists {least}", &a[6..8])));
        }
        Ok(raw)
    }

    /// The readable section, which a JA4 shares.
    pub(crate) fn a(&self) -> &str {
        &self.a
    }

    /// The two characters of the version, `13`.
    pub(crate) fn version(&self) -> &str {
        &self.a[1..3]
    }

    /// What a JA4 hashes of the ciphers; empty if there are none.
    pub(crate) fn ciphers_text(&self) -> String {
        joined(&self.ciphers)
    }

    /// What a JA4 hashes of the extensions and the signature algorithms.
    pub(crate) fn extensions_text(&self) -> String {
        let mut text = joined(&self.extensions);
        if !self.signature_algorithms.is_empty() {
            text.push('_');
            text.push_str(&joined(&self.signature_algorithms));
        }
        text
    }
}

impl fmt::Display for Ja4Raw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}_{}", self.a, self.ciphers_text(), self.extensions_text())
    }
}

fn joined(values: &[u16]) -> String {
    let mut text = String::with_capacity(values.len() * 5);
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        let [high, low] = value.to_be_bytes();
        text.extend([high >> 4, high, low >> 4, low].map(hex_digit));
    }
    text
}

fn hex_list(text: &str, limit: usize, what: &str) -> Result<Vec<u16>, Error> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let values = text
        .split(',')
        .map(|value| match u16::from_str_radix(value, 16) {
            Ok(number) if is_hex(value, 4) => Ok(number),
            _ => Err(invalid(format!(
                "{what} hold {}, which is not four hexadecimal digits",
                shown(value)
            ))),
        })
        .collect::<Result<Vec<u16>, Error>>()?;
    if values.len() > limit {
        return Err(invalid(format!(
            "{what} hold {} values; {limit} are allowed",
            values.len()
        )));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_hello::Transport;
    use crate::ja4::Ja4;

    /// Chrome's hello in the published description, with GREASE where Chrome puts it.
    fn chrome() -> ClientHello {
        ClientHello {
            transport: Transport::Tcp,
            legacy_version: 0x0303,
            ciphers: vec![
                0x1a1a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c,
                0x009d, 0x002f, 0x0035,
            ],
            extensions: vec![
                0x2a2a, 0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b,
                0xff01, 0x000b, 0x000a, 0x3a3a, 0x0015,
            ],
            groups: vec![0x4a4a, 29, 23, 24],
            point_formats: vec![0],
            signature_algorithms: vec![0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601],
            alpn: [&b"h2"[..], b"http/1.1"].into_iter().collect(),
            supported_versions: vec![0x5a5a, 0x0304, 0x0303],
        }
    }

    const CHROME_R: &str = "t13d1516h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9\
        _0005,000a,000b,000d,0012,0015,0017,001b,0023,002b,002d,0033,4469,ff01\
        _0403,0804,0401,0503,0805,0501,0806,0601";

    #[test]
    fn example_of_the_published_description() {
        let raw = Ja4Raw::of(&chrome());
        assert_eq!(raw.to_string(), CHROME_R);
        assert_eq!(Ja4::of_raw(&raw).as_str(), "t13d1516h2_8daaf6152771_e5627efa2ab1");
        assert_eq!(Ja4Raw::parse(CHROME_R).unwrap(), raw);
    }

    #[test]
    fn published_hash_without_signature_algorithms() {
        let mut hello = chrome();
        hello.signature_algorithms.clear();
        assert_eq!(Ja4::of(&hello).c(), "6d807ffa2a79");
        let raw = Ja4Raw::of(&hello).to_string();
        assert!(raw.ends_with("4469,ff01"));
        assert_eq!(Ja4::of_raw(&Ja4Raw::parse(&raw).unwrap()), Ja4::of(&hello));
    }

    /// FoxIO/ja4, `python/test/testdata/sigalg-grease.pcapng.json`: Chromium 152, GREASE among its
    /// signature algorithms.
    #[test]
    fn published_chromium_152() {
        let raw = Ja4Raw::parse(
            "t13d1517h2_002f,0035,009c,009d,1301,1302,1303,c013,c014,c02b,c02c,c02f,c030,cca8,cca9\
             _0005,000a,000b,000d,0012,0017,001b,0023,002b,002d,0033,44cd,ca34,fe0d,ff01\
             _0904,0905,0906,0403,0804,0401,0503,0805,0501,0806,0601",
        )
        .unwrap();
        assert_eq!(Ja4::of_raw(&raw).as_str(), "t13d1517h2_8daaf6152771_cb7bf5808d99");
    }

    #[test]
    fn grease_among_signature_algorithms_is_ignored() {
        let mut hello = chrome();
        hello.signature_algorithms.insert(0, 0xbaba);
        assert_eq!(Ja4::of(&hello), Ja4::of(&chrome()));
    }

    #[test]
    fn nothing_is_twelve_zeros_and_counts_stop_at_99() {
        let mut hello = chrome();
        hello.ciphers = (1..=200).collect();
        hello.extensions = (1000..1120).collect();
        hello.transport = Transport::Quic;
        let ja4 = Ja4::of(&hello);
        assert_eq!(ja4.a(), "q13i9999h2");
        let raw = Ja4Raw::of(&hello);
        assert_eq!(Ja4Raw::parse(&raw.to_string()).unwrap(), raw);
        hello.ciphers = vec![0x0a0a];
        hello.extensions = vec![SERVER_NAME, ALPN];
        let ja4 = Ja4::of(&hello);
        assert_eq!(ja4.as_str(), "q13d0002h2_000000000000_000000000000");
        assert_eq!(Ja4::parse(ja4.as_str()).unwrap(), ja4);
    }

    #[test]
    fn refused_ja4_r() {
        let many = format!("t13d99{}", "9".repeat(MAX_JA4_R));
        let ciphers = format!("t13d9900h2_{}_", vec!["1301"; MAX_CIPHERS + 1].join(","));
        for (text, part) in [
            ("t13d0202h2_1301,1302", "looks like"),
            ("t13d0201h2_1301,1302_000a_", "looks like"),
            ("t13d0201h2_1302,1301_000a", "not sorted"),
            ("t13d0301h2_1301,1302_000a", "counts 03 ciphers but lists 2"),
            ("t13d0200h2_1301,1302_000a", "counts 00 extensions but lists 1"),
            ("t13d0201h2_1301,+302_000a", "\"+302\""),
            ("t13d0201h2_1301,13022_000a", "\"13022\""),
            (many.as_str(), "may have 4096"),
            (ciphers.as_str(), "256 are allowed"),
        ] {
            let error = Ja4Raw::parse(text).unwrap_err();
            assert!(error.message().contains(part), "{text}: {error}");
        }
    }
}
