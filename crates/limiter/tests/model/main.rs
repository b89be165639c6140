//! The limiter beside a model of one key in exact fractions.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod limit;

use limit::{Model, Number, number};
use proptest::collection::vec;
use proptest::prelude::*;
use tollkeeper_limiter::{
    Correction, Costs, Delta, Error, LimitSpec, Limiter, MAX_LIMITS, Period, Rule, Settings, TierSpec, Verdict,
};

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// Of every limit the same, or of each its own, in thousandths.
#[derive(Debug, Clone, Copy)]
enum Cost {
    Every(u64),
    Each([u64; MAX_LIMITS]),
}

impl Cost {
    fn of(self, limit: usize) -> u64 {
        match self {
            Self::Every(milli) => milli,
            Self::Each(milli) => milli[limit],
        }
    }

    /// As a correction: charged, or given back.
    fn delta(self, sign: i64) -> Delta {
        let signed = |milli: u64| sign * i64::try_from(milli).unwrap();
        match self {
            Self::Every(milli) => Delta::Every(signed(milli)),
            Self::Each(milli) => Delta::Each(milli.map(signed)),
        }
    }
}

#[derive(Debug, Clone)]
enum Call {
    Consume(Cost),
    Peek(Cost),
    /// Of one of the allowed calls, counted from the last.
    Refund(usize),
    /// Of the first quota, if there is one; whether it outlasts the period.
    Grant(u64, bool),
    /// More than one of them has cost, counted alike.
    Charge(usize, Cost),
}

fn rules() -> impl Strategy<Value = Vec<Rule>> {
    let limit = |most: u64| prop_oneof![19 => 1..most, 1 => Just(0)];
    let burst = prop_oneof![2 => 1_000..4_000_u64, 1 => 1..1_000_u64];
    let block = prop_oneof![3 => Just(0), 1 => 1..200_000_u64];
    let bucket = (limit(20_000), 1..90_000_u64, burst, block)
        .prop_filter(
            "something fits in, or nothing is meant to",
            |(limit_milli, _, burst_milli, _)| *limit_milli == 0 || limit_milli * burst_milli >= 1_000,
        )
        .prop_map(|(limit_milli, window_ms, burst_milli, block_ms)| Rule::Bucket {
            limit_milli,
            window_ms,
            burst_milli,
            block_ms,
        });
    let quota = (limit(50_000), periods()).prop_map(|(limit_milli, period)| Rule::Quota { limit_milli, period });
    vec(prop_oneof![bucket, quota], 1..=8)
}

fn periods() -> impl Strategy<Value = Period> {
    prop_oneof![
        Just(Period::Hour),
        Just(Period::Day),
        (1..=7_u8).prop_map(|anchor_day| Period::Week { anchor_day }),
        (1..=31_u8).prop_map(|anchor_day| Period::Month { anchor_day }),
        (1..=12_u8).prop_map(|anchor_month| Period::Year { anchor_month }),
        Just(Period::Once),
    ]
}

fn calls() -> impl Strategy<Value = Vec<(u64, Call)>> {
    let advance =
        prop_oneof![5 => 0..2_000_u64, 2 => 0..100_000_u64, 1 => 0..10_000_000_u64, 1 => 0..3_000_000_000_u64];
    let milli = || prop_oneof![Just(1_000), 1..20_000_u64];
    let each = proptest::array::uniform::<_, MAX_LIMITS>(prop_oneof![1 => Just(0), 2 => milli()]);
    let cost = prop_oneof![2 => milli().prop_map(Cost::Every), 1 => each.prop_map(Cost::Each)];
    let call = prop_oneof![
        5 => cost.clone().prop_map(Call::Consume),
        1 => cost.clone().prop_map(Call::Peek),
        1 => (milli(), any::<bool>()).prop_map(|(milli, keeps)| Call::Grant(milli, keeps)),
        1 => (0..5_usize).prop_map(Call::Refund),
        1 => (0..5_usize, cost).prop_map(|(back, more)| Call::Charge(back, more)),
    ];
    vec((advance, call), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_call_is_decided_as_the_model_decides(rules in rules(), calls in calls()) {
        let mut now_ms = 1_790_000_000_123;
        let limits = rules.iter().zip(NAMES);
        let limits = limits.map(|(rule, name)| LimitSpec { name: name.into(), rule: *rule }).collect();
        let tiers = vec![TierSpec { name: "only".into(), limits }];
        let limiter = Limiter::new(Settings { tiers, max_keys: 10, secret: [3; 16], durable: false }).unwrap();
        let (key, tier) = (limiter.hash("key"), limiter.tier_id("only").unwrap());
        let mut model: Vec<Option<Model>> = rules.iter().map(|_| None).collect();
        let mut allowed = Vec::new();
        for (advance, call) in calls {
            now_ms += advance;
            let (cost, spends) = match call {
                Call::Consume(cost) => (cost, true),
                Call::Peek(cost) => (cost, false),
                Call::Grant(milli, keeps) => {
                    let quota = rules.iter().position(|rule| matches!(rule, Rule::Quota { .. }));
                    let name = NAMES[quota.unwrap_or(0)];
                    let granted = limiter.grant(key, tier, name, milli, keeps, now_ms);
                    prop_assert_eq!(granted, quota.map(|_| ()).ok_or(Error::GrantNoQuota));
                    if let Some(quota) = quota {
                        // Buckets, and other quotas, begin with the first call.
                        let limit = model[quota].get_or_insert_with(|| Model::new(rules[quota], now_ms));
                        limit.advance(now_ms);
                        limit.grant(milli, keeps);
                    }
                    continue;
                }
                Call::Refund(back) => {
                    if allowed.len() > back {
                        let (cost, charged_at_ms): (Cost, u64) = allowed.remove(allowed.len() - 1 - back);
                        let correction = Correction {
                            delta: cost.delta(-1), version: 0, charged_at_ms, overflow: false, quotas_only: false,
                        };
                        limiter.correct(key, tier, correction, now_ms).unwrap();
                        for (index, limit) in model.iter_mut().flatten().enumerate() {
                            limit.advance(now_ms);
                            limit.refund(cost.of(index), charged_at_ms);
                        }
                    }
                    continue;
                }
                Call::Charge(back, more) => {
                    let is_within = |(index, limit): (usize, &Model)| limit.may_be_charged(more.of(index));
                    if allowed.len() > back && model.iter().flatten().enumerate().all(is_within) {
                        let (_, charged_at_ms) = allowed[allowed.len() - 1 - back];
                        let correction = Correction {
                            delta: more.delta(1), version: 0, charged_at_ms, overflow: false, quotas_only: false,
                        };
                        limiter.correct(key, tier, correction, now_ms).unwrap();
                        for (index, limit) in model.iter_mut().flatten().enumerate() {
                            limit.advance(now_ms);
                            limit.charge(more.of(index), charged_at_ms);
                        }
                    }
                    continue;
                }
            };
            let decided = match (cost, spends) {
                (Cost::Every(cost), true) => limiter.consume(key, tier, cost, now_ms),
                (Cost::Every(cost), false) => limiter.peek(key, tier, cost, now_ms),
                (Cost::Each(milli), true) => limiter.consume_each(key, tier, &Costs { version: 0, milli }, now_ms),
                (Cost::Each(milli), false) => limiter.peek_each(key, tier, &Costs { version: 0, milli }, now_ms),
            };
            let Ok(outcome) = decided else {
                // More than a limit can ever hold.
                let too_small = rules.iter().enumerate().any(|(index, rule)| match *rule {
                    Rule::Bucket { limit_milli, burst_milli, .. } => {
                        limit_milli > 0 && Model::capacity(limit_milli, burst_milli) < number(cost.of(index))
                    }
                    Rule::Quota { limit_milli, .. } => limit_milli > 0 && limit_milli < cost.of(index),
                    Rule::Concurrency { .. } => unreachable!("it has no other limits"),
                });
                prop_assert!(too_small);
                continue;
            };
            // What costs nothing touches nothing.
            let spends = spends && (0..rules.len()).any(|index| cost.of(index) > 0);
            let mut new: Vec<_> = rules.iter().map(|rule| Some(Model::new(*rule, now_ms))).collect();
            if spends {
                for (limit, new) in model.iter_mut().zip(&mut new) {
                    *limit = limit.take().or_else(|| new.take());
                }
            }
            let begun = model.iter_mut().zip(&mut new);
            let mut limits: Vec<&mut Model> = begun.filter_map(|(limit, new)| limit.as_mut().or(new.as_mut())).collect();
            for limit in &mut *limits {
                limit.advance(now_ms);
            }
            let waits: Vec<_> = limits.iter().enumerate().map(|(index, limit)| limit.wait_ms(cost.of(index))).collect();
            let longest = waits.iter().copied().max().unwrap();
            match outcome.verdict {
                Verdict::Allowed => {
                    prop_assert_eq!(longest, 0);
                    if spends {
                        for (index, limit) in limits.iter_mut().enumerate() {
                            limit.spend(cost.of(index));
                        }
                        allowed.push((cost, now_ms));
                    }
                }
                Verdict::Denied { limit } => {
                    prop_assert!(longest > 0);
                    prop_assert_eq!(waits.iter().position(|wait| *wait == longest), Some(usize::from(limit)));
                    if spends {
                        for (index, limit) in limits.iter_mut().enumerate() {
                            limit.deny(cost.of(index));
                        }
                    }
                }
            }
            let tier = limiter.tier(tier).unwrap();
            if let Verdict::Denied { limit } = outcome.verdict {
                prop_assert_eq!(outcome.retry_after_ms(&tier, cost.of(usize::from(limit))), longest);
            }
            let left: Vec<_> = outcome.report(&tier).iter().map(|report| report.remaining_milli).collect();
            prop_assert_eq!(left, limits.iter().map(|limit| limit.remaining_milli()).collect::<Vec<_>>());
        }
    }
}

fn bucket_rule() -> impl Strategy<Value = Rule> {
    (1_000..200_000_u64, 1..90_000_u64, 1..4_000_u64).prop_map(|(limit_milli, window_ms, burst_milli)| Rule::Bucket {
        limit_milli,
        window_ms,
        burst_milli,
        block_ms: 0,
    })
}

fn capacity_of(rule: Rule) -> Number {
    match rule {
        Rule::Bucket {
            limit_milli,
            burst_milli,
            ..
        } => Model::capacity(limit_milli, burst_milli),
        _ => unreachable!("only buckets are made"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// By a refund or a settlement, after a change of tier and a reload.
    #[test]
    fn a_correction_is_the_fraction_of_a_bucket_that_it_was_of_the_one_that_counted_it(
        rules in (bucket_rule(), bucket_rule(), bucket_rule()),
        spent in 1..=200_000_u64,
        delta_milli in -200_000..200_000_i64,
    ) {
        let now_ms = 1_790_000_000_123;
        let tiers = |one: Rule, other: Rule| -> Vec<TierSpec> {
            let tier = |(name, rule): (&str, Rule)| TierSpec {
                name: name.into(),
                limits: vec![LimitSpec { name: "w".into(), rule }],
            };
            [("one", one), ("other", other)].map(tier).into()
        };
        let settings = Settings { tiers: tiers(rules.0, rules.1), max_keys: 10, secret: [3; 16], durable: false };
        let limiter = Limiter::new(settings).unwrap();
        let key = limiter.hash("key");
        let Ok(outcome) = limiter.consume(key, 0, spent, now_ms) else { return Ok(()) };
        if outcome.verdict != Verdict::Allowed {
            return Ok(());
        }
        limiter.consume(key, 1, 1, now_ms).ok();
        limiter.reload(tiers(rules.2, rules.1)).unwrap();
        limiter.consume(key, 0, 1, now_ms).ok();
        let remaining = || {
            let outcome = limiter.peek(key, 0, 0, now_ms).unwrap();
            (outcome.spent[0], outcome.report(&limiter.tier(0).unwrap())[0].remaining_milli)
        };
        let (units, before) = remaining();
        let correction = Correction {
            delta: Delta::Every(delta_milli), version: 0, charged_at_ms: now_ms, overflow: false, quotas_only: false,
        };
        limiter.correct(key, 0, correction, now_ms).unwrap();
        let (units_after, after) = remaining();
        prop_assert_eq!(delta_milli < 0 && units_after > units, false);
        prop_assert_eq!(delta_milli > 0 && units_after < units, false);
        let delta = Number::from_integer(delta_milli.into()) * capacity_of(rules.2) / capacity_of(rules.0);
        let expected = (number(before) - delta).min(capacity_of(rules.2)).max(number(0));
        let off = (number(after) - &expected).max(expected - number(after));
        // `before` was rounded down to a thousandth, and so is `after`; below empty nothing is told.
        prop_assert!(off <= number(1) || after == 0 || before == 0, "{before} to {after}, {delta_milli}");
    }
}
