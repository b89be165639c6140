//! What a key has spent, limit by limit.

use tollkeeper_limiter::{Delta, Rule, TierSpec};

use crate::cost::{Cost, delta_of};
use crate::input::LIMITS;
use crate::running::Running;
use crate::slot::{Slot, Standing};

/// One key, by slot: each name of a limit has its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct Key {
    slots: [Option<Slot>; LIMITS.len()],
    running: Running,
    /// Whether it was ever under a limit of which something is stored.
    pub(crate) is_stored: bool,
    pub(crate) at_ms: u64,
}

impl Key {
    pub(crate) fn new(tier: &TierSpec, now_ms: u64) -> Self {
        let mut key = Self {
            at_ms: now_ms,
            ..Self::default()
        };
        for limit in &tier.limits {
            key.slots[slot_of(&limit.name)] = Some(Slot::new(limit.rule));
        }
        key.is_stored = has_stored(tier);
        key
    }

    pub(crate) fn advance(&mut self, now_ms: u64) {
        let now_ms = now_ms.max(self.at_ms);
        for slot in self.slots.iter_mut().flatten() {
            slot.advance(self.at_ms, now_ms);
        }
        self.at_ms = now_ms;
        self.running.advance(now_ms);
    }

    /// Comes under a tier, which is another than before, or the same.
    pub(crate) fn bring_to(&mut self, tier: &TierSpec, now_ms: u64) {
        let (before_ms, before) = (self.at_ms, self.slots);
        self.advance(now_ms);
        self.is_stored |= has_stored(tier);
        for limit in &tier.limits {
            let index = slot_of(&limit.name);
            match (&mut self.slots[index], &before[index]) {
                (Some(slot), Some(before)) => slot.convert(limit.rule, before, before_ms, self.at_ms),
                (vacant, _) => *vacant = Some(Slot::new(limit.rule)),
            }
        }
    }

    pub(crate) fn standings(&self, tier: &TierSpec, cost: Cost) -> Vec<Standing> {
        let slots = tier.limits.iter().filter_map(|limit| self.slots[slot_of(&limit.name)]);
        let slots = slots.enumerate();
        slots
            .map(|(index, slot)| match slot.rule {
                Rule::Concurrency { limit, .. } => {
                    let slot = slot_of(&tier.limits[index].name);
                    self.running.standing(slot, limit, cost.of(index), self.at_ms)
                }
                _ => slot.standing(cost.of(index), self.at_ms),
            })
            .collect()
    }

    pub(crate) fn charge(&mut self, tier: &TierSpec, cost: Cost) {
        for (index, limit) in tier.limits.iter().enumerate() {
            if let Some(slot) = &mut self.slots[slot_of(&limit.name)] {
                slot.charge(cost.of(index).cast_signed());
            }
        }
    }

    /// Takes a place of each limit of concurrency of which the call costs something; whether there is any.
    pub(crate) fn take(&mut self, tier: &TierSpec, cost: Cost, number: u64) -> bool {
        let mut is_taken = false;
        for (index, limit) in tier.limits.iter().enumerate() {
            if let Rule::Concurrency { timeout_ms, .. } = limit.rule
                && cost.of(index) > 0
            {
                self.running.take(slot_of(&limit.name), number, self.at_ms + timeout_ms);
                is_taken = true;
            }
        }
        is_taken
    }

    /// Gives a place back; whether it was not over, if that is known.
    pub(crate) fn release(&mut self, number: u64, now_ms: u64) -> Option<bool> {
        self.running.release(number, now_ms.max(self.at_ms))
    }

    /// A sweep may have forgotten the places that are over by its clock, though the key's own lags.
    pub(crate) fn sweep_places(&mut self, swept_ms: u64) {
        self.running.sweep(swept_ms);
    }

    /// As after a restart: what ran runs no more.
    pub(crate) fn forget_places(&mut self) {
        self.running = Running::default();
        for slot in &mut self.slots {
            *slot = slot.filter(|slot| !matches!(slot.rule, Rule::Concurrency { .. }));
        }
    }

    /// Whether that is not too much.
    pub(crate) fn grant(&mut self, name: &str, milli: u64, keeps: bool) -> bool {
        let slot = self.slots[slot_of(name)].as_mut();
        slot.is_some_and(|slot| slot.grant(milli, keeps))
    }

    /// Has the limits of a tier take a denied call of this cost.
    pub(crate) fn deny(&mut self, tier: &TierSpec, cost: Cost) {
        for (index, limit) in tier.limits.iter().enumerate() {
            if let Some(slot) = &mut self.slots[slot_of(&limit.name)] {
                slot.deny(cost.of(index));
            }
        }
    }

    /// Whether it has held places at most.
    pub(crate) fn counts_nothing(&self) -> bool {
        let mut slots = self.slots.iter().flatten();
        slots.all(|slot| matches!(slot.rule, Rule::Concurrency { .. }))
    }

    /// Charges more, or less, for a call of an earlier instant.
    pub(crate) fn correct(&mut self, tier: &TierSpec, delta: Delta, charged_at_ms: u64, quotas_only: bool) {
        for (index, limit) in tier.limits.iter().enumerate() {
            if let Some(slot) = &mut self.slots[slot_of(&limit.name)] {
                let delta_milli = delta_of(delta, index);
                slot.correct(limit.rule, delta_milli, self.at_ms, charged_at_ms, quotas_only);
            }
        }
    }

    /// Forgets a limit that no tier has any more.
    pub(crate) fn drop_limit(&mut self, name: &str) {
        self.slots[slot_of(name)] = None;
    }

    /// Whether every bucket may be full and every quota unused at an instant.
    pub(crate) fn may_be_idle(&self, now_ms: u64) -> bool {
        let mut key = self.clone();
        key.advance(now_ms);
        key.running.may_be_none() && key.slots.iter().flatten().all(Slot::may_be_idle)
    }
}

/// Whether anything of a tier is stored: of places nothing is.
fn has_stored(tier: &TierSpec) -> bool {
    let mut rules = tier.limits.iter().map(|limit| limit.rule);
    rules.any(|rule| !matches!(rule, Rule::Concurrency { .. }))
}

/// Which slot a limit of this name has.
fn slot_of(name: &str) -> usize {
    LIMITS
        .iter()
        .position(|limit| *limit == name)
        .expect("no other names are made")
}
