//! What found no room: counted without its account, by hour, meter and plan.

use std::collections::BTreeMap;

use crate::counts::Counts;
use crate::kind::Kind;
use crate::totals::Totals;

/// Few cells, however many accounts there are.
#[derive(Debug, Default)]
pub(crate) struct Overflow {
    cells: BTreeMap<Kind, Counts>,
    totals: Totals,
}

impl Overflow {
    pub(crate) fn add(&mut self, kind: Kind, counted: &Counts) {
        self.cells.entry(kind).or_default().add(counted);
        self.totals.add(kind.hour, counted);
    }

    pub(crate) fn drain(&mut self) -> BTreeMap<Kind, Counts> {
        self.totals = Totals::default();
        std::mem::take(&mut self.cells)
    }

    /// Takes the cells of hours before one out.
    pub(crate) fn forget_before(&mut self, hour: u32) -> Totals {
        let kept = self.cells.split_off(&Kind {
            hour,
            meter: 0,
            plan: 0,
        });
        let mut gone = Totals::default();
        for (kind, counted) in std::mem::replace(&mut self.cells, kept) {
            gone.add(kind.hour, &counted);
        }
        self.totals = Totals::default();
        for (kind, counted) in &self.cells {
            self.totals.add(kind.hour, counted);
        }
        gone
    }

    pub(crate) fn each(&self, mut to: impl FnMut(Kind, Counts)) {
        self.cells.iter().for_each(|(kind, counted)| to(*kind, *counted));
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals {
            cells: self.cells.len(),
            ..self.totals
        }
    }
}
