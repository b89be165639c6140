//! The servers of epochs, by number: asked for each epoch that a thread has not seen before.

use dashmap::DashMap;
use tollkeeper_limiter::MAX_SERVERS;

/// Gives each server's name a number, once, for all threads.
#[derive(Debug, Default)]
pub(crate) struct Servers {
    ids: DashMap<String, usize>,
    names: boxcar::Vec<String>,
}

impl Servers {
    /// The number of a name; None if there are too many.
    pub(crate) fn id(&self, name: &str) -> Option<usize> {
        if let Some(id) = self.ids.get(name) {
            return Some(*id);
        }
        if self.names.count() >= usize::from(MAX_SERVERS) {
            return None;
        }
        let id = *self
            .ids
            .entry(name.to_owned())
            .or_insert_with(|| self.names.push(name.to_owned()));
        // Threads that came at once may have named one each.
        (id < usize::from(MAX_SERVERS)).then_some(id)
    }

    /// The name of a number that was given.
    pub(crate) fn name(&self, id: usize) -> Option<&str> {
        self.names.get(id).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_number_for_all_threads_and_there_are_only_so_many() {
        let servers = Servers::default();
        let ids = std::thread::scope(|scope| {
            let give = || {
                (0..9_000)
                    .map(|at| servers.id(&format!("server {at}")))
                    .collect::<Vec<_>>()
            };
            let threads = [(); 4].map(|()| scope.spawn(give));
            threads.map(|thread| thread.join().unwrap())
        });
        assert!(ids.iter().all(|of_thread| of_thread == &ids[0]));
        let given = ids[0].iter().flatten();
        assert_eq!(given.clone().max(), Some(&(usize::from(MAX_SERVERS) - 1)));
        for (at, id) in ids[0].iter().enumerate() {
            if let Some(id) = id {
                assert_eq!(servers.name(*id), Some(&*format!("server {at}")));
            }
        }
        assert_eq!(servers.id("one more"), None);
        assert_eq!(servers.name(100_000), None);
    }
}
