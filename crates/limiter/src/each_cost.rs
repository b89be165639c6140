//! What the limiter decides on where each limit of a tier has a cost of its own.

use crate::cost::{Costs, SlotCosts};
use crate::decision::Outcome;
use crate::error::Error;
use crate::key::KeyHash;
use crate::limiter::Limiter;
use crate::tier::TierId;

impl Limiter {
    /// Does what [`consume`](Self::consume) does at a cost for each limit. Where all of them are 0, it touches nothing.
    ///
    /// # Errors
    /// As of [`consume`](Self::consume).
    pub fn consume_each(&self, key: KeyHash, tier: TierId, costs: &Costs, now_ms: u64) -> Result<Outcome, Error> {
        let (version, tier) = self.core.tiers.tier(tier)?;
        let mut slot_costs = SlotCosts::NOTHING;
        tier.price(costs, version, &mut slot_costs)?;
        Ok(self.consume_at(key, (version, &*tier), &slot_costs, now_ms))
    }

    /// Does what [`consume_by`](Self::consume_by) does at a cost for each limit.
    ///
    /// # Errors
    /// As of [`consume`](Self::consume).
    #[inline]
    pub fn consume_each_by(
        &self,
        key: KeyHash,
        tier: TierId,
        costs: &Costs,
        cheap_ms: u64,
        better_ms: impl FnOnce() -> u64,
        outcome: &mut Outcome,
    ) -> Result<(), Error> {
        let (version, priced) = self.core.tiers.tier(tier)?;
        let mut slot_costs = SlotCosts::NOTHING;
        priced.price(costs, version, &mut slot_costs)?;
        if self.allows_by_cheap(key, (version, &*priced), &slot_costs, cheap_ms, outcome) {
            outcome.stand_still_until(better_ms);
        } else {
            *outcome = self.consume_each(key, tier, costs, better_ms())?;
        }
        Ok(())
    }

    /// Does what [`peek`](Self::peek) does at a cost for each limit.
    ///
    /// # Errors
    /// As of [`peek`](Self::peek).
    pub fn peek_each(&self, key: KeyHash, tier: TierId, costs: &Costs, now_ms: u64) -> Result<Outcome, Error> {
        let (version, tier) = self.core.tiers.tier(tier)?;
        let mut slot_costs = SlotCosts::NOTHING;
        tier.price(costs, version, &mut slot_costs)?;
        Ok(self.peek_at(key, (version, &*tier), &slot_costs, now_ms))
    }
}
