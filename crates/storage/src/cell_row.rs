//! How the cells of one account in one period are written: used for each row of the ledger's tables.

use std::collections::BTreeMap;

use tollkeeper_ledger::{Counts, Kind, MAX_METERS, MAX_MILLI, MAX_PLANS};

/// What a row begins with.
const FORM: u8 = 1;
/// Bytes of the longest number.
const MAX_NUMBER_BYTES: u32 = 10;

/// The cells of an account, and how often something came to each after its day was closed.
pub(crate) type CellRow = BTreeMap<Kind, RowCounts>;

/// The numbers of a cell in the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RowCounts {
    pub(crate) counts: Counts,
    pub(crate) revision: u32,
}

/// Adds to a cell of a row.
pub(crate) fn add(row: &mut CellRow, kind: Kind, added: &RowCounts) {
    let sum = row.entry(kind).or_default();
    sum.counts.add(&added.counts);
    sum.revision = sum.revision.max(added.revision);
}

/// Eight numbers for each cell, of seven bits a byte, the lowest first; hours from the period's first.
pub(crate) fn encode(first_hour: u32, row: &CellRow) -> Vec<u8> {
    let mut bytes = vec![FORM];
    for (kind, RowCounts { counts, revision }) in row {
        for number in [
            u64::from(kind.hour - first_hour),
            kind.meter.into(),
            kind.plan.into(),
            counts.calls,
            counts.units_milli,
            counts.denied,
            counts.refunded_milli,
            (*revision).into(),
        ] {
            write_number(&mut bytes, number);
        }
    }
    bytes
}

/// None if it is none that was ever written.
pub(crate) fn decode(first_hour: u32, bytes: &[u8]) -> Option<CellRow> {
    let (&form, mut rest) = bytes.split_first()?;
    if form != FORM {
        return None;
    }
    let mut row = CellRow::new();
    while !rest.is_empty() {
        let mut next = || read_number(&mut rest);
        let kind = Kind {
            hour: first_hour.checked_add(next()?.try_into().ok()?)?,
            meter: next()?.try_into().ok().filter(|meter| *meter < MAX_METERS)?,
            plan: next()?.try_into().ok().filter(|plan| *plan < MAX_PLANS)?,
        };
        let counts = Counts {
            calls: next()?,
            units_milli: next().filter(|milli| *milli <= MAX_MILLI)?,
            denied: next()?,
            refunded_milli: next().filter(|milli| *milli <= MAX_MILLI)?,
        };
        let revision = next()?.try_into().ok()?;
        if row.last_key_value().is_some_and(|(last, _)| *last >= kind) {
            return None;
        }
        row.insert(kind, RowCounts { counts, revision });
    }
    Some(row)
}

fn write_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7F) as u8 | 0x80);
        number >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 128")]
    bytes.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..MAX_NUMBER_BYTES {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(byte & 0x7F);
        // Of the last byte one bit is left.
        if bits << (7 * place) >> (7 * place) != bits {
            return None;
        }
        number |= bits << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u32 = 497_000;

    fn row() -> CellRow {
        let mut row = CellRow::new();
        let mut number = 0;
        for (hour, meter, plan) in [(0, 0, 0), (0, MAX_METERS - 1, 1), (23, 0, MAX_PLANS - 1), (743, 1, 1)] {
            number += 127;
            let kind = Kind {
                hour: HOUR + hour,
                meter,
                plan,
            };
            let counts = Counts {
                calls: number,
                units_milli: MAX_MILLI,
                denied: u64::MAX,
                refunded_milli: number << 20,
            };
            let revision = if plan > 1 { u32::MAX } else { 0 };
            row.insert(kind, RowCounts { counts, revision });
        }
        row
    }

    #[test]
    fn what_is_written_is_read() {
        for row in [CellRow::new(), row()] {
            assert_eq!(decode(HOUR, &encode(HOUR, &row)), Some(row));
        }
    }

    #[test]
    fn what_was_never_written_is_told() {
        let whole = encode(HOUR, &row());
        for cut in 0..whole.len() {
            // At the end of a cell it is a shorter row.
            if let Some(shorter) = decode(HOUR, &whole[..cut]) {
                assert!(shorter.len() < 4);
            }
        }
        let cell = |numbers: [&[u8]; 8]| [&[FORM][..], &numbers.concat()].concat();
        let ones = [&[1_u8][..]; 8];
        assert!(decode(HOUR, &cell(ones)).is_some());
        for (place, number) in [
            (0, &[0xFF, 0xFF, 0xFF, 0xFF, 0x1F][..]),
            (1, &[0x80, 2]),
            (2, &[0x80, 16]),
            (3, &[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 3]),
            (4, &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40]),
            (7, &[0xFF, 0xFF, 0xFF, 0xFF, 0x1F]),
        ] {
            let mut numbers = ones;
            numbers[place] = number;
            assert_eq!(decode(HOUR, &cell(numbers)), None, "{place}");
        }
        assert_eq!(decode(HOUR, &[2]), None, "another form");
        let twice = [cell(ones), ones.concat()].concat();
        assert_eq!(decode(HOUR, &twice), None, "a cell twice");
        assert_eq!(decode(HOUR, &[]), None);
    }
}
