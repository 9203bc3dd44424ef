//! What came of the fetches, and what is tried when nothing came.

use std::time::Duration;

use super::{
    Action, Delivered, Failure, FailureKind, FetchFailure, Head, HlsEvent, KeyId, MediaId, OnMissing, Place,
    PlaylistId, ReaderId, Remedy, Session, Subject, UnitKey,
    ids::FetchId,
    readers::ReaderState,
    reading::share,
    units::{Fetch, Purpose, UnitState},
};
use crate::{
    abr::AbrReason,
    fallback::{self, Tried},
    playlist::{DiscontinuitySequence, RenditionKind},
    time::MediaTime,
};

/// How long a unit that nobody stands at yet rests after the network gave up on it.
const REST: Duration = Duration::from_secs(2);

/// The longest wait before a missing or broken unit is fetched again.
const LONGEST_REST: Duration = Duration::from_secs(4);

/// The longest wait before a segment at the live edge is asked for again.
const EDGE_REST: Duration = Duration::from_millis(500);

impl Session {
    pub(super) fn handle_head(&mut self, id: FetchId, head: Head) {
        let now = self.tick();
        let Some(fetch) = self.units.fetches.get_mut(&id) else { return };
        self.adaptation.head(now, id, &head);
        fetch.head = Some(head);
        let unit = fetch.unit;
        if let Some(UnitState::Assembling(assembly)) = self.units.state_mut(unit) {
            assembly.moved(id, now);
        }
    }

    pub(super) fn handle_progress(&mut self, id: FetchId, bytes: u64) {
        let now = self.tick();
        let Some(fetch) = self.units.fetches.get_mut(&id) else { return self.hinted_moved(id, bytes) };
        fetch.bytes = bytes;
        let unit = fetch.unit;
        self.adaptation.progress(now, id, bytes);
        if let Some(UnitState::Assembling(assembly)) = self.units.state_mut(unit) {
            // Parts come as they are made: there is nothing to gain by giving one up.
            return assembly.moved(id, now);
        }
        // A unit whose place is not known yet cannot have been read.
        let layout = self.medias.get(&unit.media).map(|media| &media.layout);
        if layout.and_then(|layout| layout.offset_of(layout.position(unit)?)).is_some() {
            for reader in self.readers.values_mut() {
                if let ReaderState::Flat(flat) = &mut reader.state {
                    flat.touched |= flat.media == Some(unit.media);
                }
            }
        }
        self.consider_abandoning(id);
    }

    /// Cuts a download that would starve its reader, if the same segment from a lower variant would not.
    fn consider_abandoning(&mut self, id: FetchId) {
        let Some(unit) = self.units.fetches.get(&id).map(|fetch| fetch.unit) else { return };
        let MediaId::Variant(current) = unit.media else { return };
        if self.is_past(unit) {
            return;
        }
        if !matches!(self.options.playback.variant, super::VariantChoice::Auto) {
            return;
        }
        let abandoned = |reader: &super::Reader| match &reader.state {
            ReaderState::Adaptive(adaptive) if adaptive.is_planned(unit) => Some(adaptive.abandoned(unit)),
            _ => None,
        };
        let mut readers = self.readers.iter();
        let Some((reader, abandoned)) = readers.find_map(|(id, reader)| Some((*id, abandoned(reader)?))) else {
            return;
        };
        let mut situation = self.situation(reader, current);
        // It has until playback comes to it: those before it are on their way as well.
        let due = self.adaptive(reader).and_then(|it| Some(it.ahead(self.readers.get(&reader)?.place_of(unit)?.0)));
        situation.buffered = situation.buffered.max(due.unwrap_or_default());
        let Some(lower) = self.adaptation.abandon(self.now.at, id, situation, abandoned) else { return };
        // What it brought is measured now, so that the choice after this one knows of it.
        self.units.fetches.remove(&id);
        self.adaptation.ended(self.now.at, id, None);
        self.act(Action::Cancel { fetch: id });
        self.units.remove(unit);
        self.act(Action::Release { unit });
        if self.variant != Some(lower) {
            self.apply_variant(lower, AbrReason::Abandoned);
        }
        self.abandon_for(reader, unit, MediaId::Variant(lower));
    }

    pub(super) fn handle_fetched(&mut self, id: FetchId, result: Result<Delivered, FetchFailure>) {
        // A late report about a fetch that was cancelled.
        let Some(fetch) = self.units.fetches.remove(&id) else { return self.hinted_fetched(id, &result) };
        let wire_len = result.as_ref().ok().map(|delivered| delivered.wire_len);
        self.adaptation.ended(self.now.at, id, wire_len);
        let was_ahead = self.uncut(id, result.is_ok());
        match result {
            result if fetch.purpose == Purpose::Part => self.part_fetched(fetch.unit, id, result),
            Ok(delivered) => self.delivered(&fetch, delivered, !was_ahead),
            Err(cause) if was_ahead => self.ahead_failed(fetch.unit, cause),
            Err(cause) if fetch.purpose == Purpose::Close => self.close_failed(fetch.unit, cause),
            Err(cause) => {
                self.doubt_key(&fetch, &cause);
                self.unit_failed(fetch.unit, cause);
            }
        }
    }

    /// A unit that cannot be decrypted may have been encrypted with another key than ours: a newer one, or the key server
    /// was not itself.
    fn doubt_key(&mut self, fetch: &Fetch, cause: &FetchFailure) {
        let is_first = self.units.trouble(fetch.unit).is_none_or(|trouble| trouble.bad == 0);
        if let Some(used) = fetch.key.filter(|used| {
            // One that fits others is doubted once by each.
            cause.kind == FailureKind::Undecryptable && (is_first || !self.keys.fits(*used))
        }) {
            self.keys.doubt(used);
        }
    }

    /// A unit is there; `through_store` unless it was asked for ahead.
    fn delivered(&mut self, fetch: &Fetch, delivered: Delivered, through_store: bool) {
        let unit = fetch.unit;
        let began = match self.units.state(unit) {
            Some(UnitState::Assembling(assembly)) => assembly.began,
            _ => fetch.started,
        };
        let Some(media) = self.medias.get_mut(&unit.media) else { return };
        let known = media.layout.position(unit).and_then(|idx| media.layout.len_of(idx));
        if known.is_some_and(|known| known != delivered.len) {
            // Readers may stand behind the place that the length known before gave.
            return self.give_up(unit, FetchFailure::new(FailureKind::Changed));
        }
        media.layout.learn(unit, delivered.len);
        if let Some(used) = fetch.key {
            self.keys.fitted(used);
        }
        if fetch.purpose == Purpose::Deliver && through_store {
            self.note_stored(unit, delivered.wire_len);
        }
        self.units.set(unit, UnitState::Ready { len: delivered.len });
        if let Some(trouble) = self.units.trouble(unit) {
            *trouble = super::units::Trouble::default();
        }
        if let Some((msn, media)) = unit.msn().zip(self.medias.get_mut(&unit.media)) {
            if unit.first_part() == 0 {
                media.note_delivery(msn, delivered.len);
            }
            let (variant, segment_index) = (media.id, media.index_of(msn));
            let track = self.track_of(variant);
            self.tell(HlsEvent::SegmentComplete {
                track,
                variant,
                segment_index,
                bytes_transferred: delivered.wire_len,
                duration: self.now.at.since(began),
                cached: delivered.from_store,
            });
            self.tell_progress(unit);
        }
    }

    fn tell_progress(&mut self, unit: UnitKey) {
        let Some(media) = self.medias.get(&unit.media) else { return };
        let Some(timeline) = &media.timeline else { return };
        let arrived = media.layout.position(unit).and_then(|idx| {
            // Units that came out of turn count from when the one before them is there.
            let ready = |unit| matches!(self.units.state(unit), Some(UnitState::Ready { .. }));
            let last = idx + media.layout.from(idx + 1).take_while(|(_, piece)| ready(piece.unit)).count();
            Some((media.layout.offset_of(last + 1)?, media.layout.piece(last)?))
        });
        let (track, sample) = (self.track_of(media.id), self.adaptation.estimate());
        if let Some((offset, piece)) = arrived {
            let end = piece.start.saturating_add(piece.duration);
            let percent = timeline.ended().then(|| share(end, timeline.end()));
            self.tell(HlsEvent::DownloadProgress { track, offset, percent });
        }
        if let Some(sample) = sample {
            self.tell(HlsEvent::ThroughputSample { bytes_per_second: sample.as_f64() / 8.0 });
        }
        self.tell_buffer(track);
    }

    pub(super) fn tell_buffer(&mut self, track: super::Track) {
        if let Some(level) = self.least_level() {
            self.tell(HlsEvent::BufferLevel { track, level_seconds: level.as_secs_f64() });
        }
    }

    pub(super) fn handle_sized(&mut self, id: FetchId, result: Result<u64, FetchFailure>) {
        let Some(fetch) = self.units.fetches.remove(&id) else { return };
        match result {
            Ok(len) => {
                if let Some(media) = self.medias.get_mut(&fetch.unit.media) {
                    media.layout.learn(fetch.unit, len);
                }
            }
            Err(cause) => {
                let failure = Failure { subject: Subject::Unit(fetch.unit), cause };
                // Whoever waits for bytes of a unit that is on its way needs no further lengths.
                let needs_lengths = |reader: &super::Reader| match &reader.state {
                    ReaderState::Flat(flat) if flat.media == Some(fetch.unit.media) => {
                        flat.wants_length || self.is_beyond(flat)
                    }
                    ReaderState::Flat(_) | ReaderState::Adaptive(_) => false,
                };
                let readers = self.readers.iter().filter(|(_, reader)| needs_lengths(reader));
                let readers: Vec<ReaderId> = readers.map(|(id, _)| *id).collect();
                for reader in readers {
                    self.refuse_with(reader, failure.clone());
                }
            }
        }
    }

    pub(super) fn handle_key(&mut self, key: KeyId, result: Result<(), FetchFailure>, cached: bool) {
        if let Some(key_url) = self.keys.settle(key, result.is_ok()) {
            self.tell(HlsEvent::KeyFetch { key_url, success: result.is_ok(), cached });
        }
        let Err(cause) = result else { return };
        let wait: Vec<(FetchId, UnitKey)> = self
            .units
            .fetches
            .iter()
            .filter(|(_, fetch)| fetch.key.is_some_and(|used| used.key == key))
            .map(|(id, fetch)| (*id, fetch.unit))
            .collect();
        for (fetch, unit) in wait {
            // Other parts of the same segment went with the first.
            if self.units.fetches.remove(&fetch).is_none() {
                continue;
            }
            self.adaptation.ended(self.now.at, fetch, None);
            self.act(Action::Cancel { fetch });
            self.unit_failed(unit, cause.clone());
        }
    }

    /// What was delivered is gone: the unit is absent again.
    pub(super) fn handle_dropped(&mut self, unit: UnitKey) {
        match self.units.state(unit) {
            Some(UnitState::Fetching(_) | UnitState::Assembling(_)) => self.stop_unit(unit),
            Some(UnitState::Ready { .. }) => {}
            _ => return,
        }
        self.units.remove(unit);
        self.act(Action::Release { unit });
    }

    pub(super) fn handle_media_time(
        &mut self,
        id: MediaId,
        dsn: DiscontinuitySequence,
        start: Duration,
        time: MediaTime,
    ) {
        let start = i64::try_from(start.as_nanos()).unwrap_or(i64::MAX);
        // Subtitles tell the media time of cue time zero, not of where they begin: what is played says better where the
        // media lies, and only where nothing is, cue times count as they are.
        let is_text = self.kind_of_media(id) == Some(RenditionKind::Subtitles);
        let known = self.timestamps.get(dsn);
        if is_text && (known.is_some() || self.readers.values().any(super::Reader::plays)) {
            return;
        }
        if let Some(offset) = known {
            return self.realign(id, start, time.as_nanos().saturating_add(offset));
        }
        let offset = if is_text { 0 } else { start }.saturating_sub(time.as_nanos());
        self.timestamps.set(dsn, offset);
        self.act(Action::MapTimestamps { dsn, offset });
    }

    /// Chooses and begins the next remedy for a unit.
    pub(super) fn unit_failed(&mut self, unit: UnitKey, cause: FetchFailure) {
        let now = self.tick();
        match self.units.state(unit) {
            None => self.units.set(unit, UnitState::Resting { until: now }),
            Some(UnitState::Assembling(_)) => {
                self.stop_unit(unit);
                self.units.set(unit, UnitState::Resting { until: now });
            }
            Some(_) => {}
        }
        let gone = cause.kind.wants_new_url() || cause.kind == FailureKind::BehindLiveWindow;
        let is_past = gone && self.is_live(unit.media) && !self.is_at_edge(unit);
        if is_past && unit.msn().is_some_and(|msn| !self.is_listed(unit.media, msn)) {
            // It left the window, and its server dropped it: nobody has it any more.
            self.begin_remedy(unit, cause, Remedy::Skip);
            return self.lose(unit);
        }
        let has_other_variant = self.other_for(unit.media).is_some();
        let playback = &self.options.playback;
        // A live stream does not wait for anybody, and a hole among subtitles is better than an end.
        let is_left_out = self.is_live(unit.media) || self.is_dispensable(unit.media);
        let on_missing = if is_left_out { OnMissing::Skip } else { playback.on_missing };
        let options = fallback::Options {
            refetches: playback.refetches,
            patience: playback.patience,
            has_primary: self.multivariant.is_some(),
            has_resolver: self.options.has_resolver,
            has_other_variant,
            insists: has_other_variant && !self.goes_over_at_once(unit.media),
            on_missing,
        };
        let Some(trouble) = self.units.trouble(unit) else { return };
        trouble.bad += u32::from(cause.kind.is_bad_delivery());
        let tried = Tried {
            bad_deliveries: trouble.bad,
            reloaded_media: trouble.reloaded_media,
            reloaded_primary: trouble.reloaded_primary,
            resolved: trouble.asked > 0,
            waited: now.since(*trouble.since.get_or_insert(now.saturating_sub(cause.in_vain))),
            told: cause.retry_after.is_some() && !is_left_out,
        };
        let not_yet = matches!(cause.kind, FailureKind::NotFound | FailureKind::NotReady);
        if not_yet && tried.waited < self.edge_patience(unit.media) && self.is_at_edge(unit) {
            // It was announced before it was there.
            return self.begin_remedy(unit, cause, Remedy::Refetch);
        }
        let remedy = fallback::remedy(cause.kind, tried, options);
        if remedy == Remedy::Skip
            && unit.msn().is_none()
            && self.is_live(unit.media)
            && tried.waited < playback.patience
        {
            // Nothing of its run can be read without it, and what plays goes on meanwhile.
            return self.begin_remedy(unit, cause, Remedy::Refetch);
        }
        let waits = cause.kind == FailureKind::Unreachable && matches!(remedy, Remedy::Fail | Remedy::Skip);
        if waits && !self.is_stood_at(unit) {
            // Readers are elsewhere and have media to play: the network may be back before they come here.
            let error = Failure { subject: Subject::Unit(unit), cause };
            self.tell(HlsEvent::Recovering { error, remedy: Remedy::Refetch });
            return self.units.set(unit, UnitState::Resting { until: now + REST });
        }
        self.begin_remedy(unit, cause, remedy);
    }

    pub(super) fn begin_remedy(&mut self, unit: UnitKey, cause: FetchFailure, remedy: Remedy) {
        let now = self.tick();
        let failure = Failure { subject: Subject::Unit(unit), cause: cause.clone() };
        if remedy != Remedy::Fail {
            self.tell(HlsEvent::Recovering { error: failure.clone(), remedy });
        }
        let (backoff, patience) = (self.options.playback.refetch_backoff, self.options.playback.patience);
        let longest = if self.is_at_edge(unit) { EDGE_REST } else { LONGEST_REST };
        // A server that is back is back for all that it sent away, not only for the first.
        let longest_waited = self.units.failing_since(unit.media).map_or(Duration::ZERO, |since| now.since(since));
        let Some(trouble) = self.units.trouble(unit) else { return };
        match remedy {
            Remedy::Refetch => {
                let wait = backoff.saturating_mul(1 << trouble.rests.min(16)).min(longest);
                trouble.rests += 1;
                let waited = now.since(trouble.since.unwrap_or(now));
                let wait = fallback::told_to_wait(&cause, longest_waited, patience).max(wait);
                let until = now + fallback::in_time(wait, waited, patience);
                self.units.set(unit, UnitState::Resting { until });
            }
            Remedy::ReloadMedia => {
                trouble.reloaded_media = true;
                let id = self.playlist_of(unit.media);
                self.units.set(unit, UnitState::AwaitingPlaylist(id));
                self.load_media(unit.media);
            }
            Remedy::ReloadPrimary => {
                trouble.reloaded_primary = true;
                self.units.set(unit, UnitState::AwaitingPlaylist(PlaylistId::Primary));
                self.load_primary();
            }
            Remedy::Resolve => {
                trouble.asked += 1;
                let attempt = trouble.asked;
                self.units.set(unit, UnitState::AwaitingUrl);
                self.ask_application(failure, attempt);
            }
            Remedy::OtherVariant => self.take_other_variant(unit, failure),
            Remedy::Skip => self.skip_unit(unit),
            Remedy::Fail => self.give_up(unit, cause),
        }
    }

    pub(super) fn playlist_of(&self, media: MediaId) -> PlaylistId {
        if self.primary.is_media { PlaylistId::Primary } else { PlaylistId::Media(media) }
    }

    /// A unit that was entered and cannot be finished ends its run; the next run begins again at its start.
    pub(super) fn cut_entered(&mut self, unit: UnitKey) {
        let mut cut = false;
        for reader in self.readers.values_mut() {
            let ReaderState::Adaptive(adaptive) = &mut reader.state else { continue };
            let Some(idx) = adaptive.entered.iter().position(|entry| entry.unit == unit) else { continue };
            let at = adaptive.heard_from(&adaptive.entered[idx]);
            adaptive.entered.truncate(idx);
            adaptive.restart(super::RunReason::Cut, at);
            cut = true;
        }
        if cut {
            self.act(Action::Cut { unit });
        }
    }

    /// Leaves a segment out.
    fn skip_unit(&mut self, unit: UnitKey) {
        let Some(msn) = unit.msn() else {
            // Without its initialization section nothing of the run can be read.
            return self.give_up(unit, FetchFailure::new(FailureKind::NotFound));
        };
        self.units.set(unit, UnitState::Missing);
        let Some(media) = self.medias.get_mut(&unit.media) else { return };
        media.layout.learn(unit, 0);
        let timeline = media.timeline.as_ref();
        let start = timeline.and_then(|timeline| timeline.start_of(msn));
        let segment = timeline.and_then(|timeline| timeline.segment(msn));
        let duration = segment.map_or(Duration::ZERO, |segment| segment.duration);
        let planned = self.readers.values().find_map(|reader| reader.place_of(unit));
        let (start, duration) = start.map(|start| (start, duration)).or(planned).unwrap_or_default();
        let (variant, segment_index) = (media.id, media.index_of(msn));
        let track = self.track_of(variant);
        let mut entered = false;
        let left_out = self.medias.get(&unit.media).and_then(|media| media.layout.position(unit));
        let mut stood = Vec::new();
        for (id, reader) in &mut self.readers {
            match &mut reader.state {
                ReaderState::Adaptive(adaptive) => {
                    entered |= adaptive.skip_entered(unit);
                    adaptive.skip(unit);
                }
                ReaderState::Flat(flat) if flat.media == Some(unit.media) && flat.cursor == left_out => stood.push(*id),
                ReaderState::Flat(_) => {}
            }
        }
        for reader in stood {
            self.step_over(reader, unit);
        }
        if entered {
            self.act(Action::Cut { unit });
        }
        self.act(Action::Release { unit });
        self.tell(HlsEvent::SegmentSkipped { track, variant, segment_index, start, duration });
    }

    /// Whoever stood in a unit that is left out goes on where it would have ended.
    fn step_over(&mut self, id: ReaderId, unit: UnitKey) {
        let Some(layout) = self.medias.get(&unit.media).map(|media| &media.layout) else { return };
        let idx = layout.position(unit).map_or(layout.len(), |idx| idx + 1);
        let missing = |idx: &usize| {
            let piece = layout.piece(*idx);
            piece.is_some_and(|piece| self.units.state(piece.unit) == Some(&UnitState::Missing))
        };
        let next = (idx..).find(|idx| !missing(idx)).filter(|idx| layout.piece(*idx).is_some());
        if let Some(next) = next {
            return self.stand(id, next, false);
        }
        if let Some(ReaderState::Flat(flat)) = self.readers.get_mut(&id).map(|reader| &mut reader.state) {
            flat.cursor = flat.cursor.filter(|_| flat.pending.is_some());
        }
    }

    /// Nothing helps: whoever comes to this unit gets the error.
    pub(super) fn give_up(&mut self, unit: UnitKey, cause: FetchFailure) {
        let failure = Failure { subject: Subject::Unit(unit), cause };
        self.units.set(unit, UnitState::Failed);
        self.tell(HlsEvent::Error { error: failure.clone(), recoverable: false });
        self.act(Action::Abandon { unit, failure });
    }

    /// Whether a reader waits for this very unit.
    fn is_stood_at(&self, unit: UnitKey) -> bool {
        self.readers.values().any(|reader| match &reader.state {
            ReaderState::Flat(flat) => {
                let media = flat.media.and_then(|id| self.medias.get(&id));
                let stands = |idx: usize| media.and_then(|it| it.layout.piece(idx)).is_some_and(|it| it.unit == unit);
                flat.cursor.is_some_and(|cursor| stands(cursor) || (stands(cursor + 1) && self.only_init(unit, cursor)))
            }
            ReaderState::Adaptive(adaptive) => {
                let uses = |entry: &super::Entry| entry.unit == unit || entry.init == Some(unit);
                adaptive.entered.iter().any(uses) || (adaptive.asks && adaptive.planned.front().is_some_and(uses))
            }
        })
    }

    fn only_init(&self, unit: UnitKey, cursor: usize) -> bool {
        let piece = self.medias.get(&unit.media).and_then(|media| media.layout.piece(cursor));
        piece.is_some_and(|piece| matches!(piece.unit.place, Place::Init(_)))
    }

    /// The track a stream plays on.
    pub(super) fn track_of(&self, media: MediaId) -> super::Track {
        let reader = self.readers.values().find(|reader| reader.media() == Some(media));
        reader.map_or(super::Track::Main, |reader| reader.track)
    }
}
