//! Which transfers are under way, so that nobody asks for what is already coming.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kithara_assets::ResourceKey;

use crate::flight::{Flight, ReaderId};
use crate::{Belief, CacheUse, Priority};

/// What transfers must share for one to serve the other.
pub(crate) type FlightKey = (ResourceKey, CacheUse);

/// The transfers of one fetcher that may be joined.
#[derive(Debug, Default)]
pub(crate) struct Flights {
    /// Changed by deliveries that come and go, and by transfers that are over. Joining and leaving happen under this lock, so nobody
    /// joins what the last reader has just given up.
    table: Mutex<HashMap<FlightKey, Vec<Arc<Flight>>>>,
}

impl Flights {
    /// Joins a transfer that will bring all of `range`, as far as `belief` lets it, or enters the one that `make` gives. The flag says
    /// whether it was joined.
    pub(crate) fn join_or_enter(
        &self,
        key: FlightKey,
        range: &Range<u64>,
        class: Priority,
        belief: Belief,
        make: impl FnOnce() -> (Arc<Flight>, ReaderId),
    ) -> (Arc<Flight>, ReaderId, bool) {
        let mut table = self.lock();
        let flights = table.entry(key).or_default();
        // One that was begun before the name was given to something else brings what it was given to before.
        let is_too_old = |flight: &Flight| matches!(belief, Belief::Since(since) if flight.begun < since);
        let mut joinable = flights.iter().filter(|flight| !is_too_old(flight));
        let joined = joinable.find_map(|flight| Some((Arc::clone(flight), flight.join(range, class)?)));
        if let Some((flight, reader)) = joined {
            return (flight, reader, true);
        }
        let (flight, reader) = make();
        flights.push(Arc::clone(&flight));
        (flight, reader, false)
    }

    /// Takes a reader out; a transfer that loses its last one is cancelled and can be joined no more.
    pub(crate) fn leave(&self, key: Option<&FlightKey>, flight: &Arc<Flight>, reader: ReaderId) {
        let mut table = self.lock();
        if flight.leave(reader)
            && let Some(key) = key
        {
            remove(&mut table, key, flight);
        }
    }

    /// A transfer is over, and what it brought is where it belongs.
    pub(crate) fn remove(&self, key: &FlightKey, flight: &Arc<Flight>) {
        remove(&mut self.lock(), key, flight);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<FlightKey, Vec<Arc<Flight>>>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove(table: &mut HashMap<FlightKey, Vec<Arc<Flight>>>, key: &FlightKey, flight: &Arc<Flight>) {
    let Some(flights) = table.get_mut(key) else { return };
    flights.retain(|other| !Arc::ptr_eq(other, flight));
    if flights.is_empty() {
        table.remove(key);
    }
}
