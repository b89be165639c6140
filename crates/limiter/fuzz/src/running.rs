//! The places that a key's running calls have taken.

use crate::slot::{Faith, Standing};

/// A place, by slot and by the number of the decision that has taken it.
#[derive(Debug, Clone, Copy)]
struct Place {
    slot: usize,
    number: u64,
    ends_ms: u64,
    /// Whether the limiter may have forgotten it, as over by a clock that was ahead.
    is_doubtful: bool,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Running(Vec<Place>);

impl Running {
    pub(crate) fn advance(&mut self, now_ms: u64) {
        self.0.retain(|place| place.ends_ms > now_ms);
    }

    pub(crate) fn sweep(&mut self, swept_ms: u64) {
        for place in &mut self.0 {
            place.is_doubtful |= place.ends_ms <= swept_ms;
        }
    }

    pub(crate) fn take(&mut self, slot: usize, number: u64, ends_ms: u64) {
        self.0.push(Place {
            slot,
            number,
            ends_ms,
            is_doubtful: false,
        });
    }

    pub(crate) fn release(&mut self, number: u64, now_ms: u64) -> Option<bool> {
        let (given_back, kept) = self.0.iter().partition(|place| place.number == number);
        let given_back: Vec<&Place> = given_back;
        let is_known = given_back.iter().all(|place| !place.is_doubtful);
        let is_freed = given_back.iter().any(|place| place.ends_ms > now_ms);
        self.0 = Vec::into_iter(kept).copied().collect();
        is_known.then_some(is_freed)
    }

    pub(crate) fn may_be_none(&self) -> bool {
        self.0.iter().all(|place| place.is_doubtful)
    }

    pub(crate) fn standing(&self, slot: usize, limit: u64, cost_milli: u64, now_ms: u64) -> Standing {
        let taken = || self.0.iter().filter(|place| place.slot == slot);
        let reset_ms = taken()
            .map(|place| place.ends_ms)
            .min()
            .map_or(0, |first_ms| first_ms - now_ms);
        let free = limit.saturating_sub(taken().count() as u64);
        Standing {
            wait_ms: if free == 0 && cost_milli > 0 { reset_ms } else { 0 },
            remaining_milli: 1_000 * free,
            reset_ms,
            faith: if taken().any(|place| place.is_doubtful) {
                Faith::Lost
            } else {
                Faith::Exact
            },
        }
    }
}
