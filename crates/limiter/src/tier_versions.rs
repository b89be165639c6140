//! Every version of the tiers, of which a decision asks the last, a correction the one that decided, and a reload adds
//! one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::MAX_LIMITS;
use crate::error::Error;
use crate::limit::{Limit, LimitSpec, TierLimit};
use crate::overridden_tiers::OverriddenTiers;
use crate::rule_set::{HeldRuleSet, RuleSet, RuleSetId, Rules};
use crate::rule_sets::RuleSets;
use crate::slots::Slots;
use crate::snapshot::{AdoptedRuleSet, NamedRule};
use crate::tier::{FIRST_OVERRIDDEN, Tier, TierId, TierRef, TierSpec};

/// One version of the tiers: by [`TierId`], None for a tier that was dropped.
type TierVersion = Vec<Option<Tier>>;

/// All versions of the tiers, which only grow, so that a decision reads them without a lock and a reload never blocks one;
/// and the rule sets and tiers with overrides that are used.
#[derive(Debug)]
pub(crate) struct TierVersions {
    versions: boxcar::Vec<TierVersion>,
    current: AtomicUsize,
    overridden: OverriddenTiers,
    pub(crate) rule_sets: RuleSets,
    interner: Mutex<Interner>,
}

#[derive(Debug, Default)]
struct Interner {
    slots: Slots,
    names: Vec<String>,
}

impl TierVersions {
    pub(crate) fn new(specs: Vec<TierSpec>) -> Result<Self, Error> {
        let versions = Self {
            versions: boxcar::Vec::new(),
            current: AtomicUsize::new(0),
            overridden: OverriddenTiers::default(),
            rule_sets: RuleSets::default(),
            interner: Mutex::default(),
        };
        versions.enact(specs, MAX_LIMITS)?;
        Ok(versions)
    }

    /// Counts the reloads, from 0.
    pub(crate) fn version(&self) -> usize {
        self.current.load(Ordering::Acquire)
    }

    /// The version that decides now, and a tier of it.
    #[inline]
    pub(crate) fn tier(&self, id: TierId) -> Result<(usize, TierRef<'_>), Error> {
        let version = self.version();
        self.tier_of(version, id).map(|tier| (version, tier))
    }

    /// A tier of a version that decides or has decided.
    #[inline]
    pub(crate) fn tier_of(&self, version: usize, id: TierId) -> Result<TierRef<'_>, Error> {
        let tiers = self.versions.get(version).ok_or(Error::TierUnknown)?;
        if id >= FIRST_OVERRIDDEN {
            return self.overridden_tier(version, id);
        }
        let index = usize::try_from(id).unwrap_or(usize::MAX);
        match tiers.get(index) {
            Some(Some(tier)) => Ok(TierRef::Configured(tier)),
            _ => Err(Error::TierUnknown),
        }
    }

    #[cold]
    fn overridden_tier(&self, version: usize, id: TierId) -> Result<TierRef<'_>, Error> {
        let tier = self.overridden.get(version, id).ok_or(Error::TierUnknown)?;
        Ok(TierRef::Overridden(tier))
    }

    pub(crate) fn in_force(&self) -> impl Iterator<Item = &Tier> {
        self.versions
            .get(self.version())
            .into_iter()
            .flat_map(|tiers| tiers.iter().flatten())
    }

    pub(crate) fn slot_names(&self) -> Vec<String> {
        self.lock().slots.names().map(str::to_owned).collect()
    }

    /// Every name that has ever stood for a tier, by [`TierId`].
    pub(crate) fn names(&self) -> Vec<String> {
        self.lock().names.clone()
    }

    /// Puts tiers in force that use at most `max_slots` slots, or changes nothing.
    pub(crate) fn enact(&self, specs: Vec<TierSpec>, max_slots: usize) -> Result<(), Error> {
        let mut interner = self.lock();
        let mut names = interner.names.clone();
        let mut slots = interner.slots.clone();
        let mut drafts = Vec::with_capacity(specs.len());
        for spec in specs {
            let id = names.iter().position(|name| *name == spec.name).unwrap_or(names.len());
            if id == names.len() {
                names.push(spec.name.clone());
            }
            let id = id as TierId;
            if id >= FIRST_OVERRIDDEN {
                return Err(Error::TiersInvalid("there are too many tiers".into()));
            }
            let (rules, limits) = compile(&spec, &mut slots, max_slots)?;
            drafts.push((id, spec, rules, limits));
        }
        let mut tiers: TierVersion = std::iter::repeat_with(|| None).take(names.len()).collect();
        for (id, spec, rules, limits) in drafts {
            let tier = self.tier_with((id, id), spec, &rules, limits)?;
            if let Some(entry) = usize::try_from(id).ok().and_then(|id| tiers.get_mut(id)) {
                *entry = Some(tier);
            }
        }
        interner.names = names;
        interner.slots = slots;
        let version = self.versions.push(tiers);
        self.current.store(version, Ordering::Release);
        Ok(())
    }

    /// A tier beside those of a version: like one of it, with other limits under names that are known. Of one name it is
    /// made once, as long as it is used.
    pub(crate) fn override_tier(&self, version: usize, plain: TierId, spec: TierSpec) -> Result<TierId, Error> {
        let plain = self.tier_of(version, plain)?.counts_as;
        let name = spec.name.clone();
        self.overridden.id_of(version, &name, |id| {
            let mut slots = self.lock().slots.clone();
            let known = slots.len();
            let (rules, limits) = compile(&spec, &mut slots, known)?;
            self.tier_with((id, plain), spec, &rules, limits)
        })
    }

    /// A tier of nothing but one limit of another.
    pub(crate) fn only(&self, tier: &Tier, limit: LimitSpec) -> Result<Tier, Error> {
        let spec = TierSpec {
            name: tier.spec().name.clone(),
            limits: vec![limit],
        };
        let mut slots = self.lock().slots.clone();
        let known = slots.len();
        let (rules, limits) = compile(&spec, &mut slots, known)?;
        self.tier_with((tier.id, tier.counts_as), spec, &rules, limits)
    }

    /// `counts_as` is the tier under which it is counted.
    fn tier_with(
        &self,
        (id, counts_as): (TierId, TierId),
        spec: TierSpec,
        rules: &Rules,
        limits: Vec<TierLimit>,
    ) -> Result<Tier, Error> {
        let rule_set = self.rule_sets.of(rules).ok_or(Error::TooManyRuleSets)?;
        Ok(Tier::new(id, counts_as, rule_set, spec, limits))
    }

    /// A rule set that a key is under. None only for a number that was never given.
    pub(crate) fn rule_set(&self, id: RuleSetId) -> Option<Arc<RuleSet>> {
        self.rule_sets.get(id)
    }

    /// The rule set of a key of rule set `before` that comes under a tier: the tier's limits, and its old ones in the other slots.
    pub(crate) fn merge(&self, before: &RuleSet, tier: &Tier) -> Arc<RuleSet> {
        let mut rules = tier.held.rules();
        for (rule, before) in rules.iter_mut().zip(before.rules()) {
            *rule = rule.or(before);
        }
        // With a million different combinations at once a key keeps only what its present tier counts.
        self.rule_sets.of(&rules).unwrap_or_else(|| Arc::clone(&tier.held))
    }

    /// The limits of a rule set, without those of concurrency, of which nothing is kept.
    pub(crate) fn named_rules(&self, HeldRuleSet(rule_set): &HeldRuleSet) -> Vec<NamedRule> {
        let interner = self.lock();
        let named = interner.slots.names().zip(rule_set.rules()).enumerate();
        named
            .filter_map(|(slot, (name, rule))| {
                Some(NamedRule {
                    slot,
                    name: name.to_owned(),
                    rule: rule.filter(|rule| rule.is_kept())?,
                })
            })
            .collect()
    }

    /// A stored rule set in terms of these tiers. Limits that no slot of theirs is for are left out.
    pub(crate) fn adopt(&self, limits: &[NamedRule]) -> Result<AdoptedRuleSet, Error> {
        let slots = self.lock().slots.clone();
        let mut rules = Rules::default();
        let mut stored_slots = [None; MAX_LIMITS];
        for NamedRule {
            slot: stored,
            name,
            rule,
        } in limits
        {
            if let (Some(slot), Some(_)) = (slots.of(name, *rule), Limit::new(*rule)) {
                rules[slot] = Some(*rule);
                stored_slots[slot] = Some(*stored);
            }
        }
        let rule_set = HeldRuleSet(self.rule_sets.of(&rules).ok_or(Error::TooManyRuleSets)?);
        Ok(AdoptedRuleSet { rule_set, stored_slots })
    }

    fn lock(&self) -> MutexGuard<'_, Interner> {
        self.interner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
/// The limits of a tier, ready to decide, and the rules of its slots.
fn compile(spec: &TierSpec, slots: &mut Slots, max_slots: usize) -> Result<(Rules, Vec<TierLimit>), Error> {
    let mut rules = Rules::default();
    let mut limits = Vec::with_capacity(spec.limits.len());
    for LimitSpec { name, rule } in &spec.limits {
        let slot = slots.claim(name, *rule, max_slots)?;
        let limit = Limit::new(*rule)
            .ok_or_else(|| Error::TiersInvalid(format!("limit {name} of tier {} is out of range", spec.name)))?;
        if rules[slot].replace(*rule).is_some() {
            return Err(Error::TiersInvalid(format!(
                "tier {} has two limits named {name}",
                spec.name
            )));
        }
        limits.push(TierLimit { slot, limit });
    }
    Ok((rules, limits))
}
