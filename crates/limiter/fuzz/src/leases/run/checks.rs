//! What is told of the whole table.

use std::collections::{BTreeMap, BTreeSet};

use tollkeeper_limiter::KnownKey;

use super::{Returns, Run, key_of, named};

impl Run {
    pub(super) fn take_some_returns(&mut self, max: usize) {
        let taken = self.leases.take_returns(max);
        assert!(taken.len() <= max);
        for returned in taken {
            let rules = self.leases.named_rules(&returned.rules);
            let rules = named(rules.iter().map(|rule| (&rule.name, rule.rule)));
            let place = (key_of(&returned.key), returned.taken_ms, rules);
            let milli = returned.milli;
            let left = self.returns.get_mut(&place).filter(|left| **left >= milli && milli > 0);
            let left = left.unwrap_or_else(|| panic!("{milli} of {place:?} were not to be given back"));
            *left -= milli;
            self.returned_milli += milli;
            if *left == 0 {
                self.returns.remove(&place);
            }
        }
    }

    /// All that waits to be given back is taken, and nothing is left of it.
    pub(super) fn check_returns(&mut self) {
        for times in 0.. {
            assert!(times < 100_000, "the returns come to an end");
            let before = self.returned_milli;
            self.take_some_returns(64);
            if self.returned_milli == before {
                break;
            }
        }
        assert_eq!(self.returns, Returns::new(), "these were not given back");
    }

    pub(super) fn check_sum(&self) {
        assert_eq!(
            self.granted_milli,
            self.spent_milli + self.returned_milli + self.forgotten_milli,
            "granted, and spent, given back or forgotten"
        );
    }

    /// What is known of every key.
    pub(super) fn check_known(&self) {
        if let Some(heard) = self.heard {
            let later_ms = self.times.mono_ms + 5;
            let expected = heard.store_ms + (later_ms - heard.mono_ms);
            assert_eq!(self.leases.store_ms(later_ms), Some(expected));
        }
        let known = self.known();
        assert!(known.keys().eq(self.entries.keys()));
        for (key, known) in known {
            let entry = &self.entries[&key];
            let rules = self.leases.named_rules(&known.rules);
            for rule in &rules {
                assert_eq!(entry.rules.get(&rule.name), Some(&rule.rule));
                let spent = entry.spent.get(&rule.name).copied().flatten();
                assert_eq!(known.snapshot.spent[rule.slot], spent, "{entry:?}");
            }
            assert_eq!(rules.len(), entry.rules.len());
            let found = (known.snapshot.epoch, known.snapshot.at_ms);
            assert_eq!(found, (entry.epoch, entry.at_ms), "{entry:?}");
        }
    }

    /// Keys that are gone had nothing to lose. A newcomer may have taken the place of one.
    pub(super) fn notice_evictions(&mut self, newcomer: Option<usize>) {
        let evictions = self.leases.stats().counted.evictions;
        if evictions == self.evictions {
            return;
        }
        let known: BTreeSet<_> = self.known().into_keys().collect();
        let gone: Vec<_> = self
            .entries
            .keys()
            .filter(|key| !known.contains(key))
            .copied()
            .collect();
        assert_eq!(gone.len() as u64, evictions - self.evictions);
        for key in gone {
            let entry = self.entries.remove(&key).expect("it was there");
            let may_go = match newcomer {
                Some(_) => entry.may_go(self.times.mono_ms),
                None => entry.is_as_new(self.times.store_ms, self.times.mono_ms),
            };
            assert!(may_go, "{key} was forgotten: {entry:?}");
        }
        self.evictions = evictions;
    }

    fn known(&self) -> BTreeMap<usize, KnownKey> {
        let shards = (0..).map_while(|shard| self.leases.known_of(shard));
        shards.flatten().map(|known| (key_of(&known.key), known)).collect()
    }

    pub(super) fn check_counts(&self) {
        let stats = self.leases.stats();
        assert_eq!(stats.counted.keys, self.entries.len());
        assert!(stats.counted.keys <= self.max_keys);
        assert_eq!(stats.overflow, self.overflow);
        let held = self.entries.values().flat_map(|entry| &entry.grants);
        assert_eq!(stats.held_milli, held.map(|grant| grant.milli).sum::<u64>());
        let tiers = stats.counted.tiers.iter();
        let counted: u64 = tiers
            .map(|tier| tier.allowed + tier.denied.iter().map(|(_, denied)| denied).sum::<u64>())
            .sum();
        assert_eq!(counted, self.decisions);
    }
}
