//! Tiers, and which limits govern the slots of a key.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::bucket::Bucket;
use crate::error::Error;
use crate::period::Period;
use crate::quota::Quota;
use crate::rates::Rates;
use crate::snapshot::{AdoptedPlan, PlanLimit};
use crate::{MAX_CAPACITY, Verdict};

/// Limits that one limiter can tell apart by name, over all its tiers.
pub const MAX_LIMITS: usize = 4;

/// Stands for a tier's name as long as the limiter lives. Tiers with overrides have the upper half of the numbers.
pub type TierId = u16;
const FIRST_OVERRIDDEN: TierId = 1 << 15;

/// Stands for the limits that govern a key's slots, as long as the limiter lives; 20 bits.
pub type PlanId = u32;
pub(crate) const MAX_PLANS: usize = 1 << 20;

/// A tier as configured: a named set of limits, none at all for unlimited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierSpec {
    /// Name of the tier.
    pub name: String,
    /// Its limits, in the order in which decisions report them.
    pub limits: Vec<LimitSpec>,
}

/// A limit as configured. Limits of one name share one slot of state over all tiers, and are of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LimitSpec {
    /// Name of the limit.
    pub name: String,
    /// What it allows.
    pub rule: Rule,
}

/// What a limit allows. Tokens, seconds and factors are in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// A token bucket.
    Bucket {
        /// Tokens refilled in one window.
        limit_milli: u64,
        /// Length of the window in milliseconds.
        window_ms: u64,
        /// Capacity as a multiple of the limit, from 1,000.
        burst_milli: u64,
    },
    /// A quota per calendar period.
    Quota {
        /// Tokens of one period.
        limit_milli: u64,
        /// What it counts by.
        period: Period,
    },
}

/// A limit, ready to decide.
#[derive(Debug)]
pub(crate) enum Limit {
    Bucket(Bucket),
    Quota(Quota),
}

impl Limit {
    fn new(rule: Rule) -> Option<Self> {
        match rule {
            Rule::Bucket {
                limit_milli,
                window_ms,
                burst_milli,
            } => Bucket::new(limit_milli, window_ms, burst_milli).map(Self::Bucket),
            Rule::Quota { limit_milli, period } => {
                let anchored = !matches!(period, Period::Month { anchor_day } if !(1..=31).contains(&anchor_day));
                (anchored && (1..=MAX_CAPACITY).contains(&limit_milli))
                    .then(|| Self::Quota(Quota::new(limit_milli, period)))
            }
        }
    }

    pub(crate) fn initial(&self) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.initial(),
            Self::Quota(_) => 0,
        }
    }

    fn max_cost_milli(&self) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.max_cost_milli(),
            Self::Quota(quota) => quota.max_cost_milli(),
        }
    }

    pub(crate) fn wait_ms(&self, spent: u64, cost_milli: u64, now_ms: u64) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.wait_ms(spent, cost_milli),
            Self::Quota(quota) => quota.wait_ms(spent, cost_milli, now_ms),
        }
    }

    pub(crate) fn charged(&self, spent: u64, delta_milli: i64) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.charged(spent, delta_milli),
            Self::Quota(quota) => quota.charged(spent, delta_milli),
        }
    }

    /// What is still spent at `now_ms` of what was spent at `at_ms`.
    pub(crate) fn settled(&self, spent: u64, at_ms: u64, now_ms: u64) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket.refilled(spent, now_ms.saturating_sub(at_ms)),
            Self::Quota(quota) => quota.rolled(spent, at_ms, now_ms),
        }
    }

    /// What is spent at `now_ms` by a key that comes from another limit of the same kind: there it had spent `before` at
    /// `at_ms`, of which `settled` is left at `now_ms`.
    pub(crate) fn converted(&self, before: u64, settled: u64, from: &Self, at_ms: u64, now_ms: u64) -> u64 {
        match (self, from) {
            (Self::Bucket(bucket), Self::Bucket(from)) => bucket.converted(settled, from),
            // Not what the old quota has left of it, whose period may have ended where this one's goes on.
            (Self::Quota(quota), Self::Quota(from)) => quota.converted(before, from, at_ms, now_ms),
            _ => unreachable!("a slot's kind never changes: slot_for refuses it"),
        }
    }
}

/// A limit of a tier and where its state is kept.
#[derive(Debug)]
pub(crate) struct TierLimit {
    pub(crate) slot: usize,
    pub(crate) limit: Limit,
}

/// A tier, ready to decide.
#[derive(Debug)]
pub struct Tier {
    pub(crate) id: TierId,
    /// The tier under which its decisions are counted: itself, or the one that it overrides.
    pub(crate) counts_as: TierId,
    pub(crate) plan: PlanId,
    pub(crate) limits: Vec<TierLimit>,
    pub(crate) rates: Rates,
    max_cost_milli: u64,
    spec: TierSpec,
}

impl Tier {
    /// The tier as configured.
    #[must_use]
    pub fn spec(&self) -> &TierSpec {
        &self.spec
    }

    #[inline]
    pub(crate) fn check_cost(&self, cost_milli: u64) -> Result<(), Error> {
        if cost_milli > self.max_cost_milli {
            return Err(Error::CostExceedsCapacity {
                most_milli: self.max_cost_milli,
            });
        }
        Ok(())
    }

    /// The denying limit with the longest wait, if any denies.
    #[inline]
    pub(crate) fn judge<const N: usize>(&self, spent: &[u64; N], cost_milli: u64, now_ms: u64) -> Verdict {
        // Waits take divisions, and most calls pass.
        if self.rates.fit(spent, cost_milli) {
            return Verdict::Allowed;
        }
        self.longest_wait(spent, cost_milli, now_ms)
    }

    #[cold]
    fn longest_wait(&self, spent: &[u64], cost_milli: u64, now_ms: u64) -> Verdict {
        let mut verdict = Verdict::Allowed;
        let mut longest = 0;
        for (limit, TierLimit { slot, limit: rule }) in (0..).zip(&self.limits) {
            let wait = rule.wait_ms(spent[*slot], cost_milli, now_ms);
            if wait > longest {
                longest = wait;
                verdict = Verdict::Denied { limit };
            }
        }
        verdict
    }
}

/// Which limit governs each slot of a key: those of its last tier, and older ones where that tier has none.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) slots: [Option<PlanSlot>; MAX_LIMITS],
}

impl Plan {
    /// Whether every limit of a tier is the one that governs its slot.
    pub(crate) fn covers(&self, tier: &Tier) -> bool {
        let governs = |slot: usize, rule: Rule| self.slots[slot].as_ref().is_some_and(|present| present.rule == rule);
        tier.limits
            .iter()
            .zip(&tier.spec.limits)
            .all(|(limit, spec)| governs(limit.slot, spec.rule))
    }
}

#[derive(Debug)]
pub(crate) struct PlanSlot {
    pub(crate) rule: Rule,
    pub(crate) limit: Limit,
}

type PlanRules = [Option<Rule>; MAX_LIMITS];

/// A slot of state: the limits of one name, which are of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) name: String,
    kind: &'static str,
}

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
    slots: Vec<Slot>,
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
        self.lock().slots.iter().map(|slot| slot.name.clone()).collect()
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
        let max_cost_milli = limits
            .iter()
            .map(|limit| limit.limit.max_cost_milli())
            .min()
            .unwrap_or(u64::MAX);
        Ok(Tier {
            id,
            counts_as,
            plan,
            rates: Rates::new(&limits),
            limits,
            max_cost_milli,
            spec,
        })
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
                let name = register.slots.get(slot)?.name.clone();
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
            let slot = register
                .slots
                .iter()
                .position(|slot| slot.name == *name && slot.kind == kind(*rule));
            if let (Some(slot), Some(_)) = (slot, Limit::new(*rule)) {
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
        let slots = rules.map(|rule| {
            rule.and_then(|rule| {
                Some(PlanSlot {
                    rule,
                    limit: Limit::new(rule)?,
                })
            })
        });
        let id = PlanId::try_from(self.plans.push(Plan { slots })).ok()?;
        register.plan_ids.insert(rules, id);
        Some(id)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Register> {
        self.register.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cold]
fn overridden(edition: &Edition, id: TierId) -> Option<&Tier> {
    let index = id.checked_sub(FIRST_OVERRIDDEN)?;
    edition.overridden.get(usize::from(index))?.get()
}

/// The limits of a tier, ready to decide, and the rules of its slots.
fn compile(spec: &TierSpec, slots: &mut Vec<Slot>, max_slots: usize) -> Result<(PlanRules, Vec<TierLimit>), Error> {
    let mut rules = PlanRules::default();
    let mut limits = Vec::with_capacity(spec.limits.len());
    for LimitSpec { name, rule } in &spec.limits {
        let slot = slot_for(slots, name, *rule, max_slots)?;
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

/// The slot of a limit's name, taking a free one for a new name.
fn slot_for(slots: &mut Vec<Slot>, name: &str, rule: Rule, max_slots: usize) -> Result<usize, Error> {
    let kind = kind(rule);
    if let Some(index) = slots.iter().position(|slot| slot.name == name) {
        let before = slots[index].kind;
        if before == kind {
            return Ok(index);
        }
        return Err(Error::TiersInvalid(format!(
            "limit {name} is a {kind} here and a {before} elsewhere"
        )));
    }
    if slots.len() == max_slots {
        return Err(Error::TiersInvalid(format!(
            "limit {name} is one name too many: this limiter tells {max_slots} limits apart by name"
        )));
    }
    slots.push(Slot {
        name: name.into(),
        kind,
    });
    Ok(slots.len() - 1)
}

fn kind(rule: Rule) -> &'static str {
    match rule {
        Rule::Bucket { .. } => "bucket",
        Rule::Quota {
            period: Period::Day, ..
        } => "day quota",
        Rule::Quota {
            period: Period::Month { .. },
            ..
        } => "month quota",
    }
}
