//! JA3 and JA3N, by Salesforce's published method (BSD-3-Clause).
//!
//! Source: <https://github.com/salesforce/ja3>, "How it works". JA3N is JA3 with its extensions
//! sorted, so that clients that shuffle them keep one value.

use std::fmt::{self, Write};
use std::str::FromStr;

use crate::client_hello::{ClientHello, MAX_CIPHERS, MAX_EXTENSIONS};
use crate::decimal::decimal;
use crate::digest::md5_hex;
use crate::error::{Error, invalid, shown};
use crate::grease::without_grease;

/// Longest JA3 string accepted, in bytes.
pub const MAX_JA3: usize = 4 * 1024;

/// The five lists of a JA3 string, without GREASE.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Ja3 {
    /// `legacy_version` of the hello.
    pub version: u16,
    /// Cipher suites in their order.
    pub ciphers: Vec<u16>,
    /// Extension types in their order; sorted in JA3N.
    pub extensions: Vec<u16>,
    /// Supported groups in their order.
    pub groups: Vec<u16>,
    /// EC point formats in their order.
    pub point_formats: Vec<u8>,
}

impl Ja3 {
    /// The JA3 of a hello.
    #[must_use]
    pub fn of(hello: &ClientHello) -> Self {
        Self {
            version: hello.legacy_version,
            ciphers: without_grease(&hello.ciphers),
            extensions: without_grease(&hello.extensions),
            groups: without_grease(&hello.groups),
            point_formats: hello.point_formats.clone(),
        }
    }

    /// Reads a full JA3 string, `771,4865-4866,0-10-11,29-23,0`; at most [`MAX_JA3`] bytes.
    ///
    /// # Errors
    /// `ERR_SIGNAL_INVALID` if it is not five comma-separated lists of decimal numbers in range.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_JA3 {
            return Err(invalid(format!(
                "has {} bytes; a JA3 string may have {MAX_JA3}",
                text.len()
            )));
        }
        let fields: Vec<&str> = text.split(',').collect();
        let &[version, ciphers, extensions, groups, point_formats] = fields.as_slice() else {
            return Err(invalid(format!(
                "is {}; it may be 32 hexadecimal digits or version,ciphers,extensions,groups,point_formats",
                shown(text)
            )));
        };
        Ok(Self {
            version: decimal(version, "version")?,
            ciphers: without_grease(&numbers(ciphers, MAX_CIPHERS, "ciphers")?),
            extensions: without_grease(&numbers(extensions, MAX_EXTENSIONS, "extensions")?),
            groups: without_grease(&numbers(groups, MAX_EXTENSIONS, "groups")?),
            point_formats: numbers(point_formats, u8::MAX.into(), "point_formats")?,
        })
    }

    /// The MD5 of the string, 32 hexadecimal digits.
    #[must_use]
    pub fn md5(&self) -> String {
        md5_hex(&self.to_string())
    }

    /// JA3N: the same with the extensions in ascending order.
    #[must_use]
    pub fn normalised(&self) -> Self {
        let mut ja3n = self.clone();
        ja3n.extensions.sort_unstable();
        ja3n
    }
}

impl fmt::Display for Ja3 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},", self.version)?;
        list(f, &self.ciphers)?;
        f.write_char(',')?;
        list(f, &self.extensions)?;
        f.write_char(',')?;
        list(f, &self.groups)?;
        f.write_char(',')?;
        list(f, &self.point_formats)
    }
}

fn list(f: &mut fmt::Formatter<'_>, values: &[impl fmt::Display]) -> fmt::Result {
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            f.write_char('-')?;
        }
        value.fmt(f)?;
    }
    Ok(())
}

fn numbers<T: FromStr>(text: &str, limit: usize, field: &str) -> Result<Vec<T>, Error> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let values = text
        .split('-')
        .map(|value| decimal(value, field))
        .collect::<Result<Vec<T>, Error>>()?;
    if values.len() > limit {
        return Err(invalid(format!(
            "{field} holds {} values; it may hold {limit}",
            values.len()
        )));
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_published_readme() {
        for (text, md5) in [
            (
                "769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0",
                "ada70206e40642a3e4461f35503241d5",
            ),
            (
                "769,4-5-10-9-100-98-3-6-19-18-99,,,",
                "de350869b8c85de67a350c8d186f11e6",
            ),
        ] {
            let ja3 = Ja3::parse(text).unwrap();
            assert_eq!(ja3.to_string(), text);
            assert_eq!(ja3.md5(), md5);
        }
    }

    /// From a browser's report stored at <https://github.com/service0427/v2_cp_app>, `tls.md`.
    #[test]
    fn published_chrome_143() {
        let ja3 = Ja3::parse(
            "771,4865-4866-4867-49195-49199-49196-49200-52393-52392-49171-49172-156-157-47-53,\
             45-51-16-65037-23-17613-0-11-10-43-65281-35-18-5-13-27,4588-29-23-24,0",
        )
        .unwrap();
        assert_eq!(ja3.md5(), "98487aa16281980e7d1120d399efb6a4");
        assert_eq!(ja3.normalised().md5(), "8e19337e7524d2573be54efb2b0784c9");
    }

    #[test]
    fn grease_is_dropped() {
        let ja3 = Ja3::parse("771,2570-4865,6682-0,10794-29,0").unwrap();
        assert_eq!(ja3.to_string(), "771,4865,0,29,0");
    }

    #[test]
    fn refused_strings_say_which_list() {
        for (text, part) in [
            ("771,1,2,3", "32 hexadecimal digits"),
            ("771,1,2,3,4,5", "32 hexadecimal digits"),
            ("x,1,2,3,4", "version holds \"x\""),
            ("+771,1,,,", "version holds \"+771\""),
            ("771,1--2,,,", "ciphers holds \"\""),
            ("771,,65536,,", "extensions holds \"65536\""),
            ("771,,,-1,", "groups holds \"\""),
            ("771,,,,256", "point_formats holds \"256\""),
        ] {
            let error = Ja3::parse(text).unwrap_err();
            assert_eq!(error.code(), "ERR_SIGNAL_INVALID");
            assert!(error.message().contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn long_strings_are_refused() {
        let many = format!("771,,{},,", vec!["1"; MAX_EXTENSIONS + 1].join("-"));
        assert!(Ja3::parse(&many).unwrap_err().message().contains("may hold 128"));
        let long = "1".repeat(MAX_JA3 + 1);
        assert!(Ja3::parse(&long).unwrap_err().message().contains("may have 4096"));
    }
}
