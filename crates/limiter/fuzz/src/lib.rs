//! Any sequence of operations on a limiter, beside a model that counts plainly.

mod input;
mod model;

use std::collections::BTreeMap;

use input::{Input, TIERS};
use model::{Faith, Key, Standing, capacity_milli};
use tollkeeper_limiter::{
    Change, Correction, Error, KeyHash, KeySnapshot, Limiter, MAX_INSTANT_MS, MAX_LIMITS, Outcome, PlanLimit, Rule,
    Settings, TierId, TierSpec, Verdict,
};

const SECRET: [u8; 16] = [5; 16];
const MAX_STEPS: usize = 400;
const DAY_MS: u64 = 86_400_000;

/// Hashes that meet in one shard, at both its ends, and some that don't.
const KEYS: [KeyHash; 12] = [
    KeyHash([1, 0]),
    KeyHash([1, 1 << 20]),
    KeyHash([2, 0]),
    KeyHash([3, 0]),
    KeyHash([u64::MAX, 0]),
    KeyHash([u64::MAX, 1 << 40]),
    KeyHash([u64::MAX - 1, 0]),
    KeyHash([u64::MAX - 2, 0]),
    KeyHash([1 << 63, 0]),
    KeyHash([1 << 63, 1]),
    KeyHash([0x1234_5678_9ABC_DEF0, 7]),
    KeyHash([0xFEDC_BA98_7654_3210, u64::MAX]),
];

/// An allowed decision, which may be corrected.
#[derive(Debug, Clone, Copy)]
struct Charge {
    key: KeyHash,
    tier: TierId,
    cost_milli: u64,
    at_ms: u64,
    overflow: bool,
    version: usize,
}

/// What was admitted of one key, as long as nothing but consuming happened to it.
#[derive(Debug, Clone, Default)]
struct History {
    tier: Option<TierId>,
    admitted: Vec<(u64, u64)>,
}

struct Run {
    limiter: Limiter,
    max_keys: usize,
    tiers: Vec<TierSpec>,
    version: usize,
    /// The tiers of every version.
    editions: Vec<Vec<TierSpec>>,
    given_ms: u64,
    clock_ms: u64,
    keys: BTreeMap<KeyHash, Key>,
    overflow: BTreeMap<TierId, Key>,
    charges: Vec<Charge>,
    histories: BTreeMap<KeyHash, History>,
    stored: BTreeMap<KeyHash, (KeySnapshot, Vec<PlanLimit>)>,
    evictions: u64,
    decisions: u64,
}

/// Runs the operations that the bytes stand for, and panics where the limiter and the model disagree.
pub fn operations(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let names = 1 + input.index(4);
    let max_keys = [1, 2, 3, 5, 8, 100][input.index(6)];
    let given_ms = [1_790_000_000_000, 0, MAX_INSTANT_MS - 50 * DAY_MS, 1_835_395_199_000][input.index(4)];
    let tiers = input.tiers(names);
    let Ok(limiter) = limiter(tiers.clone(), max_keys) else {
        return;
    };
    let mut run = Run {
        limiter,
        max_keys,
        editions: vec![tiers.clone()],
        tiers,
        version: 0,
        given_ms,
        clock_ms: 0,
        keys: BTreeMap::new(),
        overflow: BTreeMap::new(),
        charges: Vec::new(),
        histories: BTreeMap::new(),
        stored: BTreeMap::new(),
        evictions: 0,
        decisions: 0,
    };
    let mut steps = 0;
    while !input.is_empty() && steps < MAX_STEPS {
        run.step(&mut input, names);
        steps += 1;
    }
    run.check_counts();
    run.check_histories();
    run.restart();
}

fn limiter(tiers: Vec<TierSpec>, max_keys: usize) -> Result<Limiter, Error> {
    Limiter::new(Settings {
        tiers,
        max_keys,
        secret: SECRET,
        durable: true,
    })
}

impl Run {
    fn step(&mut self, input: &mut Input, names: usize) {
        let operation = input.byte() % 32;
        let key = KEYS[input.index(KEYS.len())];
        match operation {
            0..=17 => {
                self.given_ms += input.advance_ms();
                let (tier, cost_milli) = (input.index(TIERS.len()), input.cost_milli());
                self.consume(key, tier as TierId, cost_milli);
            }
            18 | 19 => {
                self.given_ms += input.advance_ms();
                let (tier, cost_milli) = (input.index(TIERS.len()), input.cost_milli());
                self.peek(key, tier as TierId, cost_milli);
            }
            20..=22 => {
                self.given_ms += input.advance_ms();
                self.refund(input);
            }
            23 => self.settle(key, input),
            24 => self.reset(key),
            25 | 26 => {
                self.given_ms += input.advance_ms();
                self.sweep(1 + input.index(70));
            }
            27 => self.reload(input.tiers(names)),
            28 => self.save(),
            29 => self.restart(),
            30 => {
                let taken = self.limiter.take_changed();
                // Some of them are looked at before it fails.
                let _ = self.limiter.changes(&taken[..taken.len() / 2]);
                self.limiter.give_back_changed(&taken);
            }
            // Backwards, which counts as standing still.
            _ => self.given_ms = self.given_ms.saturating_sub(input.advance_ms()),
        }
    }

    /// The limiter's idea of now.
    fn now(&mut self) -> u64 {
        self.clock_ms = self.clock_ms.max(self.given_ms.min(MAX_INSTANT_MS - 1));
        self.clock_ms
    }

    fn tier(&self, id: TierId) -> Option<TierSpec> {
        let name = TIERS[usize::from(id)];
        let tier = self.tiers.iter().find(|tier| tier.name == name).cloned();
        assert_eq!(self.limiter.tier_id(name), tier.as_ref().map(|_| id));
        tier
    }

    /// What is expected instead of a decision.
    fn refusal(tier: Option<&TierSpec>, cost_milli: u64) -> Option<Error> {
        let Some(tier) = tier else {
            return Some(Error::TierUnknown);
        };
        let most_milli = tier.limits.iter().map(|limit| capacity_milli(limit.rule)).min()?;
        (cost_milli > most_milli).then_some(Error::CostExceedsCapacity { most_milli })
    }

    fn consume(&mut self, key: KeyHash, id: TierId, cost_milli: u64) {
        let tier = self.tier(id);
        let decided = self.limiter.consume(key, id, cost_milli, self.given_ms);
        if let Some(error) = Self::refusal(tier.as_ref(), cost_milli) {
            assert_eq!(decided, Err(error));
            return;
        }
        let (Ok(outcome), Some(tier)) = (decided.clone(), tier) else {
            panic!("{decided:?}")
        };
        let now_ms = self.now();
        self.decisions += 1;
        if tier.limits.is_empty() {
            assert_eq!(outcome.verdict, Verdict::Allowed);
            return;
        }
        if cost_milli == 0 {
            self.check_unspent(key, &tier, 0, &outcome);
            return;
        }
        if !self.keys.contains_key(&key) {
            self.notice_evictions(key);
        }
        let full = self.keys.len() >= self.max_keys;
        let overflow = full && !self.keys.contains_key(&key);
        assert_eq!(
            outcome.overflow,
            overflow,
            "{} of {} keys",
            self.keys.len(),
            self.max_keys
        );
        let new = || Key::new(&tier, now_ms);
        let model = if overflow {
            self.overflow.entry(id).or_insert_with(new)
        } else {
            self.keys.entry(key).or_insert_with(new)
        };
        model.enter(&tier, now_ms);
        let before = model.standings(&tier, cost_milli);
        if outcome.verdict == Verdict::Allowed {
            model.charge(&tier, cost_milli);
        }
        let after = model.standings(&tier, 0);
        let at_ms = model.at_ms;
        check(
            &outcome,
            self.limiter.tier(id).expect("it decided"),
            cost_milli,
            &before,
            &after,
            at_ms,
        );
        assert_eq!(outcome.version, self.version);
        if !overflow {
            let admitted = if outcome.verdict == Verdict::Allowed {
                cost_milli
            } else {
                0
            };
            self.note(key, id, admitted, outcome.now_ms);
        }
        if outcome.verdict == Verdict::Allowed {
            self.charges.push(Charge {
                key,
                tier: id,
                cost_milli,
                at_ms: outcome.now_ms,
                overflow,
                version: outcome.version,
            });
        }
    }

    /// Notes what was admitted, until a change of tier, which a denied call makes too, leaves the sum without meaning.
    fn note(&mut self, key: KeyHash, tier: TierId, cost_milli: u64, now_ms: u64) {
        let history = self.histories.entry(key).or_default();
        if history.tier.is_some_and(|before| before != tier) {
            history.admitted.clear();
            history.tier = Some(TierId::MAX);
        } else {
            history.tier = Some(tier);
            history.admitted.push((now_ms, cost_milli));
        }
    }

    fn peek(&mut self, key: KeyHash, id: TierId, cost_milli: u64) {
        let tier = self.tier(id);
        let decided = self.limiter.peek(key, id, cost_milli, self.given_ms);
        if let Some(error) = Self::refusal(tier.as_ref(), cost_milli) {
            assert_eq!(decided, Err(error));
            return;
        }
        let (Ok(outcome), Some(tier)) = (decided.clone(), tier) else {
            panic!("{decided:?}")
        };
        self.check_unspent(key, &tier, cost_milli, &outcome);
    }

    fn check_unspent(&mut self, key: KeyHash, tier: &TierSpec, cost_milli: u64, outcome: &Outcome) {
        let now_ms = self.now();
        let id = self.limiter.tier_id(&tier.name).expect("it decided");
        let known = self.keys.get(&key);
        let full = self.keys.len() >= self.max_keys;
        let needs_room = known.is_none() && !tier.limits.is_empty();
        if outcome.overflow {
            assert!(full && needs_room);
        } else if full && needs_room {
            let one_may_go = self.keys.values().any(|key| key.may_be_idle(now_ms));
            assert!(one_may_go, "there is no room for {key:?}");
        }
        let shared = self.overflow.get(&id).filter(|_| outcome.overflow);
        let mut model = known.or(shared).cloned().unwrap_or_else(|| Key::new(tier, now_ms));
        model.enter(tier, now_ms);
        let (before, after) = (model.standings(tier, cost_milli), model.standings(tier, 0));
        let before = if cost_milli == 0 { Vec::new() } else { before };
        check(
            outcome,
            self.limiter.tier(id).expect("it decided"),
            cost_milli,
            &before,
            &after,
            model.at_ms,
        );
    }

    fn refund(&mut self, input: &mut Input) {
        if self.charges.is_empty() {
            return;
        }
        let back = input.index(self.charges.len().min(8));
        let charge = self.charges.remove(self.charges.len() - 1 - back);
        let delta_milli = -charge.cost_milli.cast_signed();
        self.correct(charge, delta_milli, input.below(4) == 0);
    }

    fn settle(&mut self, key: KeyHash, input: &mut Input) {
        let tier = input.index(TIERS.len()) as TierId;
        let delta_milli = match input.below(4) {
            0 => input.number(8).cast_signed(),
            1 => -(input.below(30_000).cast_signed()),
            _ => input.below(30_000).cast_signed(),
        };
        let charge = Charge {
            key,
            tier,
            cost_milli: 0,
            at_ms: self.given_ms.saturating_sub(input.below(2 * DAY_MS)),
            overflow: input.below(4) == 0,
            version: self.version.saturating_sub(input.index(3)),
        };
        self.correct(charge, delta_milli, input.below(4) == 0);
    }

    fn correct(&mut self, charge: Charge, delta_milli: i64, quotas_only: bool) {
        let name = TIERS[usize::from(charge.tier)];
        let tier = self.editions[charge.version]
            .iter()
            .find(|tier| tier.name == name)
            .cloned();
        let correction = Correction {
            delta_milli,
            charged_at_ms: charge.at_ms,
            overflow: charge.overflow,
            quotas_only,
            version: charge.version,
        };
        let corrected = self.limiter.correct(charge.key, charge.tier, correction, self.given_ms);
        let now_ms = self.now();
        let Some(tier) = tier else {
            assert_eq!(corrected, Err(Error::TierUnknown));
            return;
        };
        assert_eq!(corrected, Ok(()));
        if !charge.overflow {
            self.histories.remove(&charge.key);
        }
        // To a key that was forgotten there is nothing to give back; charged more, it begins anew.
        let charges = delta_milli > 0 && !tier.limits.is_empty();
        let known = self.keys.contains_key(&charge.key);
        let new = || Key::new(&tier, now_ms);
        let model = if !charge.overflow && (known || charges && self.keys.len() < self.max_keys) {
            self.keys.entry(charge.key).or_insert_with(new)
        } else if charges || charge.overflow {
            self.overflow.entry(charge.tier).or_insert_with(new)
        } else {
            return;
        };
        model.advance(now_ms);
        model.correct(&tier, delta_milli, charge.at_ms, quotas_only);
    }

    fn reset(&mut self, key: KeyHash) {
        self.limiter.reset(key);
        self.keys.remove(&key);
        self.histories.remove(&key);
        self.check_counts();
    }

    fn sweep(&mut self, times: usize) {
        for _ in 0..times {
            self.limiter.sweep(self.given_ms);
        }
        self.now();
        self.save();
        self.check_counts();
    }

    fn reload(&mut self, tiers: Vec<TierSpec>) {
        match self.limiter.reload(tiers.clone()) {
            Ok(()) => {
                self.editions.push(tiers.clone());
                self.tiers = tiers;
                self.version += 1;
                self.histories.clear();
            }
            Err(error) => assert!(matches!(error, Error::TiersInvalid(_))),
        }
        assert_eq!(self.limiter.version(), self.version);
        assert_eq!(self.limiter.tiers(), self.tiers);
    }

    /// After a call that may have made room for `newcomer`.
    fn notice_evictions(&mut self, newcomer: KeyHash) {
        if self.limiter.stats().evictions != self.evictions {
            self.evictions = self.limiter.stats().evictions;
            self.take(Some(newcomer));
        }
    }

    /// Takes the changes as storage does.
    fn save(&mut self) {
        self.evictions = self.limiter.stats().evictions;
        self.take(None);
    }

    /// A key that was forgotten had to be idle, and a key that is stored has to be known.
    fn take(&mut self, newcomer: Option<KeyHash>) {
        let now_ms = self.clock_ms;
        for Change { key, state } in self.limiter.changes(&self.limiter.take_changed()) {
            match state {
                Some(snapshot) => {
                    assert!(self.keys.contains_key(&key) || newcomer == Some(key));
                    self.stored
                        .insert(key, (snapshot, self.limiter.plan_limits(snapshot.plan)));
                }
                None => {
                    self.stored.remove(&key);
                    if let Some(model) = self.keys.remove(&key) {
                        assert!(model.may_be_idle(now_ms), "{key:?} was forgotten: {model:?}");
                    }
                }
            }
        }
    }

    /// Another limiter, from what is stored, says the same of every key.
    fn restart(&mut self) {
        self.save();
        for key in self.keys.keys() {
            assert!(self.stored.contains_key(key), "{key:?} was never stored");
        }
        assert_eq!(self.stored.len(), self.keys.len());
        let Ok(other) = limiter(self.tiers.clone(), self.max_keys) else {
            // The names of the limits of dropped tiers took the slots of this one, never the other way round.
            panic!("the tiers in force are refused by another limiter");
        };
        let mut dropped = Vec::new();
        for (key, (snapshot, limits)) in &self.stored {
            let plan = other.adopt(limits).expect("there are few plans");
            other
                .restore(*key, snapshot.at_ms, plan, snapshot.spent)
                .expect("they were as many before");
            let known = |name: &str| {
                self.tiers
                    .iter()
                    .flat_map(|tier| &tier.limits)
                    .any(|limit| limit.name == name)
            };
            dropped.extend(
                limits
                    .iter()
                    .filter(|limit| !known(&limit.name))
                    .map(|limit| (*key, limit.name.clone())),
            );
        }
        // A slot of a limit that no tier has any more is lost by a restart.
        for (key, name) in dropped {
            let slot = input::LIMITS
                .iter()
                .position(|limit| *limit == name)
                .expect("no other names are made");
            if let Some(model) = self.keys.get_mut(&key) {
                model.slots[slot] = None;
            }
            if let Some((_, limits)) = self.stored.get_mut(&key) {
                limits.retain(|limit| limit.name != name);
            }
        }
        let now_ms = self.clock_ms;
        for tier in &self.tiers {
            let (id, other_id) = (self.limiter.tier_id(&tier.name), other.tier_id(&tier.name));
            let (id, other_id) = (id.expect("in force"), other_id.expect("in force"));
            // Its clock is new too.
            let _ = other.peek(KEYS[0], other_id, 0, now_ms);
            for key in self.keys.keys() {
                let [here, there] = [(&self.limiter, id), (&other, other_id)].map(|(limiter, id)| {
                    let outcome = limiter.peek(*key, id, 0, now_ms).expect("it costs nothing");
                    (outcome.now_ms, outcome.report(limiter.tier(id).expect("in force")))
                });
                assert_eq!(
                    here, there,
                    "{key:?} under {}: {:?} {:?}",
                    tier.name, self.stored[key], self.keys[key]
                );
            }
        }
        // Numbers of tiers begin anew, and with them the overflow buckets.
        if self.tiers.iter().zip(TIERS).all(|(tier, name)| tier.name == name) {
            self.limiter = other;
            self.version = 0;
            self.editions = vec![self.tiers.clone()];
            self.overflow.clear();
            self.evictions = 0;
            self.decisions = 0;
            self.charges.clear();
        }
    }

    fn check_counts(&self) {
        let stats = self.limiter.stats();
        assert!(stats.keys <= self.max_keys);
        assert_eq!(stats.keys, self.keys.len());
        let counted: u64 = stats
            .tiers
            .iter()
            .map(|tier| tier.allowed + tier.denied.iter().map(|(_, n)| n).sum::<u64>())
            .sum();
        assert_eq!(counted, self.decisions);
    }

    /// In any time, at most a full bucket and what flows in meanwhile; in a period, at most the quota.
    fn check_histories(&self) {
        for History { tier, admitted } in self.histories.values() {
            let Some(tier) = tier.and_then(|id| TIERS.get(usize::from(id))) else {
                continue;
            };
            let Some(tier) = self.tiers.iter().find(|spec| spec.name == *tier) else {
                continue;
            };
            for limit in &tier.limits {
                for (first, (from_ms, _)) in admitted.iter().enumerate() {
                    let mut sum = 0_u128;
                    for (to_ms, cost_milli) in &admitted[first..] {
                        sum += u128::from(*cost_milli);
                        assert!(
                            sum * window(limit.rule) <= most(limit.rule, *from_ms, *to_ms),
                            "{limit:?}"
                        );
                    }
                }
            }
        }
    }
}

fn window(rule: Rule) -> u128 {
    match rule {
        Rule::Bucket { window_ms, .. } => window_ms.into(),
        Rule::Quota { .. } => 1,
    }
}

/// The most that may be admitted, times the window.
fn most(rule: Rule, from_ms: u64, to_ms: u64) -> u128 {
    match rule {
        Rule::Bucket {
            limit_milli, window_ms, ..
        } => {
            u128::from(capacity_milli(rule)) * u128::from(window_ms)
                + u128::from(limit_milli) * u128::from(to_ms - from_ms)
        }
        Rule::Quota { limit_milli, period } => {
            if period.bounds(from_ms).contains(to_ms) {
                limit_milli.into()
            } else {
                u128::MAX
            }
        }
    }
}

/// Compares a decision with the model's standings before it (for its waits) and after it.
fn check(
    outcome: &Outcome,
    tier: &tollkeeper_limiter::Tier,
    cost_milli: u64,
    before: &[Standing],
    after: &[Standing],
    at_ms: u64,
) {
    assert!(before.len() <= MAX_LIMITS);
    assert_eq!(outcome.now_ms, at_ms);
    let slack = |standing: &Standing| u64::from(standing.faith == Faith::Rounded);
    let known = before.iter().all(|standing| standing.faith != Faith::Lost);
    let longest = before.iter().max_by_key(|standing| standing.wait_ms);
    let longest_ms = longest.map_or(0, |standing| standing.wait_ms);
    let any_slack = before.iter().map(slack).max().unwrap_or(0);
    let wait_ms = outcome.retry_after_ms(tier, cost_milli);
    if known {
        assert!(
            wait_ms.abs_diff(longest_ms) <= any_slack,
            "waits {wait_ms}, not {longest_ms}"
        );
        match outcome.verdict {
            Verdict::Allowed => assert!(longest_ms <= any_slack, "allowed, but waits {longest_ms}"),
            Verdict::Denied { limit } => {
                let denied = &before[usize::from(limit)];
                assert!(wait_ms > 0 && denied.wait_ms + any_slack >= longest_ms);
            }
        }
    }
    let reports = outcome.report(tier);
    assert_eq!(reports.len(), after.len());
    for ((report, standing), limit) in reports.iter().zip(after).zip(&tier.spec().limits) {
        assert_eq!(report.name, limit.name);
        assert!(report.remaining_milli <= capacity_milli(limit.rule), "past full");
        if standing.faith != Faith::Lost {
            let slack = slack(standing);
            assert!(
                report.remaining_milli.abs_diff(standing.remaining_milli) <= slack
                    && report.reset_ms.abs_diff(standing.reset_ms) <= slack,
                "{report:?} is not {standing:?}"
            );
        }
    }
}
