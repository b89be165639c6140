//! A cell, as it is kept in memory.

use tollkeeper_limiter::ordered::Placed;

use crate::counts::{Counts, added_milli};
use crate::kind::{HOUR_BITS, Kind, MAX_HOUR, MAX_METERS, MAX_PLANS, METER_BITS, PLAN_BITS};

/// Accounts that a shard tells apart, from 1 up.
pub(crate) const MAX_NUMBER: u32 = (1 << (u64::BITS - METER_BITS - PLAN_BITS - HOUR_BITS)) - 1;

/// How much has been served to an account of one kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cell {
    place: Place,
    units_milli: u64,
    refunded_milli: u64,
    calls: u32,
    denied: u32,
}

/// By what a cell is found in its shard: the account's number and the kind, spread so that neighbours don't stay neighbours.
/// (Method: the finalizer of `MurmurHash3`, each of whose steps can be undone.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place(u64);

const FACTORS: [u64; 2] = [0xFF51_AFD7_ED55_8CCD, 0xC4CE_B9FE_1A85_EC53];
const INVERSES: [u64; 2] = [inverse(FACTORS[0]), inverse(FACTORS[1])];
const SHIFT: u32 = 33;

impl Place {
    #[inline]
    pub(crate) fn new(account: u32, kind: Kind) -> Self {
        debug_assert!((1..=MAX_NUMBER).contains(&account));
        let mut bits = u64::from(account);
        bits = bits << HOUR_BITS | u64::from(kind.hour);
        bits = bits << METER_BITS | u64::from(kind.meter);
        bits = bits << PLAN_BITS | u64::from(kind.plan);
        for factor in FACTORS {
            bits = (bits ^ bits >> SHIFT).wrapping_mul(factor);
        }
        Self(bits ^ bits >> SHIFT)
    }

    /// By which the cells of a shard are ordered.
    #[inline]
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    /// The account's number and the kind.
    #[expect(clippy::cast_possible_truncation, reason = "each is cut to its bits")]
    pub(crate) fn split(self) -> (u32, Kind) {
        let mut bits = self.0 ^ self.0 >> SHIFT;
        for inverse in [INVERSES[1], INVERSES[0]] {
            bits = bits.wrapping_mul(inverse);
            bits ^= bits >> SHIFT;
        }
        let plan = bits as u16 & (MAX_PLANS - 1);
        bits >>= PLAN_BITS;
        let meter = bits as u16 & (MAX_METERS - 1);
        bits >>= METER_BITS;
        let hour = bits as u32 & (MAX_HOUR - 1);
        ((bits >> HOUR_BITS) as u32, Kind { hour, meter, plan })
    }
}

/// What an odd number is to be multiplied by to come to 1. (Method: Newton's, which doubles the bits that are right.)
const fn inverse(factor: u64) -> u64 {
    let mut inverse = factor;
    let mut right_bits = 3;
    while right_bits < u64::BITS {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(factor.wrapping_mul(inverse)));
        right_bits *= 2;
    }
    inverse
}

impl Placed for Cell {
    const VACANT: Self = Self {
        place: Place(0),
        units_milli: 0,
        refunded_milli: 0,
        calls: 0,
        denied: 0,
    };

    #[inline]
    fn place(&self) -> u64 {
        self.place.0
    }
}

impl Cell {
    pub(crate) fn new(place: Place) -> Self {
        Self { place, ..Self::VACANT }
    }

    #[inline]
    pub(crate) fn is_at(&self, place: Place) -> bool {
        self.place == place
    }

    /// The account's number and the kind.
    pub(crate) fn split(&self) -> (u32, Kind) {
        self.place.split()
    }

    /// Adds what was counted; whether it had room for all of it.
    #[inline]
    pub(crate) fn add(&mut self, counted: &Counts) -> bool {
        let before = self.counts();
        self.calls = added_calls(self.calls, counted.calls);
        self.denied = added_calls(self.denied, counted.denied);
        self.units_milli = added_milli(self.units_milli, counted.units_milli);
        self.refunded_milli = added_milli(self.refunded_milli, counted.refunded_milli);
        let after = self.counts();
        after.calls.wrapping_sub(before.calls) == counted.calls
            && after.denied.wrapping_sub(before.denied) == counted.denied
            && after.units_milli.wrapping_sub(before.units_milli) == counted.units_milli
            && after.refunded_milli.wrapping_sub(before.refunded_milli) == counted.refunded_milli
    }

    #[inline]
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            calls: self.calls.into(),
            units_milli: self.units_milli,
            denied: self.denied.into(),
            refunded_milli: self.refunded_milli,
        }
    }
}

#[inline]
fn added_calls(calls: u32, more: u64) -> u32 {
    u32::try_from(u64::from(calls).saturating_add(more)).unwrap_or(u32::MAX)
}

const _: () = assert!(size_of::<Cell>() == 32);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_place_is_of_one_account_and_kind_and_never_vacant(
            account in 1..=MAX_NUMBER, hour in 0..MAX_HOUR, meter in 0..MAX_METERS, plan in 0..MAX_PLANS
        ) {
            let kind = Kind { hour, meter, plan };
            let place = Place::new(account, kind);
            prop_assert_eq!(place.split(), (account, kind));
            prop_assert_ne!(place.0, 0);
        }

        #[test]
        fn a_cell_says_what_it_had_no_room_for(
            first in 0..=u64::from(u32::MAX), more in any::<u64>(), milli in 0..u64::MAX
        ) {
            let mut cell = Cell::new(Place::new(1, Kind { hour: 0, meter: 0, plan: 0 }));
            let fits = cell.add(&Counts { calls: first, ..Counts::default() });
            prop_assert!(fits);
            let counted = Counts { calls: more, units_milli: milli, ..Counts::default() };
            let fits = cell.add(&counted);
            let sums = (first.saturating_add(more), milli);
            let counts = cell.counts();
            prop_assert_eq!(fits, (counts.calls, counts.units_milli) == sums);
        }
    }
}
