//! Tiers with overrides, which are forgotten when they are not used. Asked for the tier of every call that has
//! overrides.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use dashmap::DashMap;

use crate::error::Error;
use crate::tier::{FIRST_OVERRIDDEN, Tier, TierId};

/// Tiers with overrides that are held ready.
pub(crate) const MAX_OVERRIDDEN: usize = 1 << 15;
/// How many are looked at to find one that was not used again lately.
const MOST_LOOKS: usize = 64;

/// Tiers with overrides by number and by name. When there are too many, one goes that was not used again since it was last
/// looked at, or since its first use; whoever needs it again makes it anew, under another number. (Method: second chance, as in Corbató, "A
/// paging experiment with the Multics system".)
#[derive(Debug, Default)]
pub(crate) struct OverriddenTiers {
    by_id: DashMap<TierId, Entry>,
    by_name: DashMap<(usize, String), TierId>,
    /// Held while one is made.
    order: Mutex<Order>,
}

#[derive(Debug)]
struct Entry {
    /// The version of the tiers that it is of.
    version: usize,
    tier: Arc<Tier>,
    /// How often it was used since then, up to 2.
    uses: AtomicU8,
}

#[derive(Debug, Default)]
struct Order {
    queue: VecDeque<TierId>,
    made: TierId,
}

impl OverriddenTiers {
    /// A tier of a version, if it is held.
    pub(crate) fn get(&self, version: usize, id: TierId) -> Option<Arc<Tier>> {
        let entry = self.by_id.get(&id).filter(|entry| entry.version == version)?;
        let uses = entry.uses.load(Ordering::Relaxed);
        if uses < 2 {
            entry.uses.store(uses + 1, Ordering::Relaxed);
        }
        Some(Arc::clone(&entry.tier))
    }

    /// The number of the tier of that name in a version, which is made if it is not held.
    pub(crate) fn id_of(
        &self,
        version: usize,
        name: &str,
        make: impl FnOnce(TierId) -> Result<Tier, Error>,
    ) -> Result<TierId, Error> {
        let mut order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        let name = (version, name.to_owned());
        if let Some(id) = self.by_name.get(&name).map(|id| *id) {
            return Ok(id);
        }
        let id = FIRST_OVERRIDDEN + order.made;
        let tier = Arc::new(make(id)?);
        order.made += 1;
        if order.queue.len() >= MAX_OVERRIDDEN {
            self.forget_one(&mut order.queue);
        }
        let entry = Entry {
            version,
            tier,
            uses: AtomicU8::new(0),
        };
        self.by_id.insert(id, entry);
        self.by_name.insert(name, id);
        order.queue.push_back(id);
        Ok(id)
    }

    fn forget_one(&self, queue: &mut VecDeque<TierId>) {
        for look in 0.. {
            let Some(id) = queue.pop_front() else { return };
            let was_used = |entry: &Entry| entry.uses.swap(1, Ordering::Relaxed) > 1;
            if look < MOST_LOOKS && self.by_id.get(&id).is_some_and(|entry| was_used(&entry)) {
                queue.push_back(id);
            } else {
                if let Some((_, entry)) = self.by_id.remove(&id) {
                    self.by_name.remove(&(entry.version, entry.tier.spec().name.clone()));
                }
                return;
            }
        }
    }
}
