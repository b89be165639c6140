//! A limiter, and beside it everything that is known of it.

mod corrections;
mod decisions;
mod grants;
mod joint;
mod places;
mod storage;

use std::collections::BTreeMap;

use tollkeeper_limiter::{Error, KeyHash, KeySnapshot, Limiter, MAX_INSTANT_MS, NamedRule, Settings, TierId, TierSpec};

use crate::charge::Charge;
use crate::history::Histories;
use crate::input::{DAY_MS, Input, TIERS};
use crate::table::Table;
use crate::tier_versions::TierVersions;

const SECRET: [u8; 16] = [5; 16];

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

pub(crate) struct Run {
    limiter: Limiter,
    /// How many names its limits may have.
    names: usize,
    versions: TierVersions,
    /// What the limiter is told, which may go backwards.
    given_ms: u64,
    table: Table,
    charges: Vec<Charge>,
    histories: Histories,
    /// What storage holds.
    stored: BTreeMap<KeyHash, (KeySnapshot, Vec<NamedRule>)>,
    /// As many as are noticed.
    evictions: u64,
    decisions: u64,
}

impl Run {
    /// None if the limiter refuses the tiers.
    pub(crate) fn begin(input: &mut Input) -> Option<Self> {
        let names = input.names();
        let max_keys = [1, 2, 3, 5, 8, 100][input.index(6)];
        let given_ms = [1_790_000_000_000, 0, MAX_INSTANT_MS - 50 * DAY_MS, 1_835_395_199_000][input.index(4)];
        let tiers = input.tiers(names);
        Some(Self {
            limiter: limiter(tiers.clone(), max_keys).ok()?,
            names,
            versions: TierVersions::new(tiers),
            given_ms,
            table: Table::new(max_keys),
            charges: Vec::new(),
            histories: Histories::default(),
            stored: BTreeMap::new(),
            evictions: 0,
            decisions: 0,
        })
    }

    pub(crate) fn step(&mut self, input: &mut Input) {
        let byte = input.byte();
        let (operation, is_of_each) = (byte % 32, byte >= 0xC0);
        let key = KEYS[input.index(KEYS.len())];
        match operation {
            0..=13 => {
                self.given_ms += input.advance_ms();
                let (tier, cost) = (input.index(TIERS.len()), input.cost(is_of_each));
                self.consume(key, tier as TierId, cost);
            }
            14 => self.release(input),
            17 => {
                self.given_ms += input.advance_ms();
                self.grant(key, input);
            }
            15 | 16 => {
                self.given_ms += input.advance_ms();
                self.consume_together(key, input);
            }
            18 | 19 => {
                self.given_ms += input.advance_ms();
                let (tier, cost) = (input.index(TIERS.len()), input.cost(is_of_each));
                self.peek(key, tier as TierId, cost);
            }
            20..=22 => {
                self.given_ms += input.advance_ms();
                self.refund(input);
            }
            23 => self.correct_any(key, input),
            24 => self.reset(key),
            25 | 26 => {
                self.given_ms += input.advance_ms();
                self.sweep(1 + input.index(70));
            }
            27 => self.reload(input.tiers(self.names)),
            28 => self.save(),
            29 => self.restart(),
            30 => self.fail_to_save(),
            // Backwards, which counts as standing still for the keys that have seen more.
            _ => self.given_ms = self.given_ms.saturating_sub(input.advance_ms()),
        }
    }

    pub(crate) fn end(mut self) {
        self.check_counts();
        self.histories.check(&self.versions);
        self.restart();
    }

    /// The limiter's idea of now; that of a key may be later.
    fn now(&self) -> u64 {
        self.given_ms.min(MAX_INSTANT_MS - 1)
    }

    fn reset(&mut self, key: KeyHash) {
        self.limiter.reset(key);
        self.table.remove(key);
        self.histories.reset(key);
        self.check_counts();
    }

    fn sweep(&mut self, times: usize) {
        for _ in 0..times {
            self.limiter.sweep(self.given_ms);
        }
        let now_ms = self.now();
        for model in self.table.all_mut() {
            model.sweep_places(now_ms);
        }
        self.save();
        self.check_counts();
    }

    fn reload(&mut self, tiers: Vec<TierSpec>) {
        match self.limiter.reload(tiers.clone()) {
            Ok(()) => {
                self.versions.enact(tiers);
                self.histories.clear();
            }
            Err(error) => assert!(matches!(error, Error::TiersInvalid(_))),
        }
        assert_eq!(self.limiter.version(), self.versions.version());
        assert_eq!(self.limiter.tiers(), self.versions.in_force());
    }

    fn check_counts(&self) {
        let stats = self.limiter.stats();
        assert!(stats.keys <= self.table.max_keys());
        assert_eq!(stats.keys, self.table.len());
        let counted: u64 = stats
            .tiers
            .iter()
            .map(|tier| tier.allowed + tier.denied.iter().map(|(_, n)| n).sum::<u64>())
            .sum();
        assert_eq!(counted, self.decisions);
    }
}

fn limiter(tiers: Vec<TierSpec>, max_keys: usize) -> Result<Limiter, Error> {
    Limiter::new(Settings {
        tiers,
        max_keys,
        secret: SECRET,
        durable: true,
    })
}
