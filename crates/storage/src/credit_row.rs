//! How what a key was granted is written: used for each of the few keys of a save or a load that have any.

use tollkeeper_limiter::{Credit, MAX_AMOUNT, MAX_LIMITS};

/// Bytes of one quota: the slot, what was granted, what is kept.
const CREDIT_BYTES: usize = 1 + 8 + 8;

/// Empty if nothing was granted.
pub(crate) fn encode(credits: &[Credit; MAX_LIMITS]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (slot, credit) in (0..).zip(credits) {
        if *credit != Credit::default() {
            bytes.push(slot);
            bytes.extend(credit.granted_milli.to_le_bytes());
            bytes.extend(credit.kept_milli.to_le_bytes());
        }
    }
    bytes
}

/// None if a value is none that was ever written.
pub(crate) fn decode(bytes: &[u8]) -> Option<[Credit; MAX_LIMITS]> {
    let mut credits = [Credit::default(); MAX_LIMITS];
    let rows = bytes.chunks_exact(CREDIT_BYTES);
    if !rows.remainder().is_empty() {
        return None;
    }
    for row in rows {
        let granted_milli = u64::from_le_bytes(*row[1..].first_chunk()?);
        let kept_milli = u64::from_le_bytes(*row[9..].first_chunk()?);
        if granted_milli > MAX_AMOUNT || kept_milli > granted_milli {
            return None;
        }
        *credits.get_mut(usize::from(row[0]))? = Credit {
            granted_milli,
            kept_milli,
        };
    }
    Some(credits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credit(granted_milli: u64, kept_milli: u64) -> Credit {
        Credit {
            granted_milli,
            kept_milli,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut credits = [Credit::default(); MAX_LIMITS];
        assert!(encode(&credits).is_empty());
        credits[1] = credit(7_000, 0);
        credits[MAX_LIMITS - 1] = credit(MAX_AMOUNT, MAX_AMOUNT);
        assert_eq!(encode(&credits).len(), 2 * CREDIT_BYTES);
        assert_eq!(decode(&encode(&credits)), Some(credits));
    }

    #[test]
    fn what_was_never_written_is_not_read() {
        let mut credits = [Credit::default(); MAX_LIMITS];
        credits[0] = credit(2, 1);
        let bytes = encode(&credits);
        assert_eq!(decode(&bytes[1..]), None);
        let with = |index: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[index] = byte;
            bytes
        };
        assert_eq!(decode(&with(0, 200)), None, "no such slot");
        assert_eq!(decode(&with(9, 3)), None, "more is kept than was granted");
        assert_eq!(decode(&with(8, 255)), None, "more than can be");
    }
}
