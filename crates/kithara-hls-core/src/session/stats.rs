//! How a session fares, in numbers.

use std::{collections::VecDeque, time::Duration};

use super::{
    Action, Delivered, Entry, FetchFailure, FetchId, HlsEvent, Input, Session, Track, UnitKey,
    media::Media,
    readers::{Flat, ReaderState},
    units::{Purpose, UnitState, Units},
};
use crate::time::Tick;

/// How a session fares, in numbers. Counts begin with the session and never fall.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Each track that is read, in the order of [`Track`]; pictures that are asked for one by one are none.
    pub buffers: Vec<TrackBuffer>,
    /// What the network does.
    pub network: NetworkLoad,
    /// Requests of the session that failed for good, as the network layer sees it: playlists, units, lengths and keys.
    /// What that repeats by itself does not count.
    pub failed_fetches: u64,
    /// Errors that were told ([`HlsEvent::Error`]), those included after which the session went on.
    pub errors: u64,
    /// From the request of a unit to its last byte, on average over all units that came as a whole from the network;
    /// `None` before the first.
    pub unit_latency: Option<Duration>,
    /// How often readers of video or sound ran dry.
    ///
    /// A session does not hear what is played. It counts as if each unit were played in real time, once it is there as a
    /// whole (of a unit that comes part by part, its first part) and the one before it is over: a reader that waits for a
    /// unit which comes later than that has stalled. The wait for the first unit, at the start and after a seek, is none.
    /// A decoder that holds sound of its own may not have fallen silent; its own count says that.
    pub stalls: u64,
    /// Changes of the variant, the first choice not counted.
    pub switches: u64,
    /// Segments that were left out.
    pub skipped: u64,
}

/// Media ahead of the readers of one track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrackBuffer {
    /// The track.
    pub track: Track,
    /// Complete media ahead of its reader; of several, the one that has least.
    pub buffered: Duration,
}

/// What a session asks of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NetworkLoad {
    /// Bytes of units that travelled, those included that were given up or were no good. Neither playlists and keys nor
    /// what the store had. Of what was asked for ahead of a low-latency stream, as much as was announced.
    pub bytes_received: u64,
    /// Requests made: for playlists, units, parts, lengths and keys, those included that the store answered.
    pub requests: u64,
    /// Transfers of units under way.
    pub transfers: usize,
}

/// What is counted.
#[derive(Debug, Default)]
pub(super) struct Counts {
    bytes_received: u64,
    requests: u64,
    failed_fetches: u64,
    errors: u64,
    /// Sum over so many units.
    latency: (Duration, u64),
    stalls: u64,
    switches: u64,
    skipped: u64,
}

impl Counts {
    pub(super) fn wanted(&mut self, action: &Action) {
        let is_request = match action {
            Action::LoadPlaylist { .. }
            | Action::Fetch { .. }
            | Action::Size { .. }
            | Action::Keep { .. }
            | Action::AskAhead { .. }
            | Action::FetchKey { .. } => true,
            Action::FetchPart { ahead, .. } => ahead.is_none(),
            _ => false,
        };
        self.requests += u64::from(is_request);
    }

    pub(super) fn told(&mut self, event: &HlsEvent) {
        match event {
            HlsEvent::VariantApplied { from_variant: Some(_), .. } => self.switches += 1,
            HlsEvent::SegmentSkipped { .. } => self.skipped += 1,
            HlsEvent::Error { .. } => self.errors += 1,
            _ => {}
        }
    }

    fn ended(&mut self, now: Tick, units: &Units, id: FetchId, result: &Result<Delivered, FetchFailure>) {
        let Some(fetch) = units.fetches.get(&id) else {
            self.failed_fetches += u64::from(result.is_err() && units.hinted.contains_key(&id));
            return;
        };
        match (result, fetch.purpose) {
            (Err(_), _) => self.failed_fetches += 1,
            // Its parts were counted.
            (Ok(_), Purpose::Close) => {}
            (Ok(delivered), _) if delivered.from_store => {}
            (Ok(delivered), purpose) => {
                self.bytes_received += delivered.wire_len.saturating_sub(fetch.bytes);
                if purpose == Purpose::Deliver {
                    self.latency.0 = self.latency.0.saturating_add(now.since(fetch.started));
                    self.latency.1 += 1;
                }
            }
        }
    }

    pub(super) fn unit_latency(&self) -> Option<Duration> {
        let (sum, units) = self.latency;
        let nanos = sum.as_nanos().checked_div(u128::from(units))?;
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }
}

/// A reader's playback, as far as it can be told from what the reader was given.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Handed over, and not there yet when this was looked at last.
    handed: VecDeque<Handed>,
    /// When all that was there is played.
    dry: Option<Tick>,
    /// The piece a reader of bytes stands in.
    piece: Option<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Handed {
    unit: UnitKey,
    duration: Duration,
    /// Whether its reader has to wait for it.
    waits: bool,
}

impl Pace {
    /// Units it was given that were not played yet.
    pub(super) fn len(&self) -> usize {
        self.handed.len()
    }

    /// The reader was given a unit.
    pub(super) fn hand(&mut self, entry: &Entry, is_there: bool) {
        let start = entry.run_start.as_ref().map_or(entry.start, |start| start.discard_until.max(entry.start));
        let end = entry.start.saturating_add(entry.duration);
        self.push(entry.unit, end.saturating_sub(start), is_there);
    }

    fn push(&mut self, unit: UnitKey, duration: Duration, is_there: bool) {
        self.handed.push_back(Handed { unit, duration, waits: !is_there });
    }

    /// A reader of bytes stands in another piece. One that reads on may have come through several since it said where it is.
    fn enter(&mut self, flat: &Flat, media: Option<&Media>, units: &Units) {
        let first = match (self.piece, flat.cursor) {
            (Some(before), Some(now)) if flat.reads_on && before < now => before + 1,
            (_, now) => {
                self.moved();
                now.unwrap_or_default()
            }
        };
        self.piece = flat.cursor;
        let (Some(media), Some(now)) = (media, flat.cursor) else { return };
        for (_, piece) in media.layout.from(first).take_while(|(idx, _)| *idx <= now) {
            // What precedes a segment plays no time.
            let duration = if piece.unit.msn().is_some() { piece.duration } else { Duration::ZERO };
            self.push(piece.unit, duration, units.state(piece.unit).is_some_and(is_there));
        }
    }

    /// The reader went elsewhere.
    pub(super) fn moved(&mut self) {
        *self = Self::default();
    }

    /// Takes account of units that are there now. Answers how often the reader had run dry before one came.
    fn advance(&mut self, now: Tick, units: &Units) -> u64 {
        let mut stalls = 0;
        while let Some(handed) = self.handed.front() {
            match units.state(handed.unit) {
                // It will not come.
                Some(UnitState::Missing | UnitState::Failed) => {}
                Some(state) if !is_there(state) => break,
                // It comes again in another run. A reader of bytes read it to its end before word of that was here.
                None if self.piece.is_none() => {}
                _ => {
                    stalls += u64::from(self.is_dry(now));
                    self.dry = Some(self.dry.unwrap_or(now).max(now).saturating_add(handed.duration));
                }
            }
            self.handed.pop_front();
        }
        stalls
    }

    /// Whether the reader has begun, waits, and has nothing left to play.
    fn is_dry(&self, now: Tick) -> bool {
        self.handed.front().is_some_and(|handed| handed.waits) && self.dry.is_some_and(|dry| dry < now)
    }
}

/// Whether a unit can be played.
pub(super) fn is_there(state: &UnitState) -> bool {
    match state {
        UnitState::Ready { .. } => true,
        UnitState::Assembling(assembly) => !assembly.arrived().is_zero(),
        _ => false,
    }
}

impl Session {
    /// The numbers as of the last input.
    pub fn stats(&self) -> Stats {
        let mut buffers: Vec<TrackBuffer> = Vec::new();
        for (id, reader) in &self.readers {
            let (track, Some(buffered)) = (reader.track, self.level(*id).filter(|_| !reader.is_single())) else {
                continue;
            };
            match buffers.iter_mut().find(|known| known.track == track) {
                Some(known) => known.buffered = known.buffered.min(buffered),
                None => buffers.push(TrackBuffer { track, buffered }),
            }
        }
        buffers.sort_by_key(|buffer| buffer.track);
        let dry = self.readers.values().filter(|reader| reader.pace.is_dry(self.now.at)).count() as u64;
        let counts = &self.counts;
        Stats {
            buffers,
            network: NetworkLoad {
                bytes_received: counts.bytes_received,
                requests: counts.requests,
                transfers: self.units.fetches.len() + self.units.hinted.len(),
            },
            failed_fetches: counts.failed_fetches,
            errors: counts.errors,
            unit_latency: counts.unit_latency(),
            stalls: counts.stalls + dry,
            switches: counts.switches,
            skipped: counts.skipped,
        }
    }

    /// Counts what an input says, before anything follows from it.
    pub(super) fn count_input(&mut self, input: &Input) {
        match input {
            Input::Progress { fetch, bytes } => {
                let travels = |fetch: &&super::units::Fetch| !fetch.head.as_ref().is_some_and(|head| head.from_store);
                let fetch = self.units.fetches.get(fetch).filter(travels);
                self.counts.bytes_received += fetch.map_or(0, |fetch| bytes.saturating_sub(fetch.bytes));
            }
            Input::Fetched { fetch, result } => self.counts.ended(self.now.at, &self.units, *fetch, result),
            Input::Kept { fetch, result: Ok(bytes) } if self.units.fetches.contains_key(fetch) => {
                self.counts.bytes_received += bytes;
            }
            Input::Sized { fetch, result: Err(_) } | Input::Kept { fetch, result: Err(_) } => {
                self.counts.failed_fetches += u64::from(self.units.fetches.contains_key(fetch));
            }
            Input::Playlist { result: Err(_), .. } | Input::Key { result: Err(_), .. } => {
                self.counts.failed_fetches += 1;
            }
            _ => {}
        }
    }

    /// Counts how often readers ran dry, after everything that follows from an input.
    pub(super) fn count_stalls(&mut self) {
        let now = self.tick();
        for reader in self.readers.values_mut().filter(|reader| reader.plays()) {
            if let ReaderState::Flat(flat) = &reader.state
                && flat.cursor != reader.pace.piece
            {
                let media = flat.media.and_then(|id| self.medias.get(&id));
                reader.pace.enter(flat, media, &self.units);
            }
            self.counts.stalls += reader.pace.advance(now, &self.units);
        }
    }
}
