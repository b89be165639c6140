//! A part of the ledger: some accounts and their cells. The ledger calls it, under the part's lock.

use tollkeeper_limiter::KeyHash;
use tollkeeper_limiter::ordered::{Ordered, Placed};

use crate::account::Account;
use crate::cell::{Cell, MAX_NUMBER, Place};
use crate::counts::Counts;
use crate::kind::Kind;
use crate::totals::Totals;

/// Accounts and their cells.
#[derive(Debug, Default)]
pub(crate) struct Shard {
    accounts: Ordered<Numbered>,
    cells: Ordered<Cell>,
    /// By number, from 1 up; None where a number is free.
    names: Vec<Option<Account>>,
    free: Vec<u32>,
    totals: Totals,
}

/// An account, and how many cells it has.
#[derive(Debug, Clone, Copy)]
struct Numbered {
    /// All zero where there is none.
    hash: KeyHash,
    number: u32,
    cells: u32,
}

impl Placed for Numbered {
    const VACANT: Self = Self {
        hash: KeyHash([0; 2]),
        number: 0,
        cells: 0,
    };

    #[inline]
    fn place(&self) -> u64 {
        self.hash.0[0]
    }
}

impl Shard {
    /// Adds to a cell that is there: whether it had room for all. None if it is not there.
    #[inline]
    pub(crate) fn add(&mut self, hash: KeyHash, kind: Kind, counted: &Counts) -> Option<bool> {
        let account = self.accounts.get(hash.0[0], |account| account.hash == hash)?;
        let place = Place::new(account.number, kind);
        let cell = self.cells.get_mut(place.bits(), |cell| cell.is_at(place))?;
        self.totals.add(kind.hour, counted);
        Some(cell.add(counted))
    }

    /// Takes in a cell that is not there; whether it has room for all that it begins with. None if no account more can be
    /// told apart.
    #[cold]
    pub(crate) fn insert(
        &mut self,
        hash: KeyHash,
        account: impl FnOnce() -> Account,
        kind: Kind,
        counted: &Counts,
    ) -> Option<bool> {
        let number = self.number_of(hash, account)?;
        if let Some(account) = self.accounts.get_mut(hash.0[0], |account| account.hash == hash) {
            account.cells += 1;
        }
        self.totals.add(kind.hour, counted);
        Some(self.cells.insert(Cell::new(Place::new(number, kind))).add(counted))
    }

    fn number_of(&mut self, hash: KeyHash, account: impl FnOnce() -> Account) -> Option<u32> {
        if let Some(account) = self.accounts.get(hash.0[0], |account| account.hash == hash) {
            return Some(account.number);
        }
        let number = match self.free.pop() {
            Some(number) => number,
            None => u32::try_from(self.names.len() + 1)
                .ok()
                .filter(|number| *number <= MAX_NUMBER)?,
        };
        let index = number as usize - 1;
        if index == self.names.len() {
            if index == self.names.capacity() {
                // By a fifth, as the others grow.
                self.names.reserve_exact(index / 5 + 4);
            }
            self.names.push(None);
        }
        self.names[index] = Some(account());
        self.accounts.insert(Numbered { hash, number, cells: 0 });
        Some(number)
    }

    /// Takes every cell out, and shows it with its account.
    pub(crate) fn drain(&mut self, mut to: impl FnMut(&Account, Kind, Counts)) {
        if self.cells.is_empty() {
            return;
        }
        self.each(&mut to);
        // What held many more than now holds less from now on.
        if self.cells.capacity() > 4 * self.cells.len() {
            self.cells = Ordered::default();
        } else {
            self.cells.clear();
        }
        self.totals = Totals::default();
        self.accounts.iter_mut().for_each(|account| account.cells = 0);
    }

    /// Takes the cells of hours before one out; says how many there were, and what they had counted.
    pub(crate) fn forget_before(&mut self, hour: u32) -> Totals {
        let Self {
            accounts, cells, names, ..
        } = self;
        let mut gone = Totals::default();
        let mut of = vec![0_u32; names.len()];
        cells.forget(
            |cell| cell.split().1.hour < hour,
            |cell| {
                let (number, kind) = cell.split();
                gone.cells += 1;
                gone.add(kind.hour, &cell.counts());
                of[number as usize - 1] += 1;
            },
        );
        if gone.cells == 0 {
            return gone;
        }
        for account in accounts.iter_mut() {
            account.cells -= of[account.number as usize - 1];
        }
        let mut totals = Totals::default();
        for cell in cells.iter() {
            totals.add(cell.split().1.hour, &cell.counts());
        }
        self.totals = totals;
        gone
    }

    /// Forgets the names of accounts that have no cells.
    pub(crate) fn forget_idle(&mut self) {
        let Self {
            accounts, names, free, ..
        } = self;
        accounts.forget(
            |account| account.cells == 0,
            |account| {
                names[account.number as usize - 1] = None;
                free.push(account.number);
            },
        );
        if accounts.is_empty() {
            *accounts = Ordered::default();
            *names = Vec::new();
            *free = Vec::new();
        }
    }

    /// Shows every cell with its account.
    pub(crate) fn each(&self, mut to: impl FnMut(&Account, Kind, Counts)) {
        for cell in self.cells.iter() {
            let (number, kind) = cell.split();
            if let Some(Some(account)) = self.names.get(number as usize - 1) {
                to(account, kind, cell.counts());
            }
        }
    }

    /// Shows every cell of one account.
    pub(crate) fn each_of(&self, hash: KeyHash, mut to: impl FnMut(Kind, Counts)) {
        let Some(account) = self.accounts.get(hash.0[0], |account| account.hash == hash) else {
            return;
        };
        for cell in self.cells.iter() {
            let (number, kind) = cell.split();
            if number == account.number {
                to(kind, cell.counts());
            }
        }
    }

    /// Cells, accounts, and what is counted.
    pub(crate) fn totals(&self) -> (Totals, usize) {
        let cells = self.cells.len();
        (Totals { cells, ..self.totals }, self.accounts.len())
    }
}
