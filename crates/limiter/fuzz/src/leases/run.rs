//! A table of leases, and beside it everything that is known of it.

mod answers;
mod checks;
mod decisions;

use std::collections::BTreeMap;

use tollkeeper_limiter::{Error, LeaseSettings, Leases, TierId, TierSpec, Times};

use super::entry::{Entry, Grant, Rules, Spans};
use crate::input::{DAY_MS, Input, TIERS};
use crate::tier_versions::TierVersions;

const SECRET: [u8; 16] = [5; 16];
/// As many as there are keys here.
const KEYS: usize = 12;
const STORE_MS: u64 = 1_790_000_000_000;
/// A sweep comes round at least so often.
const MOST_BETWEEN_SWEEPS_MS: u64 = 5 * DAY_MS;

/// What waits to be given back of one key, taken at one instant under some rules.
pub(super) type Returns = BTreeMap<(usize, u64, Vec<(String, String)>), u64>;

pub(super) struct Run {
    leases: Leases,
    names: usize,
    versions: TierVersions,
    spans: Spans,
    max_keys: usize,
    /// What the table is told.
    times: Times,
    /// The store's time that was told last, and when.
    heard: Option<Times>,
    entries: BTreeMap<usize, Entry>,
    returns: Returns,
    /// As many as are noticed.
    evictions: u64,
    decisions: u64,
    overflow: u64,
    /// Thousandths that the table has taken charge of, and what has become of those that are gone.
    granted_milli: u64,
    spent_milli: u64,
    returned_milli: u64,
    forgotten_milli: u64,
}

impl Run {
    /// None if the table refuses the tiers.
    pub(super) fn begin(input: &mut Input) -> Option<Self> {
        let names = input.names();
        let max_keys = [1, 2, 3, 5, 8, 100][input.index(6)];
        let lease_ms = [1_000, 100, 4_000, 1_111][input.index(4)];
        let mono_ms = [0, 7, (1 << 31) - 2_000, (1 << 32) - 2_000, 1 << 40][input.index(5)];
        let spans = Spans {
            lease_ms,
            timeout_ms: [50, 1_000][input.index(2)],
        };
        let tiers = input.tiers(names);
        let settings = LeaseSettings {
            tiers: tiers.clone(),
            max_keys,
            secret: SECRET,
            lease_ms,
            timeout_ms: spans.timeout_ms,
        };
        Some(Self {
            leases: Leases::new(settings).ok()?,
            names,
            versions: TierVersions::new(tiers),
            spans,
            max_keys,
            times: Times {
                store_ms: STORE_MS,
                mono_ms,
            },
            heard: None,
            entries: BTreeMap::new(),
            returns: Returns::new(),
            evictions: 0,
            decisions: 0,
            overflow: 0,
            granted_milli: 0,
            spent_milli: 0,
            returned_milli: 0,
            forgotten_milli: 0,
        })
    }

    pub(super) fn step(&mut self, input: &mut Input) {
        let operation = input.byte() % 32;
        // Mostly the same few, so that one thing leads to another.
        let keys = [3, 3, 3, KEYS][input.index(4)];
        let tiers = [1, 1, 1, TIERS.len()][input.index(4)];
        let (key, tier) = (input.index(keys), input.index(tiers) as TierId);
        match operation {
            0..=7 => self.consume(key, tier, input.cost_milli()),
            8..=11 => self.consume_by(key, tier, input.cost_milli(), input.below(11)),
            12 => self.peek(key, tier, input.cost_milli()),
            13 | 14 => self.ask(key, tier),
            15 => self.look(key, tier),
            16..=22 => self.apply(key, tier, input),
            23 if input.below(4) == 0 => self.forget(key),
            24 => self.give_back(key, input.below(2) == 0),
            25 => self.sweep(),
            26 if input.below(8) == 0 => self.drain(),
            27 if input.below(8) == 0 => self.reload(input.tiers(self.names)),
            28 => self.take_some_returns(1 + input.index(4)),
            29 => self.count(tier),
            30 => self.times.store_ms -= input.below(3_000),
            31 => self.advance(input),
            _ => {}
        }
        // Most things happen at some later instant.
        if input.below(4) == 0 {
            let most_ms = [5, 20, 300, 1_200][input.index(4)];
            self.pass(input.below(most_ms));
        }
    }

    pub(super) fn end(mut self) {
        self.check_counts();
        self.check_known();
        self.drain();
        self.check_returns();
        self.check_sum();
    }

    fn advance(&mut self, input: &mut Input) {
        let mut left = input.advance_ms();
        while left > MOST_BETWEEN_SWEEPS_MS {
            self.pass(MOST_BETWEEN_SWEEPS_MS);
            self.sweep();
            left -= MOST_BETWEEN_SWEEPS_MS;
        }
        self.pass(left);
    }

    fn pass(&mut self, ms: u64) {
        self.times.mono_ms += ms;
        self.times.store_ms += ms;
    }

    fn forget(&mut self, key: usize) {
        self.leases.forget(&units(key));
        if let Some(entry) = self.entries.remove(&key) {
            self.forgotten_milli += entry.grants.iter().map(|grant| grant.milli).sum::<u64>();
        }
        self.check_counts();
    }

    fn give_back(&mut self, key: usize, again: bool) {
        let mono_ms = self.times.mono_ms;
        self.leases.give_back(&units(key), again, mono_ms);
        if let Some(entry) = self.entries.get_mut(&key) {
            let gone = entry.take_grants(|_| true);
            if again {
                entry.deny_until_ms = 0;
            } else {
                entry.no_prefetch_until_ms = mono_ms + self.spans.quarter_ms();
            }
            let rules = entry.rules.clone();
            self.give_up(key, &rules, gone);
        }
    }

    fn drain(&mut self) {
        self.leases.drain();
        for key in 0..KEYS {
            if let Some(entry) = self.entries.get_mut(&key) {
                let (rules, gone) = (entry.rules.clone(), entry.take_grants(|_| true));
                self.give_up(key, &rules, gone);
            }
        }
    }

    fn reload(&mut self, tiers: Vec<TierSpec>) {
        match self.leases.reload(tiers.clone()) {
            Ok(()) => self.versions.enact(tiers),
            Err(error) => assert!(matches!(error, Error::TiersInvalid(_))),
        }
        assert_eq!(self.leases.version(), self.versions.version());
        assert_eq!(self.leases.tiers(), self.versions.in_force());
    }

    fn count(&mut self, tier: TierId) {
        let version = self.versions.version();
        let Some(limits) = self.versions.tier(version, tier).map(|tier| tier.limits.len()) else {
            return;
        };
        self.leases.count(version, tier, (limits > 0).then_some(0));
        self.decisions += 1;
    }

    /// Has grants of a key wait to be given back.
    fn give_up(&mut self, key: usize, rules: &Rules, gone: Vec<Grant>) {
        for grant in gone.into_iter().filter(|grant| grant.milli > 0) {
            let place = (
                key,
                grant.taken_ms,
                named(rules.iter().map(|(name, rule)| (name, *rule))),
            );
            *self.returns.entry(place).or_default() += grant.milli;
        }
    }

    fn tier(&self, id: TierId) -> Option<TierSpec> {
        self.versions.tier(self.versions.version(), id).cloned()
    }
}

/// A key by its number: some short, some long, some alike, some of what is no text.
fn units(key: usize) -> Vec<u16> {
    match key {
        0 => vec![0],
        1 => vec![0, 0],
        2 => vec![0xD800],
        3 => "é".encode_utf16().collect(),
        4 => "acct:42".encode_utf16().collect(),
        5 => "acct:42\0month".encode_utf16().collect(),
        6 => vec![97; 22],
        7 => vec![97; 23],
        8 => vec![0xE9; 22],
        9 => vec![0x141; 22],
        10 => vec![98; 512],
        _ => vec![0xFF, 0x100],
    }
}

fn key_of(key: &[u16]) -> usize {
    (0..KEYS)
        .find(|&number| units(number) == key)
        .unwrap_or_else(|| panic!("no such key: {key:?}"))
}

/// Rules in a form that has an order.
fn named<'a>(rules: impl Iterator<Item = (&'a String, tollkeeper_limiter::Rule)>) -> Vec<(String, String)> {
    let mut named: Vec<_> = rules.map(|(name, rule)| (name.clone(), format!("{rule:?}"))).collect();
    named.sort();
    named
}
