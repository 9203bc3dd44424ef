//! Successive snapshots of a media playlist on one presentation timeline.
//!
//! A snapshot lists a window of segments. The timeline gives every segment a number and a presentation time that do not
//! change when the window moves on: it is anchored at the first snapshot, and each later one is anchored at the last
//! segment both have in common.
//!
//! Numbers here are those of the playlist until an encoder begins anew. Then the playlist counts from the start again,
//! and the timeline goes on counting: its segments follow the ones it had. [`Segment::msn`] is always what the playlist
//! said, because initialization vectors depend on it.
//!
//! A playlist whose numbers went back is either an old copy of a cache, which is not taken over, or of an encoder that began
//! anew. Other names, dates, lengths or discontinuities at the same numbers are another encoder's. Where all of them are
//! the same, it is an old copy for as long as it lists more than can have been recorded since the state in force was last
//! shown: time passes no faster for an encoder than for us. `renewal` has the rule.

mod align;
mod dates;
mod past;
mod renewal;
mod timestamps;

use std::{collections::BTreeMap, ops::Range, sync::Arc, time::Duration};

pub use self::{
    align::{Alignment, align},
    dates::DateMap,
    timestamps::TimestampMap,
};
use self::{
    past::{Left, Past},
    renewal::{Earlier, Renewal},
};
use crate::{
    playlist::{DiscontinuitySequence, IncompleteSegment, MediaPlaylist, MediaSequence, PlaylistType, Segment},
    time::{Tick, WallTime},
};

/// A media playlist placed in presentation time.
#[derive(Clone, Debug)]
pub struct Timeline {
    snapshot: Arc<MediaPlaylist>,
    /// Presentation time of the first listed segment.
    origin: Duration,
    /// What is added to the numbers the playlist gives.
    shift: Shift,
    first_seen: MediaSequence,
    /// The first number the playlist gave in the present run of its encoder.
    run: MediaSequence,
    past: Past,
    dates: Arc<DateMap>,
    /// When a snapshot last brought something new.
    changed: Tick,
    /// When a snapshot last showed the state in force, or something new.
    confirmed: Tick,
    /// What snapshots have shown since then, if that was an earlier state.
    earlier: Option<Earlier>,
}

/// What is added to numbers of the playlist: it grows when an encoder begins anew, and makes up for what a playlist does not
/// count itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Shift {
    msn: u64,
    dsn: u64,
}

/// The segment behind the last listed one, which is still being made.
#[derive(Clone, Copy, Debug)]
pub struct OpenSegment<'a> {
    /// The number it will have here.
    pub msn: MediaSequence,
    /// Its discontinuity sequence number.
    pub dsn: DiscontinuitySequence,
    /// Presentation time of its start.
    pub start: Duration,
    /// What is listed of it.
    pub listed: &'a IncompleteSegment,
}

/// What a new snapshot brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// Nothing new.
    Unchanged,
    /// New segments or parts, or an end.
    Grown,
    /// An earlier state of the playlist, from a cache or server that is behind, for however long. It is not taken over.
    Behind,
    /// The window moved on by more than its length: segments between the two were never listed to us.
    Jumped {
        /// Segments nobody told us of.
        missed: u64,
    },
    /// The numbers went back and mean other segments, or made a leap that no encoder makes: it began anew. Its segments follow
    /// the ones we had.
    Restarted,
}

impl Timeline {
    /// The first snapshot, seen at `now`: its first segment is at `origin`.
    #[must_use]
    pub fn new(snapshot: Arc<MediaPlaylist>, origin: Duration, now: Tick) -> Self {
        let mut timeline = Self {
            first_seen: snapshot.media_sequence,
            run: snapshot.media_sequence,
            snapshot,
            origin,
            shift: Shift::default(),
            past: Past::default(),
            dates: Arc::default(),
            changed: now,
            confirmed: now,
            earlier: None,
        };
        timeline.map_dates();
        timeline
    }

    /// Keeps segments that left the window for at least `time` of media. Without it they are kept for as long as the
    /// window is, which is how long a server has to keep them (RFC 8216 section 6.2.2).
    #[must_use]
    pub fn keeping(mut self, time: Duration) -> Self {
        self.past.keep(time);
        self
    }

    /// Counts discontinuities as another rendition of the same presentation does. Where one of them does not say where its
    /// numbers begin, segments at the same presentation time have the same number.
    #[must_use]
    pub fn beside(mut self, other: &Self) -> Self {
        let counted = [&self, other].into_iter().all(|it| it.snapshot.counts_discontinuities());
        let by_time = if counted { None } else { self.dsn_shift_beside(other) };
        self.shift.dsn = by_time.unwrap_or(other.shift.dsn);
        self
    }

    /// What most of the newest segments that lie beside one of `other` say is to be added to our numbers. Cuts of two
    /// encodings do not fall together, and one of them may be placed by a guess.
    fn dsn_shift_beside(&self, other: &Self) -> Option<u64> {
        let segments = &self.snapshot.segments;
        let mut said: BTreeMap<u64, usize> = BTreeMap::new();
        for idx in segments.len().saturating_sub(COMPARED)..segments.len() {
            let (Some(segment), Some(start)) = (segments.get(idx), segments.start(idx)) else { continue };
            let middle = self.origin.saturating_add(start).saturating_add(segment.duration / 2);
            let Some(same) = other.at(middle).and_then(|(msn, _)| {
                let begun = other.start_of(msn)? <= middle;
                other.dsn_of(msn).filter(|_| begun)
            }) else {
                continue;
            };
            *said.entry(same.0.wrapping_sub(segment.dsn.0)).or_default() += 1;
        }
        said.into_iter().max_by_key(|(_, times)| *times).map(|(shift, _)| shift)
    }

    /// Takes a newer snapshot of the same playlist, seen at `now`.
    pub fn merge(&mut self, newer: Arc<MediaPlaylist>, now: Tick) -> Merge {
        let merge = match renewal::judge(&self.standing(now), &newer) {
            Renewal::Same => {
                // Segments may have left the window, with none to follow.
                self.go_on(newer);
                (self.confirmed, self.earlier) = (now, None);
                return Merge::Unchanged;
            }
            Renewal::Behind(earlier) => {
                self.earlier = Some(earlier);
                return Merge::Behind;
            }
            Renewal::Grown => {
                self.go_on(newer);
                Merge::Grown
            }
            Renewal::Jumped { missed, hole } => {
                self.leap(newer, hole);
                Merge::Jumped { missed }
            }
            Renewal::Restarted => {
                self.begin_anew(newer);
                Merge::Restarted
            }
        };
        self.changed = now;
        (self.confirmed, self.earlier) = (now, None);
        self.map_dates();
        merge
    }

    fn standing(&self, now: Tick) -> renewal::Standing<'_> {
        renewal::Standing {
            snapshot: &self.snapshot,
            past: &self.past,
            shift: self.shift.msn,
            run: self.run,
            now,
            changed: self.changed,
            confirmed: self.confirmed,
            earlier: self.earlier,
        }
    }

    /// A window that overlaps the one before, or follows it without a gap.
    fn go_on(&mut self, newer: Arc<MediaPlaylist>) {
        let old = self.msns();
        let first = newer.media_sequence.0.wrapping_add(self.shift.msn);
        let last_common = old.end.min(first.saturating_add(newer.segments.len() as u64)).checked_sub(1);
        let anchor = last_common.filter(|last| *last >= first && *last >= old.start);
        let origin = match anchor {
            // What follows the last common segment begins where that ends, even when durations were corrected.
            Some(anchor) => {
                let start = self.start_of(MediaSequence(anchor)).unwrap_or(self.origin);
                let before = usize::try_from(anchor - first).ok().and_then(|idx| newer.segments.start(idx));
                start.saturating_sub(before.unwrap_or_default())
            }
            None => self.end(),
        };
        let dsn = match anchor {
            Some(anchor) => self.dsn_shift_at(&newer, anchor, anchor - first),
            None => self.dsn_shift_behind(&newer),
        };
        self.first_seen = self.first_seen.min(MediaSequence(first));
        self.run = self.run.min(newer.media_sequence);
        self.replace(newer, origin, Shift { dsn, ..self.shift });
    }

    /// What is to be added to discontinuity sequence numbers of `newer` so that the segment `msn`, at `idx` there, keeps the
    /// one it has: whatever the numbers of a playlist say, a segment does not change its media timeline.
    fn dsn_shift_at(&self, newer: &MediaPlaylist, msn: u64, idx: u64) -> u64 {
        let same = usize::try_from(idx).ok().and_then(|idx| newer.segments.get(idx));
        let known = self.dsn_of(MediaSequence(msn)).zip(same);
        known.map_or(self.shift.dsn, |(dsn, same)| dsn.0.wrapping_sub(same.dsn.0))
    }

    /// The same for a window that has no segment in common with the one in force. One that does not say where its numbers
    /// begin goes on from the last one.
    fn dsn_shift_behind(&self, newer: &MediaPlaylist) -> u64 {
        let (last, first) = (self.snapshot.segments.last(), newer.segments.first());
        match last.zip(first) {
            Some((last, first)) if !newer.counts_discontinuities() => {
                let next = self.shift.dsn_of(&last).0.saturating_add(u64::from(first.discontinuity));
                next.wrapping_sub(first.dsn.0)
            }
            _ => self.shift.dsn,
        }
    }

    /// A window that begins behind segments that were never listed.
    fn leap(&mut self, newer: Arc<MediaPlaylist>, hole: Duration) {
        let origin = self.end().saturating_add(hole);
        let dsn = self.dsn_shift_behind(&newer);
        self.replace(newer, origin, Shift { dsn, ..self.shift });
    }

    /// The window of an encoder that counts from the start again.
    fn begin_anew(&mut self, newer: Arc<MediaPlaylist>) {
        let (end, origin) = (self.msns().end, self.end());
        let before = |it: &MediaPlaylist| it.discontinuity_sequence.unwrap_or_default();
        let last = self.snapshot.segments.last().map_or(before(&self.snapshot), |segment| segment.dsn);
        let dsn = last.0.saturating_add(self.shift.dsn).saturating_add(1);
        let first = newer.segments.first().map_or(before(&newer), |segment| segment.dsn);
        let shift = Shift { msn: end.wrapping_sub(newer.media_sequence.0), dsn: dsn.wrapping_sub(first.0) };
        self.run = newer.media_sequence;
        self.replace(newer, origin, shift);
    }

    fn replace(&mut self, newer: Arc<MediaPlaylist>, origin: Duration, shift: Shift) {
        let first = newer.media_sequence.0.wrapping_add(shift.msn);
        let window = self.snapshot.segments.duration();
        let leaving = self.snapshot.segments.iter_timed();
        for (start, segment) in leaving {
            let msn = self.shift.msn_of(&segment);
            if msn.0 >= first {
                break;
            }
            self.past.push(msn, self.shift.dsn_of(&segment), self.origin.saturating_add(start), segment);
        }
        self.snapshot = newer;
        self.origin = origin;
        self.shift = shift;
        self.past.trim(origin, window.saturating_add(self.snapshot.target_duration), first);
    }

    fn map_dates(&mut self) {
        let past = self.past.iter().map(|it| (it.start, it.duration, it.segment().program_date_time));
        let listed =
            self.snapshot.segments.iter_timed().map(|(start, segment)| {
                (self.origin.saturating_add(start), segment.duration, segment.program_date_time)
            });
        self.dates = Arc::new(DateMap::of(past.chain(listed)));
    }

    /// The snapshot that is in force.
    #[must_use]
    pub fn snapshot(&self) -> &Arc<MediaPlaylist> {
        &self.snapshot
    }

    /// The first number that was ever listed.
    #[must_use]
    pub fn first_seen(&self) -> MediaSequence {
        self.first_seen
    }

    /// When a snapshot last brought something new.
    #[must_use]
    pub fn changed(&self) -> Tick {
        self.changed
    }

    /// Counts the time without change from `now` on: until then nobody looked.
    pub fn count_from(&mut self, now: Tick) {
        self.changed = self.changed.max(now);
        self.earlier = None;
    }

    /// Numbers listed now.
    #[must_use]
    pub fn msns(&self) -> Range<u64> {
        let first = self.snapshot.media_sequence.0.wrapping_add(self.shift.msn);
        first..first.saturating_add(self.snapshot.segments.len() as u64)
    }

    /// The number the playlist gives to what is `msn` here.
    #[must_use]
    pub fn listed_as(&self, msn: MediaSequence) -> MediaSequence {
        MediaSequence(msn.0.wrapping_sub(self.shift.msn))
    }

    /// The number here of a listed segment.
    #[must_use]
    pub fn number_of(&self, segment: &Segment<'_>) -> MediaSequence {
        self.shift.msn_of(segment)
    }

    /// Whether no segment will be added any more.
    #[must_use]
    pub fn ended(&self) -> bool {
        !self.snapshot.is_live()
    }

    /// Whether its first segment is where presentation time begins, and stays.
    fn has_its_beginning(&self) -> bool {
        self.origin.is_zero() && (self.ended() || self.snapshot.playlist_type == Some(PlaylistType::Event))
    }

    /// The segment with this number: listed, or one that left the window and is still remembered.
    #[must_use]
    pub fn segment(&self, msn: MediaSequence) -> Option<Segment<'_>> {
        match self.idx_of(msn) {
            Some(idx) => self.snapshot.segments.get(idx),
            None => self.past.get(msn).map(Left::segment),
        }
    }

    /// The discontinuity sequence number of a segment. It grows over restarts of the encoder.
    #[must_use]
    pub fn dsn_of(&self, msn: MediaSequence) -> Option<DiscontinuitySequence> {
        match self.idx_of(msn) {
            Some(idx) => self.snapshot.segments.get(idx).map(|segment| self.shift.dsn_of(&segment)),
            None => self.past.get(msn).map(|it| it.dsn),
        }
    }

    /// The first number from `msn` on that there is a segment for; `None` behind the last one.
    #[must_use]
    pub fn next_from(&self, msn: MediaSequence) -> Option<MediaSequence> {
        let listed = self.msns();
        if msn.0 >= listed.start {
            return (msn.0 < listed.end).then_some(msn);
        }
        let past = self.past.next_from(msn);
        past.or_else(|| (!listed.is_empty()).then_some(MediaSequence(listed.start)))
    }

    /// Presentation time of the start of a segment; of the end of the list for the number that comes next.
    #[must_use]
    pub fn start_of(&self, msn: MediaSequence) -> Option<Duration> {
        if msn.0 == self.msns().end {
            return Some(self.end());
        }
        match self.idx_of(msn) {
            Some(idx) => self.snapshot.segments.start(idx).map(|start| self.origin.saturating_add(start)),
            None => self.past.get(msn).map(|it| it.start),
        }
    }

    /// Presentation time of the first listed segment.
    #[must_use]
    pub fn start(&self) -> Duration {
        self.origin
    }

    /// The first number that is remembered: listed, or of a segment that left the window.
    #[must_use]
    pub fn remembered_from(&self) -> MediaSequence {
        self.past.iter().next().map_or(MediaSequence(self.msns().start), |it| it.msn)
    }

    /// Whether a segment has left the window, and is remembered.
    #[must_use]
    pub fn has_left(&self, msn: MediaSequence) -> bool {
        self.past.get(msn).is_some()
    }

    /// Presentation time from which on all segments up to the window are among those that `is_kept`.
    pub fn kept_from(&self, is_kept: impl Fn(MediaSequence) -> bool) -> Duration {
        let window = (self.msns().start, self.origin);
        let kept = self.past.iter().rev().try_fold(window, |(next, from), it| {
            let follows = it.msn.0.saturating_add(1) == next && is_kept(it.msn);
            if follows { Ok((it.msn.0, it.start)) } else { Err(from) }
        });
        kept.map_or_else(|from| from, |(_, from)| from)
    }

    /// Forgets segments before `msn` that have left the window.
    pub fn forget_before(&mut self, msn: MediaSequence) {
        self.past.forget_before(msn);
    }

    /// The server has dropped a segment that left the window: forgets all that it had to keep no longer than that one, and
    /// that nobody else keeps. What left the window within its length is still asked for (RFC 8216 section 6.2.2).
    pub fn lose(&mut self, msn: MediaSequence, is_kept: impl Fn(MediaSequence) -> bool) {
        let Some(lost) = self.past.get(msn).map(|it| it.start) else { return };
        let must_be_there = self.origin.saturating_sub(self.snapshot.segments.duration());
        self.past.lose_before(must_be_there.max(lost), is_kept);
    }

    /// Presentation time of the end of the last listed segment.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.origin.saturating_add(self.snapshot.segments.duration())
    }

    /// The segment that is still being made, as soon as something of it is listed.
    #[must_use]
    pub fn open_segment(&self) -> Option<OpenSegment<'_>> {
        let listed = self.snapshot.incomplete.as_ref()?;
        let dsn = DiscontinuitySequence(listed.dsn.0.wrapping_add(self.shift.dsn));
        Some(OpenSegment { msn: MediaSequence(self.msns().end), dsn, start: self.end(), listed })
    }

    /// Presentation time of the end of what is there: of the last part, or of the last segment where no part is listed
    /// behind it.
    #[must_use]
    pub fn edge(&self) -> Duration {
        self.origin.saturating_add(self.snapshot.duration())
    }

    /// The segment that covers `time`; the first one after it where there is a hole, `None` at or after the end.
    #[must_use]
    pub fn at(&self, time: Duration) -> Option<(MediaSequence, Segment<'_>)> {
        if let Some(past) = self.past.at(time).filter(|_| time < self.origin) {
            return Some((past.msn, past.segment()));
        }
        let segments = &self.snapshot.segments;
        let segment = segments.get(segments.at(time.saturating_sub(self.origin))?)?;
        Some((self.shift.msn_of(&segment), segment))
    }

    /// Segments from `msn` on with number and start, remembered ones first.
    pub fn from(&self, msn: MediaSequence) -> impl Iterator<Item = (MediaSequence, Duration, Segment<'_>)> {
        let past = self.past.iter_from(msn).map(|it| (it.msn, it.start, it.segment()));
        let listed = self.snapshot.segments.iter_timed();
        let listed = listed.map(|(start, it)| (self.shift.msn_of(&it), self.origin.saturating_add(start), it));
        past.chain(listed.filter(move |(number, ..)| *number >= msn))
    }

    /// How many segments and dates are remembered.
    #[must_use]
    pub fn footprint(&self) -> usize {
        self.snapshot.segments.len() + self.past.iter().count() + self.dates.len()
    }

    /// Which dates belong to which presentation times.
    #[must_use]
    pub fn dates(&self) -> &Arc<DateMap> {
        &self.dates
    }

    /// The date of a presentation time, where the playlist has dates.
    #[must_use]
    pub fn date_at(&self, time: Duration) -> Option<WallTime> {
        self.dates.date_at(time)
    }

    /// Moves everything on presentation time by `by` nanoseconds: it was placed by a guess, and now the media says where
    /// it belongs.
    pub fn correct(&mut self, by: i64) {
        self.origin = moved(self.origin, by);
        self.past.each_start(|start| moved(start, by));
        self.map_dates();
    }

    fn idx_of(&self, msn: MediaSequence) -> Option<usize> {
        let listed = self.msns();
        let idx = listed.contains(&msn.0).then(|| msn.0 - listed.start)?;
        usize::try_from(idx).ok()
    }
}

impl Shift {
    fn msn_of(self, segment: &Segment<'_>) -> MediaSequence {
        MediaSequence(segment.msn.0.wrapping_add(self.msn))
    }

    fn dsn_of(self, segment: &Segment<'_>) -> DiscontinuitySequence {
        DiscontinuitySequence(segment.dsn.0.wrapping_add(self.dsn))
    }
}

/// Segments by which discontinuities are counted beside another stream, at most.
const COMPARED: usize = 64;

/// A time `by` nanoseconds later or earlier; not before zero.
fn moved(time: Duration, by: i64) -> Duration {
    match u64::try_from(by) {
        Ok(later) => time.saturating_add(Duration::from_nanos(later)),
        Err(_) => time.saturating_sub(Duration::from_nanos(by.unsigned_abs())),
    }
}

#[cfg(test)]
mod tests;
