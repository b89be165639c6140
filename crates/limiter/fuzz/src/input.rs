//! Choices, taken from bytes.

use tollkeeper_limiter::{LimitSpec, Period, Rule, TierSpec};

use crate::cost::Cost;

pub(crate) const DAY_MS: u64 = 86_400_000;
pub(crate) const LIMITS: [&str; 8] = ["w", "x", "y", "z", "w2", "x2", "y2", "z2"];
pub(crate) const TIERS: [&str; 3] = ["a", "b", "c"];

/// What is left of the bytes; zeros after their end.
pub(crate) struct Input<'a> {
    rest: &'a [u8],
    /// Which period the quotas of the last name have.
    period: Option<u64>,
    /// Whether limits of the fifth name are of concurrency, and wild ones may be.
    has_places: bool,
}

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            period: None,
            has_places: false,
        }
    }

    pub(crate) fn with_places(self) -> Self {
        Self {
            has_places: true,
            ..self
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.rest.split_first() else {
            return 0;
        };
        self.rest = rest;
        *first
    }

    pub(crate) fn number(&mut self, bytes: usize) -> u64 {
        (0..bytes).fold(0, |number, _| number << 8 | u64::from(self.byte()))
    }

    /// Below `bound`, which is at most 2^32.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let bytes = if bound <= 1 << 8 {
            1
        } else if bound <= 1 << 16 {
            2
        } else {
            4
        };
        self.number(bytes) % bound
    }

    pub(crate) fn index(&mut self, bound: usize) -> usize {
        self.below(bound as u64) as usize
    }

    /// Milliseconds to go on by: often few, seldom many.
    pub(crate) fn advance_ms(&mut self) -> u64 {
        match self.below(8) {
            0 | 1 => 0,
            2..=4 => self.below(2_000),
            5 => self.below(100_000),
            6 => self.below(DAY_MS),
            _ => self.below(40 * DAY_MS),
        }
    }

    pub(crate) fn cost(&mut self, is_of_each: bool) -> Cost {
        if is_of_each {
            Cost::Each(std::array::from_fn(|_| self.cost_milli()))
        } else {
            Cost::Every(self.cost_milli())
        }
    }

    pub(crate) fn cost_milli(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1..=3 => 1_000,
            4..=6 => 1 + self.below(30_000),
            _ => self.number(8),
        }
    }

    /// How many names limits may have.
    pub(crate) fn names(&mut self) -> usize {
        [1, 2, 3, 4, 5, LIMITS.len(), 3, 4][self.index(8)]
    }

    /// Tiers in which limits of one name are nearly always of one kind.
    pub(crate) fn tiers(&mut self, names: usize) -> Vec<TierSpec> {
        let count = 1 + self.index(TIERS.len());
        let tiers = TIERS[..count].iter().map(|name| {
            let chosen = self.byte();
            let wild = chosen & 0xF0 == 0xF0;
            let more = if names > 4 { self.byte() } else { 0 };
            let slots = chosen & 0xF | more << 4;
            let limits = (0..names).filter(|slot| slots & 1 << slot != 0);
            let limits = limits.map(|slot| LimitSpec {
                name: LIMITS[slot].into(),
                rule: self.rule(slot, wild),
            });
            TierSpec {
                name: (*name).into(),
                limits: limits.collect(),
            }
        });
        tiers.collect()
    }

    fn rule(&mut self, slot: usize, wild: bool) -> Rule {
        if wild {
            return match self.below(if self.has_places { 4 } else { 3 }) {
                3 => Rule::Concurrency {
                    limit: self.number(2),
                    timeout_ms: self.number(5),
                },
                0 => Rule::Bucket {
                    limit_milli: self.number(5),
                    window_ms: self.number(5),
                    burst_milli: self.number(3),
                    block_ms: 0,
                },
                1 => Rule::Quota {
                    limit_milli: self.number(8),
                    period: Period::Day,
                },
                _ => Rule::Quota {
                    limit_milli: self.number(7),
                    period: self.wild_period(),
                },
            };
        }
        if slot == 4 && self.has_places {
            return Rule::Concurrency {
                limit: 1 + self.below(3),
                timeout_ms: [1, 1_000, 1 + self.below(90_000)][self.index(3)],
            };
        }
        match slot % 4 {
            0 | 2 => {
                let limit_milli = match self.below(16) {
                    0 => 0,
                    1..=8 => 1_000 * (1 + self.below(12)),
                    _ => 1 + self.below(20_000),
                };
                let window_ms = [1_000, 60_000, 1 + self.below(90_000)][self.index(3)];
                let bursts = [1_000, 1_500, 1_000 + self.below(3_000), 1 + self.below(1_000)];
                let chosen = usize::from(self.byte());
                Rule::Bucket {
                    limit_milli,
                    window_ms,
                    burst_milli: bursts[chosen % 4],
                    block_ms: [0, 0, 1_500, 100_000][chosen / 4 % 4],
                }
            }
            1 => Rule::Quota {
                limit_milli: self.quota_milli(60_000),
                period: Period::Month {
                    anchor_day: [1, 31, 1 + self.below(31) as u8][self.index(3)],
                },
            },
            _ => Rule::Quota {
                limit_milli: self.quota_milli(100_000),
                period: self.period(),
            },
        }
    }

    fn quota_milli(&mut self, most: u64) -> u64 {
        match self.below(16) {
            0 => 0,
            _ => 1 + self.below(most),
        }
    }

    /// One of all that there are, but months; the first that is asked for says which.
    fn period(&mut self) -> Period {
        let period = self.period.unwrap_or_else(|| self.below(5));
        self.period = Some(period);
        match period {
            0 => Period::Hour,
            1 => Period::Day,
            2 => Period::Week {
                anchor_day: 1 + self.below(7) as u8,
            },
            3 => Period::Year {
                anchor_month: 1 + self.below(12) as u8,
            },
            _ => Period::Once,
        }
    }

    fn wild_period(&mut self) -> Period {
        let anchor = self.byte();
        match self.below(3) {
            0 => Period::Week { anchor_day: anchor },
            1 => Period::Month { anchor_day: anchor },
            _ => Period::Year { anchor_month: anchor },
        }
    }
}
