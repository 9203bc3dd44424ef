//! One media stream of a session: its playlist as loaded so far, and the flat view of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use url::Url;

use super::{
    action::Action,
    failure::{FailureKind, FetchFailure},
    ids::{MediaId, Place, UnitKey},
    keeping::Kept,
    live::Following,
};
use crate::{
    BitRate,
    fallback::Above,
    key::{Protection, protection},
    layout::{Layout, Piece},
    playlist::{InitSection, MediaPlaylist, MediaSequence, Segment},
    reload::Pace,
    time::Tick,
    timeline::{Merge, Timeline},
};

/// Whether a load of the playlist is under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Load {
    /// Not now; the next one is due then, if ever.
    Idle { due: Option<Tick> },
    /// Since then.
    Loading { started: Tick },
    /// It was refused for this reason, and whoever knows a new URL is being asked.
    Refused { above: Above, cause: FetchFailure },
}

impl Load {
    /// When the next one is due.
    pub(super) fn due(&self) -> Option<Tick> {
        match self {
            Self::Idle { due } => *due,
            Self::Loading { .. } | Self::Refused { .. } => None,
        }
    }

    /// When the one under way began.
    pub(super) fn started(&self) -> Option<Tick> {
        match self {
            Self::Loading { started } => Some(*started),
            Self::Idle { .. } | Self::Refused { .. } => None,
        }
    }

    /// Whether it has to be waited for.
    pub(super) fn is_busy(&self) -> bool {
        !matches!(self, Self::Idle { .. })
    }
}

/// One media stream.
#[derive(Debug)]
pub(super) struct Media {
    pub(super) id: MediaId,
    /// Where its playlist is to be had.
    pub(super) url: Url,
    /// The declared bandwidth of its variant.
    pub(super) bandwidth: Option<BitRate>,
    pub(super) timeline: Option<Timeline>,
    /// Where its playlist was loaded from last: the base of what it names.
    pub(super) base: Option<Arc<Url>>,
    pub(super) layout: Layout,
    pub(super) load: Load,
    /// When its last load began, if that was of this URL and over the network.
    pub(super) began: Option<Tick>,
    /// When its playlist was asked for first.
    pub(super) asked: Option<Tick>,
    /// Loads that failed since the last good one.
    pub(super) load_failures: u32,
    /// Left out until then, after it failed.
    pub(super) excluded_until: Option<Tick>,
    /// What following it, while it is live, has taught.
    pub(super) following: Following,
    /// What of it is in the store, while it is live.
    pub(super) kept: Kept,
    /// Media that left the flat view before a reader came to it: the place behind it, and how long it was.
    pub(super) flat_missed: Option<(usize, Duration)>,
    /// Distinct initialization sections by their names: numbers in the order they were met.
    inits: BTreeMap<u32, Arc<InitSection>>,
    next_init: u32,
    /// The first segment of the flat view, once a flat reader needs it.
    flat: Option<MediaSequence>,
    /// Pieces whose place was told.
    told: BTreeSet<usize>,
    told_len: bool,
    /// Bytes and media time of segments delivered, to guess the size of those to come.
    delivered: (u64, Duration),
}

impl Media {
    pub(super) fn new(id: MediaId, url: Url, bandwidth: Option<BitRate>) -> Self {
        Self {
            id,
            url,
            bandwidth,
            timeline: None,
            base: None,
            layout: Layout::new(),
            load: Load::Idle { due: None },
            began: None,
            asked: None,
            load_failures: 0,
            excluded_until: None,
            following: Following::default(),
            kept: Kept::default(),
            flat_missed: None,
            inits: BTreeMap::new(),
            next_init: 0,
            flat: None,
            told: BTreeSet::new(),
            told_len: false,
            delivered: (0, Duration::ZERO),
        }
    }

    /// The snapshot in force.
    pub(super) fn snapshot(&self) -> Option<Arc<MediaPlaylist>> {
        self.timeline.as_ref().map(|timeline| Arc::clone(timeline.snapshot()))
    }

    /// Whether its playlist could not be had yet, and is asked for again later.
    pub(super) fn is_waited_for(&self) -> bool {
        self.timeline.is_none() && matches!(self.load, Load::Idle { due: Some(_) })
    }

    pub(super) fn is_excluded(&self, now: Tick) -> bool {
        self.excluded_until.is_some_and(|until| now < until)
    }

    /// Takes the first snapshot, placed in presentation time.
    pub(super) fn take_first(&mut self, timeline: Timeline) {
        let snapshot = Arc::clone(timeline.snapshot());
        self.timeline = Some(timeline);
        self.meet_inits(&snapshot);
    }

    /// Takes a newer snapshot and says what it brought.
    pub(super) fn take_newer(&mut self, snapshot: Arc<MediaPlaylist>, now: Tick) -> Option<Merge> {
        let timeline = self.timeline.as_mut()?;
        let old = Arc::clone(timeline.snapshot());
        let merge = timeline.merge(Arc::clone(&snapshot), now);
        match merge {
            Merge::Behind => return Some(merge),
            Merge::Unchanged | Merge::Grown | Merge::Jumped { .. } => rebind_inits(&mut self.inits, &old, &snapshot),
            // Its numbers mean other segments.
            Merge::Restarted => self.following.pace = Pace::default(),
        }
        self.meet_inits(&snapshot);
        if self.flat.is_some() {
            self.extend_layout();
        }
        Some(merge)
    }

    fn meet_inits(&mut self, snapshot: &MediaPlaylist) {
        let mut last: Option<&Arc<InitSection>> = None;
        let incomplete = snapshot.incomplete.iter().filter_map(|segment| segment.init.as_ref());
        for init in snapshot.segments.iter().filter_map(|segment| segment.init).chain(incomplete) {
            if last.is_none_or(|last| !Arc::ptr_eq(last, init)) && !self.inits.values().any(|known| known == init) {
                self.inits.insert(self.next_init, Arc::clone(init));
                self.next_init = self.next_init.saturating_add(1);
            }
            last = Some(init);
        }
    }

    /// Builds the flat view from segment `from` on, now and whenever the playlist grows.
    pub(super) fn make_flat(&mut self, from: MediaSequence) {
        if self.flat.is_none() {
            self.flat = Some(from);
            self.extend_layout();
        }
    }

    /// The name of a segment's initialization section.
    pub(super) fn init_of(&self, segment: &Segment<'_>) -> Option<UnitKey> {
        self.init_named(segment.init?)
    }

    /// The name of an initialization section.
    pub(super) fn init_named(&self, init: &Arc<InitSection>) -> Option<UnitKey> {
        let known = |have: &Arc<InitSection>| Arc::ptr_eq(have, init) || have == init;
        // Sections are met in playlist order, so the one in force is usually the newest.
        let (name, _) = self.inits.iter().rev().find(|(_, have)| known(have))?;
        Some(UnitKey::init(self.id, *name))
    }

    /// The name of the initialization section that begins at this byte of this resource.
    pub(super) fn init_at(&self, url: &Url, start: u64) -> Option<UnitKey> {
        let is_it =
            |init: &InitSection| init.byte_range.map_or(0, |range| range.start) == start && init.uri.url() == *url;
        let (name, _) = self.inits.iter().rev().find(|(_, init)| is_it(init))?;
        Some(UnitKey::init(self.id, *name))
    }

    /// An initialization section by its name.
    pub(super) fn init(&self, init: u32) -> Option<&Arc<InitSection>> {
        self.inits.get(&init)
    }

    /// The first segment that needs an initialization section: its number stands in for a missing IV.
    pub(super) fn first_user_of(&self, init: &InitSection) -> MediaSequence {
        self.listed_user_of(init).unwrap_or(MediaSequence(0))
    }

    fn listed_user_of(&self, init: &InitSection) -> Option<MediaSequence> {
        let timeline = self.timeline.as_ref();
        let mut segments = timeline.into_iter().flat_map(|timeline| timeline.snapshot().segments.iter());
        segments.find(|segment| segment.init.is_some_and(|it| **it == *init)).map(|segment| segment.msn)
    }

    /// Since when a unit is what it is, where this stream was not complete when it was first loaded. Of an earlier run of its encoder
    /// nothing more is known than that it came with this session.
    pub(super) fn growing_since(&self, unit: UnitKey) -> Option<Duration> {
        let growing = self.following.growing?;
        let is_of_this_run = match unit.place {
            Place::Init(init) => self.init(init).is_some_and(|init| self.listed_user_of(init).is_some()),
            Place::Segment(msn) | Place::Rest { msn, .. } => msn >= growing.from,
        };
        Some(if is_of_this_run { growing.since.since(Tick::ZERO) } else { Duration::ZERO })
    }

    /// How many things are remembered of it.
    pub(super) fn footprint(&self) -> usize {
        self.inits.len() + self.layout.len() + self.told.len() + self.kept.footprint()
    }

    /// Why this stream cannot be played at all, if so: an encryption that is not supported is never read as clear.
    pub(super) fn unplayable(&self) -> Option<FetchFailure> {
        let first = self.timeline.as_ref()?.snapshot().segments.first()?;
        let unsupported = |keys| matches!(protection(keys), Protection::Unsupported);
        let init = first.init.as_ref().is_some_and(|init| unsupported(&init.keys));
        (unsupported(first.keys) || init).then(|| FetchFailure::new(FailureKind::Unsupported))
    }

    /// Media sequence number minus the first one seen.
    pub(super) fn index_of(&self, msn: MediaSequence) -> u64 {
        let first = self.timeline.as_ref().map_or(MediaSequence(0), Timeline::first_seen);
        msn.0.saturating_sub(first.0)
    }

    /// Where a piece begins in the flat view, if that is known and was not told before.
    pub(super) fn announce(&mut self, idx: usize) -> Option<Action> {
        let (piece, offset) = (self.layout.piece(idx)?, self.layout.offset_of(idx)?);
        self.told.insert(idx).then_some(Action::Place { media: self.id, unit: piece.unit, offset })
    }

    /// Forgets what nobody can read any more of a stream that goes on for ever: pieces before the place `read_from`, and
    /// sections no remembered segment needs. `held` says which segments are there or on their way.
    pub(super) fn forget_gone(&mut self, read_from: usize, held: impl Fn(UnitKey) -> bool) -> Option<Action> {
        let timeline = self.timeline.as_ref()?;
        let from = timeline.remembered_from();
        let (begin, first) = (self.layout.begin(), self.layout.first_place());
        let is_gone = |unit: UnitKey| unit.msn().is_some_and(|msn| msn < from) && !held(unit);
        if let Some((behind, missed)) = self.layout.forget(read_from, is_gone) {
            let before =
                self.flat_missed.filter(|(known, _)| *known == behind).map_or(Duration::ZERO, |(_, time)| time);
            self.flat_missed = Some((behind, before.saturating_add(missed)));
        }
        let offset = self.layout.begin();
        if self.inits.len() > INITS {
            // That of the segment that is being made, too.
            let open = timeline.snapshot().incomplete.as_ref().and_then(|open| self.init_named(open.init.as_ref()?));
            let whole = timeline.from(from).filter_map(|(.., it)| self.init_of(&it));
            let needed: BTreeSet<u32> = whole.chain(open).filter_map(name_of).collect();
            let in_view: BTreeSet<u32> = self.layout.from(0).filter_map(|(_, piece)| name_of(piece.unit)).collect();
            self.inits.retain(|name, _| needed.contains(name) || in_view.contains(name));
        }
        if self.layout.first_place() > first {
            self.told = self.told.split_off(&self.layout.first_place());
        }
        (offset > begin).then_some(Action::Displace { media: self.id, offset })
    }

    /// Where the flat view ends, if that is known and was not told before.
    pub(super) fn announce_len(&mut self) -> Option<Action> {
        let len = self.layout.total().filter(|_| !self.told_len)?;
        self.told_len = true;
        Some(Action::Length { media: self.id, len })
    }

    /// Learns from a delivered segment how large segments are.
    pub(super) fn note_delivery(&mut self, msn: MediaSequence, bytes: u64) {
        let segment = self.timeline.as_ref().and_then(|timeline| timeline.segment(msn));
        let duration = segment.map_or(Duration::ZERO, |segment| segment.duration);
        self.delivered.0 = self.delivered.0.saturating_add(bytes);
        self.delivered.1 = self.delivered.1.saturating_add(duration);
    }

    /// How many bytes `duration` of this stream is likely to have.
    pub(super) fn likely_bytes(&self, duration: Duration) -> u64 {
        self.rate().bytes_in(duration)
    }

    /// Bits per second of this stream: as delivered, else as declared.
    pub(super) fn rate(&self) -> BitRate {
        let (bytes, time) = self.delivered;
        let seen = BitRate::measured(bytes, time).filter(|_| bytes > 0);
        seen.or(self.bandwidth).unwrap_or(BitRate(DEFAULT_RATE))
    }

    fn extend_layout(&mut self) {
        let (Some(timeline), Some(first)) = (&self.timeline, self.flat) else { return };
        let last = self.layout.last().and_then(|piece| piece.unit.msn());
        let mut in_force = last.and_then(|last| timeline.segment(last)).and_then(|segment| self.init_of(&segment));
        let from = last.map_or(first, MediaSequence::next);
        for (msn, start, segment) in timeline.from(from).filter(|(.., segment)| !segment.gap) {
            let init = self.init_of(&segment);
            if let Some(unit) = init.filter(|_| init != in_force) {
                let len = segment.init.and_then(|init| plain_len(init.byte_range, &init.keys));
                self.layout.push(Piece { unit, start, duration: Duration::ZERO }, len);
            }
            in_force = init;
            let unit = UnitKey::segment(self.id, msn);
            let len = plain_len(segment.byte_range, segment.keys);
            self.layout.push(Piece { unit, start, duration: segment.duration }, len);
        }
        if timeline.ended() {
            self.layout.end();
        }
    }
}

/// What a reader sees of a byte range: its length, unless padding hides it.
fn plain_len(range: Option<crate::playlist::ByteRange>, keys: &[crate::playlist::Key]) -> Option<u64> {
    range.filter(|_| protection(keys) == Protection::Clear).map(|range| range.len)
}

/// A reloaded playlist may list the same sections under re-signed URLs: they are the same because the same segments
/// need them.
fn rebind_inits(inits: &mut BTreeMap<u32, Arc<InitSection>>, old: &MediaPlaylist, new: &MediaPlaylist) {
    let mut done: Option<(*const InitSection, *const InitSection)> = None;
    for segment in new.segments.iter() {
        let before = old.segments.by_msn(segment.msn);
        let (Some(was), Some(is)) = (before.and_then(|before| before.init), segment.init) else {
            continue;
        };
        let pair = (Arc::as_ptr(was), Arc::as_ptr(is));
        if done == Some(pair) || was == is {
            continue;
        }
        done = Some(pair);
        if let Some(known) = inits.values_mut().find(|known| *known == was) {
            *known = Arc::clone(is);
        }
    }
}

/// The name of an initialization section.
fn name_of(unit: UnitKey) -> Option<u32> {
    match unit.place {
        Place::Init(name) => Some(name),
        Place::Segment(_) | Place::Rest { .. } => None,
    }
}

/// Initialization sections remembered without looking whether they are needed.
const INITS: usize = 16;

/// Bits per second assumed of a stream of which nothing is known.
const DEFAULT_RATE: u64 = 1_000_000;
