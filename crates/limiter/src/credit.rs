//! What keys were granted beyond their quotas: kept in the shard of each of the few keys that have any, beside their states
//! and under the same lock.

use std::collections::BTreeMap;

use crate::MAX_AMOUNT;
use crate::key::KeyHash;
use crate::quota::Quota;

/// What one quota of a key was granted, in thousandths of a token. Of the quota's amount it is taken off, which is below 0
/// while less is used than was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Credit {
    /// What was granted in the present period, and what was kept of earlier ones; at most [`MAX_AMOUNT`].
    pub granted_milli: u64,
    /// How much of that outlasts the period, if it is not used. What the quota allows by itself is used before it.
    pub kept_milli: u64,
}

/// What each slot of a key was granted.
pub(crate) type Credits<const N: usize> = [Credit; N];

impl Credit {
    pub(crate) const NONE: Self = Self {
        granted_milli: 0,
        kept_milli: 0,
    };

    pub(crate) fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// With so many thousandths more, of which those that are kept outlast the period; None if that is too much.
    pub(crate) fn with(self, milli: u64, keeps: bool) -> Option<Self> {
        let granted_milli = self.granted_milli.checked_add(milli).filter(|&sum| sum <= MAX_AMOUNT)?;
        let kept_milli = self.kept_milli + if keeps { milli } else { 0 };
        Some(Self {
            granted_milli,
            kept_milli,
        })
    }

    /// What is left of it in the period after one that ended with so much spent of a quota.
    pub(crate) fn carried(self, quota: &Quota, spent: u64) -> Self {
        let kept_milli = self.kept_milli.min(quota.remaining_milli(spent));
        Self {
            granted_milli: kept_milli,
            kept_milli,
        }
    }

    /// What is spent of a quota of which so much is used.
    pub(crate) fn spent(self, used: u64) -> u64 {
        used.wrapping_sub(self.granted_milli)
    }

    /// How much is used of a quota of which so much is spent; a debt is cut as it always is. What was granted nothing, as a
    /// bucket, which may be blocked, stays as it is.
    pub(crate) fn used(self, spent: u64) -> u64 {
        if self.is_none() {
            return spent;
        }
        spent.wrapping_add(self.granted_milli).min(MAX_AMOUNT)
    }
}

/// What the keys of a shard were granted. Nearly always nothing, which takes no memory.
#[derive(Debug)]
pub(crate) struct ShardCredits<const N: usize>(BTreeMap<KeyHash, Credits<N>>);

impl<const N: usize> Default for ShardCredits<N> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<const N: usize> ShardCredits<N> {
    pub(crate) fn get(&self, key: KeyHash) -> Option<&Credits<N>> {
        self.0.get(&key)
    }

    pub(crate) fn of(&mut self, key: KeyHash) -> KeyCredits<'_, N> {
        KeyCredits { all: self, key }
    }

    pub(crate) fn remove(&mut self, key: KeyHash) {
        self.0.remove(&key);
    }
}

/// What one key was granted, where its shard keeps it: looked up by who needs it.
#[derive(Debug)]
pub(crate) struct KeyCredits<'a, const N: usize> {
    all: &'a mut ShardCredits<N>,
    key: KeyHash,
}

impl<'a, const N: usize> KeyCredits<'a, N> {
    /// None if it was granted nothing.
    pub(crate) fn find(self) -> Option<&'a mut Credits<N>> {
        self.all.0.get_mut(&self.key)
    }

    /// The same, to look again.
    pub(crate) fn get(&mut self) -> Option<&mut Credits<N>> {
        self.all.0.get_mut(&self.key)
    }

    /// What it was granted, to be changed.
    pub(crate) fn obtain(&mut self) -> &mut Credits<N> {
        self.all.0.entry(self.key).or_insert([Credit::NONE; N])
    }

    /// Forgets what has come to nothing.
    pub(crate) fn tidy(&mut self) {
        if self
            .get()
            .is_some_and(|credits| credits.iter().all(|credit| credit.is_none()))
        {
            self.all.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::period::Period;

    const QUOTA_MILLI: u64 = 100_000;

    fn quota() -> Quota {
        Quota::new(QUOTA_MILLI, Period::Day)
    }

    #[test]
    fn the_quota_itself_is_used_first_and_what_is_kept_last() {
        let credit = Credit::NONE.with(20_000, false).unwrap().with(50_000, true).unwrap();
        let kept_after = |used: u64| credit.carried(&quota(), credit.spent(used)).kept_milli;
        assert_eq!(kept_after(0), 50_000);
        assert_eq!(kept_after(QUOTA_MILLI + 20_000), 50_000);
        assert_eq!(kept_after(QUOTA_MILLI + 20_001), 49_999);
        assert_eq!(kept_after(QUOTA_MILLI + 70_000), 0);
        assert_eq!(kept_after(QUOTA_MILLI + 70_001), 0, "a debt ends with the period");
    }

    #[test]
    fn what_is_carried_is_all_that_was_granted_in_the_new_period() {
        let credit = Credit::NONE.with(20_000, false).unwrap().with(50_000, true).unwrap();
        let carried = credit.carried(&quota(), credit.spent(0));
        assert_eq!((carried.granted_milli, carried.kept_milli), (50_000, 50_000));
        assert_eq!(carried.spent(0).cast_signed(), -50_000);
        assert_eq!(carried.used(carried.spent(7)), 7);
    }

    #[test]
    fn more_than_an_amount_can_be_is_not_granted() {
        let most = Credit::NONE.with(MAX_AMOUNT, true).unwrap();
        assert_eq!(most.with(1, true), None);
        assert_eq!(Credit::NONE.with(u64::MAX, false), None);
        assert_eq!(quota().remaining_milli(most.spent(0)), MAX_AMOUNT + QUOTA_MILLI);
    }

    #[test]
    fn what_has_come_to_nothing_is_forgotten() {
        let mut all = ShardCredits::<2>::default();
        let key = KeyHash([1, 1]);
        all.of(key).obtain()[1] = Credit::NONE.with(5, true).unwrap();
        all.of(key).tidy();
        assert!(all.get(key).is_some());
        all.of(key).obtain()[1] = Credit::NONE;
        all.of(key).tidy();
        assert!(all.get(key).is_none());
    }
}
