//! The units a session holds or fetches, and the trouble it had with them.

use std::collections::BTreeMap;

use super::{
    ids::{FetchId, PlaylistId, UnitKey},
    keys::KeyUse,
};
use crate::time::Tick;

/// Where a unit stands. A unit that is not in the table is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UnitState {
    /// Under way.
    Fetching(FetchId),
    /// There as a whole.
    Ready { len: u64 },
    /// To be fetched again, then.
    Resting { until: Tick },
    /// To be fetched again when this playlist was loaded.
    AwaitingPlaylist(PlaylistId),
    /// To be fetched again when the application gave a new URL.
    AwaitingUrl,
    /// Given up; readers pass over it.
    Missing,
    /// Given up; readers that come to it get an error.
    Failed,
}

/// What was tried for a unit that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Fetches begun.
    pub(super) attempts: u32,
    /// Bad deliveries.
    pub(super) bad: u32,
    /// Times it was fetched again after a wait.
    pub(super) rests: u32,
    /// When it failed first.
    pub(super) since: Option<Tick>,
    /// Whether the media playlist was loaded again for it.
    pub(super) reloaded_media: bool,
    /// Whether the primary playlist was loaded again for it.
    pub(super) reloaded_primary: bool,
    /// How often the application was asked for a URL.
    pub(super) asked: u32,
}

/// A unit and its history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) state: UnitState,
    pub(super) trouble: Trouble,
}

/// Why a fetch was ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Deliver,
    Size,
    /// Into the store, for later.
    Keep,
}

/// A fetch under way.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    pub(super) unit: UnitKey,
    pub(super) purpose: Purpose,
    pub(super) key: Option<KeyUse>,
    pub(super) started: Tick,
    pub(super) bytes: u64,
    pub(super) head: Option<super::input::Head>,
}

impl Fetch {
    /// Bytes still to come, as far as the server told.
    pub(super) fn remaining(&self) -> Option<u64> {
        let total = self.head.as_ref()?.wire_len?;
        Some(total.saturating_sub(self.bytes))
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Units {
    table: BTreeMap<UnitKey, Unit>,
    pub(super) fetches: BTreeMap<FetchId, Fetch>,
    next: u64,
}

impl Units {
    pub(super) fn get(&self, unit: UnitKey) -> Option<&Unit> {
        self.table.get(&unit)
    }

    pub(super) fn state(&self, unit: UnitKey) -> Option<&UnitState> {
        self.table.get(&unit).map(|unit| &unit.state)
    }

    pub(super) fn trouble(&mut self, unit: UnitKey) -> Option<&mut Trouble> {
        self.table.get_mut(&unit).map(|unit| &mut unit.trouble)
    }

    pub(super) fn set(&mut self, unit: UnitKey, state: UnitState) {
        match self.table.get_mut(&unit) {
            Some(known) => known.state = state,
            None => {
                self.table.insert(unit, Unit { state, trouble: Trouble::default() });
            }
        }
    }

    pub(super) fn remove(&mut self, unit: UnitKey) {
        self.table.remove(&unit);
    }

    /// Forgets units of `media` that were given up and that no reader can come to any more.
    pub(super) fn forget_given_up(&mut self, media: super::MediaId, is_gone: impl Fn(UnitKey) -> bool) {
        self.table.retain(|key, unit| {
            let given_up = matches!(unit.state, UnitState::Missing | UnitState::Failed);
            key.media != media || !given_up || !is_gone(*key)
        });
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (UnitKey, &Unit)> {
        self.table.iter().map(|(key, unit)| (*key, unit))
    }

    /// Begins a fetch of `unit`.
    pub(super) fn begin(&mut self, unit: UnitKey, purpose: Purpose, key: Option<KeyUse>, now: Tick) -> FetchId {
        self.next += 1;
        let fetch = FetchId(self.next);
        let begun = Fetch { unit, purpose, key, started: now, bytes: 0, head: None };
        self.fetches.insert(fetch, begun);
        if purpose == Purpose::Deliver {
            self.set(unit, UnitState::Fetching(fetch));
            if let Some(trouble) = self.trouble(unit) {
                trouble.attempts += 1;
            }
        }
        fetch
    }

    /// Deliveries under way.
    pub(super) fn delivering(&self) -> usize {
        self.fetches.values().filter(|fetch| fetch.purpose == Purpose::Deliver).count()
    }

    /// Length questions under way.
    pub(super) fn sizing(&self) -> usize {
        self.fetches.values().filter(|fetch| fetch.purpose == Purpose::Size).count()
    }

    /// Fetches into the store under way.
    pub(super) fn keeping(&self) -> usize {
        self.fetches.values().filter(|fetch| fetch.purpose == Purpose::Keep).count()
    }

    /// Whether the length of a unit is being asked for.
    pub(super) fn is_sizing(&self, unit: UnitKey) -> bool {
        self.fetches.values().any(|fetch| fetch.purpose == Purpose::Size && fetch.unit == unit)
    }

    /// The next time a resting unit is to be fetched again. One that is due already waits for a place among the
    /// fetches under way, not for time.
    pub(super) fn next_wake(&self, now: Tick) -> Option<Tick> {
        let until = |unit: &Unit| match unit.state {
            UnitState::Resting { until } if until > now => Some(until),
            _ => None,
        };
        self.table.values().filter_map(until).min()
    }
}
