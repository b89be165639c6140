//! How a key and its state are written: used for each key of a save or a load.

use tollkeeper_limiter::{KeyHash, KeySnapshot, MAX_AMOUNT, MAX_BLOCK, MAX_INSTANT_MS, MAX_LIMITS};

pub(crate) fn to_bytes(KeyHash([first, second]): KeyHash) -> [u8; 16] {
    (u128::from(first) << 64 | u128::from(second)).to_be_bytes()
}

#[expect(clippy::cast_possible_truncation, reason = "each half is taken")]
pub(crate) fn to_hash(bytes: &[u8; 16]) -> KeyHash {
    let hash = u128::from_be_bytes(*bytes);
    KeyHash([(hash >> 64) as u64, hash as u64])
}

/// A row with as many slots as it has room for.
pub(crate) fn encode<const BYTES: usize>(state: &KeySnapshot, rule_set: u32) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&state.at_ms.to_le_bytes());
    bytes[8..12].copy_from_slice(&rule_set.to_le_bytes());
    for (bytes, used) in bytes[12..].chunks_exact_mut(8).zip(state.used) {
        bytes.copy_from_slice(&used.to_le_bytes());
    }
    bytes
}

/// The instant, the number of the rule set, and what is used; None if a value is none that was ever written.
pub(crate) fn decode<const BYTES: usize>(bytes: &[u8; BYTES]) -> Option<(u64, u32, [u64; MAX_LIMITS])> {
    let at_ms = u64::from_le_bytes(*bytes.first_chunk()?);
    let rule_set = u32::from_le_bytes(*bytes[8..].first_chunk()?);
    let mut used = [0; MAX_LIMITS];
    for (used, bytes) in used.iter_mut().zip(bytes[12..].chunks_exact(8)) {
        *used = u64::from_le_bytes(*bytes.first_chunk()?);
    }
    let is_amount = |&used: &u64| used <= MAX_AMOUNT + MAX_BLOCK;
    (at_ms < MAX_INSTANT_MS && used.iter().all(is_amount)).then_some((at_ms, rule_set, used))
}
