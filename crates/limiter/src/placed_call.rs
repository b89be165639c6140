//! Calls under tiers with limits of concurrency, which take places and give them back: how the keyspace decides on them.

use crate::call::{Call, decide};
use crate::cost::SlotCost;
use crate::credit::Credits;
use crate::decision::Outcome;
use crate::key::KeyHash;
use crate::keyspace::Keyspace;
use crate::overflow::lock;
use crate::places::TakenPlace;
use crate::state::State;
use crate::table::Full;
use crate::tier_versions::TierVersions;
use crate::verdict::Verdict;

impl<const N: usize> Keyspace<N> {
    /// Decides for a key under a tier with limits of concurrency, of which an allowed call takes its place; returns whether
    /// it was decided: a key that is not there is inserted only if `room_ms` is given. `shared_holder` stands for the keys of
    /// the tier that found no room.
    #[cold]
    pub(crate) fn consume_placed(
        &self,
        tiers: &TierVersions,
        call: &Call<'_, impl SlotCost>,
        room_ms: Option<u64>,
        shared_holder: impl FnOnce() -> KeyHash,
        outcome: &mut Outcome,
    ) -> bool {
        let number = self.places.number();
        let known = self.table.update(call.key, |state, credits| {
            self.mark(call.key, state);
            self.decide_placed(state, tiers, call, (call.key, number), || credits.find(), outcome);
        });
        if known.is_some() {
            return true;
        }
        let Some(room_ms) = room_ms else { return false };
        let new = State::new(call.tier, call.now_ms);
        let inserted = self.insert(tiers, call.key, new, room_ms, |state, credits| {
            self.mark(call.key, state);
            self.decide_placed(state, tiers, call, (call.key, number), || credits.find(), outcome);
        });
        if inserted == Err(Full) {
            let shared = self.overflow.shared(tiers, call.tier, new, call.now_ms);
            let place = (shared_holder(), number);
            self.decide_placed(&mut lock(&shared), tiers, call, place, || None, outcome);
            outcome.overflow = true;
        }
        true
    }

    /// Decides on the state that a call is counted by, as whose holder it takes places if it passes.
    pub(crate) fn decide_as<'c>(
        &self,
        state: &mut State<N>,
        tiers: &TierVersions,
        call: &Call<'_, impl SlotCost>,
        holder: KeyHash,
        credits: impl FnOnce() -> Option<&'c mut Credits<N>>,
        outcome: &mut Outcome,
    ) {
        if call.tier.is_usual {
            decide(state, tiers, call, credits, outcome);
        } else {
            let place = (holder, self.places.number());
            self.decide_placed(state, tiers, call, place, credits, outcome);
        }
    }

    /// As [`decide`], where a call that passes takes the place of a number.
    fn decide_placed<'c>(
        &self,
        state: &mut State<N>,
        tiers: &TierVersions,
        call: &Call<'_, impl SlotCost>,
        (holder, number): (KeyHash, u64),
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
        let mut standing = state.spent;
        self.places.stand(holder, tier, outcome.now_ms, &mut standing);
        outcome.verdict = tier.longest_wait(&standing, cost, outcome.now_ms);
        if outcome.verdict == Verdict::Allowed {
            cost.charge(&tier.rates, &mut state.spent);
            if self
                .places
                .take(holder, (tier, cost), number, outcome.now_ms, &mut state.spent)
            {
                outcome.place = number;
            }
        } else if tier.blocks && is_final {
            tier.block(&mut state.spent, cost);
        }
        standing = state.spent;
        self.places.stand(holder, tier, outcome.now_ms, &mut standing);
        tier.rates.put_in_order(&standing, &mut outcome.spent);
    }

    /// Gives a place back; whether it was not over. `shared_holder` is that of the tier on whose overflow bucket it was taken.
    pub(crate) fn release(&self, key: KeyHash, place: &TakenPlace<'_>, shared_holder: KeyHash, now_ms: u64) -> bool {
        let release = |holder: KeyHash, state: &mut State<N>| {
            let now_ms = now_ms.max(state.at_ms());
            self.places.release(holder, place, now_ms, &mut state.spent)
        };
        match place.overflow {
            None => self.table.update(key, |state, _| release(key, state)).unwrap_or(false),
            Some(tier) => {
                let shared = self.overflow.get(tier);
                shared.is_some_and(|shared| release(shared_holder, &mut lock(&shared)))
            }
        }
    }
}
