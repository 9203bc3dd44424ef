//! What a newer snapshot is to the one in force: more of the same, older, further on, or of an encoder that began anew.
//!
//! Caches show copies that are older than what we have seen: for some loads or for minutes, some seconds or half a minute
//! behind, in turn with new ones or not, and cut in the middle. Encoders that begin anew count from the start again, and
//! often give the same names. Both are lists whose numbers went back, so this is how they are told apart:
//!
//! 1. What lists another segment under a number we know, by name, date, discontinuity or several lengths, is of an encoder
//!    that began anew.
//! 2. What lists a segment with the date we know is an old copy.
//! 3. What does not begin where an encoder does is an old copy. It begins with number 0 or 1, or with a number up to the
//!    first one we were ever shown and fewer segments than we have.
//! 4. What lists more media than the time since the state in force was last shown, and a target duration, is an old copy:
//!    time passes no faster for an encoder than for us. It is one for as long as it goes on from there.
//! 5. A list more than [a minute](OLDEST) behind may be of a new encoder wherever it begins, if it was seen for as long as
//!    below, and with up to [half a minute](AT_ONCE) that was listed at once.
//! 6. What is left is the list of a new encoder, or a copy of the first one or two segments of the one before. It is taken
//!    for a new encoder when it lies further back than a window; when it is seen again in a row, at least three target
//!    durations and [ten seconds](LEAST) behind; or when it is seen for that long. Before, it may reach the end we know, and the
//!    stream goes on there: to play nothing of a stream's first seconds again is worth more than to have all of an encoder
//!    that began anew within them.

use std::time::Duration;

use super::past::{Left, Past};
use crate::{
    playlist::{MediaPlaylist, MediaSequence, Segment},
    time::{Tick, WallTime},
};

/// The state a newer snapshot is compared with.
pub(super) struct Standing<'a> {
    pub(super) snapshot: &'a MediaPlaylist,
    /// Segments that left its window.
    pub(super) past: &'a Past,
    /// What the timeline adds to the playlist's numbers.
    pub(super) shift: u64,
    /// The first number of this run of the encoder that was ever listed.
    pub(super) run: MediaSequence,
    pub(super) now: Tick,
    /// When something new was listed last.
    pub(super) changed: Tick,
    /// When this state was shown last.
    pub(super) confirmed: Tick,
    /// What was shown since then.
    pub(super) earlier: Option<Earlier>,
}

/// What snapshots have shown in place of the state in force.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Earlier {
    /// The end of the shortest list that was known to be an old copy. Longer ones are old, too.
    old_from: Option<MediaSequence>,
    /// Since when all of them may have been of an encoder that began anew.
    doubted: Option<Tick>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Renewal {
    Same,
    Grown,
    Behind(Earlier),
    Jumped { missed: u64, hole: Duration },
    Restarted,
}

/// Copies of a live playlist are seldom further behind than this.
const OLDEST: Duration = Duration::from_secs(60);

/// What a new encoder lists at once, at most.
const AT_ONCE: Duration = Duration::from_secs(30);

/// Three target durations count as no less than this: caches do not go by target durations.
const LEAST: Duration = Duration::from_secs(10);

impl Standing<'_> {
    /// The segment that this run of the encoder has under a number, as far as it is remembered.
    fn known(&self, msn: MediaSequence) -> Option<Segment<'_>> {
        let left = || self.past.get(MediaSequence(msn.0.wrapping_add(self.shift))).filter(|_| msn >= self.run);
        self.snapshot.segments.by_msn(msn).or_else(|| left().map(Left::segment))
    }

    /// Segments of `newer` with what is known under their numbers.
    fn in_common<'a>(&'a self, newer: &'a MediaPlaylist) -> impl Iterator<Item = (Segment<'a>, Segment<'a>)> {
        newer.segments.iter().filter_map(|segment| Some((self.known(segment.msn)?, segment)))
    }

    /// How long a segment of it is.
    fn usual(&self) -> Duration {
        let segments = &self.snapshot.segments;
        let count = u32::try_from(segments.len().max(1)).unwrap_or(u32::MAX);
        (segments.duration() / count).max(Duration::from_millis(1))
    }

    /// Media behind the end of `newer`.
    fn lag(&self, newer: &MediaPlaylist) -> Duration {
        let end = newer.end_sequence();
        let unlisted = self.snapshot.media_sequence.0.saturating_sub(end.0);
        let unlisted = self.usual().saturating_mul(u32::try_from(unlisted).unwrap_or(u32::MAX));
        let listed = self.snapshot.segments.iter().filter(|segment| segment.msn >= end);
        listed.map(|segment| segment.duration).fold(unlisted, Duration::saturating_add)
    }
}

/// Compares `newer` with what is in force. All numbers are those of the playlist.
pub(super) fn judge(old: &Standing<'_>, newer: &MediaPlaylist) -> Renewal {
    let before = old.snapshot;
    let (first, end) = (newer.media_sequence.0, newer.end_sequence().0);
    let old_end = before.end_sequence().0;
    if newer.segments.is_empty() {
        // A server that has nothing to list yet, or not any more, takes nothing back.
        let says_less = Renewal::Behind(old.earlier.unwrap_or_default());
        return if newer.ended && !before.ended { Renewal::Grown } else { says_less };
    }
    if end < old_end {
        return judge_older(old, newer);
    }
    if old.earlier.is_some() && differs(old, newer) {
        // What looked like a server that is behind was an encoder that began anew, and has caught up.
        return Renewal::Restarted;
    }
    if first > old_end {
        let missed = first - old_end;
        return jumped(old, newer, missed);
    }
    let progress = |playlist: &MediaPlaylist| (playlist.end_sequence().0, parts_of(playlist), playlist.ended);
    match progress(newer) == progress(before) {
        true => Renewal::Same,
        // Parts of the segment behind the last one may be listed before it; fewer of them are an older state.
        false if end == old_end && parts_of(newer) < parts_of(before) && !newer.ended => {
            Renewal::Behind(old.earlier.unwrap_or_default())
        }
        false => Renewal::Grown,
    }
}

fn parts_of(playlist: &MediaPlaylist) -> usize {
    playlist.incomplete.as_ref().map_or(0, |segment| segment.parts.len())
}

/// The numbers went back. A server that is behind lists what we know; an encoder that began anew lists something else, or no
/// more than it can have recorded.
fn judge_older(old: &Standing<'_>, newer: &MediaPlaylist) -> Renewal {
    let differs = differs(old, newer);
    if newer.ended && !differs {
        // The end was moved forward.
        return Renewal::Grown;
    }
    if differs || are_cut_otherwise(old, newer) || breaks_otherwise(old.snapshot, newer) {
        return Renewal::Restarted;
    }
    let earlier = old.earlier.unwrap_or_default();
    if !may_be_new(old, newer) {
        let end = newer.end_sequence();
        let old_from = Some(earlier.old_from.map_or(end, |known| known.min(end)));
        return Renewal::Behind(Earlier { old_from, doubted: None });
    }
    let long = old.snapshot.target_duration.saturating_mul(3).max(LEAST);
    let (begins, far) = (begins(old, newer), old.lag(newer) >= long);
    let is_new = earlier.doubted.is_some_and(|since| begins && far || old.now.since(since) >= long);
    if is_new || begins && is_a_window_behind(old.snapshot, newer) {
        return Renewal::Restarted;
    }
    Renewal::Behind(Earlier { doubted: earlier.doubted.or(Some(old.now)), ..earlier })
}

/// Whether an encoder that began anew may list this, which is the same as what we know.
fn may_be_new(old: &Standing<'_>, newer: &MediaPlaylist) -> bool {
    let was_old = old.earlier.and_then(|earlier| earlier.old_from).is_some_and(|from| newer.end_sequence() >= from);
    if was_old || has_same_date(old, newer) {
        return false;
    }
    let is_ancient = old.lag(newer) >= OLDEST;
    let at_once = if is_ancient { AT_ONCE } else { Duration::ZERO }.max(old.snapshot.target_duration);
    let recorded = old.now.since(old.confirmed).saturating_add(at_once);
    newer.segments.duration() <= recorded && (is_ancient || begins(old, newer))
}

/// Whether a list begins where an encoder does.
fn begins(old: &Standing<'_>, newer: &MediaPlaylist) -> bool {
    let is_shorter = newer.segments.len() < old.snapshot.segments.len();
    newer.media_sequence.0 <= 1 || newer.media_sequence <= old.run && is_shorter
}

/// Whether both list a number for which they do not mean the same segment.
fn differs(old: &Standing<'_>, newer: &MediaPlaylist) -> bool {
    old.in_common(newer).any(|(known, segment)| {
        let dates = known.program_date_time.zip(segment.program_date_time);
        let moved = |(one, other): (WallTime, WallTime)| {
            one.as_millis().abs_diff(other.as_millis()) > millis_of(old.snapshot.target_duration)
        };
        file_of(&known) != file_of(&segment) || dates.is_some_and(moved)
    })
}

/// Whether several segments that both list are of other lengths. One may have been corrected.
fn are_cut_otherwise(old: &Standing<'_>, newer: &MediaPlaylist) -> bool {
    let differ =
        |(known, segment): &(Segment<'_>, Segment<'_>)| known.duration.abs_diff(segment.duration) > SAME_DURATION;
    old.in_common(newer).filter(differ).nth(1).is_some()
}

/// The durations of one segment in two copies of its playlist differ by less, however they are rounded.
const SAME_DURATION: Duration = Duration::from_millis(1);

/// Whether one of two lists has a discontinuity where the other one has none. That before the first segment of a window may
/// have left it, and nobody has to count them.
fn breaks_otherwise(before: &MediaPlaylist, newer: &MediaPlaylist) -> bool {
    let firsts = [before.media_sequence, newer.media_sequence];
    let may_be_hidden = |msn: MediaSequence| firsts[0] != firsts[1] && firsts.contains(&msn);
    newer.segments.iter().filter(|segment| !may_be_hidden(segment.msn)).any(|segment| {
        before.segments.by_msn(segment.msn).is_some_and(|known| known.discontinuity != segment.discontinuity)
    })
}

/// Whether both list a segment with the same number and date: then both are of one encoder, however late one is.
fn has_same_date(old: &Standing<'_>, newer: &MediaPlaylist) -> bool {
    old.in_common(newer)
        .any(|(known, segment)| known.program_date_time.is_some_and(|date| segment.program_date_time == Some(date)))
}

/// Whether the newer window ends before the older one begins by more than its length.
fn is_a_window_behind(before: &MediaPlaylist, newer: &MediaPlaylist) -> bool {
    let window = before.segments.len() as u64;
    newer.end_sequence().0.saturating_add(window) < before.media_sequence.0
}

/// The name of the file, without what signatures change.
fn file_of(segment: &Segment<'_>) -> (String, Option<u64>) {
    let url = segment.uri.url();
    let name = url.path().rsplit('/').next().unwrap_or_default().to_owned();
    (name, segment.byte_range.map(|range| range.start))
}

fn millis_of(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The window moved on by more than its length. Time passes no faster for the encoder than for us, so a leap that is much
/// longer than the time since the last change is a new count.
fn jumped(old: &Standing<'_>, newer: &MediaPlaylist, missed: u64) -> Renewal {
    let before = old.snapshot;
    let by_count = old.usual().saturating_mul(u32::try_from(missed).unwrap_or(u32::MAX));
    let since_change = old.now.since(old.changed);
    let likely = since_change.saturating_mul(4).saturating_add(before.target_duration.saturating_mul(10));
    if by_count > likely.saturating_add(newer.segments.duration()) {
        return Renewal::Restarted;
    }
    let ends = before
        .segments
        .len()
        .checked_sub(1)
        .and_then(|last| before.date_of(last)?.checked_add(before.segments.get(last)?.duration));
    let by_date = ends.zip(newer.date_of(0)).and_then(|(end, start)| start.checked_since(end));
    let hole = by_date.filter(|hole| *hole <= likely).unwrap_or(by_count);
    Renewal::Jumped { missed, hole }
}

#[cfg(test)]
mod tests {
    use std::{fmt::Write as _, ops::Range, sync::Arc};

    use url::Url;

    use super::super::{Merge, Timeline};
    use super::*;
    use crate::playlist::{ParseOptions, Playlist, parse};

    /// A stream of segments of a second whose names are their numbers.
    #[derive(Clone, Copy, Debug)]
    struct Stream {
        target: u64,
        /// Segments there at the beginning.
        start: u64,
        /// Segments listed at most; zero is an EVENT playlist.
        window: u64,
    }

    impl Stream {
        /// What is listed after so many milliseconds.
        fn at(self, millis: u64) -> Range<u64> {
            let end = self.start + millis / 1_000;
            if self.window == 0 { 0..end } else { end.saturating_sub(self.window)..end }
        }

        fn list(self, listed: Range<u64>) -> Arc<MediaPlaylist> {
            let kind = if self.window == 0 { "#EXT-X-PLAYLIST-TYPE:EVENT\n" } else { "" };
            let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:{}\n{kind}", self.target);
            writeln!(text, "#EXT-X-MEDIA-SEQUENCE:{}", listed.start).unwrap();
            listed.for_each(|msn| write!(text, "#EXTINF:1,\ns{msn}.ts\n").unwrap());
            let url = Url::parse("http://origin.test/live.m3u8").unwrap();
            match parse(text.as_bytes(), &url, &ParseOptions::default()) {
                Ok(Playlist::Media(playlist)) => Arc::new(playlist),
                _ => panic!("segments are listed"),
            }
        }

        /// Merges what is shown in each half of a target duration, for as long as it is `done` not to.
        fn follow(
            self,
            millis: u64,
            shown: impl Fn(u64) -> Range<u64>,
            mut merged: impl FnMut(u64, &Merge) -> bool,
        ) -> Timeline {
            let mut timeline = Timeline::new(self.list(shown(0)), Duration::ZERO, Tick::ZERO);
            for at in (0..millis).step_by(usize::try_from(self.target * 500).unwrap()) {
                let merge = timeline.merge(self.list(shown(at)), Tick::from_millis(at));
                if merged(at, &merge) {
                    break;
                }
            }
            timeline
        }
    }

    const STREAMS: [Stream; 6] = [
        Stream { target: 1, start: 12, window: 24 },
        Stream { target: 1, start: 4, window: 8 },
        Stream { target: 1, start: 6, window: 0 },
        Stream { target: 2, start: 12, window: 24 },
        Stream { target: 2, start: 30, window: 8 },
        Stream { target: 2, start: 12, window: 0 },
    ];

    /// Shows all streams for so many seconds, and then what is new: nothing is taken for a restart, and nothing is repeated.
    #[track_caller]
    fn is_an_old_copy(secs: Range<u64>, shown: impl Fn(Stream, u64) -> Range<u64>) {
        for stream in STREAMS {
            let millis = secs.start * 1_000..secs.end * 1_000;
            let shown = |at| if millis.contains(&at) { shown(stream, at) } else { stream.at(at) };
            let timeline = stream.follow(millis.end + 5_000, shown, |at, merge| {
                assert_ne!(*merge, Merge::Restarted, "{stream:?} at {at} ms");
                false
            });
            let (newest, first) = (stream.at(millis.end + 4_000), stream.at(0).start);
            assert_eq!(timeline.msns(), newest, "{stream:?}");
            assert_eq!(timeline.start().as_secs(), newest.start - first, "{stream:?}");
        }
    }

    #[test]
    fn a_copy_that_is_some_seconds_behind_is_old_for_however_long_it_is_shown() {
        for lag in [2, 4, 6, 10] {
            for secs in [5..8, 5..15, 5..120] {
                is_an_old_copy(secs, |stream, at| stream.at(at.saturating_sub(lag * 1_000)));
            }
        }
        is_an_old_copy(60..90, |stream, at| stream.at(at - 30_000));
    }

    #[test]
    fn a_copy_that_is_shown_in_turn_with_new_ones_is_old() {
        let behind = |stream: Stream, at: u64, secs: u64| stream.at(at.saturating_sub(secs * 1_000));
        is_an_old_copy(3..60, |stream, at| behind(stream, at, if (at / 2_000).is_multiple_of(2) { 0 } else { 4 }));
        is_an_old_copy(5..60, |stream, at| behind(stream, at, if (at / 2_000).is_multiple_of(2) { 4 } else { 9 }));
    }

    #[test]
    fn a_window_that_stands_still_for_minutes_in_turn_with_new_ones_is_old() {
        let stream = Stream { target: 1, start: 20, window: 8 };
        let shown = |at: u64| stream.at(if (at / 2_000).is_multiple_of(2) { at } else { at.min(6_000) });
        stream.follow(300_000, shown, |at, merge| {
            assert_ne!(*merge, Merge::Restarted, "at {at} ms");
            false
        });
    }

    #[test]
    fn a_copy_that_stands_still_is_old() {
        for (secs, shows) in [(5..9, 3), (5..12, 3), (5..15, 4), (5..8, 2), (8..18, 6), (8..98, 6)] {
            is_an_old_copy(secs, |stream, _| stream.at(shows * 1_000));
        }
    }

    #[test]
    fn a_list_that_is_cut_is_old() {
        let cut = |Range { start, end }: Range<u64>| start..start + (end - start) / 2;
        for secs in [5..7, 5..11, 4..14] {
            is_an_old_copy(secs, |stream, at| cut(stream.at(at)));
        }
    }

    /// After how many seconds an encoder is recognised that began anew after so many; `None` if the stream goes on where
    /// it has caught up.
    #[track_caller]
    fn recognised(stream: Stream, after: u64, want: Option<u64>) {
        let begins = after * 1_000;
        // Its first segment is listed when it is complete.
        let anew = |at: u64| Stream { start: 0, ..stream }.at(at - begins);
        let shown = |at: u64| if at < begins + 1_000 { stream.at(at.min(begins - 1)) } else { anew(at) };
        let mut seen = None;
        let timeline = stream.follow(begins + 120_000, shown, |at, merge| {
            assert!(seen.is_none());
            seen = (*merge == Merge::Restarted).then_some(at.saturating_sub(begins).div_ceil(1_000));
            seen.is_some()
        });
        assert_eq!(seen, want, "{stream:?} after {after} s, {:?}", timeline.msns());
    }

    #[test]
    fn an_encoder_that_begins_anew_with_the_same_names_is_recognised_within_a_few_target_durations() {
        let (event, window) = (Stream { target: 1, start: 6, window: 0 }, Stream { target: 1, start: 8, window: 8 });
        // Further back than a window or than any copy; else when it is seen again.
        for (after, want) in [(3_600, 1), (60, 1), (20, 1), (8, 2)] {
            recognised(window, after, Some(want));
        }
        for after in [3_600, 60, 20, 8] {
            recognised(event, after, Some(2));
        }
        let two = |stream| Stream { target: 2, ..stream };
        for after in [3_600, 60, 20, 8] {
            recognised(two(event), after, Some(2));
        }
        recognised(two(window), 3_600, Some(1));
        recognised(two(window), 8, Some(2));
    }

    #[test]
    fn an_encoder_that_begins_anew_at_once_goes_on_where_it_has_caught_up() {
        let young = Stream { target: 1, start: 1, window: 0 };
        recognised(young, 6, None);
        recognised(young, 10, None);
        recognised(young, 12, Some(2));
    }
}
