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

#[derive(Debug)]
struct Chunk<const N: usize> {
    leases: Box<Aligned<N>>,
    /// Which leases there are, a bit each.
    taken: u32,
    /// Those that hold something, or held it at the last sweep.
    live: u32,
}

impl<const N: usize> Chunk<N> {
    fn new() -> Self {
        Self {
            leases: Box::new(Aligned([const { Lease::VACANT }; CHUNK])),
            taken: 0,
            live: 0,
        }
    }
}

/// Leases in chunks, so that none ever moves.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct LeaseChunks<const N: usize> {
    near: [Option<Chunk<N>>; NEAR],
    far: Vec<Chunk<N>>,
}

impl<const N: usize> Default for LeaseChunks<N> {
    fn default() -> Self {
        Self {
            near: [const { None }; NEAR],
            far: Vec::new(),
        }
    }
}

impl<const N: usize> LeaseChunks<N> {
    #[inline]
    pub(crate) fn lease(&self, slot: LeaseSlot) -> &Lease<N> {
        let (chunk, place) = split(slot);
        &self.chunk(chunk).leases.0[place]
    }

    #[inline]
    pub(crate) fn lease_mut(&mut self, slot: LeaseSlot) -> &mut Lease<N> {
        let (chunk, place) = split(slot);
        &mut self.chunk_mut(chunk).leases.0[place]
    }

    /// Takes in a lease; None if all slots are taken.
    pub(crate) fn insert(&mut self, lease: Lease<N>) -> Option<LeaseSlot> {
        let free = self.iter().position(|chunk| chunk.taken != u32::MAX);
        let number = free.unwrap_or_else(|| self.len());
        if number == MAX_CHUNKS {
            return None;
        }
        if free.is_none() {
            match self.near.get_mut(number) {
                Some(chunk) => *chunk = Some(Chunk::new()),
                None => self.far.push(Chunk::new()),
            }
        }
        let chunk = self.chunk_mut(number);
        let place = chunk.taken.trailing_ones() as usize;
        chunk.taken |= 1 << place;
        chunk.leases.0[place] = lease;
        Some(slot_of(number, place))
    }

    /// Forgets a lease, and frees the last chunks if there is nothing in them.
    pub(crate) fn remove(&mut self, slot: LeaseSlot) {
        let (chunk, place) = split(slot);
        let chunk = self.chunk_mut(chunk);
        chunk.leases.0[place] = Lease::VACANT;
        chunk.taken &= !(1 << place);
        chunk.live &= !(1 << place);
        while self.far.pop_if(|chunk| chunk.taken == 0).is_some() {}
        if self.far.is_empty() {
            let is_needed = |chunk: &Option<Chunk<N>>| chunk.as_ref().is_some_and(|chunk| chunk.taken > 0);
            for chunk in self.near.iter_mut().rev().take_while(|chunk| !is_needed(chunk)) {
                *chunk = None;
            }
        }
    }

    pub(crate) fn mark_live(&mut self, slot: LeaseSlot) {
        let (chunk, place) = split(slot);
        self.chunk_mut(chunk).live |= 1 << place;
    }

    pub(crate) fn clear_live(&mut self, slot: LeaseSlot) {
        let (chunk, place) = split(slot);
        self.chunk_mut(chunk).live &= !(1 << place);
    }

    /// The leases that may hold something.
    pub(crate) fn live(&self) -> impl Iterator<Item = &Lease<N>> {
        self.iter()
            .flat_map(|chunk| bits(chunk.live).map(|place| &chunk.leases.0[place]))
    }

    /// Shows the leases that may hold something, and forgets of those that they do that are not `kept`.
    pub(crate) fn retain_live(&mut self, mut kept: impl FnMut(&mut Lease<N>) -> bool) {
        for chunk in self.near.iter_mut().flatten().chain(&mut self.far) {
            for place in bits(chunk.live) {
                if !kept(&mut chunk.leases.0[place]) {
                    chunk.live &= !(1 << place);
                }
            }
        }
    }

    /// The leases of one of the chunks, round and round, and where they are.
    pub(crate) fn of_chunk(&self, turn: usize) -> impl Iterator<Item = (LeaseSlot, &Lease<N>)> {
        let number = turn % self.len().max(1);
        let chunk = self.iter().nth(number);
        chunk
            .into_iter()
            .flat_map(move |chunk| bits(chunk.taken).map(move |place| (slot_of(number, place), &chunk.leases.0[place])))
    }

    pub(crate) fn len(&self) -> usize {
        self.near.iter().flatten().count() + self.far.len()
    }

    fn iter(&self) -> impl Iterator<Item = &Chunk<N>> {
        self.near.iter().flatten().chain(&self.far)
    }

    #[inline]
    fn chunk(&self, number: usize) -> &Chunk<N> {
        match self.near.get(number) {
            Some(Some(chunk)) => chunk,
            _ => &self.far[number - NEAR],
        }
    }

    #[inline]
    fn chunk_mut(&mut self, number: usize) -> &mut Chunk<N> {
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
