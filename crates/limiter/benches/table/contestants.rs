//! Maps that could hold the keys of a limiter, and the decision that all of them make.

use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::{Mutex, PoisonError};

use dashmap::DashMap;

use crate::MAX_LIMITS;
use crate::key::{KeyHash, KeyHasher};
use crate::limit::{LimitSpec, Rule};
use crate::period::Period;
use crate::state::State;
use crate::table::Table;
use crate::tier::{Tier, TierSpec};
use crate::tier_versions::TierVersions;
use crate::verdict::Verdict;

/// In the order of the columns.
pub(crate) const NAMES: [&str; 4] = ["table", "DashMap", "papaya", "scc"];
pub(crate) const NOW_MS: u64 = 1_790_000_000_000;

/// States by key.
pub(crate) trait Keys: Send + Sync {
    /// Takes in a key that is not there.
    fn insert(&self, key: KeyHash, state: State<2>);
    /// Changes the state of a key; whether it is there.
    fn update(&self, key: KeyHash, change: impl FnOnce(&mut State<2>)) -> bool;
}

impl Keys for Table<2> {
    fn insert(&self, key: KeyHash, state: State<2>) {
        let inserted = Self::insert(self, key, state, 0, |_| false, &mut Vec::new(), |_| ());
        inserted.expect("it was made for so many");
    }

    #[inline]
    fn update(&self, key: KeyHash, change: impl FnOnce(&mut State<2>)) -> bool {
        Self::update(self, key, change).is_some()
    }
}

/// A hash as a map's key: keyed already, so that it is taken as it is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hashed(KeyHash);

impl Hash for Hashed {
    #[inline]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.0.0[0]);
    }
}

#[derive(Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }

    #[inline]
    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("a key is one number");
    }
}

type Build = BuildHasherDefault<AsItIs>;
pub(crate) type Dash = DashMap<Hashed, State<2>, Build>;
/// Its values never change: the state has a lock of its own.
pub(crate) type Papaya = papaya::HashMap<Hashed, Mutex<State<2>>, Build>;
pub(crate) type Scc = scc::HashMap<Hashed, State<2>, Build>;

impl Keys for Dash {
    fn insert(&self, key: KeyHash, state: State<2>) {
        Self::insert(self, Hashed(key), state);
    }

    #[inline]
    fn update(&self, key: KeyHash, change: impl FnOnce(&mut State<2>)) -> bool {
        self.get_mut(&Hashed(key)).map(|mut state| change(&mut state)).is_some()
    }
}

impl Keys for Papaya {
    fn insert(&self, key: KeyHash, state: State<2>) {
        self.pin().insert(Hashed(key), Mutex::new(state));
    }

    #[inline]
    fn update(&self, key: KeyHash, change: impl FnOnce(&mut State<2>)) -> bool {
        let states = self.pin();
        let state = states.get(&Hashed(key));
        state
            .map(|state| change(&mut state.lock().unwrap_or_else(PoisonError::into_inner)))
            .is_some()
    }
}

impl Keys for Scc {
    fn insert(&self, key: KeyHash, state: State<2>) {
        let inserted = self.insert_sync(Hashed(key), state);
        inserted.unwrap_or_else(|_| unreachable!("each key is inserted once"));
    }

    #[inline]
    fn update(&self, key: KeyHash, change: impl FnOnce(&mut State<2>)) -> bool {
        self.update_sync(&Hashed(key), |_, state| change(state)).is_some()
    }
}

/// What the keys are under, and how they are hashed.
pub(crate) struct Rules {
    tiers: TierVersions,
    hasher: KeyHasher,
}

impl Rules {
    pub(crate) fn new() -> Self {
        let rules = [
            Rule::Bucket {
                limit_milli: 1_000_000_000,
                window_ms: 60_000,
                burst_milli: 1_500,
            },
            Rule::Quota {
                limit_milli: 1_000_000_000_000,
                period: Period::Month { anchor_day: 1 },
            },
        ];
        let limits = ["minute", "month"].iter().zip(rules).map(|(name, rule)| LimitSpec {
            name: (*name).into(),
            rule,
        });
        let tier = TierSpec {
            name: "free".into(),
            limits: limits.collect(),
        };
        Self {
            tiers: TierVersions::new(vec![tier]).expect("the limits are sound"),
            hasher: KeyHasher::new(&[7; 16]),
        }
    }

    pub(crate) fn hash(&self, number: usize) -> KeyHash {
        let key: Vec<u16> = format!("acct:{number:012}").encode_utf16().collect();
        self.hasher.hash(&key)
    }

    /// Takes in so many keys, each at its first call.
    pub(crate) fn fill<K: Keys>(&self, map: K, keys: usize) -> K {
        self.with_tier(|tier| {
            for number in 0..keys {
                map.insert(self.hash(number), State::new(tier, NOW_MS));
            }
        });
        map
    }

    /// One decision for each of these keys, all of which are known.
    pub(crate) fn decide(&self, map: &impl Keys, keys: &[KeyHash], now_ms: u64) {
        self.with_tier(|tier| {
            let mut told = [0; MAX_LIMITS];
            for &key in keys {
                let known = map.update(key, |state| {
                    state.bring_to(tier, &self.tiers, now_ms);
                    assert_eq!(tier.verdict(&state.spent, 1_000, now_ms), Verdict::Allowed);
                    tier.rates.charge(&mut state.spent, 1_000);
                    tier.rates.put_in_order(&state.spent, &mut told);
                });
                assert!(known);
                std::hint::black_box(&told);
            }
        });
    }

    fn with_tier(&self, call: impl FnOnce(&Tier)) {
        let (_, tier) = self.tiers.tier(0).expect("it is in force");
        call(&tier);
    }
}
