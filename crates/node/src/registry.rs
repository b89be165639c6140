//! The tables of this process that have a name, shared among all its threads: joined when an engine opens, left when it
//! closes.

use std::any::Any;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use dashmap::DashMap;
use napi::Result;

/// Where the table of a name stands, of whichever kind; None while it is made, and from when it is over.
type Place = Arc<Mutex<Option<Arc<dyn Any + Send + Sync>>>>;

/// By name. A table stays as long as somebody has not closed it: the state of a worker that just exits is there for the
/// next.
static PLACES: LazyLock<DashMap<String, Place>> = LazyLock::new(DashMap::new);

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Joins the table of a name, or makes it if there is none; one that has no name is always made. `join` may refuse what is
/// there, None if it is of another kind, or say by `false` that it is to give way; `make` is told what did.
pub(crate) fn open<T: Any + Send + Sync>(
    name: &str,
    join: impl Fn(Option<&T>) -> Result<bool>,
    make: impl FnOnce(Option<&T>) -> Result<T>,
) -> Result<Arc<T>> {
    if name.is_empty() {
        return make(None).map(Arc::new);
    }
    loop {
        let place = Arc::clone(&PLACES.entry(name.to_owned()).or_default());
        // What is slow, and takes locks of its own, is done under this one and not under the map's.
        let mut present = lock(&place);
        let mut before = None;
        if let Some(table) = &*present {
            before = Arc::clone(table).downcast::<T>().ok();
            if join(before.as_deref())?
                && let Some(table) = before
            {
                return Ok(table);
            }
        }
        // Another thread may have found it over meanwhile, and a third one may have made the next.
        if place_of(name).is_some_and(|of_name| Arc::ptr_eq(&of_name, &place)) {
            let table = Arc::new(make(before.as_deref()).inspect_err(|_| {
                if before.is_none() {
                    remove(name);
                }
            })?);
            *present = Some(Arc::<T>::clone(&table));
            return Ok(table);
        }
    }
}

/// Leaves a table; `is_over` counts down, and says whether nobody is left. Then the name is free.
pub(crate) fn leave(name: &str, is_over: impl FnOnce() -> bool) -> bool {
    let Some(place) = place_of(name) else {
        return is_over();
    };
    let mut present = lock(&place);
    let over = is_over();
    if over {
        *present = None;
        remove(name);
    }
    over
}

fn place_of(name: &str) -> Option<Place> {
    PLACES.get(name).map(|place| Arc::clone(&place))
}

fn remove(name: &str) {
    PLACES.remove(name);
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::error::conflict;

    #[derive(Debug)]
    struct Counted(AtomicUsize);

    fn open_counted(name: &str) -> Result<Arc<Counted>> {
        let join = |table: Option<&Counted>| {
            let table = table.ok_or_else(|| conflict(name, "kinds"))?;
            // Nobody joins what is over.
            assert_ne!(table.0.fetch_add(1, Ordering::Relaxed), 0);
            Ok(true)
        };
        open(name, join, |_| Ok(Counted(AtomicUsize::new(1))))
    }

    #[test]
    fn threads_that_come_and_go_share_one_table_as_long_as_one_of_them_has_it() {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5_000 {
                        let table = open_counted("busy").unwrap();
                        leave("busy", || table.0.fetch_sub(1, Ordering::Relaxed) == 1);
                    }
                });
            }
        });
        assert!(place_of("busy").is_none());
    }

    #[test]
    fn a_name_is_refused_to_another_kind_and_is_free_once_all_have_left_or_none_could_be_made() {
        let table = open_counted("taken").unwrap();
        let other = |name: &'static str| {
            open::<u8>(
                name,
                |table| table.map(|_| true).ok_or_else(|| conflict(name, "kinds")),
                |_| Ok(1),
            )
        };
        let refused = other("taken").unwrap_err();
        assert_eq!(
            refused.reason,
            "ERR_NAME_CONFLICT: a limiter named taken is open with other kinds"
        );
        assert!(leave("taken", || table.0.fetch_sub(1, Ordering::Relaxed) == 1));
        assert!(other("taken").is_ok());
        assert!(open::<u8>("failed", |_| Ok(true), |_| Err(conflict("failed", "luck"))).is_err());
        assert!(place_of("failed").is_none());
    }
}
