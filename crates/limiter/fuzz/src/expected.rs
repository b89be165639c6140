//! What the model expects of a decision.

use tollkeeper_limiter::{MAX_LIMITS, NEVER_MS, Outcome, Rule, Tier, TierSpec, Verdict};

use crate::cost::Cost;
use crate::key::Key;
use crate::slot::{Faith, Standing, capacity_milli};

/// Where a key's limits stand before a call, for its verdict and its wait, and after it.
pub(crate) struct Expected {
    cost: Cost,
    before: Vec<Standing>,
    after: Vec<Standing>,
    at_ms: u64,
    told_ms: u64,
}

impl Expected {
    /// Of a key as the call left it; `before` is empty for a call that costs nothing, since that waits for nothing.
    pub(crate) fn new(cost: Cost, before: Vec<Standing>, key: &Key, tier: &TierSpec, told_ms: u64) -> Self {
        Self {
            cost,
            before,
            after: key.standings(tier, Cost::Every(0)),
            at_ms: key.at_ms,
            told_ms,
        }
    }

    /// Compares a decision under `tier` with this.
    pub(crate) fn check(&self, outcome: &Outcome, tier: &Tier) {
        assert!(self.before.len() <= MAX_LIMITS);
        assert_eq!(outcome.now_ms, self.at_ms);
        assert_eq!(outcome.behind_ms, self.at_ms - self.told_ms);
        self.check_wait(outcome, tier);
        self.check_reports(outcome, tier);
    }

    fn check_wait(&self, outcome: &Outcome, tier: &Tier) {
        let wait_ms = match outcome.verdict {
            Verdict::Allowed => 0,
            Verdict::Denied { limit } => outcome.retry_after_ms(tier, self.cost.of(usize::from(limit))),
        };
        // A clock that lags has to catch up first.
        let wait_ms = if wait_ms == 0 {
            0
        } else {
            without(outcome.behind_ms, wait_ms)
        };
        if self.before.iter().any(|standing| standing.faith == Faith::Lost) {
            return;
        }
        let longest_ms = self.before.iter().map(|standing| standing.wait_ms).max().unwrap_or(0);
        let slack = self.before.iter().map(slack).max().unwrap_or(0);
        assert!(
            wait_ms.abs_diff(longest_ms) <= slack,
            "waits {wait_ms}, not {longest_ms}"
        );
        match outcome.verdict {
            Verdict::Allowed => assert!(longest_ms <= slack, "allowed, but waits {longest_ms}"),
            Verdict::Denied { limit } => {
                let denied = &self.before[usize::from(limit)];
                assert!(wait_ms > 0 && denied.wait_ms.saturating_add(slack) >= longest_ms);
            }
        }
    }

    fn check_reports(&self, outcome: &Outcome, tier: &Tier) {
        let reports = outcome.report(tier);
        assert_eq!(reports.len(), self.after.len());
        for ((report, standing), limit) in reports.iter().zip(&self.after).zip(&tier.spec().limits) {
            assert_eq!(report.name, limit.name);
            // A quota may have been granted more.
            if matches!(limit.rule, Rule::Bucket { .. }) {
                assert!(report.remaining_milli <= capacity_milli(limit.rule), "past full");
            }
            if standing.faith != Faith::Lost {
                let slack = slack(standing);
                assert!(
                    report.remaining_milli.abs_diff(standing.remaining_milli) <= slack
                        && without(outcome.behind_ms, report.reset_ms).abs_diff(standing.reset_ms) <= slack,
                    "{report:?} is not {standing:?}"
                );
            }
        }
    }
}

/// A time that counts from when the clock has caught up.
fn without(behind_ms: u64, ms: u64) -> u64 {
    if ms == NEVER_MS { ms } else { ms - behind_ms }
}

/// By how much the limiter may differ: thousandths of a token, and milliseconds.
fn slack(standing: &Standing) -> u64 {
    u64::from(standing.faith == Faith::Rounded)
}
