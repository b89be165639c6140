//! GREASE: values that say nothing about a client but that it sends them. Every fingerprint leaves them out.

/// Whether `value` is one of the sixteen values reserved by RFC 8701, `0x0a0a` to `0xfafa`.
///
/// ```
/// assert!(tollkeeper_fingerprint::is_grease(0x3a3a));
/// assert!(!tollkeeper_fingerprint::is_grease(0x3a4a));
/// ```
#[must_use]
pub const fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// `values` in their order, without GREASE.
pub(crate) fn without_grease(values: &[u16]) -> Vec<u16> {
    values.iter().copied().filter(|value| !is_grease(*value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_the_sixteen_reserved_values() {
        let reserved: Vec<u16> = (0..=u16::MAX).filter(|value| is_grease(*value)).collect();
        let expected: Vec<u16> = (0..16).map(|nibble| 0x0a0a + 0x1010 * nibble).collect();
        assert_eq!(reserved, expected);
    }

    #[test]
    fn order_is_kept() {
        assert_eq!(without_grease(&[3, 0x0a0a, 1, 0xfafa, 2]), [3, 1, 2]);
    }
}
