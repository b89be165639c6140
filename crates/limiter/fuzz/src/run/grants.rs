//! Tokens that are granted.

use tollkeeper_limiter::{Error, KeyHash, LimitSpec, Rule, TierId, TierSpec};

use super::Run;
use crate::input::{Input, LIMITS, TIERS};

impl Run {
    pub(super) fn grant(&mut self, key: KeyHash, input: &mut Input) {
        let id = input.index(TIERS.len()) as TierId;
        let (name, milli) = (LIMITS[input.index(LIMITS.len())], input.cost_milli());
        let keeps = input.below(2) == 1;
        let tier = self.tier(id);
        let granted = self.limiter.grant(key, id, name, milli, keeps, self.given_ms);
        let Some(tier) = tier else {
            assert_eq!(granted, Err(Error::TierUnknown));
            return;
        };
        let is_meant = |limit: &&LimitSpec| limit.name == name && matches!(limit.rule, Rule::Quota { .. });
        let Some(limit) = tier.limits.iter().find(is_meant) else {
            assert_eq!(granted, Err(Error::GrantNoQuota));
            return;
        };
        // All but the quota stays as it is.
        let only = TierSpec {
            name: tier.name.clone(),
            limits: vec![limit.clone()],
        };
        let now_ms = self.now();
        if !self.table.knows(key) {
            self.notice_evictions(&[key]);
        }
        if self.table.is_full() && !self.table.knows(key) {
            let max_keys = self.table.max_keys();
            assert_eq!(granted, Err(Error::NoRoom { max_keys }));
            return;
        }
        let model = self.table.own(key, &only, now_ms);
        model.bring_to(&only, now_ms);
        let is_possible = model.grant(name, milli, keeps);
        assert_eq!(granted, if is_possible { Ok(()) } else { Err(Error::GrantTooLarge) });
        self.histories.note_grant(key, id);
    }
}
