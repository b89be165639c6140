//! Where the leases of a shard lie. The shard has one of these, and finds in its index at which slot a lease is.

use crate::lease::Lease;

/// Leases that lie together.
const CHUNK: usize = 32;
/// Chunks that are found without another look into memory: as many as a shard needs as a rule.
const NEAR: usize = 16;
pub(crate) const SLOT_BITS: u32 = 16;
/// Chunks that slots can tell apart.
const MAX_CHUNKS: usize = (1 << SLOT_BITS) / CHUNK;

/// Where the lease of a key is: in a chunk, and at a place of it.
pub(crate) type LeaseSlot = u16;

/// Leases that begin with a line of the processor's caches, so that each lies in as few of them as can be.
#[derive(Debug)]
#[repr(align(64))]
struct Aligned<const N: usize>([Lease<N>; CHUNK]);

/// Which leases of a chunk there are, and which of them hold something or held it at the last sweep: a bit each.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    taken: u32,
    live: u32,
}

/// Leases in chunks, so that none ever moves.
///
/// The chunks are what every call looks at. The marks, which only a sweep and a new key need, are not beside them.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct LeaseChunks<const N: usize> {
    near: [Option<Box<Aligned<N>>>; NEAR],
    far: Vec<Box<Aligned<N>>>,
    /// Of all chunks that there are, in their order.
    marks: Vec<Marks>,
}

impl<const N: usize> Default for LeaseChunks<N> {
    fn default() -> Self {
        Self {
            near: [const { None }; NEAR],
            far: Vec::new(),
            marks: Vec::new(),
        }
    }
}

impl<const N: usize> LeaseChunks<N> {
    #[inline]
    pub(crate) fn lease(&self, slot: LeaseSlot) -> &Lease<N> {
        let (chunk, place) = split(slot);
        &self.chunk(chunk).0[place]
    }

    #[inline]
    pub(crate) fn lease_mut(&mut self, slot: LeaseSlot) -> &mut Lease<N> {
        let (chunk, place) = split(slot);
        &mut self.chunk_mut(chunk).0[place]
    }

    /// Takes in a lease; None if all slots are taken.
    pub(crate) fn insert(&mut self, lease: Lease<N>) -> Option<LeaseSlot> {
        let free = self.marks.iter().position(|marks| marks.taken != u32::MAX);
        let number = free.unwrap_or(self.len());
        if number == MAX_CHUNKS {
            return None;
        }
        if free.is_none() {
            self.add();
        }
        let marks = &mut self.marks[number];
        let place = marks.taken.trailing_ones() as usize;
        marks.taken |= 1 << place;
        self.chunk_mut(number).0[place] = lease;
        Some(slot_of(number, place))
    }

    fn add(&mut self) {
        let leases = Box::new(Aligned([const { Lease::VACANT }; CHUNK]));
        match self.near.get_mut(self.marks.len()) {
            Some(chunk) => *chunk = Some(leases),
            None => self.far.push(leases),
        }
        self.marks.reserve_exact(1);
        self.marks.push(Marks::default());
    }

    /// Forgets a lease, and frees the last chunks if there is nothing in them.
    pub(crate) fn remove(&mut self, slot: LeaseSlot) {
        let (chunk, place) = split(slot);
        self.chunk_mut(chunk).0[place] = Lease::VACANT;
        self.marks[chunk].taken &= !(1 << place);
        self.marks[chunk].live &= !(1 << place);
        while self.marks.pop_if(|marks| marks.taken == 0).is_some() {
            match self.near.get_mut(self.marks.len()) {
                Some(chunk) => *chunk = None,
                None => drop(self.far.pop()),
            }
        }
    }

    pub(crate) fn mark_live(&mut self, slot: LeaseSlot) {
        let (chunk, place) = split(slot);
        self.marks[chunk].live |= 1 << place;
    }

    pub(crate) fn clear_live(&mut self, slot: LeaseSlot) {
        let (chunk, place) = split(slot);
        self.marks[chunk].live &= !(1 << place);
    }

    /// The leases that may hold something.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Lease<N>> {
        self.marks
            .iter()
            .enumerate()
            .flat_map(move |(number, marks)| bits(marks.live).map(move |place| &self.chunk(number).0[place]))
    }

    /// Shows the leases that may hold something, and forgets of those that they do that are not `kept`.
    pub(crate) fn retain_live(&mut self, mut kept: impl FnMut(&mut Lease<N>) -> bool) {
        for number in 0..self.len() {
            for place in bits(self.marks[number].live) {
                if !kept(&mut self.chunk_mut(number).0[place]) {
                    self.marks[number].live &= !(1 << place);
                }
            }
        }
    }

    /// The leases of one of the chunks, round and round, and where they are.
    pub(crate) fn of_chunk(&self, turn: usize) -> impl Iterator<Item = (LeaseSlot, &Lease<N>)> {
        let number = turn % self.len().max(1);
        let taken = self.marks.get(number).map_or(0, |marks| marks.taken);
        bits(taken).map(move |place| (slot_of(number, place), &self.chunk(number).0[place]))
    }

    /// How many chunks there are.
    pub(crate) fn len(&self) -> usize {
        self.marks.len()
    }

    #[inline]
    fn chunk(&self, number: usize) -> &Aligned<N> {
        match self.near.get(number) {
            Some(Some(chunk)) => chunk,
            _ => &self.far[number - NEAR],
        }
    }

    #[inline]
    fn chunk_mut(&mut self, number: usize) -> &mut Aligned<N> {
        match self.near.get_mut(number) {
            Some(Some(chunk)) => chunk,
            _ => &mut self.far[number - NEAR],
        }
    }
}

/// Where the ones of a word are.
fn bits(mut word: u32) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = word.trailing_zeros();
        word &= word.wrapping_sub(1);
        (bit < u32::BITS).then_some(bit as usize)
    })
}

#[inline]
fn split(slot: LeaseSlot) -> (usize, usize) {
    (usize::from(slot) / CHUNK, usize::from(slot) % CHUNK)
}

#[expect(clippy::cast_possible_truncation, reason = "there are at most MAX_CHUNKS chunks")]
fn slot_of(chunk: usize, place: usize) -> LeaseSlot {
    (chunk * CHUNK + place) as LeaseSlot
}
