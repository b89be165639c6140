//! What a key has spent of one limit, counted plainly: buckets in thousandths of a token times milliseconds of the
//! window, quotas in thousandths of a token.

use tollkeeper_limiter::{MAX_AMOUNT, NEVER_MS, Period, Rule, TierSpec};

/// Parts of a unit, for what a change of tier leaves over.
const SCALE: u128 = 1 << 30;

/// What is governed, by which rule.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot {
    pub(crate) rule: Rule,
    /// Of a quota what is used.
    spent: u128,
    /// What was granted of a quota, and how much of it outlasts the period.
    granted: u128,
    kept: u128,
    /// For how many milliseconds more a bucket is blocked.
    blocked_ms: u64,
    faith: Faith,
}

/// How well the model knows what is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Faith {
    Exact,
    /// A change of tier has rounded.
    Rounded,
    /// It went beyond what the model counts, or beyond where a debt is cut.
    Lost,
}

/// Where one limit stands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Standing {
    pub(crate) wait_ms: u64,
    pub(crate) remaining_milli: u64,
    pub(crate) reset_ms: u64,
    pub(crate) faith: Faith,
}

impl Slot {
    pub(crate) fn new(rule: Rule) -> Self {
        Self {
            rule,
            spent: Self::initial(rule),
            granted: 0,
            kept: 0,
            blocked_ms: 0,
            faith: Faith::Exact,
        }
    }

    fn initial(rule: Rule) -> u128 {
        match rule {
            Rule::Bucket { limit_milli, .. } => {
                u128::from(capacity_milli(rule).saturating_sub(limit_milli)) * Self::per_milli(rule)
            }
            Rule::Quota { .. } | Rule::Concurrency { .. } => 0,
        }
    }

    fn per_milli(rule: Rule) -> u128 {
        match rule {
            Rule::Bucket { window_ms, .. } => u128::from(window_ms) * SCALE,
            Rule::Quota { .. } | Rule::Concurrency { .. } => 1,
        }
    }

    fn capacity(rule: Rule) -> u128 {
        u128::from(capacity_milli(rule)) * Self::per_milli(rule)
    }

    pub(crate) fn advance(&mut self, at_ms: u64, now_ms: u64) {
        match self.rule {
            Rule::Bucket { limit_milli, .. } => {
                let elapsed_ms = now_ms - at_ms;
                if self.blocked_ms > elapsed_ms {
                    self.blocked_ms -= elapsed_ms;
                    return;
                }
                if self.blocked_ms > 0 {
                    self.spent = Self::initial(self.rule);
                }
                let refill = u128::from(elapsed_ms - self.blocked_ms) * u128::from(limit_milli) * SCALE;
                self.blocked_ms = 0;
                self.spent = self.spent.saturating_sub(refill);
            }
            Rule::Quota { period, .. } => {
                if start_ms(period, at_ms) != start_ms(period, now_ms) {
                    self.begin();
                }
            }
            // Places are the key's.
            Rule::Concurrency { .. } => {}
        }
    }

    /// Begins a period of a quota: what is kept was used last.
    fn begin(&mut self) {
        let left = (Self::capacity(self.rule) + self.granted).saturating_sub(self.spent);
        if self.kept == 0 {
            self.faith = Faith::Exact;
        }
        self.kept = self.kept.min(left);
        self.granted = self.kept;
        self.spent = 0;
    }

    /// Whether that is not too much.
    pub(crate) fn grant(&mut self, milli: u64, keeps: bool) -> bool {
        let granted = self.granted + u128::from(milli);
        if granted > u128::from(MAX_AMOUNT) {
            return false;
        }
        self.granted = granted;
        self.kept += if keeps { u128::from(milli) } else { 0 };
        true
    }

    /// Under another rule: the fraction of a bucket, the amount of a quota of the same period.
    pub(crate) fn convert(&mut self, to: Rule, before: &Self, before_ms: u64, now_ms: u64) {
        if self.rule == to {
            return;
        }
        match (self.rule, to) {
            // Of nothing there is no fraction.
            (Rule::Bucket { limit_milli: 0, .. }, Rule::Bucket { .. })
            | (Rule::Bucket { .. }, Rule::Bucket { limit_milli: 0, .. }) => *self = Self::new(to),
            (
                Rule::Bucket { .. },
                Rule::Bucket {
                    limit_milli, block_ms, ..
                },
            ) if self.blocked_ms > 0 => {
                if block_ms == 0 {
                    // Owed, as far as a debt goes.
                    let debt = u128::from(self.blocked_ms) * u128::from(limit_milli) * SCALE;
                    self.spent = Self::capacity(to) + debt;
                    self.blocked_ms = 0;
                    self.rule = to;
                    self.cut_debt();
                } else if self.blocked_ms > block_ms {
                    // Maybe longer than an amount of that bucket can say.
                    self.faith = Faith::Lost;
                }
            }
            (Rule::Bucket { .. }, Rule::Bucket { .. }) if self.spent > 0 => {
                let scaled = self.spent.checked_mul(Self::capacity(to) / SCALE);
                let spent = scaled.map(|scaled| scaled.div_ceil(Self::capacity(self.rule) / SCALE));
                let large = capacity_milli(to).max(capacity_milli(self.rule)) > 1 << 24;
                self.faith = self.faith.max(if large || spent.is_none() {
                    Faith::Lost
                } else {
                    Faith::Rounded
                });
                self.spent = spent.unwrap_or(0);
            }
            (Rule::Quota { period: from, .. }, Rule::Quota { period, .. }) => {
                // Its old period may have ended where the new one goes on.
                *self = *before;
                if start_ms(from, before_ms) != start_ms(period, now_ms) {
                    self.begin();
                }
            }
            _ => {}
        }
        self.rule = to;
    }

    /// What a denied call of this cost does.
    pub(crate) fn deny(&mut self, cost_milli: u64) {
        let Rule::Bucket {
            limit_milli: 1..,
            block_ms: 1..,
            ..
        } = self.rule
        else {
            return;
        };
        if cost_milli == 0 {
            return;
        }
        let after = self.spent + u128::from(cost_milli) * Self::per_milli(self.rule);
        match (self.rule, self.faith) {
            (Rule::Bucket { block_ms, .. }, Faith::Exact) => {
                if self.blocked_ms == 0 && after > Self::capacity(self.rule) {
                    self.blocked_ms = block_ms;
                }
            }
            // Whether there was room hangs on a rounding, or worse.
            _ => self.faith = Faith::Lost,
        }
    }

    pub(crate) fn charge(&mut self, delta_milli: i64) {
        if matches!(self.rule, Rule::Concurrency { .. }) {
            return;
        }
        if self.blocked_ms > 0 {
            return;
        }
        let delta = u128::from(delta_milli.unsigned_abs()).saturating_mul(Self::per_milli(self.rule));
        if delta_milli < 0 {
            self.spent = self.spent.saturating_sub(delta);
        } else {
            self.spent = self.spent.saturating_add(delta);
            self.cut_debt();
        }
    }

    /// Where a debt is cut is the limiter's own choice, but not before this.
    fn cut_debt(&mut self) {
        if self.spent > self.granted + 2 * Self::capacity(self.rule) {
            self.faith = Faith::Lost;
            self.spent = self.spent.min(self.granted + 8 * Self::capacity(self.rule));
        }
    }

    /// For a call of an earlier instant, counted by the rule of then: a quota only if that was in its present period, a
    /// bucket by the same fraction.
    pub(crate) fn correct(&mut self, rule: Rule, delta_milli: i64, now_ms: u64, charged_at_ms: u64, quotas_only: bool) {
        match (self.rule, rule) {
            (Rule::Concurrency { .. }, _) => {}
            (Rule::Quota { period: present, .. }, Rule::Quota { period, .. }) => {
                if start_ms(present, now_ms) == start_ms(period, charged_at_ms) {
                    self.charge(delta_milli);
                }
            }
            _ if quotas_only || self.blocked_ms > 0 || capacity_milli(self.rule) == 0 || capacity_milli(rule) == 0 => {}
            _ if capacity_milli(self.rule) == capacity_milli(rule) => self.charge(delta_milli),
            _ => self.charge_counted_by(rule, delta_milli),
        }
    }

    /// What a larger or smaller bucket counted.
    fn charge_counted_by(&mut self, rule: Rule, delta_milli: i64) {
        let whole = u128::from(capacity_milli(rule));
        let units = u128::from(delta_milli.unsigned_abs()).checked_mul(Self::capacity(self.rule));
        let large = capacity_milli(self.rule).max(capacity_milli(rule)) > 1 << 24;
        self.faith = self.faith.max(if large || units.is_none() {
            Faith::Lost
        } else {
            Faith::Rounded
        });
        let units = units.unwrap_or(0);
        if delta_milli < 0 {
            self.spent = self.spent.saturating_sub(units / whole);
        } else {
            self.spent = self.spent.saturating_add(units.div_ceil(whole));
            self.cut_debt();
        }
    }

    pub(crate) fn may_be_idle(&self) -> bool {
        match self.faith {
            Faith::Exact => self.spent == 0 && self.granted == 0 && self.blocked_ms == 0,
            // Within a millionth of a token.
            Faith::Rounded => self.spent <= Self::per_milli(self.rule) / 1_000,
            Faith::Lost => true,
        }
    }

    pub(crate) fn standing(&self, cost_milli: u64, now_ms: u64) -> Standing {
        let cost = u128::from(cost_milli) * Self::per_milli(self.rule);
        let after = self.spent + cost;
        let capacity = Self::capacity(self.rule) + self.granted;
        let mut remaining = capacity.saturating_sub(self.spent) / Self::per_milli(self.rule);
        let (wait_ms, reset_ms) = match self.rule {
            Rule::Bucket { limit_milli: 0, .. } | Rule::Quota { limit_milli: 0, .. } => {
                (if after > capacity { NEVER_MS } else { 0 }, NEVER_MS)
            }
            Rule::Bucket {
                limit_milli, block_ms, ..
            } => {
                let per_ms = u128::from(limit_milli) * SCALE;
                let wait_ms = |after: u128| whole(after.saturating_sub(capacity).div_ceil(per_ms));
                let initial = Self::initial(self.rule);
                if self.blocked_ms > 0 {
                    remaining = 0;
                    (
                        self.blocked_ms + wait_ms(initial + cost),
                        self.blocked_ms + whole(initial.div_ceil(per_ms)),
                    )
                } else if block_ms > 0 && after > capacity {
                    (block_ms + wait_ms(initial + cost), whole(self.spent.div_ceil(per_ms)))
                } else {
                    (wait_ms(after), whole(self.spent.div_ceil(per_ms)))
                }
            }
            Rule::Quota { period, .. } => {
                let rest = match period.bounds(now_ms).end_ms {
                    NEVER_MS => NEVER_MS,
                    end_ms => end_ms - now_ms,
                };
                (if after > capacity { rest } else { 0 }, rest)
            }
            Rule::Concurrency { .. } => unreachable!("places are the key's"),
        };
        Standing {
            // What costs nothing waits for nothing.
            wait_ms: if cost_milli == 0 { 0 } else { wait_ms },
            remaining_milli: whole(remaining),
            reset_ms,
            faith: self.faith,
        }
    }
}

/// The most that a limit can hold, in thousandths of a token.
pub(crate) fn capacity_milli(rule: Rule) -> u64 {
    match rule {
        Rule::Bucket {
            limit_milli,
            burst_milli,
            ..
        } => whole(u128::from(limit_milli) * u128::from(burst_milli) / 1_000),
        Rule::Quota { limit_milli, .. } => limit_milli,
        // Whatever it costs, a call takes one place.
        Rule::Concurrency { .. } => u64::MAX,
    }
}

/// The most that a call under a tier may cost, by its limits that allow something.
pub(crate) fn most_milli(tier: &TierSpec) -> Option<u64> {
    let capacities = tier.limits.iter().map(|limit| capacity_milli(limit.rule));
    let most = capacities.filter(|&most| most > 0 && most < u64::MAX).min();
    let is_place = |rule| matches!(rule, Rule::Concurrency { .. });
    let has_amounts = tier.limits.iter().any(|limit| !is_place(limit.rule));
    most.or(has_amounts.then_some(1 << 62))
}

fn start_ms(period: Period, at_ms: u64) -> u64 {
    period.bounds(at_ms).start_ms
}

fn whole(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}
