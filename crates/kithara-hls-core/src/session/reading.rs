//! Where readers stand, and what they are given.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Action, Command, Demand, Failure, FailureKind, HlsEvent, LiveEvent, MediaId, ReaderId, Session, Track, UnitKey,
    View,
    media::Media,
    readers::{Adaptive, Flat, Reader, ReaderState},
    stats::Pace,
    units::UnitState,
};
use crate::{
    layout::Located,
    playlist::{MediaSequence, Start},
};

/// A reader that jumped is given read-ahead once it has read this many bytes in sequence: one that looks here and there
/// costs one unit a look.
const READS_ON: u64 = 64 * 1024;

impl Session {
    pub(super) fn handle_demand(&mut self, id: ReaderId, demand: Demand) {
        match demand {
            Demand::Open { view, track } => {
                let state = match view {
                    View::Flat => ReaderState::Flat(Flat::default()),
                    View::Adaptive => {
                        let has_read = |reader: &Reader| match &reader.state {
                            ReaderState::Adaptive(other) => !other.entered.is_empty(),
                            ReaderState::Flat(_) => false,
                        };
                        let together = !self.readers.values().any(has_read);
                        ReaderState::Adaptive(Box::new(Adaptive::beginning(together)))
                    }
                    View::Single => ReaderState::Adaptive(Box::new(Adaptive::single())),
                };
                self.readers.insert(id, Reader { track, state, pace: Pace::default() });
            }
            Demand::Close => {
                self.readers.remove(&id);
            }
            Demand::Seek { at, .. } => self.seek_reader(id, at),
            demand => match self.readers.get_mut(&id).map(|reader| &mut reader.state) {
                Some(ReaderState::Flat(flat)) => flat_demand(flat, &demand),
                Some(ReaderState::Adaptive(adaptive)) => {
                    adaptive_demand(adaptive, &demand);
                    if let Demand::Position { at } = demand {
                        self.watch_latency(id, at);
                    }
                }
                // A late word of a reader that is gone.
                None => {}
            },
        }
    }

    pub(super) fn handle_command(&mut self, command: Command) {
        match command {
            Command::Seek(at) => {
                let readers = self.readers.iter().filter(|(_, reader)| !reader.is_single());
                let readers: Vec<ReaderId> = readers.map(|(id, _)| *id).collect();
                readers.into_iter().for_each(|id| self.seek_reader(id, at));
            }
            Command::SelectVariant(None) => self.adaptation.release(),
            Command::SelectVariant(Some(id)) => self.select_variant(id),
            Command::SelectAudio(id) => self.select_rendition(Track::Audio, Some(id)),
            Command::SelectSubtitles(id) => self.select_rendition(Track::Subtitles, id),
            Command::Resolved(result) => self.handle_resolved(result),
        }
    }

    /// Moves an adaptive reader. Units it has entered may have been let go behind it byte by byte, so none of them can be
    /// entered again as it is.
    fn seek_reader(&mut self, id: ReaderId, at: Duration) {
        let Some(reader) = self.readers.get_mut(&id) else { return };
        let ReaderState::Adaptive(adaptive) = &mut reader.state else { return };
        reader.pace.moved();
        let entered: BTreeSet<UnitKey> = adaptive.entered.iter().map(|entry| entry.unit).collect();
        // One that was read to its end may have been forgotten here and not be let go yet.
        let media = adaptive.media;
        let passed = self.units.iter().map(|(unit, _)| unit).filter(|unit| Some(unit.media) == media);
        let passed: Vec<UnitKey> = passed.filter(|unit| unit.msn().is_some() && !adaptive.is_planned(*unit)).collect();
        adaptive.seek(at);
        // What others stand at or will come to is theirs, unless this one may have let go of its beginning.
        let wanted = self.wanted_units();
        let is_entered = |unit: UnitKey| {
            self.readers.values().any(|reader| match &reader.state {
                ReaderState::Adaptive(other) => other.entered.iter().any(|entry| entry.unit == unit),
                ReaderState::Flat(_) => false,
            })
        };
        let entered_here = entered.iter().copied().filter(|unit| !is_entered(*unit));
        let passed = passed.into_iter().filter(|unit| !wanted.contains(unit) && !entered.contains(unit));
        let left: BTreeSet<UnitKey> = entered_here.chain(passed).collect();
        for unit in left {
            self.handle_dropped(unit);
        }
    }

    pub(super) fn each_adaptive(&mut self, mut act: impl FnMut(Track, &mut Adaptive)) {
        for reader in self.readers.values_mut() {
            if let ReaderState::Adaptive(adaptive) = &mut reader.state {
                act(reader.track, adaptive);
            }
        }
    }

    /// Serves every reader that can be served.
    pub(super) fn settle_readers(&mut self) {
        if self.variant.is_none() {
            return;
        }
        let readers: Vec<ReaderId> = self.readers.keys().copied().collect();
        for id in readers {
            if self.over.is_some() {
                return;
            }
            self.attach(id);
            self.locate(id);
        }
    }

    /// EXT-X-START of the multivariant playlist.
    pub(super) fn declared_start(&self) -> Option<Start> {
        self.multivariant.as_deref()?.start
    }

    fn set_apart(&mut self, id: ReaderId) {
        if let Some(ReaderState::Adaptive(adaptive)) = self.readers.get_mut(&id).map(|reader| &mut reader.state) {
            adaptive.together = false;
        }
    }

    /// Gives a reader its stream, once the playlist is there.
    fn attach(&mut self, id: ReaderId) {
        let Some(reader) = self.readers.get(&id) else { return };
        let track = reader.track;
        let wanted = match &reader.state {
            ReaderState::Flat(Flat { media: Some(_), .. }) => return,
            ReaderState::Flat(_) => self.media_for(track),
            ReaderState::Adaptive(adaptive) => match (adaptive.switching_to, adaptive.media) {
                (Some(other), _) => Some(other),
                (None, Some(_)) => return,
                (None, None) => self.media_for(track),
            },
        };
        let Some(media) = wanted else {
            if self.is_off(track) {
                // What is chosen later joins in where the others are then.
                self.set_apart(id);
                return;
            }
            return self.refuse(id, FailureKind::NoMedia);
        };
        if self.medias.get(&media).is_none_or(|media| media.timeline.is_none()) {
            if self.is_given_up(media) {
                return self.refuse(id, FailureKind::NoMedia);
            }
            // One that could not be had is asked for again when its wait is over.
            if !self.medias.get(&media).is_some_and(Media::is_waited_for) {
                self.load_media(media);
            }
            return;
        }
        if self.comes_later(id, media) {
            return;
        }
        let timeline = self.medias.get(&media).and_then(|media| media.timeline.as_ref());
        if self.is_tuning_in(media) {
            return;
        }
        let start = self.declared_start();
        let begins =
            timeline.map(|timeline| (super::live::beginning(timeline, start, &self.options.live, false), timeline));
        match self.readers.get_mut(&id).map(|reader| &mut reader.state) {
            Some(ReaderState::Flat(flat)) => {
                flat.media = Some(media);
                // What has ended is read as a whole.
                let live = begins.filter(|(_, timeline)| timeline.snapshot().is_live());
                let first = live.and_then(|((at, _), timeline)| timeline.at(at)).map(|(msn, _)| msn);
                if let Some(media) = self.medias.get_mut(&media) {
                    media.make_flat(first.unwrap_or_default());
                }
            }
            Some(ReaderState::Adaptive(_)) => return self.attach_adaptive(id, media),
            None => return,
        }
        self.act(Action::Attach { reader: id, media });
    }

    /// A reader of units.
    pub(super) fn adaptive(&self, id: ReaderId) -> Option<&Adaptive> {
        match &self.readers.get(&id)?.state {
            ReaderState::Adaptive(adaptive) => Some(adaptive),
            ReaderState::Flat(_) => None,
        }
    }

    /// Whether a reader goes on with what it has for now: it is so far behind that the other stream does not have its time
    /// any more, and its own is still to be had.
    pub(super) fn comes_later(&self, id: ReaderId, other: MediaId) -> bool {
        let Some(adaptive) = self.adaptive(id) else { return false };
        let Some((own, next)) = adaptive.goes_on_from().filter(|(own, _)| *own != other) else { return false };
        let timeline = self.medias.get(&own).and_then(|media| media.timeline.as_ref());
        let has_next = timeline.is_some_and(|timeline| timeline.segment(next).is_some());
        has_next && self.is_before_window(other, adaptive.planned_until())
    }

    /// Finds the piece a flat reader asks for.
    fn locate(&mut self, id: ReaderId) {
        let Some(ReaderState::Flat(flat)) = self.readers.get(&id).map(|reader| &reader.state) else { return };
        let (Some(media_id), Some(offset), cursor) = (flat.media, flat.pending, flat.cursor) else { return };
        let Some(media) = self.medias.get(&media_id) else { return };
        match media.layout.locate(offset) {
            Located::In { idx, .. } => self.stand(id, idx, true),
            Located::End if media.layout.total().is_some() => self.reach_end(id),
            // The playlist must grow first.
            Located::End => {}
            Located::Gone => self.refuse(id, FailureKind::BehindLiveWindow),
            Located::Beyond { idx, within } => {
                let Some(unit) = media.layout.piece(idx).map(|piece| piece.unit) else { return };
                if self.units.state(unit) == Some(&UnitState::Missing) {
                    return self.refuse(id, FailureKind::NotFound);
                }
                let resolves = self.options.reader.resolve_sizes;
                // The body of one that failed tells the reader why there is no more of it.
                let known_soon = self.is_arriving(unit, within) || self.units.state(unit) == Some(&UnitState::Failed);
                if known_soon || cursor == Some(idx) || (cursor.is_none() && !resolves) {
                    self.stand(id, idx, false);
                } else if !resolves {
                    self.refuse(id, FailureKind::UnknownOffset);
                }
            }
        }
    }

    /// Whether a unit of unknown length is under way, or will be, and `within` may lie in it: then its length will be
    /// known when it is there.
    fn is_arriving(&self, unit: UnitKey, within: u64) -> bool {
        match self.units.state(unit) {
            Some(UnitState::Fetching(fetch)) => self.units.fetches.get(fetch).is_some_and(|fetch| {
                let len = fetch.head.as_ref().and_then(|head| head.len);
                len.is_none_or(|len| within <= len)
            }),
            Some(
                UnitState::Assembling(_)
                | UnitState::Resting { .. }
                | UnitState::AwaitingPlaylist(_)
                | UnitState::AwaitingUrl,
            ) => true,
            Some(UnitState::Ready { .. } | UnitState::Missing | UnitState::Failed) | None => false,
        }
    }

    /// Whether a flat reader asks for a place that only further lengths can tell.
    pub(super) fn is_beyond(&self, flat: &Flat) -> bool {
        let media = flat.media.and_then(|id| self.medias.get(&id));
        let Some((offset, media)) = flat.pending.zip(media) else { return false };
        match media.layout.locate(offset) {
            Located::Beyond { idx, within } => {
                media.layout.piece(idx).is_some_and(|piece| !self.is_arriving(piece.unit, within))
            }
            Located::In { .. } | Located::End | Located::Gone => false,
        }
    }

    /// Moves a flat reader to a piece. `found` says that the offset it asked for is certainly there.
    pub(super) fn stand(&mut self, id: ReaderId, idx: usize, found: bool) {
        let Some(reader) = self.readers.get_mut(&id) else { return };
        let ReaderState::Flat(flat) = &mut reader.state else { return };
        let (track, media_id) = (reader.track, flat.media);
        if found {
            flat.pending = None;
        }
        if flat.cursor == Some(idx) {
            return;
        }
        flat.cursor = Some(idx);
        flat.ended = false;
        let Some(media) = media_id.and_then(|id| self.medias.get(&id)) else { return };
        let Some(piece) = media.layout.piece(idx) else { return };
        let Some(msn) = piece.unit.msn() else { return };
        let (byte_offset, position) = (media.layout.offset_of(idx), piece.start);
        let missed = media.flat_missed.filter(|(behind, _)| *behind <= idx);
        if let Some((_, missed)) = missed {
            self.tell_live(LiveEvent::Rejoined { track, at: position, missed });
        }
        let Some(media) = media_id.and_then(|id| self.medias.get_mut(&id)) else { return };
        media.flat_missed = media.flat_missed.filter(|_| missed.is_none());
        let id = media.id;
        self.tell_entered(track, id, msn, byte_offset, position);
    }

    /// Reports that a reader entered a segment.
    pub(super) fn tell_entered(
        &mut self,
        track: Track,
        variant: MediaId,
        msn: MediaSequence,
        byte_offset: Option<u64>,
        position: Duration,
    ) {
        let Some(media) = self.medias.get(&variant) else { return };
        let ended = media.timeline.as_ref().filter(|timeline| timeline.ended());
        let percent = ended.map(|timeline| share(position, timeline.end()));
        let segment_index = media.index_of(msn);
        self.tell(HlsEvent::SegmentStart { track, variant, segment_index, byte_offset });
        self.tell(HlsEvent::PlaybackProgress { track, position, percent });
    }

    fn reach_end(&mut self, id: ReaderId) {
        let Some(reader) = self.readers.get_mut(&id) else { return };
        let ReaderState::Flat(flat) = &mut reader.state else { return };
        let (track, first) = (reader.track, !flat.ended);
        flat.pending = None;
        flat.ended = true;
        if first {
            self.tell(HlsEvent::EndOfStream { track });
        }
    }

    /// Tells a reader that what it asked for cannot be done.
    pub(super) fn refuse(&mut self, id: ReaderId, kind: FailureKind) {
        self.refuse_with(id, Failure::session(kind));
    }

    pub(super) fn refuse_with(&mut self, id: ReaderId, failure: Failure) {
        match self.readers.get_mut(&id).map(|reader| &mut reader.state) {
            Some(ReaderState::Flat(flat)) if flat.pending.is_some() || flat.wants_length || flat.media.is_none() => {
                flat.pending = None;
                flat.wants_length = false;
            }
            Some(ReaderState::Adaptive(adaptive)) if adaptive.media.is_none() && adaptive.asks => {
                adaptive.asks = false;
            }
            _ => return,
        }
        self.act(Action::Refuse { reader: id, failure });
    }

    /// Streams that are read, or about to be: only their playlists are loaded again.
    pub(super) fn read_medias(&self) -> Vec<MediaId> {
        let mut medias: Vec<MediaId> = Vec::new();
        for reader in self.readers.values() {
            let switching = match &reader.state {
                ReaderState::Adaptive(adaptive) => adaptive.switching_to,
                ReaderState::Flat(_) => None,
            };
            medias.extend(reader.media().or_else(|| self.media_for(reader.track)));
            medias.extend(switching);
        }
        medias.sort_unstable();
        medias.dedup();
        medias
    }

    /// Whether a reader has bytes of this stream that it could not get from another.
    pub(super) fn holds_readers(&self, media: MediaId) -> bool {
        self.readers.values().any(|reader| match &reader.state {
            ReaderState::Flat(flat) => flat.media == Some(media) && flat.touched,
            ReaderState::Adaptive(_) => false,
        })
    }

    /// Readers of a stream that was given up look for another one, from the unit `from` on.
    pub(super) fn leave_media(&mut self, media: MediaId, from: Option<super::UnitKey>) {
        let now: Vec<Option<MediaId>> =
            self.readers.values().map(|reader| self.media_for(reader.track).filter(|it| *it != media)).collect();
        for (reader, now) in self.readers.values_mut().zip(now) {
            match &mut reader.state {
                ReaderState::Flat(flat) if flat.media == Some(media) => {
                    flat.media = None;
                    flat.pending = flat.pending.or(flat.cursor.map(|_| 0));
                    flat.cursor = None;
                }
                ReaderState::Adaptive(adaptive)
                    if adaptive.media == Some(media) || from.is_some_and(|unit| adaptive.is_planned(unit)) =>
                {
                    adaptive.leave(from, now);
                }
                ReaderState::Adaptive(adaptive) if adaptive.switching_to == Some(media) => {
                    adaptive.switching_to = now.filter(|_| adaptive.media != now);
                }
                _ => {}
            }
        }
    }
}

fn flat_demand(flat: &mut Flat, demand: &Demand) {
    match *demand {
        Demand::At { offset, in_sequence } => {
            flat.pending = Some(offset);
            // Whoever begins at the beginning means to go on; whoever jumped must show it.
            flat.reads_on = offset == in_sequence || in_sequence >= READS_ON;
        }
        Demand::Length => flat.wants_length = true,
        // Words of the other view.
        Demand::Next | Demand::Seek { .. } | Demand::Position { .. } | Demand::Open { .. } | Demand::Close => {}
    }
}

fn adaptive_demand(adaptive: &mut Adaptive, demand: &Demand) {
    match *demand {
        Demand::Next => adaptive.asks = true,
        Demand::Position { at } => adaptive.position = adaptive.position.max(at),
        // Words of the other view, and what is handled before.
        Demand::At { .. } | Demand::Length | Demand::Seek { .. } | Demand::Open { .. } | Demand::Close => {}
    }
}

/// `part` of `whole` in percent.
pub(super) fn share(part: Duration, whole: Duration) -> f32 {
    if whole.is_zero() {
        return 100.0;
    }
    (part.as_secs_f64() / whole.as_secs_f64() * 100.0).min(100.0) as f32
}
