//! Tokens taken ahead of one key, until when they may be handed out. A lease spends of them, the sweep takes out what is over.

/// Tokens taken together. Instants are those of the shard; see [`Origin`](crate::origin::Origin).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Grant {
    /// Thousandths; 0 is no grant.
    pub(crate) milli: u32,
    /// The first instant at which they may not be handed out any more.
    pub(crate) expires: u32,
    /// When they were taken, by the store's time.
    pub(crate) taken: u32,
}

impl Grant {
    const NONE: Self = Self {
        milli: 0,
        expires: 0,
        taken: 0,
    };
}

/// The grants of a key, of which one is in use and one is coming; in the order in which they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grants([Grant; 2]);

impl Grants {
    pub(crate) const NONE: Self = Self([Grant::NONE; 2]);

    /// Thousandths that don't expire before `until`.
    #[inline]
    pub(crate) fn held(&self, until: u32) -> u64 {
        let held = |grant: &Grant| if grant.expires > until { grant.milli } else { 0 };
        self.0.iter().map(held).map(u64::from).sum()
    }

    /// Thousandths, expired or not.
    pub(crate) fn all(&self) -> u64 {
        self.0.iter().map(|grant| u64::from(grant.milli)).sum()
    }

    /// Hands out what is held, the oldest first.
    #[inline]
    pub(crate) fn spend(&mut self, milli: u32, now: u32) {
        let mut rest = milli;
        for grant in self.0.iter_mut().filter(|grant| grant.expires > now) {
            let part = rest.min(grant.milli);
            grant.milli -= part;
            rest -= part;
        }
    }

    /// Thousandths that will be handed out before they expire, at so many a millisecond.
    pub(crate) fn usable(&self, rate: f64, now: u32) -> f64 {
        let mut usable = 0.0;
        for grant in self.0.iter().filter(|grant| grant.expires > now) {
            let until_its_end = rate * f64::from(grant.expires - now) - usable;
            usable += f64::from(grant.milli).min(until_its_end).max(0.0);
        }
        usable.floor()
    }

    /// The next instant at which a grant expires.
    pub(crate) fn next_end(&self) -> Option<u32> {
        let taken = self.0.iter().filter(|grant| grant.milli > 0);
        taken.map(|grant| grant.expires).min()
    }

    /// Takes out what `goes`.
    pub(crate) fn take(&mut self, goes: impl Fn(&Grant) -> bool, mut gone: impl FnMut(Grant)) {
        for grant in &mut self.0 {
            if goes(grant) {
                let grant = std::mem::take(grant);
                if grant.milli > 0 {
                    gone(grant);
                }
            }
        }
    }

    /// Adds what has come. What has expired goes first; where two are left it is merged into the younger of them, with the
    /// earlier end. What is too much for 32 bits is gone as well, and said by the return.
    pub(crate) fn add(&mut self, milli: u64, expires: u32, taken: u32, now: u32, gone: impl FnMut(Grant)) -> u64 {
        self.take(|grant| grant.expires <= now, gone);
        if self.0[0].milli == 0 {
            self.0.swap(0, 1);
        }
        let place = usize::from(self.0[0].milli > 0);
        let younger = &mut self.0[place];
        if younger.milli == 0 {
            *younger = Grant {
                milli: 0,
                expires,
                taken,
            };
        }
        let sum = u64::from(younger.milli) + milli;
        let kept = u32::try_from(sum).unwrap_or(u32::MAX);
        *younger = Grant {
            milli: kept,
            expires: younger.expires.min(expires),
            taken: younger.taken.min(taken),
        };
        sum - u64::from(kept)
    }

    /// Each grant, for its instants to be told anew.
    pub(crate) fn each_mut(&mut self) -> impl Iterator<Item = &mut Grant> {
        self.0.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(grants: &mut Grants, milli: u64, expires: u32, taken: u32, now: u32) -> (Vec<Grant>, u64) {
        let mut gone = Vec::new();
        let excess = grants.add(milli, expires, taken, now, |grant| gone.push(grant));
        (gone, excess)
    }

    #[test]
    fn the_oldest_is_handed_out_first_and_what_has_expired_never() {
        let mut grants = Grants::NONE;
        added(&mut grants, 5_000, 100, 1, 0);
        added(&mut grants, 5_000, 90, 2, 0);
        assert_eq!(
            [0, 89, 90, 99, 100].map(|at| grants.held(at)),
            [10_000, 10_000, 5_000, 5_000, 0]
        );
        grants.spend(6_000, 10);
        assert_eq!((grants.held(0), grants.held(90)), (4_000, 0), "the older is used up");
        added(&mut grants, 1_000, 200, 3, 10);
        grants.spend(1_000, 90);
        assert_eq!((grants.held(0), grants.held(90)), (4_000, 0), "the expired one is left");
    }

    #[test]
    fn a_third_is_merged_into_the_younger_with_the_earlier_end_and_never_outlives_it() {
        let mut grants = Grants::NONE;
        for (expires, taken) in [(100, 5), (90, 7), (200, 6)] {
            assert_eq!(added(&mut grants, 1_000, expires, taken, 0), (vec![], 0));
        }
        assert_eq!((grants.held(89), grants.held(90)), (3_000, 1_000));
        let mut gone = Vec::new();
        grants.take(|_| true, |grant| gone.push((grant.milli, grant.taken)));
        assert_eq!(gone, [(1_000, 5), (2_000, 6)]);
    }

    #[test]
    fn what_expired_and_what_is_too_much_is_gone_when_more_comes() {
        let mut grants = Grants::NONE;
        added(&mut grants, 1_000, 100, 5, 0);
        added(&mut grants, 2_000, 300, 6, 0);
        let (gone, excess) = added(&mut grants, 3_000, 400, 7, 100);
        assert_eq!(
            (gone.iter().map(|grant| grant.milli).collect::<Vec<_>>(), excess),
            (vec![1_000], 0)
        );
        assert_eq!((grants.held(100), grants.held(300)), (5_000, 3_000));
        assert_eq!(added(&mut grants, u64::from(u32::MAX), 400, 8, 100).1, 3_000);
        assert_eq!(grants.all(), 2_000 + u64::from(u32::MAX));
    }

    #[test]
    #[expect(clippy::float_cmp, reason = "whole numbers")]
    fn what_can_be_used_is_bounded_by_the_rate_and_by_the_ends() {
        let mut grants = Grants::NONE;
        added(&mut grants, 1_000, 100, 0, 0);
        added(&mut grants, 1_000, 300, 0, 0);
        assert_eq!(
            [0.0, 2.5, 5.0, 100.0].map(|rate| grants.usable(rate, 0)),
            [0.0, 750.0, 1_500.0, 2_000.0]
        );
        assert_eq!(grants.usable(1.0, 100), 200.0);
    }
}
