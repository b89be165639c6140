//! What is measured: each is filled with keys, and then decides for some of them.

use std::hint::black_box;

use tollkeeper_limiter::{
    Applied, Epoch, LeaseOutcome, LeaseSettings, LeaseVerdict, Leases, LimitSpec, Limiter, MAX_LIMITS, Outcome, Period,
    Rule, Settings, StoreReply, TierSpec, Times, Verdict,
};

use crate::key::{KeyHash, KeyHasher};
use crate::maps::{Dash, Keys, Papaya, Scc};
use crate::state::State;
use crate::table::Table;
use crate::tier::Tier;
use crate::tier_versions::TierVersions;

pub(crate) const NOW_MS: u64 = 1_790_000_000_000;
const SECRET: [u8; 16] = [7; 16];
const COST_MILLI: u64 = 1_000;
/// Units of every key.
const UNITS: usize = 17;

/// Those that are compared with the first of them.
pub(crate) type Group = &'static [(&'static str, fn(usize) -> Decide)];

/// The maps alone: hashes are made before.
pub(crate) const MAPS: Group = &[
    ("table", |keys| decide_by(Table::<2>::new(keys), keys)),
    ("DashMap", |keys| decide_by(Dash::default(), keys)),
    ("papaya", |keys| decide_by(Papaya::default(), keys)),
    ("scc", |keys| decide_by(Scc::default(), keys)),
];
/// From the key's text to the counted decision.
pub(crate) const LIMITERS: Group = &[
    ("limiter", |keys| decide_locally(2, keys)),
    ("leases", decide_by_leases),
];
/// The same by keys of as many limits as fill two, four and eight slots.
pub(crate) const WIDTHS: Group = &[
    ("2 limits", |keys| decide_locally(2, keys)),
    ("4 limits", |keys| decide_locally(4, keys)),
    ("8 limits", |keys| decide_locally(8, keys)),
];

/// Decides for keys at an instant; all are known and all calls pass.
pub(crate) type Decide = Box<dyn Fn(&Chosen, u64)>;

/// Keys to decide for.
#[derive(Default)]
pub(crate) struct Chosen {
    hashes: Vec<KeyHash>,
    texts: Vec<u16>,
}

impl Chosen {
    pub(crate) fn of(numbers: impl Iterator<Item = usize>) -> Self {
        let hasher = KeyHasher::new(&SECRET);
        let mut chosen = Self::default();
        for number in numbers {
            let text = text(number);
            chosen.hashes.push(hasher.hash(&text));
            chosen.texts.extend(text);
        }
        chosen
    }

    pub(crate) fn len(&self) -> usize {
        self.hashes.len()
    }
}

fn text(number: usize) -> Vec<u16> {
    format!("acct:{number:012}").encode_utf16().collect()
}

fn decide_by<K: Keys + 'static>(map: K, keys: usize) -> Decide {
    let tiers = own_tiers();
    let hasher = KeyHasher::new(&SECRET);
    with_tier(&tiers, |tier| {
        for number in 0..keys {
            map.insert(hasher.hash(&text(number)), State::new(tier, NOW_MS));
        }
    });
    Box::new(move |chosen, now_ms| {
        with_tier(&tiers, |tier| {
            let mut told = [0; MAX_LIMITS];
            for &key in &chosen.hashes {
                let known = map.update(key, |state| {
                    state.bring_to(tier, &tiers, now_ms, || None);
                    let verdict = tier.verdict(&state.spent, COST_MILLI, now_ms);
                    assert_eq!(verdict, crate::verdict::Verdict::Allowed);
                    tier.rates.charge(&mut state.spent, COST_MILLI);
                    tier.rates.put_in_order(&state.spent, &mut told);
                });
                assert!(known);
                black_box(&told);
            }
        });
    })
}

fn with_tier(tiers: &TierVersions, call: impl FnOnce(&Tier)) {
    let (_, tier) = tiers.tier(0).expect("it is in force");
    call(&tier);
}

fn decide_locally(limits: usize, keys: usize) -> Decide {
    let limiter = Limiter::new(Settings {
        tiers: vec![tier(limits)],
        max_keys: keys,
        secret: SECRET,
        durable: false,
    });
    let limiter = limiter.expect("the tier is sound");
    let decide = move |texts: &[u16], now_ms: u64| {
        for text in texts.chunks_exact(UNITS) {
            let mut outcome = Outcome::default();
            let decided = limiter.consume_by(limiter.hash_utf16(text), 0, COST_MILLI, now_ms, || now_ms, &mut outcome);
            assert!(decided.is_ok() && outcome.verdict == Verdict::Allowed);
            black_box(&outcome);
        }
    };
    for number in 0..keys {
        decide(&text(number), NOW_MS);
    }
    Box::new(move |chosen, now_ms| decide(&chosen.texts, now_ms))
}

fn decide_by_leases(keys: usize) -> Decide {
    let leases = Leases::new(LeaseSettings {
        tiers: vec![tier(2)],
        max_keys: keys,
        secret: SECRET,
        lease_ms: 1_000_000,
        timeout_ms: 1_000,
    });
    let leases = leases.expect("the tier is sound");
    let times = |now_ms| Times {
        store_ms: now_ms,
        mono_ms: now_ms - NOW_MS + 1,
    };
    let granted_milli = u32::MAX.into();
    let reply = StoreReply {
        tier: 0,
        version: 0,
        now_ms: NOW_MS,
        behind_ms: 0,
        epoch: Epoch::new(0, NOW_MS * 256),
        spent: [Some(granted_milli); MAX_LIMITS],
        granted_milli: Some(granted_milli),
        held_milli: granted_milli,
        lasts_ms: 1_000_000,
        wait_ms: Some(0),
        is_provisional: false,
        mono_ms: times(NOW_MS).mono_ms,
        races: false,
    };
    for number in 0..keys {
        assert_eq!(leases.apply(&text(number), &reply), Applied::Kept);
    }
    Box::new(move |chosen, now_ms| {
        for text in chosen.texts.chunks_exact(UNITS) {
            let mut outcome = LeaseOutcome::default();
            let decided = leases.consume_by(text, 0, COST_MILLI, times(now_ms), || times(now_ms), &mut outcome);
            assert!(decided.is_ok() && outcome.verdict == LeaseVerdict::Allowed);
            black_box(&outcome);
        }
    })
}

/// Buckets and quotas in turn that never run out.
fn tier(limits: usize) -> TierSpec {
    let limit = |number: usize| LimitSpec {
        name: format!("limit{number}"),
        rule: if number.is_multiple_of(2) {
            Rule::Bucket {
                limit_milli: 1_000_000_000,
                window_ms: 60_000,
                burst_milli: 1_500,
                block_ms: 0,
            }
        } else {
            Rule::Quota {
                limit_milli: 1_000_000_000_000,
                period: Period::Month { anchor_day: 1 },
            }
        },
    };
    TierSpec {
        name: "free".into(),
        limits: (0..limits).map(limit).collect(),
    }
}

/// The same for the maps, whose sources are this bench's own.
fn own_tiers() -> TierVersions {
    let limits = tier(2)
        .limits
        .into_iter()
        .map(|LimitSpec { name, rule }| crate::limit::LimitSpec {
            name,
            rule: match rule {
                Rule::Bucket {
                    limit_milli,
                    window_ms,
                    burst_milli,
                    block_ms,
                } => crate::limit::Rule::Bucket {
                    limit_milli,
                    window_ms,
                    burst_milli,
                    block_ms,
                },
                Rule::Quota { limit_milli, .. } => crate::limit::Rule::Quota {
                    limit_milli,
                    period: crate::period::Period::Month { anchor_day: 1 },
                },
                Rule::Concurrency { .. } => unreachable!("the tier has none"),
            },
        });
    let tier = crate::tier::TierSpec {
        name: "free".into(),
        limits: limits.collect(),
    };
    TierVersions::new(vec![tier]).expect("the tier is sound")
}
