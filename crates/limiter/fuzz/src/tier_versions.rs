//! The tiers of every version.

use tollkeeper_limiter::{TierId, TierSpec};

use crate::input::TIERS;

/// Never empty; the last ones are in force.
pub(crate) struct TierVersions(Vec<Vec<TierSpec>>);

impl TierVersions {
    pub(crate) fn new(tiers: Vec<TierSpec>) -> Self {
        Self(vec![tiers])
    }

    /// Counts the reloads, from 0.
    pub(crate) fn version(&self) -> usize {
        self.0.len() - 1
    }

    pub(crate) fn in_force(&self) -> &[TierSpec] {
        &self.0[self.version()]
    }

    pub(crate) fn enact(&mut self, tiers: Vec<TierSpec>) {
        self.0.push(tiers);
    }

    /// A tier as a version had it.
    pub(crate) fn tier(&self, version: usize, id: TierId) -> Option<&TierSpec> {
        let name = TIERS[id as usize];
        self.0[version].iter().find(|tier| tier.name == name)
    }
}
