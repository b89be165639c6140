//! The text of an account: kept with its cells, and part of the keys of the file.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;

/// Bytes that need no memory of their own.
const SHORT: usize = 30;

/// The longest account, in UTF-16 units.
pub const MAX_ACCOUNT: usize = 512;

/// Whose usage it is: up to [`MAX_ACCOUNT`] UTF-16 units, each by itself in UTF-8's manner, so that bytes have the order of
/// units, and halves of a surrogate pair stay what they are. (Method: "UTR #26: CESU-8", for any units.)
#[derive(Clone)]
pub struct Account(Bytes);

#[derive(Clone)]
enum Bytes {
    Short(u8, [u8; SHORT]),
    Long(Box<[u8]>),
}

impl Account {
    /// The account of what found no room, which is no caller's.
    pub const OVERFLOW: Self = Self(Bytes::Short(0, [0; SHORT]));

    /// An account of its UTF-16 units.
    #[must_use]
    pub fn new(units: &[u16]) -> Self {
        let mut bytes = Vec::with_capacity(units.len());
        for &unit in units {
            match unit {
                0..0x80 => bytes.push(low_bits(unit)),
                0x80..0x800 => bytes.extend([0xC0 | low_bits(unit >> 6), continued(unit)]),
                0x800.. => bytes.extend([0xE0 | low_bits(unit >> 12), continued(unit >> 6), continued(unit)]),
            }
        }
        Self::of(&bytes)
    }

    /// An account of the bytes of one, or of what never was one, which is told by [`units`](Self::units).
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        match u8::try_from(bytes.len()) {
            Ok(length) if bytes.len() <= SHORT => {
                let mut short = [0; SHORT];
                short[..bytes.len()].copy_from_slice(bytes);
                Self(Bytes::Short(length, short))
            }
            _ => Self(Bytes::Long(bytes.into())),
        }
    }

    /// As bytes, which are ordered as accounts are.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Bytes::Short(length, bytes) => &bytes[..usize::from(*length)],
            Bytes::Long(bytes) => bytes,
        }
    }

    /// Its UTF-16 units; None of bytes that were no account's.
    #[must_use]
    pub fn units(&self) -> Option<Vec<u16>> {
        let mut units = Vec::with_capacity(self.as_bytes().len());
        let mut bytes = self.as_bytes().iter();
        let mut next = || bytes.next().copied();
        while let Some(first) = next() {
            let mut continuation = || {
                next()
                    .filter(|byte| byte & 0xC0 == 0x80)
                    .map(|byte| u16::from(byte & 0x3F))
            };
            units.push(match first {
                0..0x80 => u16::from(first),
                0xC0..0xE0 => u16::from(first & 0x1F) << 6 | continuation()?,
                0xE0..0xF0 => u16::from(first & 0x0F) << 12 | continuation()? << 6 | continuation()?,
                _ => return None,
            });
        }
        Some(units)
    }

    /// Whether it is that of what found no room.
    #[must_use]
    pub fn is_overflow(&self) -> bool {
        self.as_bytes().is_empty()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "only these are wanted")]
fn low_bits(unit: u16) -> u8 {
    unit as u8
}

fn continued(unit: u16) -> u8 {
    0x80 | low_bits(unit) & 0x3F
}

impl PartialEq for Account {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Account {}

impl PartialOrd for Account {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Account {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Borrow<[u8]> for Account {
    fn borrow(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl From<&str> for Account {
    fn from(text: &str) -> Self {
        Self::new(&text.encode_utf16().collect::<Vec<_>>())
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn texts() -> impl Strategy<Value = Vec<u16>> {
        let unit = prop_oneof![
            0..3_u16,
            0x7E..0x82_u16,
            0x7FE..0x802_u16,
            0xD7FE..0xE002_u16,
            any::<u16>()
        ];
        vec(unit, 0..30)
    }

    proptest! {
        #[test]
        fn it_is_the_units_that_it_was_made_of_and_has_their_order(one in texts(), other in texts()) {
            let [first, second] = [&one, &other].map(|units| Account::new(units));
            prop_assert_eq!(first.units(), Some(one.clone()));
            prop_assert_eq!(first.cmp(&second), one.cmp(&other));
            prop_assert_eq!(&Account::of(first.as_bytes()), &first);
        }

        #[test]
        fn bytes_that_were_no_accounts_are_told_or_are_units(bytes in vec(any::<u8>(), 0..9)) {
            let _ = Account::of(&bytes).units();
        }
    }

    #[test]
    fn it_takes_32_bytes() {
        assert_eq!(size_of::<Account>(), 32);
        assert!(matches!(Account::new(&[b'a'.into(); SHORT]).0, Bytes::Short(..)));
        assert!(matches!(Account::new(&[b'a'.into(); SHORT + 1]).0, Bytes::Long(_)));
    }
}
