//! How a limiter is made.

use crate::key::Secret;
use crate::tier::TierSpec;

/// How a limiter is made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The tiers in force at first.
    pub tiers: Vec<TierSpec>,
    /// Keys held at once, from 1.
    pub max_keys: usize,
    /// The secret under which keys are hashed; random, and the same as long as what is stored is to be found again.
    pub secret: Secret,
    /// Whether changes are noted for [`Limiter::drain_changed`](crate::Limiter::drain_changed).
    pub durable: bool,
}
