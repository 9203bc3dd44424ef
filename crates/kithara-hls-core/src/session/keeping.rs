//! Time shift: what leaves the window of a live stream before its readers come to it is kept in the store.
//!
//! A reader that stands still, or is slow, is given what its buffer holds, and no more. Meanwhile the window moves on. A
//! segment that such a reader will come to, and that is about to leave the window, is brought into the store, below all that
//! is played; the timeline remembers it, and the reader finds it there by its name. What cannot be kept is a hole with an
//! event, never an error.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Action, FailureKind, FetchFailure, LiveEvent, MediaId, Place, Session, UnitKey, Urgency,
    ids::FetchId,
    media::Media,
    planning::Wanted,
    readers::ReaderState,
    units::{Purpose, UnitState},
};
use crate::{
    playlist::{MediaPlaylist, MediaSequence, PlaylistType, Uri},
    time::Tick,
    timeline::Timeline,
};

/// What of one live stream lies in the store.
#[derive(Debug, Default)]
pub(super) struct Kept {
    segments: BTreeMap<MediaSequence, Stored>,
    inits: BTreeSet<u32>,
    bytes: u64,
    /// Segments that could not be kept.
    given_up: BTreeSet<MediaSequence>,
    /// The unit that failed last, how often, and when it is tried again.
    trouble: Option<(UnitKey, u32, Tick)>,
    /// Presentation time from which on there is no hole up to the window.
    reach: Option<Duration>,
}

/// A segment in the store.
#[derive(Debug)]
struct Stored {
    bytes: u64,
    /// Its resource; `None` for a part of one, which cannot be removed alone.
    uri: Option<Uri>,
}

/// A unit that could not be kept for another reason than that it is gone is tried so often.
const TRIES: u32 = 4;

/// The wait before that.
const REST: Duration = Duration::from_secs(2);

/// The wait after the store could not take a segment: it looks after itself.
const STORE_RESTS: Duration = Duration::from_secs(30);

/// The longest time ahead of its leaving the window at which a segment is kept.
const LONGEST_LEAD: Duration = Duration::from_secs(60);

impl Kept {
    pub(super) fn has(&self, msn: MediaSequence) -> bool {
        self.segments.contains_key(&msn)
    }

    /// Presentation time from which on there is no hole up to the window, where something is kept.
    pub(super) fn reach(&self) -> Option<Duration> {
        self.reach
    }

    /// How many things are remembered of it.
    pub(super) fn footprint(&self) -> usize {
        self.segments.len() + self.inits.len() + self.given_up.len()
    }

    fn note(&mut self, msn: MediaSequence, stored: Stored) {
        self.bytes = self.bytes.saturating_add(stored.bytes);
        if let Some(before) = self.segments.insert(msn, stored) {
            self.bytes = self.bytes.saturating_sub(before.bytes);
        }
        self.given_up.remove(&msn);
    }

    fn take(&mut self, msn: MediaSequence) -> Option<Stored> {
        let stored = self.segments.remove(&msn)?;
        self.bytes = self.bytes.saturating_sub(stored.bytes);
        Some(stored)
    }

    fn oldest(&self) -> Option<MediaSequence> {
        self.segments.first_key_value().map(|(msn, _)| *msn)
    }

    /// Whether a unit that failed is not tried again yet.
    fn rests(&self, unit: UnitKey, now: Tick) -> bool {
        self.trouble.is_some_and(|(failed, _, until)| failed == unit && now < until)
    }
}

impl Session {
    /// For how long segments that left the window are kept: only where there is a store for them.
    pub(super) fn time_shift(&self) -> Duration {
        if self.options.store_room == 0 { Duration::ZERO } else { self.options.live.time_shift }
    }

    /// Whether what lies at `time` has left the window of a stream that still grows.
    pub(super) fn is_before_window(&self, media: MediaId, time: Duration) -> bool {
        let timeline = self.medias.get(&media).and_then(|media| media.timeline.as_ref());
        timeline.is_some_and(|timeline| timeline.snapshot().is_live() && time < timeline.start())
    }

    pub(super) fn is_listed(&self, media: MediaId, msn: MediaSequence) -> bool {
        let timeline = self.medias.get(&media).and_then(|media| media.timeline.as_ref());
        timeline.is_some_and(|timeline| timeline.msns().contains(&msn.0))
    }

    /// Whether a unit is a segment that is not listed any more.
    pub(super) fn is_past(&self, unit: UnitKey) -> bool {
        let timeline = self.medias.get(&unit.media).and_then(|media| media.timeline.as_ref());
        unit.msn().zip(timeline).is_some_and(|(msn, timeline)| timeline.has_left(msn))
    }

    /// The server does not have a segment any more that left the window: it has no older ones either, but the store may.
    pub(super) fn lose(&mut self, unit: UnitKey) {
        let (Some(media), Some(msn)) = (self.medias.get_mut(&unit.media), unit.msn()) else { return };
        media.kept.take(msn);
        let kept = &media.kept;
        if let Some(timeline) = media.timeline.as_mut() {
            timeline.lose(msn, |msn| kept.has(msn));
        }
    }

    /// A unit was brought through the store.
    pub(super) fn note_stored(&mut self, unit: UnitKey, bytes: u64) {
        if self.time_shift().is_zero() {
            return;
        }
        let Some(media) = self.medias.get_mut(&unit.media) else { return };
        let msn = match unit.place {
            Place::Segment(msn) => msn,
            // Parts are not stored.
            Place::Rest { .. } => return,
            Place::Init(init) => {
                media.kept.inits.insert(init);
                return;
            }
        };
        let timeline = media.timeline.as_ref().filter(|_| drops(media));
        if let Some(segment) = timeline.and_then(|timeline| timeline.segment(msn)) {
            let uri = segment.byte_range.is_none().then(|| segment.uri.to_uri().detached());
            media.kept.note(msn, Stored { bytes, uri });
            self.forget_surplus();
        }
    }

    /// Brings the next segment that is about to be lost to a reader into the store.
    pub(super) fn keep_ahead(&mut self) {
        let is_under_way =
            |it: &Self, is: fn(Purpose) -> bool| it.units.fetches.values().any(|fetch| is(fetch.purpose));
        let may_keep = |it: &Self| !is_under_way(it, |purpose| purpose != Purpose::Size) && !it.time_shift().is_zero();
        // What readers need is a walk through all their windows.
        if !may_keep(self) && !is_under_way(self, |purpose| purpose == Purpose::Keep) {
            return;
        }
        let needs = self.needs();
        self.cancel_keeping(&needs);
        if !may_keep(self) {
            return;
        }
        let now = self.tick();
        let next = needs
            .iter()
            .find_map(|(id, from)| next_to_keep(self.medias.get(id)?, *from, now, |unit| self.units.state(unit)));
        if let Some(unit) = next {
            self.start_fetch(Wanted::alone(unit, Urgency::Playback), Purpose::Keep);
        }
    }

    /// The first segment of each live stream behind what its readers are being given.
    fn needs(&self) -> BTreeMap<MediaId, MediaSequence> {
        let mut needs: BTreeMap<MediaId, MediaSequence> = BTreeMap::new();
        for reader in self.readers.values() {
            let from = match &reader.state {
                ReaderState::Adaptive(adaptive) if !adaptive.single => adaptive.goes_on_from(),
                ReaderState::Adaptive(_) => None,
                ReaderState::Flat(flat) => self.flat_goes_on_from(flat),
            };
            if let Some((id, from)) = from {
                needs.entry(id).and_modify(|known| *known = from.min(*known)).or_insert(from);
            }
        }
        needs
    }

    fn flat_goes_on_from(&self, flat: &super::readers::Flat) -> Option<(MediaId, MediaSequence)> {
        let id = flat.media?;
        let mut window = Vec::new();
        self.flat_window(flat, &mut window);
        let last = window.iter().rev().find_map(|wanted| wanted.unit.msn()).map(MediaSequence::next);
        let first = || self.medias.get(&id)?.layout.from(0).find_map(|(_, piece)| piece.unit.msn());
        Some((id, last.or_else(first)?))
    }

    fn cancel_keeping(&mut self, needs: &BTreeMap<MediaId, MediaSequence>) {
        let keeps = self.units.fetches.iter().filter(|(_, fetch)| fetch.purpose == Purpose::Keep);
        let vain = keeps.filter(|(_, fetch)| !needs.contains_key(&fetch.unit.media));
        let vain: Vec<FetchId> = vain.map(|(id, _)| *id).collect();
        for fetch in vain {
            self.units.fetches.remove(&fetch);
            self.act(Action::Cancel { fetch });
        }
    }

    /// When a unit that could not be kept is tried again.
    pub(super) fn next_keep(&self) -> Option<Tick> {
        let needs = self.medias.values().filter_map(|media| media.kept.trouble);
        needs.map(|(.., until)| until).filter(|until| *until > self.now.at).min()
    }

    pub(super) fn handle_kept(&mut self, fetch: FetchId, result: Result<u64, FetchFailure>) {
        // A late report about a fetch that was cancelled.
        let Some(fetch) = self.units.fetches.remove(&fetch) else { return };
        match result {
            Ok(bytes) => {
                if let Some(media) = self.medias.get_mut(&fetch.unit.media) {
                    media.kept.trouble = None;
                }
                self.note_stored(fetch.unit, bytes);
            }
            Err(cause) => self.keeping_failed(fetch.unit, &cause),
        }
    }

    /// A unit could not be kept: it is tried again for a while, then it will be a hole.
    pub(super) fn keeping_failed(&mut self, unit: UnitKey, cause: &FetchFailure) {
        let now = self.tick();
        let Some(media) = self.medias.get_mut(&unit.media) else { return };
        let times = media.kept.trouble.filter(|(failed, ..)| *failed == unit).map_or(1, |(_, times, _)| times + 1);
        let (rest, lasts) = match cause.kind {
            FailureKind::NotStored => (STORE_RESTS, true),
            FailureKind::Unreachable | FailureKind::NotReady => (REST, true),
            kind => (REST, !kind.wants_new_url() && times < TRIES),
        };
        media.kept.trouble = Some((unit, times, now + rest));
        if lasts {
            return;
        }
        media.kept.trouble = None;
        let Some(msn) = unit.msn().or_else(|| user_of(media, unit)) else { return };
        let timeline = media.timeline.as_ref();
        let (start, segment) = timeline.and_then(|it| it.start_of(msn).zip(it.segment(msn))).unzip();
        let duration = segment.map_or(Duration::ZERO, |segment| segment.duration);
        media.kept.given_up.insert(msn);
        let id = media.id;
        self.lose(UnitKey::segment(id, msn));
        self.tell_live(LiveEvent::NotKept { media: id, at: start.unwrap_or_default(), duration });
    }

    /// Lets go of what lies further back than is kept, and of the oldest where there is more than the store has room for.
    pub(super) fn forget_surplus(&mut self) {
        let shift = self.time_shift();
        if shift.is_zero() {
            return;
        }
        let ids: Vec<MediaId> = self.medias.keys().copied().collect();
        for id in ids {
            self.forget_beyond(id);
        }
        let held = |session: &Self| session.medias.values().map(|media| media.kept.bytes).sum::<u64>();
        while held(self) > self.options.store_room {
            let read = self.read_medias();
            // What nobody reads goes first, then of the stream that takes most.
            let rank = |media: &&Media| (!read.contains(&media.id), media.kept.bytes);
            let most = self.medias.values().filter(|media| media.kept.oldest().is_some()).max_by_key(rank);
            let Some((id, oldest)) = most.and_then(|media| Some((media.id, media.kept.oldest()?))) else { return };
            self.forget(id, oldest);
            if let Some(media) = self.medias.get_mut(&id) {
                media.kept.given_up.insert(oldest);
                if let Some(timeline) = media.timeline.as_mut() {
                    timeline.forget_before(oldest.next());
                }
                media.measure_reach();
            }
        }
    }

    /// Lets go of what the timeline of a stream does not remember any more.
    fn forget_beyond(&mut self, id: MediaId) {
        let Some(media) = self.medias.get_mut(&id) else { return };
        let Some(from) = media.timeline.as_ref().map(Timeline::remembered_from) else { return };
        media.kept.given_up.retain(|msn| *msn >= from);
        let beyond: Vec<MediaSequence> = media.kept.segments.range(..from).map(|(msn, _)| *msn).collect();
        media.measure_reach();
        for msn in beyond {
            self.forget(id, msn);
        }
    }

    fn forget(&mut self, id: MediaId, msn: MediaSequence) {
        let stored = self.medias.get_mut(&id).and_then(|media| media.kept.take(msn));
        if let Some(uri) = stored.and_then(|stored| stored.uri) {
            self.act(Action::Forget { unit: UnitKey::segment(id, msn), url: uri.url() });
        }
    }
}

impl Media {
    fn measure_reach(&mut self) {
        let kept = &self.kept;
        let timeline = self.timeline.as_ref().filter(|_| !kept.segments.is_empty());
        self.kept.reach = timeline.map(|timeline| timeline.kept_from(|msn| kept.has(msn)));
    }
}

/// Whether a stream drops segments.
pub(super) fn drops(media: &Media) -> bool {
    let playlist = media.timeline.as_ref().map(Timeline::snapshot);
    playlist.is_some_and(|playlist| playlist.is_live() && playlist.playlist_type != Some(PlaylistType::Event))
}

/// How long before a segment leaves the window it is kept: early enough for a slow answer and a few repeats.
fn lead(playlist: &MediaPlaylist) -> Duration {
    let half = playlist.segments.duration() / 2;
    half.min(LONGEST_LEAD).max(playlist.target_duration.saturating_mul(3))
}

/// The unit to keep next of a stream whose readers go on from `from`.
fn next_to_keep<'a>(
    media: &Media,
    from: MediaSequence,
    now: Tick,
    state: impl Fn(UnitKey) -> Option<&'a UnitState>,
) -> Option<UnitKey> {
    let timeline = media.timeline.as_ref().filter(|_| drops(media))?;
    let begins = timeline.snapshot().media_sequence;
    if begins.0 == 0 {
        // Nothing has left it yet.
        return None;
    }
    let until = timeline.start().saturating_add(lead(timeline.snapshot()));
    let is_open = |msn: &MediaSequence| !media.kept.has(*msn) && !media.kept.given_up.contains(msn);
    let absent = |unit: UnitKey| !matches!(state(unit), Some(UnitState::Ready { .. } | UnitState::Fetching(_)));
    let soon = timeline.from(from).take_while(|(_, start, _)| *start < until);
    let mut open = soon.filter(|(msn, _, segment)| !segment.gap && is_open(msn));
    let (msn, _, segment) = open.find(|(msn, ..)| absent(UnitKey::segment(media.id, *msn)))?;
    let init = media.init_of(&segment).filter(|unit| match unit.place {
        Place::Init(init) => !media.kept.inits.contains(&init),
        Place::Segment(_) | Place::Rest { .. } => false,
    });
    let unit = init.filter(|unit| absent(*unit)).unwrap_or(UnitKey::segment(media.id, msn));
    (!media.kept.rests(unit, now)).then_some(unit)
}

/// The first segment that is not kept and needs an initialization section.
fn user_of(media: &Media, init: UnitKey) -> Option<MediaSequence> {
    let timeline = media.timeline.as_ref()?;
    let mut all = timeline.from(timeline.remembered_from());
    all.find(|(msn, _, segment)| media.init_of(segment) == Some(init) && !media.kept.has(*msn)).map(|(msn, ..)| msn)
}
