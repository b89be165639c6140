//! Places that are given back.

use tollkeeper_limiter::{Rule, TakenPlace};

use super::Run;
use crate::input::Input;

impl Run {
    /// Gives back the place of one of the last charges, which may have been before, or may be over.
    pub(super) fn release(&mut self, input: &mut Input) {
        if self.charges.is_empty() {
            return;
        }
        let back = input.index(self.charges.len().min(8));
        let charge = self.charges[self.charges.len() - 1 - back];
        let Some(tier) = self
            .versions
            .tier(charge.version, charge.tier)
            .filter(|_| charge.place > 0)
        else {
            return;
        };
        let ends_ms: Vec<_> = tier
            .limits
            .iter()
            .filter_map(|limit| match limit.rule {
                Rule::Concurrency { timeout_ms, .. } => Some(charge.at_ms + timeout_ms),
                _ => None,
            })
            .collect();
        let place = TakenPlace {
            number: charge.place,
            ends_ms: &ends_ms,
            overflow: charge.overflow.then_some(tier.name.as_str()),
        };
        let is_freed = self.limiter.release(charge.key, &place, self.given_ms);
        let now_ms = self.now();
        let model = if charge.overflow {
            self.table.overflow_mut(charge.tier)
        } else {
            self.table.key_mut(charge.key)
        };
        let expected = model.map_or(Some(false), |model| model.release(charge.place, now_ms));
        assert_eq!(is_freed, expected.unwrap_or(is_freed));
    }
}
