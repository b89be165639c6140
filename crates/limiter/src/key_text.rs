//! The text of a key, as a lease keeps it: the store has to be told.

/// Units that need no memory of their own.
const SHORT: usize = 30;

/// UTF-16 units, in one byte each where they are Latin-1, as keys nearly always are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeyText {
    Short(u8, [u8; SHORT]),
    Latin1(Box<[u8]>),
    Units(Box<[u16]>),
}

impl KeyText {
    pub(crate) const EMPTY: Self = Self::Short(0, [0; SHORT]);

    pub(crate) fn new(units: &[u16]) -> Self {
        let Ok(bytes) = units
            .iter()
            .map(|&unit| u8::try_from(unit))
            .collect::<Result<Vec<_>, _>>()
        else {
            return Self::Units(units.into());
        };
        match u8::try_from(bytes.len()) {
            Ok(length) if bytes.len() <= SHORT => {
                let mut short = [0; SHORT];
                short[..bytes.len()].copy_from_slice(&bytes);
                Self::Short(length, short)
            }
            _ => Self::Latin1(bytes.into()),
        }
    }

    pub(crate) fn units(&self) -> Box<[u16]> {
        match self {
            Self::Short(length, bytes) => bytes
                .iter()
                .take(usize::from(*length))
                .map(|&byte| byte.into())
                .collect(),
            Self::Latin1(bytes) => bytes.iter().map(|&byte| byte.into()).collect(),
            Self::Units(units) => units.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn texts() -> impl Strategy<Value = Vec<u16>> {
        prop_oneof![vec(0..4_u16, 0..40), vec(254..258_u16, 0..40), vec(any::<u16>(), 0..40)]
    }

    proptest! {
        #[test]
        fn it_is_the_units_that_it_was_made_of(units in texts()) {
            prop_assert_eq!(&*KeyText::new(&units).units(), &units[..]);
        }
    }

    #[test]
    fn it_takes_32_bytes() {
        assert_eq!(size_of::<KeyText>(), 32);
        assert!(matches!(KeyText::new(&[0xFF; SHORT]), KeyText::Short(..)));
        assert!(matches!(KeyText::new(&[0xFF; SHORT + 1]), KeyText::Latin1(_)));
        assert!(matches!(KeyText::new(&[0x100]), KeyText::Units(_)));
    }
}
