//! Who reads a session, and how far.

use std::{collections::VecDeque, time::Duration};

use super::{
    action::{Entry, RunReason, RunStart},
    ids::{MediaId, RunId, Track, UnitKey},
    media::Media,
    parts::readable,
    stats::Pace,
};
use crate::{
    key::{Protection, protection},
    playlist::{DiscontinuitySequence, Key, MediaSequence, Part, VariantId},
    time::WallTime,
    timeline::{OpenSegment, Timeline},
};

/// One reader.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) track: Track,
    pub(super) state: ReaderState,
    pub(super) pace: Pace,
}

/// How it reads.
#[derive(Debug)]
pub(super) enum ReaderState {
    Flat(Flat),
    Adaptive(Box<Adaptive>),
}

impl Reader {
    /// Whether what it reads is being played, so that it must not run dry.
    pub(super) fn plays(&self) -> bool {
        matches!(self.track, Track::Main | Track::Audio) && !self.is_single()
    }

    /// Whether it is given one unit when it asks for one.
    pub(super) fn is_single(&self) -> bool {
        matches!(&self.state, ReaderState::Adaptive(adaptive) if adaptive.single)
    }

    /// Start and duration of a unit that it entered or will enter.
    pub(super) fn place_of(&self, unit: UnitKey) -> Option<(Duration, Duration)> {
        let ReaderState::Adaptive(adaptive) = &self.state else { return None };
        let entry = adaptive.entered.iter().chain(&adaptive.planned).find(|entry| entry.unit == unit)?;
        Some((entry.start, entry.duration))
    }

    pub(super) fn media(&self) -> Option<MediaId> {
        match &self.state {
            ReaderState::Flat(flat) => flat.media,
            ReaderState::Adaptive(adaptive) => adaptive.media,
        }
    }
}

/// A reader of bytes: it stands in a piece of the layout of one stream.
#[derive(Debug, Default)]
pub(super) struct Flat {
    /// The stream, once chosen; it stays.
    pub(super) media: Option<MediaId>,
    /// The piece it stands in, once it has asked for bytes.
    pub(super) cursor: Option<usize>,
    /// An offset it waits for that is not located yet.
    pub(super) pending: Option<u64>,
    /// Whether units after the one it stands in are worth fetching.
    pub(super) reads_on: bool,
    /// Whether it waits for the length of the whole.
    pub(super) wants_length: bool,
    /// Whether bytes of the stream were handed out, so that it cannot be exchanged any more.
    pub(super) touched: bool,
    /// Whether its end was reported.
    pub(super) ended: bool,
}

/// A reader of units: it has entered some, and some more are planned for it.
#[derive(Debug, Default)]
pub(super) struct Adaptive {
    /// The stream units are planned from.
    pub(super) media: Option<MediaId>,
    /// A stream to change to as soon as its playlist is there.
    pub(super) switching_to: Option<MediaId>,
    /// Entered, and perhaps still under way.
    pub(super) entered: VecDeque<Entry>,
    /// To be entered.
    pub(super) planned: VecDeque<Entry>,
    /// Whether it waits for its next unit.
    pub(super) asks: bool,
    /// Presentation time of what is heard or seen.
    pub(super) position: Duration,
    /// Whether its end was reported.
    pub(super) ended: bool,
    /// Where planning goes on.
    tail: Option<Tail>,
    /// Why the next unit begins a run, when something outside the playlist is the reason.
    restart: Option<Restart>,
    /// Where it began to read, at first or again.
    pub(super) began: Duration,
    /// Whether it was there before any other reader had read something, so that it begins where they began.
    pub(super) together: bool,
    /// How often the segment at this time was given up for a lower variant.
    abandoned: (Duration, u32),
    /// A time that is declared missing (EXT-X-GAP), and in which variants.
    gap: Option<Box<(Duration, Vec<VariantId>)>>,
    /// The next unit comes from the stream in force, whatever adaptation thinks.
    pub(super) held: bool,
    /// Whether nothing is planned before it is asked for.
    pub(super) single: bool,
    /// Whether the change to `switching_to` should be heard soon, not only behind what is buffered.
    pub(super) soon: bool,
    /// Whether it was told that it waits at the live edge.
    pub(super) told_waiting: bool,
    runs: u64,
}

/// The last planned unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tail {
    media: MediaId,
    msn: MediaSequence,
    dsn: DiscontinuitySequence,
    init: Option<UnitKey>,
    end: Duration,
    /// Whether it is still being made, so that its end is a guess.
    open: bool,
    /// The part of the segment with which it begins.
    part: u32,
}

impl Tail {
    fn unit(&self) -> UnitKey {
        UnitKey::from_part(self.media, self.msn, self.part)
    }
}

/// What is said of a unit that is planned, beside its place.
struct Coming {
    track: Track,
    start: Duration,
    duration: Duration,
    discontinuity: bool,
    date: Option<WallTime>,
}

#[derive(Clone, Copy, Debug)]
struct Restart {
    reason: RunReason,
    at: Duration,
    /// Whether media before `at` is to be dropped.
    exact: bool,
}

/// A segment that is declared not to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) msn: MediaSequence,
    pub(super) start: Duration,
    pub(super) duration: Duration,
    tail: Tail,
}

/// What comes next for an adaptive reader.
#[derive(Debug, PartialEq)]
pub(super) enum Next {
    /// This unit, after so much media that could not be had any more.
    Unit(Box<Entry>, Duration),
    /// A segment that is declared not to be there (EXT-X-GAP).
    Gap(Gap),
    /// The playlist must grow first.
    Playlist,
    /// Nothing: this is the end.
    End,
}

impl Adaptive {
    /// A reader that has not begun; `together` with others, when none of them has read something.
    pub(super) fn beginning(together: bool) -> Self {
        Self { together, ..Self::default() }
    }

    /// A reader that is given one unit when it asks for one.
    pub(super) fn single() -> Self {
        Self { single: true, ..Self::default() }
    }

    /// Presentation time up to which units are planned or entered.
    pub(super) fn planned_until(&self) -> Duration {
        self.restart.map(|restart| restart.at).or(self.tail.map(|tail| tail.end)).unwrap_or(self.position)
    }

    /// Media between what is heard and `end`, which lies in what is entered or planned: holes in it are none.
    pub(super) fn ahead(&self, end: Duration) -> Duration {
        let all = self.entered.iter().chain(&self.planned).map(|entry| (entry.start, entry.duration));
        let (mut holes, mut last) = (Duration::ZERO, None::<Duration>);
        for (start, duration) in all.take_while(|(start, _)| *start < end) {
            holes += last.map_or(Duration::ZERO, |last| start.saturating_sub(last.max(self.position)));
            last = Some(start.saturating_add(duration));
        }
        end.saturating_sub(self.position).saturating_sub(holes)
    }

    /// The segment planning goes on with, unless it goes on elsewhere.
    pub(super) fn goes_on_from(&self) -> Option<(MediaId, MediaSequence)> {
        let tail = self.tail.filter(|tail| self.restart.is_none() && self.media == Some(tail.media))?;
        Some((tail.media, tail.msn.next()))
    }

    /// Forgets what is planned and goes on at `at`.
    pub(super) fn restart(&mut self, reason: RunReason, at: Duration) {
        self.planned.clear();
        self.restart = Some(Restart { reason, at, exact: true });
        self.began = at;
        self.ended = false;
    }

    /// Begins to read at `at`, unless it has begun already; with `exact`, media before that is dropped.
    pub(super) fn begin(&mut self, at: Duration, exact: bool) {
        if self.tail.is_none() && self.restart.is_none() {
            (self.position, self.began) = (at, at);
            self.restart = Some(Restart { reason: RunReason::Start, at, exact });
        }
    }

    /// The stream it reads was moved on presentation time by so many nanoseconds.
    pub(super) fn realigned(&mut self, media: MediaId, by: i64) {
        let size = Duration::from_nanos(by.unsigned_abs());
        let moved = |time: Duration| if by < 0 { time.saturating_sub(size) } else { time.saturating_add(size) };
        if let Some(tail) = self.tail.as_mut().filter(|tail| tail.media == media) {
            tail.end = moved(tail.end);
        }
        if self.media == Some(media) {
            self.began = moved(self.began);
        }
        // Where a run takes over from another stream does not move with it.
        for entry in self.entered.iter_mut().chain(&mut self.planned).filter(|entry| entry.unit.media == media) {
            entry.start = moved(entry.start);
        }
    }

    /// After its stream was moved: whether the run in which the reader changed to it begins with another segment than the one
    /// that holds that time. If so, planned units are planned anew from there; one that was entered is named, to be cut.
    pub(super) fn misplaced(&mut self, media: MediaId, timeline: &Timeline) -> Option<UnitKey> {
        let changes = |entry: &Entry| {
            let reason = entry.run_start.as_ref().map(|start| start.reason);
            entry.unit.media == media && reason == Some(RunReason::Switch)
        };
        let all = self.entered.iter().chain(&self.planned);
        let (idx, first) = all.enumerate().filter(|(_, entry)| changes(entry)).last()?;
        let at = first.run_start.as_ref().map(|start| start.discard_until)?;
        let holds = match Found::time(timeline, at) {
            Found::Segment(msn) => msn == first.msn,
            Found::NotYet | Found::End => false,
        };
        if holds {
            return None;
        }
        match idx.checked_sub(self.entered.len()) {
            Some(planned) => {
                self.planned.truncate(planned);
                self.restart = Some(Restart { reason: RunReason::Switch, at, exact: true });
                None
            }
            None => Some(self.entered[idx].unit),
        }
    }

    /// Whether the unit can still be taken from elsewhere: it is planned, and nobody has seen a byte of it.
    pub(super) fn is_planned(&self, unit: UnitKey) -> bool {
        self.planned.iter().any(|entry| entry.unit == unit)
    }

    /// How often the segment of a planned unit was given up for a lower variant.
    pub(super) fn abandoned(&self, unit: UnitKey) -> u32 {
        let start = self.planned.iter().find(|entry| entry.unit == unit).map(|entry| entry.start);
        if start == Some(self.abandoned.0) { self.abandoned.1 } else { 0 }
    }

    /// Gives a planned unit up: its segment, and what follows, comes from `lower`.
    pub(super) fn abandon(&mut self, unit: UnitKey, lower: MediaId) {
        let times = self.abandoned(unit) + 1;
        if let Some(entry) = self.planned.iter().find(|entry| entry.unit == unit) {
            self.abandoned = (entry.start, times);
        }
        self.leave(Some(unit), Some(lower));
        self.held = true;
    }

    /// Drops planned units from one on; what is planned next begins where that one would have been heard. A reader that
    /// has moved and not arrived yet still has to hear that it did.
    fn plan_anew_from(&mut self, idx: usize) {
        let Some(first) = self.planned.get(idx) else { return };
        let at = self.heard_from(first);
        let reason = match first.run_start.as_ref().map(|start| start.reason) {
            Some(reason @ (RunReason::Start | RunReason::Seek | RunReason::Cut)) => reason,
            _ => RunReason::Switch,
        };
        self.planned.truncate(idx);
        self.restart = Some(Restart { reason, at, exact: true });
    }

    /// Presentation time from which on an entered or planned unit is heard: its run may begin inside it.
    pub(super) fn heard_from(&self, entry: &Entry) -> Duration {
        let run = self.entered.iter().chain(&self.planned).filter(|it| it.run == entry.run);
        let start = run.filter_map(|it| it.run_start.as_ref()).map(|start| start.discard_until).next();
        let of_switch = entry.run_start.as_ref().is_some_and(|start| start.reason == RunReason::Switch);
        match start {
            // Its own start may turn out to lie behind the time at which it took over.
            Some(start) if of_switch => start,
            start => start.map_or(entry.start, |start| start.max(entry.start)),
        }
    }

    /// Leaves what was entered, too: nobody will read it to its end.
    pub(super) fn seek(&mut self, at: Duration) {
        self.entered.clear();
        self.position = at;
        self.restart(RunReason::Seek, at);
    }

    /// Changes to another stream as soon as that is ready, from the planned unit `from` on; without one, after what is
    /// planned. What is planned before stays. Nothing more is planned from the old stream.
    pub(super) fn leave(&mut self, from: Option<UnitKey>, next: Option<MediaId>) {
        let idx = from.and_then(|unit| self.planned.iter().position(|entry| entry.unit == unit));
        match idx {
            Some(idx) => self.plan_anew_from(idx),
            // A seek or a cut that is not carried out yet is the better reason.
            None => {
                let at = self.planned_until();
                self.restart.get_or_insert(Restart { reason: RunReason::Switch, at, exact: true });
            }
        }
        self.media = None;
        self.switching_to = next;
    }

    /// Goes on with `media`. A change the user waits for takes the place of what is planned but not there yet, and of what
    /// is there but further ahead than `lead`, which it takes to fetch a segment of the new one; `is_there` says which units are.
    pub(super) fn attach(&mut self, media: MediaId, lead: Duration, is_there: impl Fn(UnitKey) -> bool) {
        self.media = Some(media);
        self.switching_to = None;
        if !std::mem::take(&mut self.soon) {
            return;
        }
        // What was entered may be all but decoded, and then lasts as long as decoders keep sound ahead.
        let entered = self.entered.back().map_or(self.position, |entry| entry.start.saturating_add(entry.duration));
        let needed = entered.saturating_add(lead.saturating_sub(DECODED_AHEAD));
        let near = needed.max(self.position.saturating_add(lead)).min(self.position.saturating_add(SWITCH_LEAD));
        let stays = |entry: &Entry| is_there(entry.unit) && entry.start < near;
        if let Some(idx) = self.planned.iter().position(|entry| !stays(entry)) {
            self.plan_anew_from(idx);
        }
    }

    /// Stops: nothing more is planned until another stream is attached.
    pub(super) fn halt(&mut self) {
        self.planned.clear();
        self.media = None;
        self.together = false;
        self.switching_to = None;
        let at = self.entered.back().map_or(self.position, |entry| entry.start.saturating_add(entry.duration));
        self.restart = Some(Restart { reason: RunReason::Switch, at, exact: true });
    }

    /// A reader that has no stream yet begins where the others are, or where they began if it was there by then.
    pub(super) fn join(&mut self, at: Duration) {
        let Some(restart) = self.restart else {
            if self.tail.is_none() && at > self.position {
                (self.position, self.began) = (at, at);
                self.restart = Some(Restart { reason: RunReason::Start, at, exact: true });
            }
            return;
        };
        if restart.reason == RunReason::Switch && at > restart.at {
            self.position = self.position.max(at);
            self.restart = Some(Restart { at, ..restart });
        }
    }

    /// Drops one planned unit that cannot be had; the one after it begins a run.
    pub(super) fn skip(&mut self, unit: UnitKey) {
        let Some(idx) = self.planned.iter().position(|entry| entry.unit == unit) else { return };
        self.planned.remove(idx);
        self.begin_behind_gap(idx);
    }

    /// Leaves a unit that was entered where it is: what follows it begins a run. Answers whether it was entered.
    pub(super) fn skip_entered(&mut self, unit: UnitKey) -> bool {
        let before = self.entered.len();
        self.entered.retain(|entry| entry.unit != unit);
        let was_entered = self.entered.len() < before;
        if was_entered {
            self.begin_behind_gap(0);
        }
        was_entered
    }

    /// The planned unit at `idx`, or the next one to be planned, begins a run: something in front of it is missing.
    fn begin_behind_gap(&mut self, idx: usize) {
        self.runs += 1;
        let run = RunId(self.runs);
        let old = self.planned.get(idx).map(|entry| entry.run);
        if let Some(entry) = self.planned.get_mut(idx) {
            entry.run_start = Some(RunStart { reason: RunReason::Gap, discard_until: entry.start });
        }
        for entry in self.planned.iter_mut().skip(idx).filter(|entry| Some(entry.run) == old) {
            entry.run = run;
        }
        if self.planned.len() == idx {
            let at = self.planned_until();
            self.restart = Some(Restart { reason: RunReason::Gap, at, exact: false });
        }
    }

    /// Plans the next unit from `media`.
    pub(super) fn plan(&mut self, track: Track, media: &Media, by_parts: bool) -> Next {
        let Some(timeline) = media.timeline.as_ref() else { return Next::Playlist };
        let msn = match self.find(media.id, timeline) {
            Found::Segment(msn) => msn,
            Found::NotYet if by_parts && !self.single => {
                let found = self.find_open(media.id, timeline).and_then(|open| self.plan_open(track, media, open));
                return found.unwrap_or(Next::Playlist);
            }
            Found::NotYet => return Next::Playlist,
            Found::End => return Next::End,
        };
        let (Some(segment), Some(start), Some(dsn)) =
            (timeline.segment(msn), timeline.start_of(msn), timeline.dsn_of(msn))
        else {
            return Next::Playlist;
        };
        let init = media.init_of(&segment);
        let end = start.saturating_add(segment.duration);
        let mut tail = Tail { media: media.id, msn, dsn, init, end, open: false, part: 0 };
        if segment.gap {
            return Next::Gap(Gap { msn, start, duration: segment.duration, tail });
        }
        let inside = self.begins_inside(start, init, segment.parts, segment.keys).filter(|_| by_parts);
        let discontinuity = segment.discontinuity;
        let start = inside.map_or(start, |(part, at)| {
            tail.part = part;
            at
        });
        let (duration, date) = (end.saturating_sub(start), timeline.date_at(start));
        self.plan_at(tail, Coming { track, start, duration, discontinuity, date })
    }

    /// Goes on behind a segment that is not there.
    pub(super) fn pass(&mut self, gap: Gap) {
        self.tail = Some(gap.tail);
        self.restart = Some(Restart { reason: RunReason::Gap, at: gap.tail.end, exact: false });
        self.gap = None;
    }

    /// The variants in which the time that is planned next was found missing, `here` among them.
    pub(super) fn lacking(&mut self, here: VariantId) -> &[VariantId] {
        let at = self.planned_until();
        let known = self.gap.take().filter(|known| known.0 == at).unwrap_or_else(|| Box::new((at, Vec::new())));
        let lacking = &mut self.gap.insert(known).1;
        if !lacking.contains(&here) {
            lacking.push(here);
        }
        lacking
    }

    /// Plans a segment that is still being made. Its duration is that of the one before it.
    fn plan_open(&mut self, track: Track, media: &Media, open: OpenSegment<'_>) -> Option<Next> {
        let timeline = media.timeline.as_ref()?;
        let OpenSegment { msn, dsn, start, listed } = open;
        let init = match &listed.init {
            Some(init) => Some(media.init_named(init)?),
            None => None,
        };
        let snapshot = timeline.snapshot();
        let usual = snapshot.segments.last().map_or(snapshot.target_duration, |last| last.duration);
        let there: Duration = listed.parts.iter().map(|part| part.duration).sum();
        let end = start.saturating_add(usual.min(snapshot.target_duration).max(there));
        let inside = self.begins_inside(start, init, &listed.parts, &listed.keys);
        let (part, at) = inside.unwrap_or((0, start));
        let tail = Tail { media: media.id, msn, dsn, init, end, open: true, part };
        let date = listed.program_date_time.and_then(|date| date.checked_add(at - start));
        let (start, duration, date) = (at, end.saturating_sub(at), date.or_else(|| timeline.date_at(at)));
        Some(self.plan_at(tail, Coming { track, start, duration, discontinuity: listed.discontinuity, date }))
    }

    /// The part of a segment with which reading begins, and presentation time of its start, where that is not the first one:
    /// the last that decodes on its own (INDEPENDENT) before the time that is to be heard.
    ///
    /// Only where the segment is clear and its container needs nothing of the parts before: it has an initialization section.
    fn begins_inside(
        &self,
        start: Duration,
        init: Option<UnitKey>,
        parts: &[Part],
        keys: &[Key],
    ) -> Option<(u32, Duration)> {
        let may = matches!(self.restart?.reason, RunReason::Start | RunReason::Seek | RunReason::Switch);
        if !may || !self.restart?.exact || init.is_none() || protection(keys) != Protection::Clear {
            return None;
        }
        let at = self.restart?.at;
        let starts = parts.iter().scan(start, |next, part| {
            let start = *next;
            *next = next.saturating_add(part.duration);
            Some((start, part))
        });
        let open = starts.enumerate().filter(|(_, (start, part))| part.independent && *start <= at);
        let (idx, (start, _)) = open.last().filter(|(idx, _)| *idx > 0)?;
        let whole = parts.iter().skip(idx).all(|part| !part.gap);
        Some((u32::try_from(idx).ok().filter(|_| whole)?, start))
    }

    /// The segment that is being made, if planning goes on with it and it can be read.
    fn find_open<'a>(&self, media: MediaId, timeline: &'a Timeline) -> Option<OpenSegment<'a>> {
        let open = timeline.open_segment()?;
        let listed = open.listed;
        let is_there = !listed.parts.is_empty() && !listed.parts.iter().any(|part| part.gap);
        if !is_there || !readable(&listed.parts, &listed.keys) {
            return None;
        }
        let is_next = match (self.restart, self.tail) {
            (Some(restart), _) => restart.at < timeline.edge(),
            (None, Some(tail)) if tail.media == media => tail.msn.next() == open.msn,
            (None, Some(tail)) => tail.end < timeline.edge(),
            (None, None) => true,
        };
        is_next.then_some(open)
    }

    fn plan_at(&mut self, tail: Tail, coming: Coming) -> Next {
        let Coming { track, start, duration, discontinuity, date } = coming;
        self.held = false;
        self.told_waiting = false;
        let missed = self.missed(&tail, start);
        let run_start = self.run_start(&tail, discontinuity, start);
        if run_start.is_some() {
            self.runs += 1;
        }
        self.restart = None;
        self.tail = Some(tail);
        let entry = Entry {
            track,
            unit: tail.unit(),
            init: tail.init,
            run: RunId(self.runs),
            run_start,
            start,
            duration,
            msn: tail.msn,
            dsn: tail.dsn,
            program_date_time: date,
        };
        Next::Unit(Box::new(entry), missed)
    }

    /// Whether the last planned segment is still being made.
    pub(super) fn is_open(&self) -> bool {
        self.restart.is_none() && self.tail.is_some_and(|tail| tail.open && self.media == Some(tail.media))
    }

    /// The last planned unit, if that is of `media` and still being made.
    pub(super) fn open_unit(&self, media: MediaId) -> Option<UnitKey> {
        self.tail.filter(|tail| tail.open && tail.media == media).map(|tail| tail.unit())
    }

    /// The number of the segment of `media` that follows what is planned.
    pub(super) fn next_msn(&self, media: MediaId) -> Option<MediaSequence> {
        self.tail.filter(|tail| tail.media == media && self.restart.is_none()).map(|tail| tail.msn.next())
    }

    /// The last planned unit is made now, and ends there.
    pub(super) fn ended_open(&mut self, unit: UnitKey, end: Duration) {
        let Some(tail) = self.tail.as_mut().filter(|tail| tail.open && tail.unit() == unit) else { return };
        (tail.open, tail.end) = (false, end);
        for entry in self.entered.iter_mut().chain(&mut self.planned).filter(|entry| entry.unit == unit) {
            entry.duration = end.saturating_sub(entry.start);
        }
    }

    /// A unit that was still being made has no more than this.
    pub(super) fn ended_early(&mut self, unit: UnitKey, media: Duration) {
        let start = self.entered.iter().chain(&self.planned).find(|entry| entry.unit == unit).map(|entry| entry.start);
        if let Some(start) = start {
            self.ended_open(unit, start.saturating_add(media));
        }
    }

    /// A planned unit, and what follows it, will not come: planning goes on where it would have begun.
    pub(super) fn drop_planned(&mut self, unit: UnitKey) {
        if let Some(idx) = self.planned.iter().position(|entry| entry.unit == unit) {
            self.plan_anew_from(idx);
        }
        if let Some(tail) = self.tail.as_mut().filter(|tail| tail.unit() == unit) {
            tail.open = false;
        }
    }

    /// Media between the last planned unit and the next one of the same stream that was never there for us, or is no
    /// more.
    fn missed(&self, next: &Tail, start: Duration) -> Duration {
        let tail = self.tail.filter(|tail| self.restart.is_none() && tail.media == next.media);
        let leaps = |tail: &Tail| next.msn > tail.msn.next();
        tail.filter(leaps).map_or(Duration::ZERO, |tail| start.saturating_sub(tail.end))
    }

    /// Whether nothing follows what is planned.
    pub(super) fn is_at_end(&self, media: &Media) -> bool {
        let Some(timeline) = media.timeline.as_ref().filter(|timeline| timeline.ended()) else { return false };
        matches!(self.find(media.id, timeline), Found::End)
    }

    /// The segment of `media` that is planned next, if it is listed.
    pub(super) fn next_segment(&self, media: &Media) -> Option<MediaSequence> {
        let timeline = media.timeline.as_ref()?;
        match self.find(media.id, timeline) {
            Found::Segment(msn) => Some(msn),
            Found::NotYet => self.find_open(media.id, timeline).map(|open| open.msn),
            Found::End => None,
        }
    }

    /// The segment planning goes on with.
    fn find(&self, media: MediaId, timeline: &Timeline) -> Found {
        match (self.restart, self.tail) {
            (Some(Restart { reason: RunReason::Seek, at, .. }), _) => Found::exactly(timeline, at),
            (Some(restart), _) => Found::time(timeline, restart.at),
            (None, Some(tail)) if tail.media == media => Found::msn(timeline, tail.msn.0.saturating_add(1)),
            (None, Some(tail)) => Found::time(timeline, tail.end),
            (None, None) => Found::time(timeline, timeline.start()),
        }
    }

    fn run_start(&self, next: &Tail, discontinuity: bool, start: Duration) -> Option<RunStart> {
        if let Some(restart) = self.restart {
            let discard_until = if restart.exact { restart.at.max(start) } else { start };
            return Some(RunStart { reason: restart.reason, discard_until });
        }
        let Some(tail) = self.tail else {
            return Some(RunStart { reason: RunReason::Start, discard_until: start });
        };
        let reason = if tail.media != next.media {
            RunReason::Switch
        } else if discontinuity || tail.dsn != next.dsn {
            RunReason::Discontinuity
        } else if tail.init != next.init {
            RunReason::Init
        } else if next.msn > tail.msn.next() {
            RunReason::Gap
        } else {
            return None;
        };
        Some(RunStart { reason, discard_until: tail.end.max(start) })
    }
}

enum Found {
    Segment(MediaSequence),
    NotYet,
    End,
}

impl Found {
    /// The segment numbered `msn`; the oldest there is when the window moved past it.
    fn msn(timeline: &Timeline, msn: u64) -> Self {
        match timeline.next_from(MediaSequence(msn)) {
            Some(msn) => Self::Segment(msn),
            None if timeline.ended() => Self::End,
            None => Self::NotYet,
        }
    }

    /// The segment that holds `time`.
    fn exactly(timeline: &Timeline, time: Duration) -> Self {
        match timeline.at(time) {
            Some((msn, _)) => Self::Segment(msn),
            None if timeline.ended() => Self::End,
            None => Self::NotYet,
        }
    }

    /// The segment to go on with at `time`. Variants are cut at slightly different places: a sliver of a segment is not
    /// worth fetching it.
    fn time(timeline: &Timeline, time: Duration) -> Self {
        let Some((msn, segment)) = timeline.at(time) else { return Self::exactly(timeline, time) };
        let start = timeline.start_of(msn).unwrap_or(time);
        let end = start.saturating_add(segment.duration);
        if end.saturating_sub(time) <= SLIVER.min(segment.duration / 4) && time > start {
            return Self::msn(timeline, msn.0.saturating_add(1));
        }
        Self::Segment(msn)
    }
}

/// Less than this at the end of a segment is rounding between playlists, not media: an audio frame is longer.
const SLIVER: Duration = Duration::from_millis(5);

/// Media that stays at most when the user chooses another rendition: so much time there is to fetch the first of its segments.
pub(super) const SWITCH_LEAD: Duration = Duration::from_secs(3);
/// Sound that decoders usually keep ahead of what is heard.
const DECODED_AHEAD: Duration = Duration::from_millis(500);
