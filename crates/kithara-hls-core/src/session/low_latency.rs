//! Following a stream part by part: the parts of the segment that is being made, resources asked for ahead of their
//! announcement (parts and initialization sections), and the end of the segment.
//!
//! ```text
//!   playlist lists     what is done
//!   PRELOAD-HINT       AskAhead: the server holds its answer until the part is made; the bytes are kept
//!   PART               FetchPart: appended to the segment's bytes, cut out of what was asked for ahead where that fits
//!   MAP                Fetch: the initialization section, cut out likewise
//!   the segment        Close, once its parts are there; Fetch, where parts are missing that are not listed any more
//! ```

use std::time::Duration;

use super::{
    Action, Delivered, Failure, FailureKind, FetchFailure, FetchId, HlsEvent, MediaId, Remedy, Session, Subject,
    UnitKey, UnitRequest, Urgency,
    action::OPEN_END,
    latency::offers_parts,
    media::Load,
    parts::{Assembly, Listed, Step, TRIES, readable},
    planning::Decryption,
    readers::ReaderState,
    units::{Hinted, Purpose, UnitState},
};
use crate::{
    key::{Protection, protection},
    playlist::{ByteRange, Key, MediaSequence, Part, PreloadHint, PreloadKind, SharedList},
    reload::{MIN_INTERVAL, part_way},
    time::Tick,
    timeline::Timeline,
};

/// What the playlist says of a segment that is read by parts.
struct Source {
    /// All its parts, and the index of the first that is read.
    parts: SharedList<Part>,
    from: usize,
    closed: bool,
    keys: SharedList<Key>,
    /// The number the playlist gives it.
    msn: MediaSequence,
}

impl Source {
    fn of(timeline: &Timeline, unit: UnitKey) -> Option<Self> {
        let (msn, from) = (unit.msn()?, usize::try_from(unit.first_part()).ok()?);
        if let Some(open) = timeline.open_segment().filter(|open| open.msn == msn) {
            let (parts, keys) = (open.listed.parts.clone(), open.listed.keys.clone());
            // What is listed behind the last segment of a stream that has ended is all there will be of it.
            let closed = !timeline.snapshot().is_live();
            return Some(Self { parts, from, closed, keys, msn: open.listed.msn });
        }
        let segment = timeline.segment(msn)?;
        let (parts, keys) = (segment.parts.clone(), segment.keys.clone());
        Some(Self { parts, from, closed: true, keys, msn: segment.msn })
    }

    fn listed(&self, patience: Duration) -> Listed<'_> {
        Listed { parts: self.read(), closed: self.closed, patience }
    }

    /// The parts that are read.
    fn read(&self) -> &[Part] {
        self.parts.get(self.from..).unwrap_or_default()
    }
}

impl Session {
    /// The part target of a stream that is followed part by part: somebody reads it near its live edge.
    pub(super) fn follows_parts(&self, id: MediaId) -> Option<Duration> {
        let timeline = self.medias.get(&id)?.timeline.as_ref().filter(|_| self.plays_parts(id))?;
        let snapshot = timeline.snapshot();
        let near = snapshot.target_duration.saturating_mul(3);
        let reads = self.readers.values().any(|reader| match &reader.state {
            ReaderState::Adaptive(it) if !it.single && (it.media == Some(id) || it.switching_to == Some(id)) => {
                it.planned_until().saturating_add(near) >= timeline.edge()
            }
            ReaderState::Adaptive(_) | ReaderState::Flat(_) => false,
        });
        snapshot.part_target.filter(|_| reads)
    }

    /// A stream got a reader: what its playlist is loaded for next is a part, not a segment.
    pub(super) fn follow_by_parts(&mut self, id: MediaId) {
        let Some(part_target) = self.follows_parts(id) else { return };
        let now = self.tick();
        let Some(media) = self.medias.get_mut(&id) else { return };
        let blocks = media.timeline.as_ref().is_some_and(|it| it.snapshot().server_control.can_block_reload);
        let soon = if blocks { now } else { now + part_target };
        if let Load::Idle { due: Some(due) } = &mut media.load {
            *due = soon.min(*due);
        }
    }

    /// Whether a unit is put together from parts: a segment that is still being made and can be read so, or the rest of one.
    pub(super) fn comes_in_parts(&self, unit: UnitKey) -> bool {
        if unit.first_part() > 0 {
            return true;
        }
        let timeline = self.medias.get(&unit.media).and_then(|media| media.timeline.as_ref());
        let open = timeline.filter(|_| self.plays_parts(unit.media)).and_then(Timeline::open_segment);
        open.is_some_and(|open| Some(open.msn) == unit.msn() && readable(&open.listed.parts, &open.listed.keys))
    }

    /// Begins to put a segment together from its parts.
    pub(super) fn begin_assembly(&mut self, unit: UnitKey) {
        self.units.set(unit, UnitState::Assembling(Box::new(Assembly::new(self.now.at))));
    }

    /// Orders what such a segment needs next.
    pub(super) fn assemble(&mut self, unit: UnitKey, urgency: Urgency) {
        let timeline = self.medias.get(&unit.media).and_then(|media| media.timeline.as_ref());
        let Some(source) = timeline.and_then(|timeline| Source::of(timeline, unit)) else {
            return self.unlisted(unit);
        };
        let patience = self.patience(unit.media);
        loop {
            let Some(UnitState::Assembling(assembly)) = self.units.state(unit) else { return };
            match assembly.next(self.now.at, source.listed(patience)) {
                None => return,
                Some(Step::Fetch(part)) => self.fetch_part(unit, part, &source, urgency),
                Some(Step::Renew(fetch)) => self.renew_part(unit, fetch),
                Some(Step::Close) => self.close_unit(unit),
                Some(Step::Whole) if unit.first_part() > 0 => self.cut_unit(unit),
                Some(Step::Whole) => {
                    self.stop_unit(unit);
                    let until = self.tick();
                    self.units.set(unit, UnitState::Resting { until });
                }
                Some(Step::Lost) => self.part_lost(unit),
            }
        }
    }

    /// The playlist tells nothing of a segment any more. One that was being made when the stream ended ends with the parts
    /// that are there or still come.
    fn unlisted(&mut self, unit: UnitKey) {
        if !self.is_beyond_the_end(unit) {
            return self.unit_failed(unit, FetchFailure::new(FailureKind::BehindLiveWindow));
        }
        let (now, patience) = (self.now.at, self.patience(unit.media));
        let Some(UnitState::Assembling(assembly)) = self.units.state_mut(unit) else { return };
        if assembly.is_closing() || assembly.is_coming(now, patience) {
            return;
        }
        let arrived = assembly.arrived();
        if arrived.is_zero() {
            return self.cut_unit(unit);
        }
        for fetch in assembly.drop_ordered() {
            self.units.fetches.remove(&fetch);
            self.uncut(fetch, false);
            self.adaptation.ended(self.now.at, fetch, None);
            self.act(Action::Cancel { fetch });
        }
        for reader in self.readers.values_mut() {
            if let ReaderState::Adaptive(adaptive) = &mut reader.state {
                adaptive.ended_early(unit, arrived);
            }
        }
        self.close_unit(unit);
    }

    /// Whether a unit lies behind everything that a stream that ended lists.
    fn is_beyond_the_end(&self, unit: UnitKey) -> bool {
        let timeline = self.medias.get(&unit.media).and_then(|media| media.timeline.as_ref());
        let ended = timeline.filter(|timeline| timeline.ended() && timeline.open_segment().is_none());
        ended.zip(unit.msn()).is_some_and(|(timeline, msn)| msn.0 >= timeline.msns().end)
    }

    /// The end of a segment does not fit what came of it before. Where nothing more can be had of it, its readers go on
    /// without it.
    pub(super) fn close_failed(&mut self, unit: UnitKey, cause: FetchFailure) {
        if self.is_beyond_the_end(unit) { self.cut_unit(unit) } else { self.unit_failed(unit, cause) }
    }

    fn fetch_part(&mut self, unit: UnitKey, idx: usize, source: &Source, urgency: Urgency) {
        let (Some(part), Ok(number)) = (source.read().get(idx), u32::try_from(idx)) else {
            return self.unit_failed(unit, FetchFailure::new(FailureKind::NotFound));
        };
        let decryption = match self.decryption(&source.keys, source.msn, unit.media) {
            Ok(decryption) => decryption,
            Err(cause) => return self.unit_failed(unit, cause),
        };
        let Decryption { encryption, key, ask } = decryption;
        self.fetch_key(ask);
        let attempt = self.units.get(unit).map_or(1, |unit| unit.trouble.attempts + 1);
        let (url, range) = (part.uri.url(), part.byte_range);
        let fetch = self.units.begin(unit, Purpose::Part, key, self.now.at);
        let request = UnitRequest {
            url,
            range,
            encryption,
            attempt,
            urgency,
            patience: None,
            is_excerpt: false,
            growing_since: None,
        };
        let ahead = self.take_ahead(PreloadKind::Part, unit, fetch, &request);
        if let Some(UnitState::Assembling(assembly)) = self.units.state_mut(unit) {
            assembly.ordered(idx, fetch, ahead.is_some(), self.now.at);
        }
        self.act(Action::FetchPart { fetch, unit, part: number, request, ahead });
    }

    /// Begins to measure a fetch, unless what was asked for ahead turns out to be what it is for: then answers with that,
    /// which is measured already.
    pub(super) fn take_ahead(
        &mut self,
        kind: PreloadKind,
        unit: UnitKey,
        fetch: FetchId,
        request: &UnitRequest,
    ) -> Option<FetchId> {
        let ahead = self.cut_out(kind, unit, fetch, request);
        if ahead.is_none() {
            self.adaptation.started(self.now.at, fetch);
        }
        ahead
    }

    fn cut_out(&mut self, kind: PreloadKind, unit: UnitKey, fetch: FetchId, request: &UnitRequest) -> Option<FetchId> {
        let start = request.range.map_or(0, |range| range.start);
        let fits = |hinted: &Hinted| {
            let is_it = hinted.media == unit.media && hinted.kind == kind && hinted.is_free();
            let is_all = hinted.len.is_none_or(|len| request.range.is_some_and(|range| range.len == len));
            is_it && is_all && hinted.url == request.url && hinted.start == start
        };
        let (ahead, hinted) = self.units.hinted.iter_mut().find(|(_, hinted)| fits(hinted))?;
        hinted.cut = Some((unit, fetch));
        match request.range {
            Some(range) if hinted.len.is_none() => hinted.start = range.end(),
            _ => hinted.spent = true,
        }
        self.adaptation.announced(self.now.at, *ahead);
        Some(*ahead)
    }

    /// A part came, or could not be had.
    pub(super) fn part_fetched(&mut self, unit: UnitKey, fetch: FetchId, result: Result<Delivered, FetchFailure>) {
        let now = self.tick();
        let timeline = self.medias.get(&unit.media).and_then(|media| media.timeline.as_ref());
        let source = timeline.and_then(|timeline| Source::of(timeline, unit));
        let Some(UnitState::Assembling(assembly)) = self.units.state_mut(unit) else { return };
        match result {
            Ok(_) => {
                assembly.delivered(fetch, source.as_ref().map_or(&[], Source::read), now);
                let track = self.track_of(unit.media);
                self.tell_buffer(track);
            }
            Err(cause) => {
                let wait = cause.retry_after.unwrap_or_default();
                if assembly.failed(fetch, now, wait) >= TRIES {
                    return self.unit_failed(unit, cause);
                }
                let error = Failure { subject: Subject::Unit(unit), cause };
                self.tell(HlsEvent::Recovering { error, remedy: Remedy::Refetch });
            }
        }
    }

    /// A fetch ended: what it was cut out of, if anything, is free again or used up. Answers whether there was such a thing.
    pub(super) fn uncut(&mut self, ended: FetchId, whole: bool) -> bool {
        let of_it = |hinted: &Hinted| hinted.cut.is_some_and(|(_, fetch)| fetch == ended);
        let Some((ahead, hinted)) = self.units.hinted.iter_mut().find(|(_, hinted)| of_it(hinted)) else {
            return false;
        };
        let ahead = *ahead;
        hinted.cut = None;
        self.adaptation.caught_up(self.now.at, ahead);
        if hinted.spent || !whole {
            self.units.hinted.remove(&ahead);
            self.adaptation.ended(self.now.at, ahead, None);
            if !whole {
                self.act(Action::Cancel { fetch: ahead });
            }
        }
        true
    }

    fn renew_part(&mut self, unit: UnitKey, fetch: FetchId) {
        self.units.fetches.remove(&fetch);
        self.uncut(fetch, false);
        self.adaptation.ended(self.now.at, fetch, None);
        self.act(Action::Cancel { fetch });
        let now = self.tick();
        if let Some(UnitState::Assembling(assembly)) = self.units.state_mut(unit) {
            assembly.renew(fetch, now);
        }
    }

    fn close_unit(&mut self, unit: UnitKey) {
        let fetch = self.units.begin(unit, Purpose::Close, None, self.now.at);
        if let Some(UnitState::Assembling(assembly)) = self.units.state_mut(unit) {
            assembly.closing(fetch);
        }
        self.act(Action::Close { fetch, unit });
    }

    /// The next part is declared not to be there: its time is taken from elsewhere, or left out.
    fn part_lost(&mut self, unit: UnitKey) {
        self.stop_unit(unit);
        let until = self.tick();
        self.units.set(unit, UnitState::Resting { until });
        let remedy = if self.other_for(unit.media).is_some() { Remedy::OtherVariant } else { Remedy::Skip };
        self.begin_remedy(unit, FetchFailure::new(FailureKind::NotFound), remedy);
    }

    /// Ends everything under way for a unit.
    pub(super) fn stop_unit(&mut self, unit: UnitKey) {
        for fetch in self.units.stop(unit) {
            self.adaptation.ended(self.now.at, fetch, None);
            self.act(Action::Cancel { fetch });
        }
    }

    /// Asks for what the playlists hint at, and drops what turned out to be something else.
    pub(super) fn ask_ahead(&mut self) {
        self.note_announcements();
        let useless: Vec<FetchId> =
            self.units.hinted.iter().filter(|(_, it)| !self.is_still_hinted(it)).map(|(fetch, _)| *fetch).collect();
        for fetch in useless {
            self.units.hinted.remove(&fetch);
            self.adaptation.ended(self.now.at, fetch, None);
            self.act(Action::Cancel { fetch });
        }
        let kinds = [PreloadKind::Init, PreloadKind::Part];
        for (id, kind) in self.read_medias().into_iter().flat_map(|id| kinds.map(|kind| (id, kind))) {
            let Some((hinted, request, patience)) = self.hint_to_ask(id, kind) else { continue };
            let fetch = self.units.ask_ahead(hinted);
            self.adaptation.asked_ahead(fetch);
            self.act(Action::AskAhead { fetch, media: id, request, patience });
        }
    }

    /// Learns how long after a part that was asked for ahead the playlist comes that hints at it no more.
    fn note_announcements(&mut self) {
        for hinted in self.units.hinted.values_mut().filter(|it| it.kind == PreloadKind::Part && !it.passed) {
            let Some(media) = self.medias.get_mut(&hinted.media) else { continue };
            let Some(timeline) = &media.timeline else { continue };
            if hint_of(timeline, hinted.kind).is_some_and(|hint| hinted.is_of(hint)) {
                continue;
            }
            hinted.passed = true;
            let lag = hinted.whole.map_or(Duration::ZERO, |whole| self.now.at.since(whole));
            media.following.announced(lag);
        }
    }

    /// Whether what was asked for ahead is still hinted at, or was announced and not ordered yet.
    fn is_still_hinted(&self, hinted: &Hinted) -> bool {
        if hinted.cut.is_some() {
            return true;
        }
        let Some(media) = self.medias.get(&hinted.media) else { return false };
        let follows = self.follows_parts(hinted.media).is_some();
        let Some(timeline) = media.timeline.as_ref().filter(|_| follows) else { return false };
        if hint_of(timeline, hinted.kind).is_some_and(|hint| hinted.is_of(hint)) {
            return true;
        }
        if hinted.kind == PreloadKind::Init {
            let announced = media.init_at(&hinted.url, hinted.start);
            return announced
                .is_some_and(|init| matches!(self.units.state(init), None | Some(UnitState::Resting { .. })));
        }
        let is_it = |part: &Part| {
            let start = part.byte_range.map_or(0, |range| range.start);
            start == hinted.start && !part.gap && part.uri.url() == hinted.url
        };
        let end = timeline.msns().end;
        [end.checked_sub(1), Some(end)].into_iter().flatten().map(MediaSequence).any(|msn| {
            let Some(source) = Source::of(timeline, UnitKey::segment(hinted.media, msn)) else { return false };
            let known = match self.units.of_segment(hinted.media, msn) {
                Some((unit, UnitState::Assembling(assembly))) => known_parts(unit, assembly),
                None | Some((_, UnitState::Resting { .. })) => 0,
                Some(_) => return false,
            };
            source.parts.iter().skip(known).any(is_it)
        })
    }

    fn hint_to_ask(&self, id: MediaId, kind: PreloadKind) -> Option<(Hinted, UnitRequest, Duration)> {
        self.follows_parts(id)?;
        let media = self.medias.get(&id)?;
        let timeline = media.timeline.as_ref()?;
        let hint = hint_of(timeline, kind)?;
        let is_it = |hinted: &Hinted| hinted.media == id && hinted.kind == kind && !hinted.spent;
        let url = hint.uri.url();
        let is_due = match kind {
            PreloadKind::Part => self.has_ordered_all(id, timeline),
            // One that is announced is fetched like any other; one to come may be encrypted where segments are.
            PreloadKind::Init => {
                let known = media.init_at(&url, hint.byte_start);
                is_clear(timeline) && known.is_none_or(|init| self.units.state(init).is_none())
            }
        };
        let refused = media.following.refused.get(&kind);
        let is_refused = refused.is_some_and(|(it, start)| *it == url && *start == hint.byte_start);
        if !is_due || is_refused || self.units.hinted.values().any(is_it) {
            return None;
        }
        let range = match hint.byte_len {
            Some(len) => Some(ByteRange { start: hint.byte_start, len }),
            None if hint.byte_start > 0 => {
                Some(ByteRange { start: hint.byte_start, len: OPEN_END.checked_sub(hint.byte_start)? })
            }
            None => None,
        };
        let (start, len) = (hint.byte_start, hint.byte_len);
        let hinted = Hinted {
            media: id,
            kind,
            url: url.clone(),
            start,
            len,
            cut: None,
            spent: false,
            whole: None,
            passed: false,
        };
        let urgency = Urgency::Playback;
        let request = UnitRequest {
            url,
            range,
            encryption: None,
            attempt: 1,
            urgency,
            patience: None,
            is_excerpt: false,
            growing_since: None,
        };
        Some((hinted, request, timeline.snapshot().target_duration.saturating_mul(3)))
    }

    /// Whether a reader has everything that is listed planned, and all parts of it are ordered.
    fn has_ordered_all(&self, id: MediaId, timeline: &Timeline) -> bool {
        let end = timeline.msns().end;
        let open = timeline.open_segment().filter(|open| !open.listed.parts.is_empty());
        let next = match &open {
            Some(open) => {
                let state = self.units.of_segment(id, open.msn);
                let Some((unit, UnitState::Assembling(assembly))) = state else { return false };
                if known_parts(unit, assembly) < open.listed.parts.len() {
                    return false;
                }
                end.saturating_add(1)
            }
            None => {
                // What begins a segment may begin a key, too, and its parts may not be readable by themselves.
                if !is_clear(timeline) {
                    return false;
                }
                end
            }
        };
        self.readers.values().any(|reader| match &reader.state {
            ReaderState::Adaptive(it) => it.switching_to.is_none() && it.next_msn(id) == Some(MediaSequence(next)),
            ReaderState::Flat(_) => false,
        })
    }

    /// What a resource that was asked for ahead brought, or that it could not be had.
    pub(super) fn hinted_fetched(&mut self, fetch: FetchId, result: &Result<Delivered, FetchFailure>) {
        let Some(hinted) = self.units.hinted.get(&fetch) else { return };
        let (media, kind, url, start) = (hinted.media, hinted.kind, hinted.url.clone(), hinted.start);
        match result {
            // It is kept until it is announced.
            Ok(delivered) => {
                let now = self.now.at;
                self.adaptation.progress(now, fetch, delivered.wire_len);
                if let Some(hinted) = self.units.hinted.get_mut(&fetch) {
                    hinted.whole = Some(now);
                }
            }
            // What was cut out of it says so itself.
            Err(_) if hinted.cut.is_some() => {}
            Err(_) => {
                self.units.hinted.remove(&fetch);
                self.adaptation.ended(self.now.at, fetch, None);
                if let Some(media) = self.medias.get_mut(&media) {
                    // Once it is announced it is fetched like any other.
                    media.following.refused.insert(kind, (url, start));
                }
            }
        }
    }

    /// Bytes of a resource that was asked for ahead arrived.
    pub(super) fn hinted_moved(&mut self, fetch: FetchId, bytes: u64) {
        let now = self.tick();
        let Some(hinted) = self.units.hinted.get(&fetch) else { return };
        let cut = hinted.cut;
        self.adaptation.progress(now, fetch, bytes);
        if let Some((unit, part)) = cut
            && let Some(UnitState::Assembling(assembly)) = self.units.state_mut(unit)
        {
            assembly.moved(part, now);
        }
    }

    /// Asks like for any other for an initialization section that was asked for ahead, is announced, and does not come.
    pub(super) fn renew_inits(&mut self) {
        let silent: Vec<(UnitKey, FetchId)> =
            self.silent_inits().filter(|(due, _)| *due <= self.now.at).map(|(_, it)| it).collect();
        for (unit, fetch) in silent {
            self.units.fetches.remove(&fetch);
            self.uncut(fetch, false);
            self.adaptation.ended(self.now.at, fetch, None);
            self.act(Action::Cancel { fetch });
            self.ask_afresh(unit);
        }
    }

    /// What a unit was taken from, which was asked for ahead, is no good: that says nothing of the unit.
    pub(super) fn ahead_failed(&mut self, unit: UnitKey, cause: FetchFailure) {
        let error = Failure { subject: Subject::Unit(unit), cause };
        self.tell(HlsEvent::Recovering { error, remedy: Remedy::Refetch });
        self.ask_afresh(unit);
    }

    fn ask_afresh(&mut self, unit: UnitKey) {
        let until = self.tick();
        self.units.set(unit, UnitState::Resting { until });
    }

    /// Initialization sections of which nothing has come since they were taken from what was asked for ahead, and when that
    /// is too long.
    fn silent_inits(&self) -> impl Iterator<Item = (Tick, (UnitKey, FetchId))> {
        let taken = self.units.hinted.values().filter(|hinted| hinted.kind == PreloadKind::Init);
        taken.filter_map(|hinted| hinted.cut).filter_map(|(unit, fetch)| {
            let taken = self.units.fetches.get(&fetch).filter(|taken| taken.bytes == 0)?;
            Some((taken.started + self.patience(unit.media), (unit, fetch)))
        })
    }

    /// How long a part that is announced may be silent before it is fetched anew.
    fn patience(&self, media: MediaId) -> Duration {
        let timeline = self.medias.get(&media).and_then(|media| media.timeline.as_ref());
        let part_target = timeline.and_then(|timeline| timeline.snapshot().part_target);
        part_way(part_target.unwrap_or_default(), self.adaptation.round_trip())
    }

    /// When a part is to be fetched again, or has been silent for too long.
    pub(super) fn next_part_wake(&self) -> Option<Tick> {
        let due = |(key, unit): (UnitKey, &super::units::Unit)| {
            let UnitState::Assembling(assembly) = &unit.state else { return None };
            assembly.next_wake(self.patience(key.media)).map(|at| at.max(self.now.at))
        };
        let inits = self.silent_inits().map(|(due, _)| due);
        let overdue = self.read_medias().into_iter().filter_map(|id| self.overdue(id));
        let others = inits.chain(overdue).map(|due| due.max(self.now.at));
        self.units.iter().filter_map(due).chain(others).min()
    }

    /// When the answer to a load counts as lost because the part that is hinted at is there, which it is to announce.
    fn overdue(&self, id: MediaId) -> Option<Tick> {
        let part_target = self.follows_parts(id)?;
        let media = self.medias.get(&id)?;
        let Load::Loading { started } = media.load else { return None };
        if media.following.overdue {
            return None;
        }
        let hint = hint_of(media.timeline.as_ref()?, PreloadKind::Part)?;
        let parts = self.units.hinted.values().filter(|it| it.media == id && it.is_of(hint));
        let whole = parts.filter_map(|hinted| hinted.whole).max()?;
        let way = part_way(part_target, self.adaptation.round_trip());
        Some((whole.max(started) + media.following.announcement(way)).max(started + MIN_INTERVAL))
    }

    /// Asks anew for playlists whose answer is overdue.
    pub(super) fn ask_overdue(&mut self) {
        for id in self.read_medias() {
            if self.overdue(id).is_none_or(|due| due > self.now.at) {
                continue;
            }
            if let Some(media) = self.medias.get_mut(&id) {
                media.following.overdue = true;
            }
            self.load_media_anew(id);
        }
    }

    /// Readers learn when segments end that were planned while they were being made.
    pub(super) fn end_open_segments(&mut self, id: MediaId) {
        let Some(timeline) = self.medias.get(&id).and_then(|media| media.timeline.as_ref()) else { return };
        for reader in self.readers.values_mut() {
            if let ReaderState::Adaptive(adaptive) = &mut reader.state
                && let Some(unit) = adaptive.open_unit(id)
                && let Some((msn, segment)) = unit.msn().and_then(|msn| Some((msn, timeline.segment(msn)?)))
                && let Some(start) = timeline.start_of(msn)
            {
                adaptive.ended_open(unit, start.saturating_add(segment.duration));
            }
        }
    }

    /// A segment that was being made will never be whole: readers go on at its start, with what takes its place.
    pub(super) fn cut_open(&mut self, id: MediaId) {
        let open = self.readers.values().filter_map(|reader| match &reader.state {
            ReaderState::Adaptive(adaptive) => adaptive.open_unit(id),
            ReaderState::Flat(_) => None,
        });
        let open: Vec<UnitKey> = open.collect();
        open.into_iter().for_each(|unit| self.cut_unit(unit));
    }

    /// A unit cannot be finished as it is: its time is read anew, from whatever is there now.
    fn cut_unit(&mut self, unit: UnitKey) {
        self.cut_entered(unit);
        for reader in self.readers.values_mut() {
            if let ReaderState::Adaptive(adaptive) = &mut reader.state {
                adaptive.drop_planned(unit);
            }
        }
        self.stop_unit(unit);
        self.units.remove(unit);
        self.act(Action::Release { unit });
    }

    /// Whether a stream's playlist may be older than it seems, and newer ones are being asked for before anybody begins.
    pub(super) fn is_tuning_in(&self, id: MediaId) -> bool {
        let media = self.medias.get(&id);
        media.is_some_and(|media| {
            let offers = media.timeline.as_ref().is_some_and(|timeline| offers_parts(timeline.snapshot()));
            offers && media.following.tune_in.is_some()
        })
    }
}

/// Parts of its segment that are behind, there or ordered.
fn known_parts(unit: UnitKey, assembly: &Assembly) -> usize {
    usize::try_from(unit.first_part()).unwrap_or(usize::MAX).saturating_add(assembly.known())
}

/// What comes next of a kind, by what the playlist says: the first hint of it counts.
fn hint_of(timeline: &Timeline, kind: PreloadKind) -> Option<&PreloadHint> {
    let hints = &timeline.snapshot().preload_hints;
    hints.iter().find(|hint| hint.kind == kind).filter(|_| timeline.snapshot().is_live())
}

/// Whether the newest segment is not encrypted.
fn is_clear(timeline: &Timeline) -> bool {
    timeline.snapshot().segments.last().is_none_or(|last| protection(last.keys) == Protection::Clear)
}
