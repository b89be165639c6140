//! Epochs: how long one server has kept a key. The crossing makes them of the store's answers, a lease keeps one.

/// How many servers can be told apart by number.
pub const MAX_SERVERS: u16 = 1 << 13;
/// The first count, of an instant and the resets in it, that can't be held.
pub const MAX_EPOCH_COUNT: u64 = 1 << 51;

/// How long one server has kept a key, in 64 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Epoch(u64);

impl Epoch {
    pub(crate) const FIRST: Self = Self(0);

    /// The number of a server, and when it began to keep the key: milliseconds × 256 plus how often the key was reset then.
    /// None if a number is out of range.
    #[must_use]
    pub fn new(server: u16, count: u64) -> Option<Self> {
        (server < MAX_SERVERS && count < MAX_EPOCH_COUNT).then(|| Self(u64::from(server) << 51 | count))
    }

    /// The number of the server.
    #[must_use]
    pub fn server(self) -> u16 {
        (self.0 >> 51) as u16
    }

    /// When it began to keep the key: milliseconds × 256 plus how often the key was reset then.
    #[must_use]
    pub fn count(self) -> u64 {
        self.0 % MAX_EPOCH_COUNT
    }
}
