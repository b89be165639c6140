//! What is charged more, or given back, after a call.

use tollkeeper_limiter::{Correction, Delta, Error, KeyHash, TierId};

use super::Run;
use crate::charge::Charge;
use crate::cost::{Cost, delta_of};
use crate::input::{DAY_MS, Input, TIERS};

impl Run {
    /// Gives back one of the last charges.
    pub(super) fn refund(&mut self, input: &mut Input) {
        if self.charges.is_empty() {
            return;
        }
        let back = input.index(self.charges.len().min(8));
        let charge = self.charges.remove(self.charges.len() - 1 - back);
        self.correct(charge, charge.cost.given_back(), input.below(4) == 0);
    }

    /// Corrects a charge that need not have been.
    pub(super) fn correct_any(&mut self, key: KeyHash, input: &mut Input) {
        let tier = input.index(TIERS.len()) as TierId;
        let delta_milli = match input.below(4) {
            0 => input.number(8).cast_signed(),
            1 => -(input.below(30_000).cast_signed()),
            _ => input.below(30_000).cast_signed(),
        };
        let charge = Charge {
            key,
            tier,
            cost: Cost::Every(0),
            at_ms: self.given_ms.saturating_sub(input.below(2 * DAY_MS)),
            overflow: input.below(4) == 0,
            version: self.versions.version().saturating_sub(input.index(3)),
            place: 0,
        };
        let how = input.byte();
        let delta = if how < 0x80 {
            Delta::Every(delta_milli)
        } else {
            Delta::Each(std::array::from_fn(|limit| {
                [delta_milli, 0, -delta_milli / 2][limit % 3]
            }))
        };
        self.correct(charge, delta, how.is_multiple_of(4));
    }

    fn correct(&mut self, charge: Charge, delta: Delta, quotas_only: bool) {
        let correction = Correction {
            delta,
            charged_at_ms: charge.at_ms,
            overflow: charge.overflow,
            quotas_only,
            version: charge.version,
        };
        let corrected = self.limiter.correct(charge.key, charge.tier, correction, self.given_ms);
        let now_ms = self.now();
        let Some(tier) = self.versions.tier(charge.version, charge.tier).cloned() else {
            assert_eq!(corrected, Err(Error::TierUnknown));
            return;
        };
        assert_eq!(corrected, Ok(()));
        if !charge.overflow {
            self.histories.forget(charge.key);
        }
        // To a key that was forgotten there is nothing to give back; charged more, it begins anew.
        let charges = (0..tier.limits.len()).any(|limit| delta_of(delta, limit) > 0);
        let known = self.table.knows(charge.key);
        if charges && !charge.overflow && !known {
            self.notice_evictions(&[charge.key]);
        }
        let model = if !charge.overflow && (known || charges && !self.table.is_full()) {
            self.table.own(charge.key, &tier, now_ms)
        } else if charges || charge.overflow {
            self.table.shared(charge.tier, &tier, now_ms)
        } else {
            return;
        };
        if charges && model.counts_nothing() {
            model.bring_to(&tier, now_ms);
        }
        model.advance(now_ms);
        model.correct(&tier, delta, charge.at_ms, quotas_only);
    }
}
