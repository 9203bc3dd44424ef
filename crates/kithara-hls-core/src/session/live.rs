//! Following streams that grow: where to begin, what their playlists' changes mean, and what the clock may do.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use url::Url;

use super::{
    FetchFailure, HlsEvent, LiveEvent, LiveOptions, LiveStart, MediaId, PlaylistText, Session,
    latency::target_latency,
    media::{Load, Media},
    readers::ReaderState,
    tune_in::TuneIn,
    units::UnitState,
};
use crate::{
    directives::{self, Directives, Skip},
    playlist::{MediaPlaylist, MediaSequence, PlaylistType, PreloadKind, Start},
    reload::{Freshness, Loaded, MIN_INTERVAL, Pace, next_load_by_parts, part_patience, part_way, rest_of_way},
    time::{Now, Tick, WallTime},
    timeline::{Alignment, Merge, Timeline, align},
};

/// What following a live stream has taught.
#[derive(Debug, Default)]
pub(super) struct Following {
    pub(super) pace: Pace,
    /// When the load began that failed last.
    pub(super) tried: Option<Tick>,
    /// What was told of its playlist.
    told: Option<Freshness>,
    /// Whether its place in presentation time is a guess.
    pub(super) guessed: bool,
    /// When the copy in force was asked for, and how old it was then.
    copy: Option<(Tick, Duration)>,
    /// Whether the next load asks for nothing special, because the one before did and failed.
    pub(super) plain: bool,
    /// Whether the load under way asks for something special.
    pub(super) directed: bool,
    /// Delta updates in a row that did not fit: whole playlists are asked for.
    unfit: u32,
    /// What is missing of a first copy that came out of a cache.
    pub(super) tune_in: Option<TuneIn>,
    /// What was asked for ahead last, of each kind, and could not be had.
    pub(super) refused: BTreeMap<PreloadKind, (Url, u64)>,
    /// Whether a storm of discontinuities was told that is not over.
    storm: bool,
    /// How much later than a part that was asked for ahead its announcement comes, smoothed.
    lag: Duration,
    /// Whether a load took the place of one whose answer was overdue, and nothing was answered since.
    pub(super) overdue: bool,
    /// What it is since when, where it was not complete when it was first loaded.
    pub(super) growing: Option<Growing>,
}

/// Since when the segments of a stream that grows are what they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growing {
    /// The first segment of the run of its encoder.
    pub(super) from: MediaSequence,
    pub(super) since: Tick,
}

/// Segments that are looked at for storms of discontinuities.
const STORM: usize = 8;

impl Following {
    /// A part that was asked for ahead is announced, so long after all of it was there.
    pub(super) fn announced(&mut self, lag: Duration) {
        self.lag = (self.lag.saturating_mul(7).saturating_add(lag)) / 8;
    }

    /// How long the announcement of what is there may take: the [rest of the way](rest_of_way), or twice what is usual.
    pub(super) fn announcement(&self, way: Duration) -> Duration {
        rest_of_way(way).max(self.lag.saturating_mul(2))
    }

    /// When to load a playlist again that brought `merge`; `None` is the first.
    pub(super) fn next_load(
        &mut self,
        timeline: &Timeline,
        merge: Option<Merge>,
        started: Tick,
        part_target: Option<Duration>,
    ) -> Option<Tick> {
        let (snapshot, end) = (timeline.snapshot(), timeline.end());
        let last = match merge {
            Some(Merge::Unchanged | Merge::Behind) => {
                let duration = snapshot.segments.last().map_or(snapshot.target_duration, |segment| segment.duration);
                self.pace.miss(started, end.saturating_add(duration), duration);
                Loaded::Unchanged
            }
            None | Some(Merge::Grown | Merge::Jumped { .. } | Merge::Restarted) => {
                self.pace.learn(started, end);
                Loaded::Changed
            }
        };
        match part_target {
            Some(part_target) => next_load_by_parts(snapshot, part_target, last, started),
            None => self.pace.next_load(snapshot, end, last, started, 0.0),
        }
    }

    /// Goes on coming up to date, where a first copy was old; `part_target` is that of a stream that is read by parts.
    pub(super) fn tune_in(
        &mut self,
        timeline: &Timeline,
        age: Option<Duration>,
        now: Tick,
        part_target: Option<Duration>,
        is_first: bool,
    ) {
        let before = self.tune_in.take();
        let Some((age, part_target)) = age.zip(part_target) else { return };
        let edge = timeline.edge();
        self.tune_in = match before {
            Some(begun) => begun.goes_on(age, part_target, edge, now),
            None if is_first && timeline.snapshot().server_control.can_block_reload => {
                TuneIn::begun_with(age, part_target, edge, now)
            }
            None => None,
        };
    }

    /// Notes what was loaded, and says when to load it again, which else is `due`: at once when the copy comes from a cache
    /// and the server can say what was added since.
    pub(super) fn loaded(
        &mut self,
        timeline: &Timeline,
        text: &PlaylistText,
        started: Tick,
        due: Option<Tick>,
    ) -> Option<Tick> {
        let (snapshot, age) = (timeline.snapshot(), text.age.unwrap_or_default());
        self.copy = Some((started, age));
        (self.plain, self.unfit, self.overdue) = (false, 0, false);
        let is_old = snapshot.server_control.can_block_reload && age >= snapshot.target_duration;
        if self.tune_in.is_some() {
            return due.map(|_| started);
        }
        due.map(|due| if is_old { due.min(started + MIN_INTERVAL) } else { due })
    }

    /// When to load it again after so many failures in a row, the last one now and for this reason.
    pub(super) fn next_try(
        &self,
        timeline: &Timeline,
        failures: u32,
        cause: &FetchFailure,
        now: Tick,
        jitter: f64,
        part_target: Option<Duration>,
    ) -> Option<Tick> {
        let (snapshot, failed) = (timeline.snapshot(), Loaded::Failed(failures));
        let due = match part_target {
            // One that was waited for in vain has been waited for long enough.
            Some(part_target) => {
                let started = self.tried.unwrap_or(now);
                next_load_by_parts(snapshot, part_target, failed, started).map(|due| due.max(now))
            }
            None => self.pace.next_load(snapshot, timeline.end(), failed, now, jitter),
        };
        // Whatever the server says: a window goes on meanwhile.
        let told = cause.retry_after.unwrap_or_default().min(snapshot.target_duration);
        due.map(|due| due.max(now + told))
    }
}

/// A clock that is off by more than this has jumped.
const JUMP: Duration = Duration::from_secs(2);

/// A session that is woken later than this has slept.
const SLEPT: Duration = Duration::from_secs(10);

/// How long a reload may take before it is given up and begun anew, where answers usually begin within `round_trip`.
pub(super) fn load_limit(
    media: &Media,
    part_target: Option<Duration>,
    round_trip: Duration,
    now: Tick,
) -> Option<Duration> {
    let timeline = media.timeline.as_ref()?;
    let snapshot = timeline.snapshot();
    if let Some(part_target) = part_target.filter(|_| snapshot.is_live()) {
        // One that took the place of another is a second one.
        let failures = media.load_failures.max(u32::from(media.following.overdue));
        // What was answered without news was answered before the part was there.
        let answered = media.following.copy.map_or(Tick::ZERO, |(asked, _)| asked);
        let (way, since) = (part_way(part_target, round_trip), now.since(timeline.changed().max(answered)));
        return Some(part_patience(snapshot, part_target, way, since, failures));
    }
    snapshot.is_live().then(|| snapshot.target_duration.saturating_mul(3).max(Duration::from_secs(3)))
}

/// Where a reader that was not told where to begin begins, and whether media before that is to be dropped. `of_all` is the
/// EXT-X-START of the multivariant playlist, which holds for media playlists that have none.
pub(super) fn beginning(
    timeline: &Timeline,
    of_all: Option<Start>,
    options: &LiveOptions,
    by_parts: bool,
) -> (Duration, bool) {
    let snapshot = timeline.snapshot();
    let (start, end) = (timeline.start(), if by_parts { timeline.edge() } else { timeline.end() });
    let target = target_latency(snapshot, options, by_parts);
    let latest = if snapshot.is_live() { end.saturating_sub(target).max(start) } else { end };
    let wanted = snapshot.start.or(of_all).map(|wanted| {
        let offset = Duration::from_nanos(wanted.time_offset.as_nanos().unsigned_abs());
        let at =
            if wanted.time_offset.as_nanos() < 0 { end.saturating_sub(offset) } else { start.saturating_add(offset) };
        (at.clamp(start, latest), wanted.precise)
    });
    let is_event = snapshot.playlist_type == Some(PlaylistType::Event);
    match options.start {
        LiveStart::Auto => {
            wanted.unwrap_or(if is_event || !snapshot.is_live() { (start, false) } else { (latest, by_parts) })
        }
        LiveStart::Beginning => (start, false),
        // A segment is longer than what is held back by parts.
        LiveStart::Edge if snapshot.is_live() => (latest, by_parts),
        LiveStart::Edge => wanted.unwrap_or((start, false)),
        LiveStart::Behind(time) if snapshot.is_live() => (end.saturating_sub(time).max(start), false),
        LiveStart::Behind(_) => wanted.unwrap_or((start, false)),
    }
}

/// How far from the end a client stays (RFC 8216bis section 4.4.3.8): as the server says, else three target durations.
pub(super) fn hold_back(snapshot: &MediaPlaylist) -> Duration {
    snapshot.server_control.hold_back.unwrap_or_else(|| snapshot.target_duration.saturating_mul(3))
}

impl Session {
    /// The URL of a stream's playlist, with what its server can do for the next load.
    pub(super) fn directed(&mut self, id: MediaId, url: &Url) -> Url {
        let asked = self.directives(id, url);
        if let Some(media) = self.medias.get_mut(&id) {
            media.following.directed = !asked.is_empty();
        }
        asked.on(&directives::without(url))
    }

    fn directives(&self, id: MediaId, url: &Url) -> Directives {
        let Some(media) = self.medias.get(&id) else { return Directives::default() };
        match &media.timeline {
            None => self.reference(id).map(|other| Directives::by_report(other.snapshot(), url)).unwrap_or_default(),
            Some(timeline) if media.following.plain || !timeline.snapshot().is_live() => Directives::default(),
            Some(timeline) => {
                let (loaded, age) = media.following.copy.unwrap_or((self.now.at, Duration::ZERO));
                let (snapshot, since) = (timeline.snapshot(), self.now.at.since(loaded));
                let lacks = media.following.tune_in.map(|it| it.lacks(timeline.edge(), self.now.at));
                let asked = match self.follows_parts(id).is_some() || lacks.is_some() {
                    true => Directives::for_parts(snapshot, since, age, lacks),
                    false => Directives::for_reload(snapshot, since, age),
                };
                Directives { skip: if media.following.unfit > 0 { Skip::Nothing } else { asked.skip }, ..asked }
            }
        }
    }

    /// A delta update does not continue what we have: the whole playlist is loaded. A server that answers that with a delta
    /// update again has no playlist for us.
    pub(super) fn load_whole(&mut self, id: MediaId) {
        let due = Some(self.tick() + MIN_INTERVAL);
        let Some(media) = self.medias.get_mut(&id) else { return };
        media.following.unfit = media.following.unfit.saturating_add(1);
        if media.following.unfit > 1 {
            let reason = "a delta update where the whole playlist was asked for";
            return self.media_failed(id, FetchFailure::playlist(reason));
        }
        media.load = Load::Idle { due };
    }

    /// Takes a snapshot of a stream, first or newer, and tells what it brought; `None` when it is the first.
    pub(super) fn take_snapshot(&mut self, id: MediaId, playlist: &Arc<MediaPlaylist>) -> Option<Merge> {
        let now = self.tick();
        if self.medias.get(&id).is_some_and(|media| media.timeline.is_none()) {
            self.follow_first(id, playlist);
            self.watch_discontinuities(id, playlist);
            return None;
        }
        let media = self.medias.get_mut(&id)?;
        let merge = media.take_newer(Arc::clone(playlist), now)?;
        self.forget_surplus();
        self.forget_gone(id);
        let media = self.medias.get_mut(&id)?;
        let (start, told) = (media.timeline.as_ref().map_or(Duration::ZERO, Timeline::start), media.following.told);
        if !matches!(merge, Merge::Unchanged | Merge::Behind) {
            media.following.told = None;
        }
        match merge {
            Merge::Unchanged => {}
            Merge::Grown => {}
            Merge::Behind => self.tell_live(LiveEvent::PlaylistBehind { media: id }),
            Merge::Jumped { missed } => self.tell_live(LiveEvent::WindowJumped { media: id, missed }),
            Merge::Restarted => {
                let from = media.timeline.as_ref().map_or(MediaSequence(0), |it| MediaSequence(it.msns().start));
                media.following.growing = Some(Growing { from, since: now });
                self.cut_open(id);
                self.tell_live(LiveEvent::EncoderRestarted { media: id, at: start });
            }
        }
        self.end_open_segments(id);
        if told.is_some() && !matches!(merge, Merge::Unchanged | Merge::Behind) {
            self.tell_live(LiveEvent::PlaylistRecovered { media: id });
        }
        if !matches!(merge, Merge::Unchanged | Merge::Behind) {
            self.watch_discontinuities(id, playlist);
        }
        Some(merge)
    }

    /// Tells when a live stream breaks off again and again.
    fn watch_discontinuities(&mut self, id: MediaId, playlist: &MediaPlaylist) {
        let last = playlist.segments.iter().rev().take(STORM);
        let breaks = last.filter(|segment| segment.discontinuity).count();
        let Some(media) = self.medias.get_mut(&id).filter(|_| playlist.is_live()) else { return };
        let before = media.following.storm;
        media.following.storm = breaks >= STORM / 2 || (before && breaks > 1);
        if media.following.storm && !before {
            self.tell_live(LiveEvent::DiscontinuityStorm { media: id, discontinuities: breaks as u64 });
        }
    }

    /// Forgets what nobody can read any more of a stream that goes on for ever.
    fn forget_gone(&mut self, id: MediaId) {
        let flat = self.readers.values().filter_map(|reader| match &reader.state {
            ReaderState::Flat(flat) if flat.media == Some(id) => flat.cursor,
            _ => None,
        });
        let read_from = flat.min().unwrap_or(usize::MAX);
        let units = &self.units;
        let held = |unit| {
            matches!(
                units.state(unit),
                Some(UnitState::Ready { .. } | UnitState::Fetching(_) | UnitState::Assembling(_))
            )
        };
        let Some(media) = self.medias.get_mut(&id).filter(|media| super::keeping::drops(media)) else { return };
        let displaced = media.forget_gone(read_from, held);
        let from = media.timeline.as_ref().map(Timeline::remembered_from);
        self.units.forget_given_up(id, |unit| unit.msn().is_some_and(|msn| Some(msn) < from));
        self.actions.extend(displaced);
    }

    fn follow_first(&mut self, id: MediaId, playlist: &Arc<MediaPlaylist>) {
        let now = self.tick();
        let reference = self.reference(id);
        let alignment = match reference {
            Some(timeline) => align(timeline, playlist, now),
            None => Alignment::Known(Duration::ZERO),
        };
        let mut timeline = Timeline::new(Arc::clone(playlist), alignment.origin(), now);
        if let Some(reference) = reference {
            timeline = timeline.beside(reference);
        }
        let timeline = timeline.keeping(self.time_shift());
        let Some(media) = self.medias.get_mut(&id) else { return };
        media.following.guessed = matches!(alignment, Alignment::Guessed(_));
        media.following.growing = playlist.is_live().then_some(Growing { from: MediaSequence(0), since: Tick::ZERO });
        media.take_first(timeline);
    }

    /// The stream that presentation time is counted by: the one that changed last.
    fn reference(&self, id: MediaId) -> Option<&Timeline> {
        let others = self.medias.values().filter(|media| media.id != id && !media.following.guessed);
        others.filter_map(|media| media.timeline.as_ref()).max_by_key(|timeline| timeline.changed())
    }

    /// Looks after playlists that should have changed by now.
    pub(super) fn watch_playlists(&mut self) {
        let now = self.tick();
        for id in self.read_medias() {
            let Some(media) = self.medias.get_mut(&id) else { continue };
            let Some(timeline) = &media.timeline else { continue };
            let freshness = Freshness::of(timeline.snapshot(), timeline.changed(), now);
            let unchanged = now.since(timeline.changed());
            if freshness == Freshness::Fresh || media.following.told >= Some(freshness) {
                continue;
            }
            media.following.told = Some(freshness);
            match freshness {
                Freshness::Fresh => {}
                Freshness::Late => self.tell_live(LiveEvent::PlaylistLate { media: id, unchanged }),
                Freshness::Frozen => self.playlist_frozen(id, unchanged),
            }
        }
    }

    /// When a playlist will count as late or frozen, if nothing changes.
    pub(super) fn next_watch(&self) -> Option<Tick> {
        let due = |media: &Media| {
            let timeline = media.timeline.as_ref()?;
            let next = match media.following.told {
                None | Some(Freshness::Fresh) => Freshness::Late,
                Some(Freshness::Late) => Freshness::Frozen,
                Some(Freshness::Frozen) => return None,
            };
            let limit = Freshness::limit(timeline.snapshot(), next);
            timeline.snapshot().is_live().then(|| timeline.changed() + limit)
        };
        self.read_medias().iter().filter_map(|id| due(self.medias.get(id)?)).min()
    }

    fn playlist_frozen(&mut self, id: MediaId, unchanged: Duration) {
        let other = self.other_for(id);
        self.tell_live(LiveEvent::PlaylistFrozen { media: id, unchanged, fails_over: other.is_some() });
        let Some(other) = other else { return };
        let until = self.tick() + self.options.playback.exclusion;
        if let Some(media) = self.medias.get_mut(&id) {
            media.excluded_until = Some(until);
        }
        self.cut_open(id);
        self.go_over(id, other);
        self.leave_media(id, None);
    }

    /// Compares the clocks with what they showed before.
    pub(super) fn watch_clocks(&mut self, before: Now, wall: Option<WallTime>, due: Option<Tick>) {
        let (earlier, passed) = (before.wall, self.now.at.since(before.at));
        let jumped = earlier.zip(wall).map(|(earlier, wall)| {
            let expected = i64::try_from(passed.as_millis()).unwrap_or(i64::MAX);
            wall.as_millis().saturating_sub(earlier.as_millis()).saturating_sub(expected)
        });
        let jumped = jumped.filter(|by| u128::from(by.unsigned_abs()) >= JUMP.as_millis());
        let slept = due.map(|due| self.now.at.since(due)).filter(|slept| *slept >= SLEPT);
        if let Some(slept) = slept {
            self.tell_live(LiveEvent::Woke { slept });
        }
        if let Some(by_millis) = jumped {
            self.tell_live(LiveEvent::ClockJumped { by_millis });
        }
        if slept.is_some() || jumped.is_some_and(|by| by > 0) {
            self.load_live_anew();
        }
    }

    /// The world went on while the session did not: no playlist is late for that, and all are loaded at once.
    fn load_live_anew(&mut self) {
        let now = self.tick();
        for media in self.medias.values_mut() {
            let Some(timeline) = media.timeline.as_mut().filter(|timeline| timeline.snapshot().is_live()) else {
                continue;
            };
            timeline.count_from(now);
            media.following.pace.forget();
            if let Load::Idle { due: Some(due) } = &mut media.load {
                *due = now.min(*due);
            }
        }
    }

    /// Whether a unit is a segment so near the live edge that it may not be there yet.
    pub(super) fn is_at_edge(&self, unit: super::UnitKey) -> bool {
        let timeline = self.medias.get(&unit.media).and_then(|media| media.timeline.as_ref());
        let edge = timeline.filter(|timeline| timeline.snapshot().is_live() && !timeline.ended());
        edge.zip(unit.msn()).is_some_and(|(timeline, msn)| msn.0.saturating_add(EDGE) >= timeline.msns().end)
    }

    /// Whether a stream is still growing.
    pub(super) fn is_live(&self, id: MediaId) -> bool {
        let timeline = self.medias.get(&id).and_then(|media| media.timeline.as_ref());
        timeline.is_some_and(|timeline| timeline.snapshot().is_live())
    }

    /// How long a segment at the live edge is simply asked for again, when it is not there.
    pub(super) fn edge_patience(&self, id: MediaId) -> Duration {
        let timeline = self.medias.get(&id).and_then(|media| media.timeline.as_ref());
        timeline.map_or(Duration::ZERO, |timeline| timeline.snapshot().target_duration.saturating_mul(3))
    }

    /// Moves a stream that was placed by a guess to where its timestamps say, given the place of its segment by the guess
    /// and by its timestamps, in nanoseconds.
    pub(super) fn realign(&mut self, id: MediaId, guess: i64, truth: i64) {
        let Some(media) = self.medias.get_mut(&id).filter(|media| media.following.guessed) else { return };
        media.following.guessed = false;
        let by = truth.saturating_sub(guess);
        if by.unsigned_abs() < ALIGNED {
            return;
        }
        if let Some(timeline) = media.timeline.as_mut() {
            timeline.correct(by);
        }
        self.tell_live(LiveEvent::Realigned { media: id, by });
        let Some(timeline) = self.medias.get(&id).and_then(|media| media.timeline.as_ref()) else { return };
        let mut cut = Vec::new();
        for reader in self.readers.values_mut() {
            if let ReaderState::Adaptive(adaptive) = &mut reader.state {
                adaptive.realigned(id, by);
                cut.extend(adaptive.misplaced(id, timeline));
            }
        }
        cut.into_iter().for_each(|unit| self.cut_entered(unit));
    }

    /// How many things the session remembers, all together: of a live stream that is followed by units it does not grow with
    /// time.
    pub fn footprint(&self) -> usize {
        let of_media = |media: &Media| media.timeline.as_ref().map_or(0, Timeline::footprint) + media.footprint();
        let of_readers = self.readers.values().map(|reader| {
            reader.pace.len()
                + match &reader.state {
                    ReaderState::Flat(_) => 0,
                    ReaderState::Adaptive(adaptive) => adaptive.entered.len() + adaptive.planned.len(),
                }
        });
        self.medias.values().map(of_media).sum::<usize>()
            + of_readers.sum::<usize>()
            + self.units.iter().count()
            + self.units.fetches.len()
            + self.units.hinted.len()
            + self.timestamps.len()
            + self.keys.len()
            + self.actions.len()
            + self.events.len()
    }

    pub(super) fn tell_live(&mut self, event: LiveEvent) {
        self.tell(HlsEvent::Live { event });
    }
}

/// Segments that count as the live edge.
const EDGE: u64 = 3;

/// Streams that differ by less, in nanoseconds, are aligned.
const ALIGNED: u64 = 20_000_000;
