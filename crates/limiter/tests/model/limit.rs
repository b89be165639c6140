//! One limit in exact fractions.

use num_rational::BigRational;
use tollkeeper_limiter::{NEVER_MS, Period, Rule};

pub type Number = BigRational;

pub fn number(value: u64) -> Number {
    Number::from_integer(value.into())
}

/// What a limit means, in tokens and milliseconds, in thousandths of a token only where it is reported.
pub struct Model {
    pub rule: Rule,
    /// Tokens in the bucket, or used of the quota, in thousandths.
    amount: Number,
    /// What was granted of the quota, and how much of it outlasts the period.
    granted: Number,
    kept: Number,
    at_ms: u64,
    /// Until when a denial has blocked the bucket.
    blocked_until_ms: u64,
}

impl Model {
    pub fn new(rule: Rule, now_ms: u64) -> Self {
        let amount = match rule {
            Rule::Bucket {
                limit_milli,
                burst_milli,
                ..
            } => number(limit_milli).min(Self::capacity(limit_milli, burst_milli)),
            Rule::Quota { .. } => number(0),
            Rule::Concurrency { .. } => unreachable!("it has no other limits"),
        };
        Self {
            rule,
            amount,
            granted: number(0),
            kept: number(0),
            at_ms: now_ms,
            blocked_until_ms: 0,
        }
    }

    pub fn capacity(limit_milli: u64, burst_milli: u64) -> Number {
        (number(limit_milli) * number(burst_milli) / number(1_000)).floor()
    }

    pub fn advance(&mut self, now_ms: u64) {
        match self.rule {
            Rule::Bucket {
                limit_milli,
                window_ms,
                burst_milli,
                ..
            } => {
                if self.is_blocked() && now_ms >= self.blocked_until_ms {
                    self.amount = self.of_new_key();
                    self.at_ms = self.blocked_until_ms;
                }
                if !self.is_blocked() {
                    let refill = number(now_ms - self.at_ms) * number(limit_milli) / number(window_ms);
                    self.amount = (&self.amount + refill).min(Self::capacity(limit_milli, burst_milli));
                }
            }
            Rule::Quota { limit_milli, period } => {
                if period.bounds(self.at_ms) != period.bounds(now_ms) {
                    let left = number(limit_milli) + &self.granted - &self.amount;
                    self.kept = left.max(number(0)).min(self.kept.clone());
                    self.granted = self.kept.clone();
                    self.amount = number(0);
                }
            }
            Rule::Concurrency { .. } => unreachable!("it has no other limits"),
        }
        self.at_ms = now_ms;
    }

    pub fn grant(&mut self, milli: u64, keeps: bool) {
        self.granted += number(milli);
        self.kept += number(if keeps { milli } else { 0 });
    }

    /// What a bucket begins with.
    pub fn of_new_key(&self) -> Number {
        match self.rule {
            Rule::Bucket {
                limit_milli,
                burst_milli,
                ..
            } => number(limit_milli).min(Self::capacity(limit_milli, burst_milli)),
            Rule::Quota { .. } => number(0),
            Rule::Concurrency { .. } => unreachable!("it has no other limits"),
        }
    }

    pub fn is_blocked(&self) -> bool {
        self.at_ms < self.blocked_until_ms
    }

    /// What a denial does.
    pub fn deny(&mut self, cost_milli: u64) {
        if let Rule::Bucket {
            limit_milli: 1..,
            block_ms,
            ..
        } = self.rule
            && cost_milli > 0
            && !self.is_blocked()
            && self.amount < number(cost_milli)
        {
            self.blocked_until_ms = self.at_ms + block_ms;
        }
    }

    pub fn wait_ms(&self, cost_milli: u64) -> u64 {
        if cost_milli == 0 {
            return 0;
        }
        match self.rule {
            Rule::Bucket {
                limit_milli,
                window_ms,
                block_ms,
                ..
            } => {
                let refill_ms = |amount: &Number| {
                    let missing = (number(cost_milli) - amount).max(number(0));
                    if missing == number(0) {
                        0
                    } else if limit_milli == 0 {
                        NEVER_MS
                    } else {
                        whole(&(missing * number(window_ms) / number(limit_milli)).ceil())
                    }
                };
                if self.is_blocked() {
                    self.blocked_until_ms - self.at_ms + refill_ms(&self.of_new_key())
                } else if limit_milli > 0 && block_ms > 0 && self.amount < number(cost_milli) {
                    block_ms + refill_ms(&self.of_new_key())
                } else {
                    refill_ms(&self.amount)
                }
            }
            Rule::Quota { limit_milli, period } => {
                let fits = &self.amount + number(cost_milli) <= number(limit_milli) + &self.granted;
                if fits {
                    0
                } else if limit_milli == 0 || period == Period::Once {
                    NEVER_MS
                } else {
                    period.bounds(self.at_ms).end_ms - self.at_ms
                }
            }
            Rule::Concurrency { .. } => unreachable!("it has no other limits"),
        }
    }

    pub fn spend(&mut self, cost_milli: u64) {
        match self.rule {
            Rule::Bucket { .. } => self.amount -= number(cost_milli),
            Rule::Quota { .. } => self.amount += number(cost_milli),
            Rule::Concurrency { .. } => unreachable!("it has no other limits"),
        }
    }

    /// Whether a debt after it is one that no bucket cuts.
    pub fn may_be_charged(&self, cost_milli: u64) -> bool {
        match self.rule {
            Rule::Bucket {
                limit_milli,
                burst_milli,
                ..
            } => &self.amount + Self::capacity(limit_milli, burst_milli) >= number(cost_milli),
            Rule::Quota { .. } => true,
            Rule::Concurrency { .. } => unreachable!("it has no other limits"),
        }
    }

    pub fn charge(&mut self, cost_milli: u64, charged_at_ms: u64) {
        match self.rule {
            Rule::Bucket { .. } if self.is_blocked() => {}
            Rule::Bucket { .. } => self.amount -= number(cost_milli),
            Rule::Quota { period, .. } => {
                if period.bounds(charged_at_ms) == period.bounds(self.at_ms) {
                    self.amount += number(cost_milli);
                }
            }
            Rule::Concurrency { .. } => unreachable!("it has no other limits"),
        }
    }

    pub fn refund(&mut self, cost_milli: u64, charged_at_ms: u64) {
        match self.rule {
            Rule::Bucket {
                limit_milli,
                burst_milli,
                ..
            } => {
                if self.is_blocked() {
                    return;
                }
                self.amount = (&self.amount + number(cost_milli)).min(Self::capacity(limit_milli, burst_milli));
            }
            Rule::Quota { period, .. } => {
                if period.bounds(charged_at_ms) == period.bounds(self.at_ms) {
                    self.amount = (&self.amount - number(cost_milli)).max(number(0));
                }
            }
            Rule::Concurrency { .. } => unreachable!("it has no other limits"),
        }
    }

    pub fn remaining_milli(&self) -> u64 {
        let left = match self.rule {
            Rule::Bucket { .. } if self.is_blocked() => return 0,
            Rule::Bucket { .. } => self.amount.floor(),
            Rule::Quota { limit_milli, .. } => number(limit_milli) + &self.granted - &self.amount,
            Rule::Concurrency { .. } => unreachable!("it has no other limits"),
        };
        whole(&left.max(number(0)))
    }
}

fn whole(value: &Number) -> u64 {
    value.to_integer().try_into().unwrap()
}
