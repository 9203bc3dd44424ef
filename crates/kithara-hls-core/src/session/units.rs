//! The units a session holds or fetches, and the trouble it had with them.

use std::collections::BTreeMap;

use url::Url;

use super::{
    ids::{FetchId, MediaId, PlaylistId, UnitKey},
    keys::KeyUse,
    parts::Assembly,
};
use crate::{
    playlist::{MediaSequence, PreloadHint, PreloadKind},
    time::Tick,
};

/// Where a unit stands. A unit that is not in the table is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum UnitState {
    /// Under way.
    Fetching(FetchId),
    /// Being made, and put together from its parts.
    Assembling(Box<Assembly>),
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
    /// A part of it.
    Part,
    /// Nothing more: its parts are all.
    Close,
}

/// A resource that was asked for before it is announced (EXT-X-PRELOAD-HINT).
#[derive(Clone, Debug)]
pub(super) struct Hinted {
    pub(super) media: MediaId,
    pub(super) kind: PreloadKind,
    pub(super) url: Url,
    /// Where the next part will begin that is cut out of it, or the initialization section.
    pub(super) start: u64,
    /// How long it is; `None` where it may bring several parts, one behind the other, and ends with them.
    pub(super) len: Option<u64>,
    /// What is cut out of it and under way.
    pub(super) cut: Option<(UnitKey, FetchId)>,
    /// Whether nothing further can be cut out of it.
    pub(super) spent: bool,
    /// When all of it was there.
    pub(super) whole: Option<Tick>,
    /// Whether a playlist has come since that does not hint at it any more, for it announces it or something else.
    pub(super) passed: bool,
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

impl Hinted {
    /// Whether `hint` is the hint at it.
    pub(super) fn is_of(&self, hint: &PreloadHint) -> bool {
        hint.kind == self.kind && hint.byte_start == self.start && hint.uri.url() == self.url
    }

    /// Whether something can be cut out of it now.
    pub(super) fn is_free(&self) -> bool {
        self.cut.is_none() && !self.spent
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Units {
    table: BTreeMap<UnitKey, Unit>,
    pub(super) fetches: BTreeMap<FetchId, Fetch>,
    pub(super) hinted: BTreeMap<FetchId, Hinted>,
    next: u64,
}

impl Units {
    pub(super) fn get(&self, unit: UnitKey) -> Option<&Unit> {
        self.table.get(&unit)
    }

    pub(super) fn state(&self, unit: UnitKey) -> Option<&UnitState> {
        self.table.get(&unit).map(|unit| &unit.state)
    }

    /// The unit that is all of a segment, or its rest.
    pub(super) fn of_segment(&self, media: MediaId, msn: MediaSequence) -> Option<(UnitKey, &UnitState)> {
        let of_it = self.table.iter().filter(|(key, _)| key.media == media && key.msn() == Some(msn));
        // One that is being put together says most.
        let rank = |unit: &Unit| matches!(unit.state, UnitState::Assembling(_));
        of_it.max_by_key(|(_, unit)| rank(unit)).map(|(key, unit)| (*key, &unit.state))
    }

    /// The units of a stream that are there or on their way.
    pub(super) fn of_media(&self, media: MediaId) -> impl Iterator<Item = UnitKey> {
        let comes = |unit: &Unit| {
            matches!(unit.state, UnitState::Ready { .. } | UnitState::Fetching(_) | UnitState::Assembling(_))
        };
        let of_it = self.table.iter().filter(move |(key, unit)| key.media == media && comes(unit));
        of_it.map(|(key, _)| *key)
    }

    pub(super) fn state_mut(&mut self, unit: UnitKey) -> Option<&mut UnitState> {
        self.table.get_mut(&unit).map(|unit| &mut unit.state)
    }

    pub(super) fn trouble(&mut self, unit: UnitKey) -> Option<&mut Trouble> {
        self.table.get_mut(&unit).map(|unit| &mut unit.trouble)
    }

    /// Whether a unit has failed and is not there yet.
    pub(super) fn is_failing(&self, unit: UnitKey) -> bool {
        let has_ended =
            |state: &UnitState| matches!(state, UnitState::Ready { .. } | UnitState::Missing | UnitState::Failed);
        self.table.get(&unit).is_some_and(|unit| unit.trouble.since.is_some() && !has_ended(&unit.state))
    }

    /// Since when units of a stream fail that are not there yet.
    pub(super) fn failing_since(&self, media: MediaId) -> Option<Tick> {
        let of_it = self.table.iter().filter(|(key, _)| key.media == media && self.is_failing(**key));
        of_it.filter_map(|(_, unit)| unit.trouble.since).min()
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

    /// Begins to ask for a hinted resource.
    pub(super) fn ask_ahead(&mut self, hinted: Hinted) -> FetchId {
        self.next += 1;
        let fetch = FetchId(self.next);
        self.hinted.insert(fetch, hinted);
        fetch
    }

    /// Forgets everything under way for a unit, and says what that was.
    pub(super) fn stop(&mut self, unit: UnitKey) -> Vec<FetchId> {
        let of_it: Vec<FetchId> = self
            .fetches
            .iter()
            .filter(|(_, fetch)| fetch.unit == unit && !matches!(fetch.purpose, Purpose::Size | Purpose::Keep))
            .map(|(id, _)| *id)
            .collect();
        of_it.iter().for_each(|id| {
            self.fetches.remove(id);
        });
        // What is cut out of hinted resources ends with them.
        let torn: Vec<FetchId> = self
            .hinted
            .iter()
            .filter(|(_, hinted)| hinted.cut.is_some_and(|(it, fetch)| it == unit && of_it.contains(&fetch)))
            .map(|(id, _)| *id)
            .collect();
        torn.iter().for_each(|id| {
            self.hinted.remove(id);
        });
        of_it.into_iter().chain(torn).collect()
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
