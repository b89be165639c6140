//! Keys, as keyed hashes. The crossing hashes a key once per call; from there on nothing knows its text.

use siphasher::sip128::SipHasher13;

/// The secret of the hash, 128 random bits.
pub type Secret = [u8; 16];

/// A key, as `SipHash`-1-3-128 of its UTF-16 units under a secret (method: Aumasson and Bernstein, "`SipHash`: a fast
/// short-input PRF"; 1-3 with 128 bits as in its reference implementation).
///
/// It stands for the key itself, so a collision would spend somebody else's tokens: with a secret nobody can look for
/// one, and by chance it takes 2⁶⁴ keys. The first half is never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub [u64; 2]);

/// Hashes keys under one secret.
#[derive(Debug, Clone)]
pub struct KeyHasher(SipHasher13);

impl KeyHasher {
    /// Takes the secret.
    #[must_use]
    pub fn new(secret: &Secret) -> Self {
        Self(SipHasher13::new_with_key(secret))
    }

    /// The hash of a key's UTF-16 units.
    #[inline]
    #[must_use]
    pub fn hash(&self, units: &[u16]) -> KeyHash {
        let hash = self.0.hash(bytemuck::cast_slice(units));
        // 0 stands for a place without a key.
        KeyHash([hash.h1.max(1), hash.h2])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_depends_on_the_secret_and_on_every_unit() {
        let hasher = KeyHasher::new(&[1; 16]);
        let key = hasher.hash(&[b'a'.into(), 0x0142]);
        assert_ne!(
            key,
            hasher.hash(&[b'a'.into(), 0x0042]),
            "the high byte of a unit counts"
        );
        assert_ne!(key, KeyHasher::new(&[2; 16]).hash(&[b'a'.into(), 0x0142]));
        assert_eq!(key, hasher.hash(&[b'a'.into(), 0x0142]));
    }
}
