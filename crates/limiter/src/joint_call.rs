//! A call of several subjects, all of which spend or none: how the limiter decides on it, and the keyspace.

use std::collections::BTreeMap;

use crate::call::Call;
use crate::clock::held;
use crate::correction::Correction;
use crate::cost::{SlotCost, SlotCosts};
use crate::credit::Credits;
use crate::decision::Outcome;
use crate::held_shards::HeldShards;
use crate::key::KeyHash;
use crate::keyspace::Keyspace;
use crate::limiter::{Limiter, keyspace};
use crate::overflow::{Shared, lock};
use crate::state::State;
use crate::subject::{Subject, SubjectError};
use crate::tier_versions::TierVersions;
use crate::verdict::Verdict;

/// What is asked of one subject.
type JointCall<'a> = Call<'a, &'a SlotCosts>;

/// What is done to the state of a key, to what it was granted, and as whose holder of places.
type Change<'c, const N: usize> = dyn FnMut(&mut State<N>, Option<&mut Credits<N>>, KeyHash) + 'c;

impl<const N: usize> Keyspace<N> {
    /// Decides on calls that pass together or not at all. What it says of each holds after those before it; where any is
    /// denied, nothing stays spent of the others, and they say so. `outcomes` come as those of tiers without limits.
    ///
    /// The only place where more than one lock is held: those of the shards, in their order, and then those of overflow
    /// buckets, in the order of their names. Whoever holds one of these elsewhere waits for no other.
    #[cold]
    pub(crate) fn consume_together(
        &self,
        tiers: &TierVersions,
        calls: &[JointCall<'_>],
        room_ms: u64,
        shared_holder: &dyn Fn(&str) -> KeyHash,
        outcomes: &mut [Outcome],
    ) {
        let mut spending = Vec::with_capacity(calls.len());
        for (call, outcome) in calls.iter().zip(outcomes) {
            if call.tier.limits.is_empty() {
                continue;
            }
            if call.cost.is_nothing() {
                self.peek(tiers, call, room_ms, || shared_holder(&call.tier.spec().name), outcome);
            } else {
                spending.push((call, outcome));
            }
        }
        self.make_room(tiers, &spending, room_ms);
        let mut held = HeldShards::of(&self.table, spending.iter().map(|(call, _)| call.key));
        let mut shared: BTreeMap<&str, Shared<N>> = BTreeMap::new();
        for (call, _) in &spending {
            let new = State::new(call.tier, call.now_ms);
            if held.get_mut(call.key).is_some() {
                continue;
            }
            if held.insert(call.key, new).is_ok() {
                self.places.forget(call.key, N);
            } else {
                let name = call.tier.spec().name.as_str();
                shared
                    .entry(name)
                    .or_insert_with(|| self.overflow.shared(tiers, call.tier, new, call.now_ms));
            }
        }
        let mut shared: BTreeMap<&str, _> = shared.iter().map(|(name, state)| (*name, lock(state))).collect();
        let mut at = |call: &JointCall<'_>, change: &mut Change<'_, N>| {
            if let Some((state, credits)) = held.get_mut(call.key) {
                self.mark(call.key, state);
                change(state, credits.find(), call.key);
                false
            } else if let Some(state) = shared.get_mut(call.tier.spec().name.as_str()) {
                change(state, None, shared_holder(&call.tier.spec().name));
                true
            } else {
                unreachable!("every key was just inserted, or shares the overflow bucket of its tier")
            }
        };
        let mut unspent = Vec::with_capacity(spending.len());
        for (call, outcome) in &mut spending {
            outcome.overflow = at(call, &mut |state, mut credits, holder| {
                state.bring_to(call.tier, tiers, call.now_ms, || credits.as_deref_mut());
                let mut standing = state.spent;
                self.places.stand(holder, call.tier, state.at_ms(), &mut standing);
                unspent.push(standing);
                self.decide_as(state, tiers, call, holder, || credits, outcome);
            });
        }
        let is_allowed = |outcome: &Outcome| outcome.verdict == Verdict::Allowed;
        if spending.iter().all(|(_, outcome)| is_allowed(outcome)) {
            return;
        }
        // A refund, and not the state as it was: a later call may have brought the same key under another tier.
        for ((call, outcome), unspent) in spending.iter_mut().zip(unspent) {
            if is_allowed(outcome) {
                let refund = Correction {
                    delta: call.tier.given_back(call.cost),
                    version: outcome.version,
                    charged_at_ms: outcome.now_ms,
                    overflow: outcome.overflow,
                    quotas_only: false,
                };
                at(call, &mut |state, credits, holder| {
                    state.correct(call.tier, tiers, refund, credits.as_deref());
                    self.places.withdraw(holder, call.tier, outcome.place, &mut state.spent);
                });
                outcome.place = 0;
                call.tier.rates.put_in_order(&unspent, &mut outcome.spent);
            }
        }
    }

    /// Makes room for the keys that are not there, as far as others may go.
    fn make_room(&self, tiers: &TierVersions, spending: &[(&JointCall<'_>, &mut Outcome)], room_ms: u64) {
        let mut keys: Vec<KeyHash> = spending.iter().map(|(call, _)| call.key).collect();
        keys.sort_unstable();
        keys.dedup();
        let new = keys.iter().filter(|key| self.table.get(**key).is_none()).count();
        let may_go = |key, state: &State<N>, credits: Option<&Credits<N>>| {
            !keys.contains(&key) && state.is_idle(tiers, room_ms, credits)
        };
        let forgotten = self.table.make_room(new, room_ms, may_go);
        self.count_forgotten(&forgotten);
    }
}

impl Limiter {
    /// Decides on a call of several subjects: each spends its cost, or none does. In the outcomes, one for each, the verdict
    /// of a subject is its own: the call may go on if all are allowed. Of one that would have been, beside another that is
    /// denied, the outcome says where it stands, and it is not counted.
    ///
    /// It waits for the parts of the table that all of them are in, and holds these together: so let them be few.
    ///
    /// # Errors
    /// [`Error::TierUnknown`], [`Error::CostExceedsCapacity`]; then nothing has changed.
    #[cold]
    pub fn consume_together(&self, subjects: &[Subject], now_ms: u64) -> Result<Vec<Outcome>, SubjectError> {
        let tiers = &self.core.tiers;
        let now_ms = held(now_ms);
        let version = tiers.version();
        let checked = |(index, subject): (usize, &Subject)| {
            let tier = tiers.tier_of(version, subject.tier);
            let checked = tier.and_then(|tier| tier.costs(&subject.cost, version).map(|costs| (tier, costs)));
            checked.map_err(|error| SubjectError { index, error })
        };
        let under: Vec<_> = subjects.iter().enumerate().map(checked).collect::<Result<_, _>>()?;
        let mut calls = Vec::with_capacity(subjects.len());
        for (subject, (tier, costs)) in subjects.iter().zip(&under) {
            calls.push(Call {
                key: subject.key,
                tier,
                cost: costs,
                now_ms,
                is_final: true,
            });
        }
        let outcome = Outcome {
            version,
            now_ms,
            ..Outcome::default()
        };
        let mut outcomes = vec![outcome; calls.len()];
        let (room_ms, shared_holder) = (self.room_ms(now_ms), |tier: &str| self.shared_holder(tier));
        keyspace!(self, space => space.consume_together(tiers, &calls, room_ms, &shared_holder, &mut outcomes));
        let is_allowed = outcomes.iter().all(|outcome| outcome.verdict == Verdict::Allowed);
        for (call, outcome) in calls.iter().zip(&outcomes) {
            if is_allowed || outcome.verdict != Verdict::Allowed {
                self.count(call.tier, call.cost, outcome);
            }
        }
        Ok(outcomes)
    }
}
