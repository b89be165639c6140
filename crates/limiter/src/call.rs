//! One call, and how it is decided on the state of its key, which whoever asks has found.

use crate::cost::SlotCost;
use crate::credit::Credits;
use crate::decision::Outcome;
use crate::key::KeyHash;
use crate::state::State;
use crate::tier::Tier;
use crate::tier_versions::TierVersions;
use crate::verdict::Verdict;

/// A question to decide.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a, C> {
    pub(crate) key: KeyHash,
    pub(crate) tier: &'a Tier,
    pub(crate) cost: C,
    pub(crate) now_ms: u64,
    /// Whether a denial stands, so that it may begin a block, and is not asked again by a better clock.
    pub(crate) is_final: bool,
}

/// Spends of a key's state what is asked, if every limit has it.
#[inline]
pub(crate) fn decide<'c, const N: usize>(
    state: &mut State<N>,
    tiers: &TierVersions,
    call: &Call<'_, impl SlotCost>,
    credits: impl FnOnce() -> Option<&'c mut Credits<N>>,
    outcome: &mut Outcome,
) {
    let Call {
        tier,
        cost,
        now_ms,
        is_final,
        ..
    } = *call;
    state.bring_to(tier, tiers, now_ms, credits);
    outcome.now_ms = state.at_ms();
    outcome.behind_ms = outcome.now_ms - now_ms;
    outcome.verdict = tier.verdict(&state.spent, cost, outcome.now_ms);
    if outcome.verdict == Verdict::Allowed {
        cost.charge(&tier.rates, &mut state.spent);
    } else if tier.blocks && is_final {
        tier.block(&mut state.spent, cost);
    }
    tier.rates.put_in_order(&state.spent, &mut outcome.spent);
}
