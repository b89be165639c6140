//! Slots: where the state of a limit is kept. Claimed by name when tiers are put in force.

use crate::error::Error;
use crate::limit::Rule;

/// The slots of a limiter, in order: one for all limits of one name, which are of one kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slots(Vec<Slot>);

#[derive(Debug, Clone)]
struct Slot {
    name: String,
    kind: &'static str,
}

impl Slots {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The limits' names, by slot.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|slot| slot.name.as_str())
    }

    /// The slot of a limit, if there is one for its name and kind.
    pub(crate) fn of(&self, name: &str, rule: Rule) -> Option<usize> {
        self.0
            .iter()
            .position(|slot| slot.name == name && slot.kind == rule.kind())
    }

    /// The slot of a limit, a free one of `max_slots` for a new name.
    pub(crate) fn claim(&mut self, name: &str, rule: Rule, max_slots: usize) -> Result<usize, Error> {
        let kind = rule.kind();
        if let Some(index) = self.0.iter().position(|slot| slot.name == name) {
            let before = self.0[index].kind;
            if before == kind {
                return Ok(index);
            }
            return Err(Error::TiersInvalid(format!(
                "limit {name} is a {kind} here and a {before} elsewhere"
            )));
        }
        if self.len() == max_slots {
            return Err(Error::TiersInvalid(format!(
                "limit {name} is one name too many: this limiter tells {max_slots} limits apart by name"
            )));
        }
        self.0.push(Slot {
            name: name.into(),
            kind,
        });
        Ok(self.len() - 1)
    }
}
