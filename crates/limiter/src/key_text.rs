//! The text of a key, as a lease keeps it: the store has to be told.

use crate::key::KeyHash;

/// Units that need no memory of their own.
const SHORT: usize = 22;

/// So much of the second half of a key's hash as there is room for.
type Check = [u8; 6];

/// UTF-16 units, in one byte each where they are Latin-1, as keys nearly always are.
///
/// A longer text lies elsewhere in memory, where a decision does not look: the key is told by bits of its hash that the
/// index has not. With those of the index and of the shard's number they are more than a hundred.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyText {
    Short(u8, [u8; SHORT]),
    Latin1(Check, Box<[u8]>),
    Units(Check, Box<[u16]>),
}

impl KeyText {
    pub(crate) const EMPTY: Self = Self::Short(0, [0; SHORT]);

    pub(crate) fn new(units: &[u16], hash: KeyHash) -> Self {
        let Ok(bytes) = units
            .iter()
            .map(|&unit| u8::try_from(unit))
            .collect::<Result<Vec<_>, _>>()
        else {
            return Self::Units(check(hash), units.into());
        };
        match u8::try_from(bytes.len()) {
            Ok(length) if bytes.len() <= SHORT => {
                let mut short = [0; SHORT];
                short[..bytes.len()].copy_from_slice(&bytes);
                Self::Short(length, short)
            }
            _ => Self::Latin1(check(hash), bytes.into()),
        }
    }

    /// Whether it is that of a key, of which the index has told the hash.
    #[inline]
    pub(crate) fn is(&self, units: &[u16], hash: KeyHash) -> bool {
        match self {
            Self::Short(length, bytes) => is_latin1(bytes.get(..usize::from(*length)).unwrap_or_default(), units),
            Self::Latin1(own, bytes) => bytes.len() == units.len() && *own == check(hash),
            Self::Units(own, text) => text.len() == units.len() && *own == check(hash),
        }
    }

    pub(crate) fn units(&self) -> Box<[u16]> {
        match self {
            Self::Short(length, bytes) => bytes
                .iter()
                .take(usize::from(*length))
                .map(|&byte| byte.into())
                .collect(),
            Self::Latin1(_, bytes) => bytes.iter().map(|&byte| byte.into()).collect(),
            Self::Units(_, units) => units.clone(),
        }
    }
}

/// The upper bits: a shard's number is of the lower ones.
#[inline]
fn check(KeyHash([_, second]): KeyHash) -> Check {
    let [_, _, upper @ ..] = second.to_le_bytes();
    upper
}

/// Without a branch a unit, since as a rule they are equal to the end.
#[inline]
fn is_latin1(bytes: &[u8], units: &[u16]) -> bool {
    let differences = |all, (&byte, &unit): (&u8, &u16)| all | (u16::from(byte) ^ unit);
    bytes.len() == units.len() && bytes.iter().zip(units).fold(0, differences) == 0
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::key::KeyHasher;

    fn texts() -> impl Strategy<Value = Vec<u16>> {
        prop_oneof![vec(0..4_u16, 0..40), vec(254..258_u16, 0..40), vec(any::<u16>(), 0..40)]
    }

    fn hash(units: &[u16]) -> KeyHash {
        KeyHasher::new(&[7; 16]).hash(units)
    }

    proptest! {
        #[test]
        fn it_is_the_units_that_it_was_made_of_and_no_others(one in texts(), other in texts()) {
            let text = KeyText::new(&one, hash(&one));
            prop_assert_eq!(&*text.units(), &one[..]);
            prop_assert!(text.is(&one, hash(&one)));
            prop_assert_eq!(text.is(&other, hash(&other)), one == other);
            let mut low_bytes = one.clone();
            for unit in &mut low_bytes {
                *unit ^= 0x100;
            }
            prop_assert_eq!(text.is(&low_bytes, hash(&low_bytes)), one.is_empty());
        }
    }

    #[test]
    fn a_short_one_is_told_by_its_text_and_a_long_one_by_every_bit_of_the_hash_that_it_keeps() {
        let [short, long] = [[0x61; 4].as_slice(), &[0x61; 40]];
        let KeyHash([first, second]) = hash(long);
        for bit in 0..64 {
            let other = KeyHash([first, second ^ (1 << bit)]);
            assert!(KeyText::new(short, hash(short)).is(short, other));
            assert_eq!(KeyText::new(long, hash(long)).is(long, other), bit < 16, "bit {bit}");
        }
    }

    #[test]
    fn it_takes_24_bytes() {
        let of = |units: &[u16]| KeyText::new(units, hash(units));
        assert_eq!(size_of::<KeyText>(), 24);
        assert!(matches!(of(&[0xFF; SHORT]), KeyText::Short(..)));
        assert!(matches!(of(&[0xFF; SHORT + 1]), KeyText::Latin1(..)));
        assert!(matches!(of(&[0x100]), KeyText::Units(..)));
    }
}
