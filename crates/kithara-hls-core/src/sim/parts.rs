//! Media that is fetched part by part, and what was asked for ahead.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use super::{player::There, world::Flow};
use crate::session::{FetchId, UnitKey};

/// What some bytes are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// This part of this unit.
    Part(UnitKey, u32),
    /// Not known yet.
    Ahead,
}

/// What is cut out of what was asked for ahead: so many bytes, or all that is left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    pub(super) fetch: FetchId,
    pub(super) unit: UnitKey,
    /// The part it is; `None` where it is the unit as a whole.
    pub(super) part: Option<u32>,
    pub(super) len: Option<u64>,
}

/// Bytes on their way, piece by piece.
#[derive(Debug)]
pub(super) struct Stream {
    pub(super) purpose: Purpose,
    /// Pieces to come; the first one travels.
    todo: VecDeque<Flow>,
    /// Pieces that are there and were not cut out.
    there: VecDeque<(u64, Duration)>,
    pub(super) cut: Option<Cut>,
    /// Bytes of pieces that are there, cut out or not.
    pub(super) bytes: u64,
}

impl Stream {
    pub(super) fn new(purpose: Purpose, flows: Vec<Flow>) -> Self {
        Self { purpose, todo: flows.into(), there: VecDeque::new(), cut: None, bytes: 0 }
    }

    /// The piece that travels.
    pub(super) fn travels(&self) -> Option<Flow> {
        self.todo.front().copied()
    }

    /// The piece that travels is there.
    pub(super) fn arrived(&mut self) {
        if let Some(flow) = self.todo.pop_front() {
            self.there.push_back((flow.bytes, flow.media));
            self.bytes += flow.bytes;
        }
    }

    pub(super) fn ended(&self) -> bool {
        self.todo.is_empty()
    }

    /// Bytes and media of what is wanted, once that is there.
    pub(super) fn take(&mut self, len: Option<u64>) -> Option<(u64, Duration)> {
        let there: u64 = self.there.iter().map(|(bytes, _)| bytes).sum();
        let wanted = match len {
            Some(len) => len,
            None if self.ended() => there,
            None => return None,
        };
        if there < wanted {
            return None;
        }
        let (mut bytes, mut media) = (0, Duration::ZERO);
        while bytes < wanted
            && let Some((piece, time)) = self.there.pop_front()
        {
            bytes += piece;
            media += time;
        }
        Some((bytes, media))
    }
}

/// The parts of units that are there, in order or not.
#[derive(Debug, Default)]
pub(super) struct Parts(BTreeMap<UnitKey, BTreeMap<u32, (u64, Duration)>>);

impl Parts {
    /// A part came; answers how much media can be played now.
    pub(super) fn add(&mut self, unit: UnitKey, part: u32, bytes: u64, media: Duration) -> There {
        self.0.entry(unit).or_default().insert(part, (bytes, media));
        self.of(unit)
    }

    /// What can be played of a unit: parts up to the first one that is missing.
    pub(super) fn of(&self, unit: UnitKey) -> There {
        let parts = self.0.get(&unit).into_iter().flatten();
        let in_order = parts.enumerate().take_while(|(idx, (part, _))| u32::try_from(*idx) == Ok(**part));
        let media: Duration = in_order.map(|(_, (_, (_, media)))| *media).sum();
        if media.is_zero() { There::Nothing } else { There::Part(media) }
    }

    /// Bytes and media of all parts of a unit that ends with them.
    pub(super) fn total(&self, unit: UnitKey) -> (u64, Duration) {
        let parts = self.0.get(&unit).into_iter().flat_map(BTreeMap::values);
        parts.fold((0, Duration::ZERO), |sum, part| (sum.0 + part.0, sum.1 + part.1))
    }

    pub(super) fn remove(&mut self, unit: UnitKey) {
        self.0.remove(&unit);
    }
}
