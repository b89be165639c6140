//! The book of tiers: every version of them, and every plan of a key.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::MAX_LIMITS;
use crate::error::Error;
use crate::limit::{Limit, LimitSpec};
use crate::plan::{MAX_PLANS, Plan, PlanId, PlanRules};
use crate::slots::Slots;
use crate::snapshot::{AdoptedPlan, PlanLimit};
use crate::tier::{FIRST_OVERRIDDEN, Tier, TierId, TierLimit, TierSpec};

/// One version of the tiers.
#[derive(Debug)]
struct Edition {
    /// By [`TierId`]; None for a tier that was dropped.
    tiers: Vec<Option<Tier>>,
    /// Tiers with overrides, by [`TierId`] from [`FIRST_OVERRIDDEN`] on, as far as this version was asked for them.
    overridden: boxcar::Vec<OnceLock<Tier>>,
}

/// All versions of the tiers, and all plans that keys have ever been under. Both only grow, so that a decision reads
/// them without a lock and a reload never blocks one.
#[derive(Debug)]
pub(crate) struct TierBook {
    editions: boxcar::Vec<Edition>,
    current: AtomicUsize,
    plans: boxcar::Vec<Plan>,
    register: Mutex<Register>,
}

#[derive(Debug, Default)]
struct Register {
    slots: Slots,
    names: Vec<String>,
    /// Numbers of the names that have ever stood for a tier with overrides.
    overridden: HashMap<String, TierId>,
    plan_ids: HashMap<PlanRules, PlanId>,
}

impl TierBook {
    pub(crate) fn new(specs: Vec<TierSpec>) -> Result<Self, Error> {
        let book = Self {
            editions: boxcar::Vec::new(),
            current: AtomicUsize::new(0),
            plans: boxcar::Vec::new(),
            register: Mutex::default(),
        };
        book.enact(specs, MAX_LIMITS)?;
        Ok(book)
    }

    /// Counts the reloads, from 0.
    pub(crate) fn version(&self) -> usize {
        self.current.load(Ordering::Acquire)
    }

    /// The version that decides now, and a tier of it.
    #[inline]
    pub(crate) fn tier(&self, id: TierId) -> Result<(usize, &Tier), Error> {
        let version = self.version();
        self.tier_of(version, id).map(|tier| (version, tier))
    }

    /// A tier of a version that decides or has decided.
    #[inline]
    pub(crate) fn tier_of(&self, version: usize, id: TierId) -> Result<&Tier, Error> {
        let edition = self.editions.get(version).ok_or(Error::TierUnknown)?;
        match edition.tiers.get(usize::from(id)) {
            Some(tier) => tier.as_ref(),
            None => overridden(edition, id),
        }
        .ok_or(Error::TierUnknown)
    }

    pub(crate) fn tiers(&self) -> impl Iterator<Item = &Tier> {
        self.editions
            .get(self.version())
            .into_iter()
            .flat_map(|edition| edition.tiers.iter().flatten())
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
        let mut register = self.lock();
        let mut names = register.names.clone();
        let mut slots = register.slots.clone();
        let mut drafts = Vec::with_capacity(specs.len());
        for spec in specs {
            let id = names.iter().position(|name| *name == spec.name).unwrap_or(names.len());
            if id == names.len() {
                names.push(spec.name.clone());
            }
            let id = TierId::try_from(id).map_err(|_| Error::TiersInvalid("there are too many tiers".into()))?;
            if id >= FIRST_OVERRIDDEN {
                return Err(Error::TiersInvalid("there are too many tiers".into()));
            }
            let (rules, limits) = compile(&spec, &mut slots, max_slots)?;
            drafts.push((id, spec, rules, limits));
        }
        let mut tiers: Vec<Option<Tier>> = std::iter::repeat_with(|| None).take(names.len()).collect();
        for (id, spec, rules, limits) in drafts {
            tiers[usize::from(id)] = Some(self.tier_with(&mut register, (id, id), spec, rules, limits)?);
        }
        register.names = names;
        register.slots = slots;
        let version = self.editions.push(Edition {
            tiers,
            overridden: boxcar::Vec::new(),
        });
        self.current.store(version, Ordering::Release);
        Ok(())
    }

    /// Puts a tier in force beside those of a version that decides now: a tier of it, with other limits under names that
    /// the version knows. Of one name it is made once.
    pub(crate) fn override_tier(&self, version: usize, plain: TierId, spec: TierSpec) -> Result<TierId, Error> {
        let mut register = self.lock();
        if version != self.version() {
            return Err(Error::TierUnknown);
        }
        let plain = self.tier_of(version, plain)?.counts_as;
        let edition = self.editions.get(version).ok_or(Error::TierUnknown)?;
        let next = register.overridden.len();
        let id = match register.overridden.get(&spec.name) {
            Some(&id) => id,
            None => TierId::try_from(next + usize::from(FIRST_OVERRIDDEN))
                .map_err(|_| Error::TiersInvalid("there are too many tiers with overrides".into()))?,
        };
        if overridden(edition, id).is_some() {
            return Ok(id);
        }
        let mut slots = register.slots.clone();
        let known = slots.len();
        let (rules, limits) = compile(&spec, &mut slots, known)?;
        let name = spec.name.clone();
        let tier = self.tier_with(&mut register, (id, plain), spec, rules, limits)?;
        register.overridden.insert(name, id);
        let index = usize::from(id - FIRST_OVERRIDDEN);
        while edition.overridden.count() <= index {
            edition.overridden.push(OnceLock::new());
        }
        // Under the lock nobody else makes it.
        let _ = edition.overridden[index].set(tier);
        Ok(id)
    }

    /// `counts_as` is the tier under which it is counted.
    fn tier_with(
        &self,
        register: &mut Register,
        (id, counts_as): (TierId, TierId),
        spec: TierSpec,
        rules: PlanRules,
        limits: Vec<TierLimit>,
    ) -> Result<Tier, Error> {
        let plan = self
            .plan_for(register, rules)
            .ok_or_else(|| Error::TiersInvalid("too many different tiers were in force".into()))?;
        Ok(Tier::new(id, counts_as, plan, spec, limits))
    }

    /// A plan that a key is under. None only for a number that this book never gave.
    pub(crate) fn plan(&self, id: PlanId) -> Option<&Plan> {
        self.plans.get(id as usize)
    }

    /// The plan of a key of plan `before` that enters a tier: the tier's limits, and its old ones in the other slots.
    pub(crate) fn merge(&self, before: &Plan, tier: &Tier) -> PlanId {
        let Some(plan) = self.plan(tier.plan) else {
            return tier.plan;
        };
        let mut rules = PlanRules::default();
        for (slot, rule) in rules.iter_mut().enumerate() {
            *rule = plan.slots[slot]
                .as_ref()
                .or(before.slots[slot].as_ref())
                .map(|slot| slot.rule);
        }
        // After a million different combinations a key keeps only what its present tier counts.
        self.plan_for(&mut self.lock(), rules).unwrap_or(tier.plan)
    }

    /// The limits of a plan.
    pub(crate) fn plan_limits(&self, id: PlanId) -> Vec<PlanLimit> {
        let register = self.lock();
        let slots = self.plan(id).into_iter().flat_map(|plan| plan.slots.iter().enumerate());
        slots
            .filter_map(|(slot, limit)| {
                let name = register.slots.names().nth(slot)?.to_owned();
                Some(PlanLimit {
                    slot,
                    name,
                    rule: limit.as_ref()?.rule,
                })
            })
            .collect()
    }

    /// A stored plan in terms of this book. Limits that no slot of this book takes are left out.
    pub(crate) fn adopt(&self, limits: &[PlanLimit]) -> Result<AdoptedPlan, Error> {
        let mut register = self.lock();
        let mut rules = PlanRules::default();
        let mut stored_slots = [None; MAX_LIMITS];
        for PlanLimit {
            slot: stored,
            name,
            rule,
        } in limits
        {
            if let (Some(slot), Some(_)) = (register.slots.of(name, *rule), Limit::new(*rule)) {
                rules[slot] = Some(*rule);
                stored_slots[slot] = Some(*stored);
            }
        }
        let plan = self
            .plan_for(&mut register, rules)
            .ok_or_else(|| Error::TiersInvalid("too many different tiers are stored".into()))?;
        Ok(AdoptedPlan { plan, stored_slots })
    }

    fn plan_for(&self, register: &mut Register, rules: PlanRules) -> Option<PlanId> {
        if let Some(&id) = register.plan_ids.get(&rules) {
            return Some(id);
        }
        if self.plans.count() == MAX_PLANS {
            return None;
        }
        let id = PlanId::try_from(self.plans.push(Plan::new(rules))).ok()?;
        register.plan_ids.insert(rules, id);
        Some(id)
    }

    fn lock(&self) -> MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cold]
fn overridden(edition: &Edition, id: TierId) -> Option<&Tier> {
    let index = id.checked_sub(FIRST_OVERRIDDEN)?;
    edition.overridden.get(usize::from(index))?.get()
}

/// The limits of a tier, ready to decide, and the rules of its slots.
fn compile(spec: &TierSpec, slots: &mut Slots, max_slots: usize) -> Result<(PlanRules, Vec<TierLimit>), Error> {
    let mut rules = PlanRules::default();
    let mut limits = Vec::with_capacity(spec.limits.len());
    for LimitSpec { name, rule } in &spec.limits {
        let slot = slots.take(name, *rule, max_slots)?;
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
