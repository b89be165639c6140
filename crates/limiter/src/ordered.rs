//! An array ordered by hash, with gaps: what a shard of the table, of the table of leases or of the ledger finds its keys
//! in.
//!
//! ```
//! use tollkeeper_limiter::ordered::{Ordered, Placed};
//!
//! impl Placed for Named {
//!     const VACANT: Self = Self { hash: 0, calls: 0 };
//!
//!     fn place(&self) -> u64 {
//!         self.hash
//!     }
//! }
//! # #[derive(Clone, Copy)]
//! # struct Named { hash: u64, calls: u32 }
//!
//! let mut named = Ordered::default();
//! named.insert(Named { hash: 0xC0FF_EE00_0000_0000, calls: 3 });
//! assert_eq!(named.get(0xC0FF_EE00_0000_0000, |_| true).map(|named| named.calls), Some(3));
//! ```

use std::mem;

/// Entries beyond the last home, so that none has to wrap around; more are added where that is not enough.
const TAIL: usize = 8;
const FIRST_HOMES: u32 = 8;

/// What an ordered array holds.
pub trait Placed: Copy {
    /// What stands where there is nothing.
    const VACANT: Self;

    /// By what it is ordered, evenly spread; 0 of [`VACANT`](Self::VACANT) and of nothing else.
    fn place(&self) -> u64;
}

/// Entries in one array, ordered by place, each at its home or a little after it.
///
/// The home of a hash grows with the hash, so the order is that of a sorted array with gaps. It makes a search for a key
/// that is not there as short as one for a key that is, and lets the array grow by a fifth where a table of powers of two
/// has to double. (Method: Amble and Knuth, "Ordered hash tables", with multiplication for division as in Lemire, "Fast
/// random integer generation in an interval".)
///
/// Small itself, so that a shard's first line of the processor's caches has room for more.
#[derive(Debug)]
pub struct Ordered<E> {
    entries: Box<[E]>,
    /// Indices to which a place can lead; 0 as long as nothing has come.
    homes: u32,
    len: u32,
}

impl<E> Default for Ordered<E> {
    fn default() -> Self {
        Self {
            entries: Box::default(),
            homes: 0,
            len: 0,
        }
    }
}

impl<E: Placed> Ordered<E> {
    /// The entry of a place that `is` the one looked for.
    #[inline]
    pub fn get(&self, place: u64, is: impl Fn(&E) -> bool) -> Option<&E> {
        match self.find(place, is) {
            Ok(index) => Some(&self.entries[index]),
            Err(_) => None,
        }
    }

    /// The same, to be changed in anything but its place.
    #[inline]
    pub fn get_mut(&mut self, place: u64, is: impl Fn(&E) -> bool) -> Option<&mut E> {
        match self.find(place, is) {
            Ok(index) => Some(&mut self.entries[index]),
            Err(_) => None,
        }
    }

    /// Inserts an entry that is not there, and shows it where it stands.
    pub fn insert(&mut self, entry: E) -> &mut E {
        if self.is_crowded() {
            self.grow();
        }
        let (Ok(index) | Err(index)) = self.find(entry.place(), |_| false);
        let gap = self.entries[index..]
            .iter()
            .position(is_vacant::<E>)
            .unwrap_or_else(|| self.lengthen() - index);
        self.entries.copy_within(index..index + gap, index + 1);
        self.entries[index] = entry;
        self.len += 1;
        &mut self.entries[index]
    }

    /// Whether it was there.
    pub fn remove(&mut self, place: u64, is: impl Fn(&E) -> bool) -> bool {
        match self.find(place, is) {
            Ok(index) => {
                self.remove_at(index);
                true
            }
            Err(_) => false,
        }
    }

    /// Removes what `goes`; each is told to `gone`.
    pub fn forget(&mut self, mut goes: impl FnMut(&E) -> bool, mut gone: impl FnMut(E)) {
        // From the end, since a removal moves only entries that were already looked at.
        for index in (0..self.entries.len()).rev() {
            let entry = self.entries[index];
            if !is_vacant(&entry) && goes(&entry) {
                gone(entry);
                self.remove_at(index);
            }
        }
    }

    /// Forgets every entry, and keeps the memory.
    pub fn clear(&mut self) {
        self.entries.fill(E::VACANT);
        self.len = 0;
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len as usize
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many there is memory for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.homes as usize
    }

    /// Every entry, in order of place.
    pub fn iter(&self) -> impl Iterator<Item = &E> {
        self.entries.iter().filter(|entry| !is_vacant(*entry))
    }

    /// Every entry, to be changed in anything but its place.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut E> {
        self.entries.iter_mut().filter(|entry| !is_vacant(*entry))
    }

    /// Where an entry of a place would be.
    #[must_use]
    pub fn address(&self, place: u64) -> *const u8 {
        self.entries.as_ptr().wrapping_add(home(place, self.homes)).cast()
    }

    /// Adds places at the end, of which the first one is returned.
    #[cold]
    fn lengthen(&mut self) -> usize {
        let first = self.entries.len();
        let mut entries = mem::take(&mut self.entries).into_vec();
        entries.reserve_exact(TAIL);
        entries.resize(first + TAIL, E::VACANT);
        self.entries = entries.into_boxed_slice();
        first
    }

    /// The index of an entry, or, as an error, the one that it would have.
    #[inline]
    fn find(&self, place: u64, is: impl Fn(&E) -> bool) -> Result<usize, usize> {
        let mut index = home(place, self.homes);
        while let Some(entry) = self.entries.get(index) {
            if is(entry) {
                return Ok(index);
            }
            if is_vacant(entry) || entry.place() > place {
                break;
            }
            index += 1;
        }
        Err(index)
    }

    fn remove_at(&mut self, index: usize) {
        let homes = self.homes;
        let away =
            |(offset, entry): &(usize, &E)| !is_vacant(*entry) && home(entry.place(), homes) < index + 1 + offset;
        let moved = self.entries[index + 1..].iter().enumerate().take_while(away).count();
        self.entries.copy_within(index + 1..=index + moved, index);
        self.entries[index + moved] = E::VACANT;
        self.len -= 1;
    }

    /// Seven eighths are taken.
    fn is_crowded(&self) -> bool {
        (self.len + 1) * 8 > self.homes * 7
    }

    /// By a fifth.
    #[cold]
    fn grow(&mut self) {
        let homes = (self.homes + self.homes / 5 + 1).max(FIRST_HOMES);
        let mut entries = Vec::with_capacity(homes as usize + TAIL);
        for entry in self.iter() {
            let home = home(entry.place(), homes);
            if entries.len() < home {
                entries.resize(home, E::VACANT);
            }
            entries.push(*entry);
        }
        entries.resize(entries.len().max(homes as usize + TAIL), E::VACANT);
        self.entries = entries.into_boxed_slice();
        self.homes = homes;
    }
}

#[inline]
fn is_vacant<E: Placed>(entry: &E) -> bool {
    entry.place() == 0
}

/// The home of a place among so many.
#[expect(clippy::cast_possible_truncation, reason = "below `homes`")]
#[inline]
fn home(place: u64, homes: u32) -> usize {
    ((u128::from(place) * u128::from(homes)) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// What it is ordered by, what tells it apart, and what it says.
    type Entry = (u64, u64, u64);

    impl Placed for Entry {
        const VACANT: Self = (0, 0, 0);

        fn place(&self) -> u64 {
            self.0
        }
    }

    fn is((place, name): (u64, u64)) -> impl Fn(&Entry) -> bool {
        move |entry| (entry.0, entry.1) == (place, name)
    }

    proptest! {
        #[test]
        fn it_holds_what_a_map_holds(
            // Few different places, some of them neighbours, so that entries meet, and crowd at the ends.
            steps in vec((0..3_u8, prop_oneof![0..40_u64, (u64::MAX - 40)..u64::MAX, any::<u64>()], 0..3_u64), 1..400)
        ) {
            let mut ordered = Ordered::<Entry>::default();
            let mut map = BTreeMap::new();
            for (step, (kind, place, name)) in (0..).zip(steps) {
                let key = (place.max(1), name);
                match kind {
                    0 | 1 if !map.contains_key(&key) => {
                        ordered.insert((key.0, key.1, step));
                        map.insert(key, step);
                    }
                    0 => prop_assert!(ordered.get_mut(key.0, is(key)).is_some()),
                    _ => prop_assert_eq!(ordered.remove(key.0, is(key)), map.remove(&key).is_some()),
                }
                prop_assert_eq!(ordered.len as usize, map.len());
                for (key, said) in &map {
                    prop_assert_eq!(ordered.get(key.0, is(*key)).map(|entry| entry.2), Some(*said));
                }
            }
            let mut gone = Vec::new();
            ordered.forget(|entry| entry.2 % 2 == 0, |entry| gone.push((entry.0, entry.1)));
            map.retain(|_, said| *said % 2 == 1);
            prop_assert_eq!(ordered.iter().count(), map.len());
            for key in gone {
                prop_assert!(!map.contains_key(&key) && ordered.get(key.0, is(key)).is_none());
            }
            for (key, said) in &map {
                prop_assert_eq!(ordered.get(key.0, is(*key)).map(|entry| entry.2), Some(*said));
            }
        }
    }

    #[test]
    fn it_is_never_much_larger_than_it_has_to_be() {
        let mut ordered = Ordered::<Entry>::default();
        let mut place = 1_u64;
        for entries in 1..5_000_usize {
            place = place
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            ordered.insert((place, 0, 0));
            assert!(
                ordered.entries.len() <= entries * 3 / 2 + 16,
                "{entries} entries in {}",
                ordered.entries.len()
            );
        }
    }
}
