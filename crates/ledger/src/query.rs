//! Which cells are wanted, and how they are put together out of memory and what was written.

use std::collections::BTreeMap;
use std::collections::btree_map::{self, Entry};
use std::iter::Peekable;

use crate::account::Account;
use crate::counts::Counts;
use crate::kind::Kind;

/// What is added up, of an account, meter and plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Nothing.
    Hour,
    /// The hours of a day, in UTC.
    Day,
    /// All that is wanted.
    Range,
}

/// Which cells are wanted.
#[derive(Debug, Clone)]
pub struct Query {
    /// One account; all if there is none.
    pub account: Option<Account>,
    /// The first hour of cells is not before this one,
    pub from_hour: u32,
    /// and before this one.
    pub to_hour: u32,
    /// What is added up.
    pub by: By,
    /// The account after which to go on.
    pub after: Option<Account>,
    /// So many rows are enough: a page ends with the account that brings it there.
    pub max: usize,
}

/// How much has been served to an account of one kind, in one hour or several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Of which hour, the first of them, and of which meter and plan.
    pub kind: Kind,
    /// Of how many hours.
    pub hours: u32,
    /// How much.
    pub counts: Counts,
    /// How often something came after its day was closed.
    pub revision: u32,
}

/// Some of the rows that are wanted: by account, of an account by hour, meter and plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The rows of each account.
    pub accounts: Vec<(Account, Vec<Row>)>,
    /// The account after which the next page goes on; None if this was the last.
    pub next: Option<Account>,
}

impl Query {
    /// Whether a cell is wanted that begins with an hour.
    #[must_use]
    pub fn wants_hour(&self, hour: u32) -> bool {
        (self.from_hour..self.to_hour).contains(&hour)
    }

    /// Whether an account is wanted.
    #[must_use]
    pub fn wants_account(&self, account: &Account) -> bool {
        self.account.as_ref().is_none_or(|wanted| wanted == account)
            && self.after.as_ref().is_none_or(|after| account > after)
    }

    /// The row to which one is added up.
    fn summed(&self, row: &Row) -> (Kind, u32) {
        let Row { kind, hours, .. } = *row;
        let (hour, hours) = match self.by {
            By::Hour => (kind.hour, hours),
            By::Day => (kind.hour - kind.hour % 24, hours.max(24)),
            By::Range => (self.from_hour, self.to_hour - self.from_hour),
        };
        (Kind { hour, ..kind }, hours)
    }

    /// Puts a page together out of what is in memory and what was written, which is ordered by account.
    ///
    /// # Errors
    /// The first of what was written.
    pub fn page<E>(
        &self,
        unwritten: Unwritten,
        written: impl Iterator<Item = Result<(Account, Vec<Row>), E>>,
    ) -> Result<Page, E> {
        let Unwritten { accounts, is_cut, .. } = unwritten;
        let mut unwritten = accounts.into_iter().peekable();
        let mut written = written.peekable();
        let (mut accounts, mut rows) = (Vec::<(Account, Vec<Row>)>::new(), 0);
        loop {
            let last = || accounts.last().map(|(account, _)| account.clone());
            let Some((account, found)) = next_account(&mut unwritten, &mut written)? else {
                return Ok(Page { next: None, accounts });
            };
            let summed = self.add_up(&found);
            if summed.is_empty() {
                continue;
            }
            if rows >= self.max {
                return Ok(Page { next: last(), accounts });
            }
            rows += summed.len();
            accounts.push((account, summed));
            // Of the accounts that follow, some may be in memory and were not looked at.
            if is_cut && unwritten.peek().is_none() {
                let next = accounts.last().map(|(account, _)| account.clone());
                return Ok(Page { accounts, next });
            }
        }
    }

    fn add_up(&self, found: &[Row]) -> Vec<Row> {
        let mut sums = BTreeMap::<(Kind, u32), Row>::new();
        for row in found.iter().filter(|row| self.wants_hour(row.kind.hour)) {
            let (kind, hours) = self.summed(row);
            match sums.entry((kind, hours)) {
                Entry::Vacant(entry) => _ = entry.insert(Row { kind, hours, ..*row }),
                Entry::Occupied(mut entry) => {
                    let sum = entry.get_mut();
                    sum.counts.add(&row.counts);
                    sum.revision = sum.revision.max(row.revision);
                }
            }
        }
        sums.into_values().collect()
    }
}

/// The next account of either, with the rows of both.
fn next_account<E>(
    unwritten: &mut Peekable<btree_map::IntoIter<Account, Vec<Row>>>,
    written: &mut Peekable<impl Iterator<Item = Result<(Account, Vec<Row>), E>>>,
) -> Result<Option<(Account, Vec<Row>)>, E> {
    let order = match (unwritten.peek(), written.peek()) {
        (Some((one, _)), Some(Ok((other, _)))) => one.cmp(other),
        (Some(_), None) => std::cmp::Ordering::Less,
        _ => std::cmp::Ordering::Greater,
    };
    let from_memory = if order.is_le() { unwritten.next() } else { None };
    let from_file = if order.is_ge() {
        written.next().transpose()?
    } else {
        None
    };
    Ok(match (from_memory, from_file) {
        (Some((account, mut rows)), Some((_, others))) => {
            rows.extend(others);
            Some((account, rows))
        }
        (one, other) => one.or(other),
    })
}

/// What is in memory of what is wanted, by account.
#[derive(Debug)]
pub struct Unwritten {
    query: Query,
    accounts: BTreeMap<Account, Vec<Row>>,
    /// Whether there are accounts after the last of these.
    is_cut: bool,
}

impl Unwritten {
    /// Nothing.
    #[must_use]
    pub fn new(query: &Query) -> Self {
        Self {
            query: query.clone(),
            accounts: BTreeMap::new(),
            is_cut: false,
        }
    }

    pub(crate) fn wants(&self, account: &Account) -> bool {
        self.query.wants_account(account)
    }

    /// Adds a row, if it is wanted; of more accounts than a page can have, only the first are kept.
    pub(crate) fn add(&mut self, account: &Account, row: Row) {
        if !self.query.wants_hour(row.kind.hour) || !self.wants(account) {
            return;
        }
        if let Some(rows) = self.accounts.get_mut(account) {
            rows.push(row);
            return;
        }
        if self.accounts.len() > self.query.max {
            if self.accounts.last_key_value().is_some_and(|(last, _)| last < account) {
                self.is_cut = true;
                return;
            }
            self.accounts.pop_last();
            self.is_cut = true;
        }
        self.accounts.insert(account.clone(), vec![row]);
    }
}
