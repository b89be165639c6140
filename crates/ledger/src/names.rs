//! Names of meters and plans, each with a number, that those who count give in their place.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Names, numbered in the order in which they came.
#[derive(Debug)]
pub struct Names {
    most: u16,
    /// How many there are: for those who only check a number.
    len: AtomicU16,
    interner: RwLock<Interner>,
}

#[derive(Debug, Default)]
struct Interner {
    names: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, u16>,
}

impl Names {
    /// At most so many.
    pub(crate) fn new(most: u16) -> Self {
        Self {
            most,
            len: AtomicU16::new(0),
            interner: RwLock::default(),
        }
    }

    /// The number of a name; None if it has none.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<u16> {
        let interner = self.interner.read().unwrap_or_else(PoisonError::into_inner);
        interner.numbers.get(name).copied()
    }

    /// The number of a name, which gets one if it has none; None if there are too many.
    pub fn number_of(&self, name: &str) -> Option<u16> {
        if let Some(number) = self.find(name) {
            return Some(number);
        }
        let mut interner = self.interner.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(&number) = interner.numbers.get(name) {
            return Some(number);
        }
        let number = self.len.load(Ordering::Relaxed);
        if number == self.most {
            return None;
        }
        let name: Arc<str> = name.into();
        interner.names.push(Arc::clone(&name));
        interner.numbers.insert(name, number);
        self.len.store(number + 1, Ordering::Relaxed);
        Some(number)
    }

    /// All names, in order of number.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<str>> {
        let interner = self.interner.read().unwrap_or_else(PoisonError::into_inner);
        interner.names.clone()
    }

    /// How many there are; all numbers are below it.
    #[inline]
    #[must_use]
    pub fn len(&self) -> u16 {
        self.len.load(Ordering::Relaxed)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
