//! Keys, as keyed hashes.

use std::hash::{BuildHasher, Hash, Hasher};

use siphasher::sip128::{Hasher128, SipHasher13};

/// The secret of the hash, 128 random bits.
pub type Secret = [u8; 16];

/// A key, as `SipHash`-1-3-128 of its UTF-16 units under a secret (method: Aumasson and Bernstein, "`SipHash`: a fast
/// short-input PRF"; 1-3 with 128 bits as in its reference implementation). It stands for the key itself, so a collision would spend
/// somebody else's tokens: with a secret nobody can look for one, and by chance it takes 2⁶⁴ keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyHash(pub [u64; 2]);

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0[0]);
    }
}

/// Hashes keys under one secret.
#[derive(Debug, Clone)]
pub(crate) struct KeyHasher(SipHasher13);

impl KeyHasher {
    pub(crate) fn new(secret: &Secret) -> Self {
        Self(SipHasher13::new_with_key(secret))
    }

    pub(crate) fn hash(&self, units: &[u16]) -> KeyHash {
        let mut hasher = self.0;
        hasher.write(bytemuck::cast_slice(units));
        let hash = hasher.finish128();
        KeyHash([hash.h1, hash.h2])
    }
}

/// Takes the first half of a [`KeyHash`] for the hash that it is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct AlreadyHashed(u64);

impl BuildHasher for AlreadyHashed {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self::default()
    }
}

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, half: u64) {
        self.0 = half;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only a KeyHash is hashed, and it writes one u64");
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

    #[test]
    fn a_hash_is_not_hashed_again() {
        assert_eq!(AlreadyHashed::default().hash_one(KeyHash([42, 7])), 42);
    }
}
